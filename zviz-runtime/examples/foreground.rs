//! Waits for a command as `run` waits for its payload:
//! `foreground [--terminal | --shared] [--subreaper] [--timeout MILLISECONDS] CMD [ARGS]`.
//! The tests of `zviz_runtime::foreground` drive it, since a test process cannot be sent signals.

use nix::unistd::{Pid, getpgrp, setpgid};
use std::error::Error;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use zviz_runtime::console::{Relay, Terminal};
use zviz_runtime::foreground::{Payload, Watch};
use zviz_sys::exec::CStrArray;
use zviz_sys::spawn::{Image, Program, spawn};
use zviz_sys::{path, process, pty};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let (mut terminal, mut shared, mut subreaper, mut timeout) = (false, false, false, None);
    let mut arguments = std::env::args().skip(1);
    let mut argv = ["sh", "-c", "exec \"$@\"", "sh"].map(String::from).to_vec();
    argv.push(loop {
        match arguments.next().ok_or("no command")?.as_str() {
            "--terminal" => terminal = true,
            "--shared" => shared = true,
            "--subreaper" => subreaper = true,
            "--timeout" => timeout = Some(arguments.next().ok_or("no milliseconds")?.parse()?),
            other => break other.to_owned(),
        }
    });
    argv.extend(arguments);
    let environment = std::env::vars().map(|(key, value)| format!("{key}={value}")).collect();
    let strings = |list: Vec<String>| list.into_iter().map(CString::new).collect::<Result<_, _>>().map(CStrArray::new);

    let mut watch = Watch::start(subreaper)?;
    let (input, output, error) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let mut peer: Option<OwnedFd> = None;
    let mut relay = None;
    if terminal {
        let master = pty::open_in(path::open_path(c"/", 0)?.as_fd())?;
        peer = Some(pty::peer(master.as_fd())?);
        // Before the payload runs, which would else write with other line ends at first.
        relay = Some(Relay::new(master, Terminal::find().ok(), input.as_fd(), output.as_fd())?);
    }
    let caller = getpgrp();
    // As init does for the payload: a session of its own with the terminal, or the caller's group.
    let place = || {
        if shared || terminal {
            setpgid(Pid::from_raw(0), caller)?;
        }
        if terminal {
            process::new_session()?;
            pty::make_controlling(std::io::stdin().as_fd())?;
        }
        Ok(())
    };
    let child = spawn(&Program {
        image: Image::Path(c"/bin/sh"),
        argv: &strings(argv)?,
        env: &strings(environment)?,
        stdio: peer.as_ref().map_or([input.as_fd(), output.as_fd(), error.as_fd()], |peer| [peer.as_fd(); 3]),
        join: &[],
        root: None,
        cwd: None,
        cgroup: None,
        tasks: &[],
        stays: false,
        confine: Some(&place),
    })?;

    let mut payload = Payload::new(child.pid(), child.pidfd());
    payload.shares_terminal = shared;
    payload.relay = relay;
    drop(peer);
    payload.deadline = timeout.map(|milliseconds| Instant::now() + Duration::from_millis(milliseconds));
    Ok(watch.until_end(payload)?.status().into())
}
