//! The audit log of a sandbox.

use super::{each, support};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

#[test]
fn every_decision_is_recorded() {
    each("every_decision_is_recorded", &["unshare"], |caller| {
        let script = "mount -t tmpfs tmpfs /tmp; mount -t ext4 none '/tmp/\u{1b}[2J'; true";
        let file = caller.work.join("audit.jsonl");
        let flags = ["--profile", "nested", "--audit", file.to_str().unwrap()];
        let output = caller.run(&flags, &["unshare", "-Urm", "sh", "-c", script]);
        assert!(output.status.success(), "{output:?}");
        let text = fs::read_to_string(&file).unwrap();
        assert!(!text.contains('\u{1b}'), "a terminal would obey: {text}");
        let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let first = records.first().map(|record| record["type"].clone());
        let last = records.last().map(|record| record["type"].clone());
        assert_eq!((first, last), (Some("broker_started".into()), Some("broker_ended".into())));
        let of = |verdict: &str, fstype: &str| {
            let found = records.iter().find(|r| r["verdict"] == verdict && r["arguments"]["type"] == fstype);
            found.unwrap_or_else(|| panic!("no {verdict} of {fstype} in {text}")).clone()
        };
        let mounted = of("value", "tmpfs");
        assert_eq!(mounted["syscall"], "mount");
        assert_eq!(mounted["arguments"]["target"], "/tmp");
        assert!(mounted["latency_us"].as_u64().is_some() && mounted["pid"].as_u64().is_some());
        assert_eq!(of("errno EPERM", "ext4")["rule"], "mounts.types");
    });
}

#[test]
fn an_audit_that_cannot_be_had_is_refused() {
    each("an_audit_that_cannot_be_had_is_refused", &[], |caller| {
        for (place, words) in
            [("fd:99", "descriptor 99"), ("/proc/nothing", "audit"), ("fd:x", "the number of a descriptor")]
        {
            let output = caller.run(&["--profile", "nested", "--audit", place], &["true"]);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.code() == Some(125) && said.contains(words), "{place}: {output:?}");
        }
        let output = caller.run(&["--audit", "fd:1"], &["true"]);
        assert!(
            String::from_utf8_lossy(&output.stderr).contains("the profile default has nothing to record: take one"),
            "{output:?}"
        );
    });
    // A log that anybody could write is none.
    let scratch = support::Scratch::new("audit");
    let link = scratch.join("link");
    std::os::unix::fs::symlink("/dev/null", &link).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_zviz"))
        .args(["run", "--profile", "virtualised", "--audit", link.to_str().unwrap(), "--", "true"])
        .output();
    assert_eq!(output.unwrap().status.code(), Some(125));
}

#[test]
fn the_death_of_the_eyes_is_recorded_and_ends_the_sandbox() {
    each("the_death_of_the_eyes_is_recorded_and_ends_the_sandbox", &[], |caller| {
        let file = caller.work.join("audit.jsonl");
        let flags = ["--profile", "nested", "--audit", file.to_str().unwrap()];
        // Before the program runs, the end of its broker is a start that has failed.
        let runs = caller.work.join("runs");
        let _ = fs::remove_file(&runs);
        let mut sandbox = caller.sandbox(&flags, &["sh", "-c", "echo > runs; exec sleep 60"]).spawn().unwrap();
        let records = || -> Vec<Value> {
            let text = fs::read_to_string(&file).unwrap_or_default();
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
        };
        let begin = Instant::now();
        let eyes = loop {
            assert!(begin.elapsed() < Duration::from_secs(20), "no broker has started");
            match records().first().and_then(|record| record["broker"].as_i64()).filter(|_| runs.exists()) {
                Some(pid) => break i32::try_from(pid).unwrap(),
                None => sleep(Duration::from_millis(20)),
            }
        };
        kill(Pid::from_raw(eyes), Signal::SIGKILL).unwrap();
        assert_eq!(sandbox.wait().unwrap().code(), Some(137), "as {}", caller.name());
        assert!(begin.elapsed() < Duration::from_secs(50), "it has only slept to its end");
        let last = records().pop().unwrap();
        assert_eq!(
            (&last["type"], &last["part"], &last["then"]),
            (&"part_died".into(), &"eyes".into(), &"kill".into())
        );
    });
}
