//! What a call points to changes while it is decided about. `ZVIZ_TOCTOU_SECONDS` says for how long; 60 is the proof.

use super::callers::Caller;
use super::each;
use serde_json::Value;
use std::fs;
use std::process::{Command, Output};

fn seconds() -> String {
    std::env::var("ZVIZ_TOCTOU_SECONDS").unwrap_or_else(|_| "3".into())
}

fn attacker(caller: &Caller) -> String {
    let (source, program) = (caller.work.join("attacker.c"), caller.work.join("attacker"));
    fs::write(&source, include_str!("toctou/attacker.c")).unwrap();
    let built =
        Command::new("gcc").args(["-O2", "-pthread", "-Wall", "-Wextra", "-o"]).arg(&program).arg(&source).output();
    assert!(built.as_ref().is_ok_and(|built| built.status.success()), "{built:?}");
    program.to_str().unwrap().to_owned()
}

/// What it has counted.
fn counted(output: &Output) -> impl Fn(&str) -> u64 {
    assert!(output.status.success(), "{output:?}");
    let counts: Value = serde_json::from_slice(&output.stdout).unwrap();
    move |what: &str| counts[what].as_u64().unwrap()
}

/// Mounts whose type and options change, nodes below a descriptor that is given to another directory, pages that come and
/// go, callers that execute or exit, and a thousand signals a second: nothing is mounted but what was decided.
#[test]
fn nothing_that_changes_is_believed() {
    each("nothing_that_changes_is_believed", &["gcc", "unshare"], |caller| {
        let program = attacker(caller);
        let output = caller.run(&["--profile", "nested"], &["unshare", "-Urm", &program, &seconds(), "/tmp/race"]);
        let count = counted(&output);
        println!("as {}: {}", caller.name(), String::from_utf8_lossy(&output.stdout).trim());
        assert_eq!((count("forbidden"), count("wrong_nodes")), (0, 0), "{output:?}");
        for what in ["mounted", "refused", "faults", "nodes", "ended", "signals"] {
            assert!(count(what) > 0, "no {what}: {output:?}");
        }
        // Who looks and lets the kernel look again is deceived.
        let folder = caller.work.join("race");
        let folder = folder.to_str().unwrap();
        let mut unsafely = caller.program("unshare");
        unsafely.args(["-Urm", &program, &seconds(), folder, "unsafe"]);
        let leaks = (0..5).map(|_| counted(&unsafely.output().unwrap())("forbidden")).find(|leaks| *leaks > 0);
        println!("as {}: the control: {leaks:?} of a supervisor that lets the call run", caller.name());
        assert!(leaks.is_some(), "the control: the race cannot be won here at all");
    });
}
