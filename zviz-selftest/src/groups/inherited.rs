//! What comes along from the caller: the environment, descriptors, the working directory, the terminal.

use crate::bait::{Bait, VARIABLE};
use crate::outcome::{Outcome, done, done_io, seen};
use crate::probe::Control::{Host, Impossible};
use crate::probe::{Probe, probe};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use std::fs::{self, File};
use std::io::Read;

#[rustfmt::skip]
pub const PROBES: &[Probe] = &[
    probe("environment", "a variable of the caller", "environ(7)", Host, |bait| variable(VARIABLE, bait)),
    probe("environment-cloud-key", "a key for a cloud", "environ(7)", Host, |bait| variable("AWS_SECRET_ACCESS_KEY", bait)),
    probe("environment-token", "a token for a forge", "environ(7)", Host, |bait| variable("GITHUB_TOKEN", bait)),
    probe("environment-ssh-agent", "the way to an agent with keys", "ssh-agent: environ(7)", Host, |bait| variable("SSH_AUTH_SOCK", bait)),
    probe("environment-screen", "the key to the user's screen", "environ(7)", Host, |bait| variable("XAUTHORITY", bait)),
    probe("environment-engine", "the way to an engine", "CVE-2025-9074, environ(7)", Host, |bait| variable("DOCKER_HOST", bait)),
    probe("environment-proxy", "a password for a proxy", "environ(7)", Host, |bait| variable("HTTPS_PROXY", bait)),
    probe("descriptor-folder", "a folder that the caller had open", "CVE-2024-21626, open(2)", Host, folder),
    probe("descriptor-any", "any descriptor above the standard ones", "CVE-2016-8659, close_range(2)", Host, |_| any_descriptor()),
    probe("descriptor-listener", "the listener of a filter", "seccomp_unotify(2)", Impossible("only a broker has one"), |_| listener()),
    probe("working-directory", "a working directory outside of the root", "CVE-2024-21626, getcwd(2)", Impossible("no process of the host has a root that is not the host's"), |_| working_directory()),
    probe("terminal", "the caller's terminal", "CVE-2016-7545, tty(4)", Impossible("tests have no terminal"), |_| done_io(File::open("/dev/tty"))),
    probe("process-1-environment", "the environment that the runtime was started with", "proc(5)", Host, |_| read("/proc/1/environ")),
    probe("resource-limits", "core files, written where the host says", "CVE-2022-4415, core(5), getrlimit(2)", Host, |_| core_files()),
];

fn variable(name: &str, bait: &Bait) -> Outcome {
    seen(std::env::var(name).is_ok_and(|value| value.contains(&bait.word)), name)
}

fn folder(bait: &Bait) -> Outcome {
    let there = zviz_sys::fd::duplicate(bait.descriptor).and_then(|folder| {
        let file = openat(&folder, "secret", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        let mut text = String::new();
        File::from(file).read_to_string(&mut text).map_err(|_| nix::errno::Errno::EIO)?;
        Ok(text)
    });
    match there {
        Ok(text) => seen(text == bait.word, "the word"),
        Err(errno) => done::<()>(Err(errno)),
    }
}

/// Where each descriptor leads, but for the folder that is being listed.
fn descriptors() -> Vec<String> {
    let entries = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let above =
        entries.filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok_and(|number| number > 2));
    let targets = above.filter_map(|entry| fs::read_link(entry.path()).ok());
    let targets = targets.map(|target| target.to_string_lossy().into_owned());
    targets.filter(|target| !(target.starts_with("/proc/") && target.ends_with("/fd"))).collect()
}

fn any_descriptor() -> Outcome {
    match descriptors().first() {
        Some(target) => Outcome::Succeeded(format!("{target} is open")),
        None => Outcome::Blocked("none is open".into()),
    }
}

fn listener() -> Outcome {
    seen(descriptors().iter().any(|target| target.contains("seccomp")), "a listener")
}

/// The kernel says `(unreachable)` before such a path; the C library refuses it.
fn working_directory() -> Outcome {
    match std::env::current_dir() {
        Ok(path) => seen(!path.starts_with("/"), "an unreachable folder"),
        Err(error) => Outcome::Succeeded(format!("let through: {error}")),
    }
}

fn read(path: &str) -> Outcome {
    match fs::read(path) {
        Ok(bytes) => seen(!bytes.is_empty(), "a variable"),
        Err(error) => done_io::<()>(Err(error)),
    }
}

/// RLIMIT_CORE, as hard as it is.
fn core_files() -> Outcome {
    match nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_CORE) {
        Ok((_, 0)) => Outcome::Blocked("no byte".into()),
        Ok(_) => Outcome::Succeeded("they may be written".into()),
        Err(errno) => done::<()>(Err(errno)),
    }
}
