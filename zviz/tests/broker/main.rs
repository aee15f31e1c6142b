//! Sandboxes with a broker, by the real binary, as root and as an ordinary user.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod alone;
mod attack;
mod audit;
#[path = "../callers/mod.rs"]
mod callers;
mod charged;
mod engines;
mod executed;
mod files;
mod keys;
mod listen;
mod nested;
mod parts;
mod paused;
mod renames;
#[path = "../support/mod.rs"]
mod support;
mod surface;
mod toctou;
mod virtualised;

use callers::Caller;
use support::{missing, skip};

/// A check for both callers. Nothing of either is left, no part of a broker included.
fn each(test: &str, programs: &[&'static str], check: impl Fn(&Caller)) {
    with(&Caller::both, test, programs, check);
}

/// A check for root alone.
fn as_root(test: &str, programs: &[&'static str], check: impl Fn(&Caller)) {
    with(&|| [Caller::new(true)], test, programs, check);
}

fn with<const N: usize>(
    callers: &dyn Fn() -> [Caller; N],
    test: &str,
    programs: &[&'static str],
    check: impl Fn(&Caller),
) {
    if !nix::unistd::geteuid().is_root() {
        return skip(test, "needs root, to make a user");
    }
    if let Some(program) = missing(programs) {
        return skip(test, &format!("{program} is not installed"));
    }
    for caller in callers() {
        check(&caller);
        assert_eq!(caller.left(), [""; 0], "as {}: something is left behind", caller.name());
    }
}

/// What a command in the sandbox of a profile says, and how it ends.
fn said(caller: &Caller, profile: &str, command: &[&str]) -> (Option<i32>, String, String) {
    let output = caller.run(&["--profile", profile], command);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// The output of a command that must succeed.
#[track_caller]
fn works(caller: &Caller, profile: &str, command: &[&str]) -> String {
    let (code, out, err) = said(caller, profile, command);
    assert_eq!(code, Some(0), "as {}: {command:?}: {out}\n{err}", caller.name());
    out
}

/// The words of a command that must fail.
#[track_caller]
fn fails(caller: &Caller, profile: &str, command: &[&str]) -> String {
    let (code, out, err) = said(caller, profile, command);
    assert_ne!(code, Some(0), "as {}: {command:?}: {out}", caller.name());
    err
}
