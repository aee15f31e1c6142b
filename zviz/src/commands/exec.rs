//! `exec`: another program in a container.

use super::{Context, Failure};
use crate::cli::Exec as Flags;
use anyhow::{Context as _, bail};
use std::fs::File;
use std::io::{Read, stdin, stdout};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use zviz_runtime::console::{self, ConsoleSocket, Relay, Terminal};
use zviz_runtime::container::{Id, State, Status};
use zviz_runtime::descriptors::Descriptors;
use zviz_runtime::exec::{self, Running};
use zviz_runtime::foreground::{Payload, Watch};
use zviz_runtime::plan::cgroup::Cgroup;
use zviz_runtime::plan::{Changes, Exec};
use zviz_runtime::start::TakeMaster;
use zviz_runtime::{Host, Plan, pidfile, spec};

/// The code of an `exec` that did not get as far as its program, as with runc: 1 may be the program's own.
const FAILED: u8 = 255;

pub fn run(context: &Context, flags: &Flags) -> Result<u8, Failure> {
    inside(context, flags).map_err(|error| Failure { error, code: FAILED })
}

fn inside(context: &Context, flags: &Flags) -> anyhow::Result<u8> {
    let asked = asked(flags)?;
    let id = Id::new(flags.id())?;
    let store = context.store_of(&id)?;
    let entry = store.entry(&id)?;
    let state = entry.load()?;
    match entry.status(&state)? {
        Status::Created | Status::Running => {}
        Status::Paused if flags.ignore_paused => {}
        Status::Paused => bail!("cannot exec in a paused container (use --ignore-paused to override)"),
        other => bail!("cannot exec in a {other} container"),
    }
    let init = state.live_init().context("cannot exec in a stopped container")?;
    let host = Host::probe()?;
    let way_in = exec::way_in(&state.plan, init.pid, &host).context("cannot exec in a stopped container")?;
    let plan = Plan::build_exec(&state.plan, &asked, &host, way_in)?;
    for note in &plan.notes {
        context.log.warn(&note.to_string());
    }
    if let Some(cpus) = &plan.process.initial_affinity {
        // As a mask, which is how the kernel and the other runtimes show it.
        let mask = cpus.iter().filter(|cpu| **cpu < u128::BITS).fold(0u128, |mask, cpu| mask | 1 << cpu);
        context.log.debug(|| format!("initial CPU affinity: {mask:#x}"));
    }
    let mut cgroup = state.plan.cgroup.payload().into_owned();
    go_below(&mut cgroup, &flags.cgroup)?;
    let descriptors = Descriptors::decide(None, std::process::id(), flags.preserve_fds)?;
    descriptors.check()?;
    console::check(flags.detach, plan.process.terminal, flags.console_socket.is_some())?;
    let console = flags.console_socket.as_deref().map(ConsoleSocket::connect).transpose()?;
    let terminal = match plan.process.terminal && !flags.detach {
        true => Some(Terminal::find()?),
        false => None,
    };
    let mut watch = if flags.detach { None } else { Some(Watch::start(false)?) };
    let (input, output) = (stdin(), stdout());
    let mut relay = None;
    let console: TakeMaster<'_> = match console {
        Some(socket) => Box::new(|master| Ok(socket.send(master)?)),
        // Before the program runs: its first bytes, and its first look at the size, meet what holds for all others.
        None => Box::new(|master| {
            relay = Some(Relay::new(master, terminal, input.as_fd(), output.as_fd())?);
            Ok(())
        }),
    };
    let running = exec::exec(exec::Request {
        store: &store,
        state: &state,
        plan: &plan,
        way_in,
        cgroup: &cgroup,
        host: &host,
        console: Some(console),
        preserve_fds: descriptors.count(),
    })?;
    match attend(flags, &state, running, relay, watch.as_mut()) {
        Ok(code) => Ok(code),
        Err((running, error)) => {
            // Nobody would know of it.
            let _ = zviz_sys::process::pidfd_send_signal(running.as_fd(), libc::SIGKILL);
            let _ = zviz_sys::wait::wait(running.as_fd());
            Err(error)
        }
    }
}

/// Tells the caller where the process is, and waits for it unless it is detached.
fn attend(
    flags: &Flags,
    state: &State,
    running: Running,
    relay: Option<Relay<'_>>,
    watch: Option<&mut Watch>,
) -> Result<u8, (OwnedFd, anyhow::Error)> {
    let (pid, pidfd) = (running.pid, &running.pidfd);
    let wait = || -> anyhow::Result<u8> {
        if let Some(path) = &flags.pid_file {
            pidfile::write(path, pid)?;
        }
        if let Some(path) = &flags.pidfd_socket {
            console::send_pidfd(path, pidfd.as_fd())?;
        }
        let Some(watch) = watch else { return Ok(0) };
        let mut payload = Payload::new(pid, pidfd.as_fd());
        payload.relay = relay;
        payload.broker = running.vital_broker(state);
        Ok(watch.until_end(payload)?.status())
    };
    let waited = wait();
    waited.map_err(|error| (running.pidfd, error))
}

/// What is to run, as far as the command line and a file say.
fn asked(flags: &Flags) -> anyhow::Result<Exec> {
    if let Some(path) = &flags.process {
        let process = read_process(path).with_context(|| format!("--process {}", path.display()))?;
        return Ok(Exec::Process(Box::new(process)));
    }
    if flags.command().is_empty() {
        bail!("exec needs a program, or --process with a file");
    }
    Ok(Exec::Changes(Changes {
        args: flags.command().to_vec(),
        env: flags.env.clone(),
        cwd: flags.cwd.clone(),
        terminal: flags.tty,
        user: flags.user.as_deref().map(user).transpose()?,
        additional_gids: flags.additional_gids.clone(),
        capabilities: flags.cap.clone(),
        no_new_privs: flags.no_new_privs,
        apparmor_profile: flags.apparmor.clone(),
        selinux_label: flags.process_label.clone(),
    }))
}

fn read_process(path: &Path) -> anyhow::Result<oci_spec::runtime::Process> {
    let mut text = Vec::new();
    // One byte more than is allowed, for the parser to see.
    File::open(path)?.take(spec::MAX_SIZE as u64 + 1).read_to_end(&mut text)?;
    Ok(spec::parse_process(&text)?.0)
}

/// `UID[:GID]`, numbers only: a wrong name must not become root (CVE-2026-30892 of crun).
fn user(text: &str) -> anyhow::Result<(u32, Option<u32>)> {
    let (uid, gid) = text.split_once(':').map_or((text, None), |(uid, gid)| (uid, Some(gid)));
    let id = |what: &str, number: &str| match number.parse::<u32>() {
        // -1 means "leave it" to setresuid(2).
        Ok(id) if id != u32::MAX && number.bytes().all(|b| b.is_ascii_digit()) => Ok(id),
        _ => Err(anyhow::anyhow!("--user {text}: {what} {number:?} is not a number from 0 to 4294967294")),
    };
    Ok((id("uid", uid)?, gid.map(|gid| id("gid", gid)).transpose()?))
}

/// Leads into existing cgroups below the container's own: one path for all hierarchies, or one for each named controller.
fn go_below(cgroup: &mut Cgroup, asked: &[String]) -> anyhow::Result<()> {
    for one in asked {
        let wrong = |what: &str| anyhow::anyhow!("--cgroup {one}: {what}");
        match one.split_once(':') {
            None if asked.len() > 1 => return Err(wrong("names no controller, and there are others")),
            None => {
                let below = plain(one).ok_or_else(|| wrong("leads out of the container's cgroup"))?;
                let unified = cgroup.is_unified();
                let groups = cgroup.v1.iter_mut().chain(cgroup.v2.as_mut().filter(|_| unified));
                groups.for_each(|group| group.path.push(&below));
            }
            Some((controllers, path)) => {
                let below = plain(path).ok_or_else(|| wrong("leads out of the container's cgroup"))?;
                let names: Vec<&str> = controllers.split(',').collect();
                let mut groups = cgroup.v1.iter_mut();
                let group = groups.find(|group| names.iter().all(|name| group.controllers.iter().any(|c| c == name)));
                let group = group.ok_or_else(|| wrong("the container has no such hierarchy of cgroup v1"))?;
                group.path.push(&below);
            }
        }
    }
    Ok(())
}

/// A path below another one: a leading slash means nothing, and `..` is refused.
fn plain(path: &str) -> Option<PathBuf> {
    let parts = Path::new(path).components().filter(|part| !matches!(part, Component::RootDir | Component::CurDir));
    parts.map(|part| if let Component::Normal(name) = part { Some(name) } else { None }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use zviz_runtime::plan::cgroup::Group;

    #[test]
    fn a_user_is_numbers() {
        assert_eq!(user("0").unwrap(), (0, None));
        assert_eq!(user("1000:100").unwrap(), (1000, Some(100)));
        for text in ["", "root", ":", "1:", ":1", "-1", "+1", "4294967295", "1:4294967295", "1:2:3", "1 ", "0x1"] {
            assert!(user(text).is_err(), "{text}");
        }
    }

    fn group(controllers: &[&str], path: &str) -> Group {
        let controllers = controllers.iter().map(|c| (*c).to_owned()).collect();
        Group { controllers, mount: "/sys/fs/cgroup".into(), path: path.into() }
    }

    #[test]
    fn cgroups_are_below_the_containers_own() {
        let go = |cgroup: &Cgroup, asked: &[&str]| {
            let mut cgroup = cgroup.clone();
            let asked: Vec<String> = asked.iter().map(|one| (*one).to_owned()).collect();
            go_below(&mut cgroup, &asked).map(|()| cgroup)
        };
        let v2 = Cgroup { v2: Some(group(&[], "c")), ..Cgroup::none() };
        assert_eq!(go(&v2, &["/a/b"]).unwrap().v2.unwrap().path, Path::new("c/a/b"));
        assert!(go(&v2, &["../x"]).is_err());
        assert!(go(&v2, &["a", "b"]).is_err());
        assert!(go(&v2, &["cpu:a"]).is_err());

        let v1 = Cgroup { v1: vec![group(&["cpu", "cpuacct"], "c"), group(&["pids"], "c")], ..Cgroup::none() };
        let one = go(&v1, &["cpuacct,cpu:a", "pids:b"]).unwrap();
        assert_eq!((one.v1[0].path.as_path(), one.v1[1].path.as_path()), (Path::new("c/a"), Path::new("c/b")));
        let all = go(&v1, &["a"]).unwrap();
        assert!(all.v1.iter().all(|group| group.path == Path::new("c/a")));
        assert!(go(&v1, &["memory:a"]).is_err());
        assert!(go(&v1, &[":a"]).is_err());
    }
}
