//! The side in the sandbox: each probe in a process of its own.

use crate::bait::Bait;
use crate::groups::find;
use crate::outcome::{Answer, Outcome};
use crate::probe::Probe;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// For one probe.
const PATIENCE: Duration = Duration::from_secs(20);

/// Makes the probes of these names, and writes for each that it begins, and then a line with its answer.
///
/// # Errors
/// If nobody listens.
pub fn all(names: &[String], bait: &Bait, mut one: impl FnMut(&str) -> Command, out: &mut dyn Write) -> io::Result<()> {
    for name in names {
        let Some(probe) = find(name) else { continue };
        writeln!(out, "begin {name}")?;
        out.flush()?;
        // Where no process may be made the probe is made here; the side outside goes on if this one is ended by it.
        let outcome = apart(&mut one(name)).unwrap_or_else(|_| (probe.attempt)(bait));
        let answer = Answer { probe: name.clone(), outcome };
        writeln!(out, "{}", serde_json::to_string(&answer)?)?;
        out.flush()?;
    }
    Ok(())
}

/// The outcome of a command that makes one probe.
///
/// # Errors
/// If it cannot be started.
pub fn apart(command: &mut Command) -> io::Result<Outcome> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let until = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > until {
            child.kill()?;
            child.wait()?;
            return Ok(Outcome::Unknown(format!("no answer in {} s", PATIENCE.as_secs())));
        }
        thread::sleep(Duration::from_micros(500));
    };
    let mut text = [0u8; 4096];
    let mut length = 0;
    if let Some(mut out) = child.stdout.take() {
        // What an attempt has left running may hold the other end, so that there is no end to wait for.
        fcntl(&out, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        length = out.read(&mut text).unwrap_or(0);
    }
    Ok(serde_json::from_slice(text.get(..length).unwrap_or_default()).unwrap_or_else(|_| ended(status)))
}

/// Of a process that did not say.
fn ended(status: ExitStatus) -> Outcome {
    match status.signal() {
        Some(signal @ (libc::SIGSYS | libc::SIGKILL)) => {
            let name = if signal == libc::SIGSYS { "SIGSYS" } else { "SIGKILL" };
            Outcome::Blocked(format!("killed by {name}"))
        }
        Some(signal) => Outcome::Unknown(format!("ended by signal {signal}")),
        None => Outcome::Unknown(format!("ended with code {}", status.code().unwrap_or(-1))),
    }
}

/// Makes one probe in this process, and writes what came of it.
///
/// # Errors
/// If nobody listens.
pub fn one(probe: &Probe, bait: &Bait, out: &mut dyn Write) -> io::Result<()> {
    let outcome = (probe.attempt)(bait);
    out.write_all(&serde_json::to_vec(&outcome)?)?;
    out.flush()
}
