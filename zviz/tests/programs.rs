//! Real programs under plain `zviz run --`, as root and as an ordinary user: the scripts are in `programs/`.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod callers;
mod support;

use callers::Caller;
use std::path::PathBuf;
use std::process::Command;
use support::{missing, skip};

/// Runs a script as both callers. Its last word must be `done`.
fn program(test: &str, needs: &[&'static str], script: &str, as_root: &[&str]) {
    if !nix::unistd::geteuid().is_root() {
        return skip(test, "needs root, to make a user");
    }
    if let Some(missing) = missing(needs) {
        return skip(test, &format!("{missing} is not installed"));
    }
    for caller in Caller::both() {
        let user = caller.user().to_owned();
        let flags: Vec<&str> = match caller.root {
            true => as_root.iter().map(|flag| if *flag == "USER" { user.as_str() } else { flag }).collect(),
            false => Vec::new(),
        };
        check(test, &caller, caller.sandbox(&flags, &["sh", "-euc", script]));
    }
}

fn check(test: &str, caller: &Caller, mut command: Command) {
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let done = output.status.success() && out.lines().last() == Some("done");
    assert!(done, "{test} as {}: {}\n{out}\n{err}", caller.name(), output.status);
    assert_eq!(caller.left(), [""; 0], "{test} as {} left something behind", caller.name());
}

#[test]
fn bash() {
    program("bash", &["bash"], include_str!("programs/bash.sh"), &[]);
}

#[test]
fn coreutils() {
    program("coreutils", &["tar", "flock", "mkfifo"], include_str!("programs/coreutils.sh"), &[]);
}

#[test]
fn python() {
    program("python", &["python3"], include_str!("programs/python.sh"), &[]);
}

#[test]
fn node() {
    program("node", &["node"], include_str!("programs/node.sh"), &[]);
}

#[test]
fn git() {
    program("git", &["git"], include_str!("programs/git.sh"), &[]);
}

#[test]
fn gcc() {
    program("gcc", &["gcc", "make"], include_str!("programs/gcc.sh"), &[]);
}

#[test]
fn perl() {
    program("perl", &["perl"], include_str!("programs/perl.sh"), &[]);
}

#[test]
fn redis() {
    let needs = ["redis-server", "redis-cli", "redis-benchmark"];
    program("redis", &needs, include_str!("programs/redis.sh"), &[]);
}

/// Server programs that insist on giving up root are run as somebody else from the start: there is nothing to give up.
const AS_SOMEBODY: &[&str] = &["--user", "USER", "--cwd", "/data", "--tmpfs", "/data"];

#[test]
fn nginx() {
    program("nginx", &["nginx", "perl"], include_str!("programs/nginx.sh"), AS_SOMEBODY);
}

#[test]
fn postgres() {
    if !PathBuf::from("/usr/lib/postgresql").is_dir() {
        return skip("postgres", "postgresql is not installed");
    }
    program("postgres", &[], include_str!("programs/postgres.sh"), AS_SOMEBODY);
}

/// The toolchain is where the tests were built with it, in a home folder perhaps: it is shared read-only. An ordinary user
/// who may not look there sees it through a mount.
#[test]
fn cargo() {
    if !nix::unistd::geteuid().is_root() {
        return skip("cargo", "needs root, to make a user");
    }
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let Ok(output) = Command::new(rustc).args(["--print", "sysroot"]).output() else {
        return skip("cargo", "rustc is not installed");
    };
    let sysroot = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    if let Some(missing) = missing(&["gcc", "unshare", "mount", "setpriv"]) {
        return skip("cargo", &format!("{missing} is not installed"));
    }
    for caller in Caller::both() {
        let rust = caller.place.path().join("rust");
        std::fs::create_dir(&rust).unwrap();
        let rust = rust.to_str().unwrap();
        let path = format!("PATH={rust}/bin:/usr/bin:/bin");
        let zviz = caller.sandbox(&["--ro", rust, "--env", &path], &["sh", "-euc", include_str!("programs/cargo.sh")]);
        let (uid, gid) = caller.ids();
        let mut command = Command::new("unshare");
        command.current_dir(&caller.work).args(["--mount", "sh", "-euc"]);
        command.arg("mount --bind \"$1\" \"$2\"; shift 2; exec setpriv \"$@\"");
        command.args(["sh", &sysroot, rust, &format!("--reuid={uid}"), &format!("--regid={gid}"), "--clear-groups"]);
        command.arg(zviz.get_program()).args(zviz.get_args());
        command.env_clear().env("HOME", &caller.home).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        check("cargo", &caller, command);
    }
}
