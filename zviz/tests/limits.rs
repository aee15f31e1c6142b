//! Limits that change while a container runs, and what is told of it: `update` and `events`.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use support::{Bundle, bundle, skip};

/// A running container, where the memory controller is.
fn running(name: &str) -> Option<Bundle> {
    let unified = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    if !std::path::Path::new("/sys/fs/cgroup/memory").exists() && !unified.contains("memory") {
        skip(name, "there is no memory controller");
        return None;
    }
    let bundle = bundle(name, &["sleep", "1000"])?;
    bundle.create();
    bundle.ok(&["start", &bundle.name]);
    Some(bundle)
}

fn stats(bundle: &Bundle) -> Value {
    serde_json::from_str(&bundle.ok(&["events", "--stats", &bundle.name])).unwrap()
}

#[test]
fn limits_change_and_the_rest_stays() {
    let Some(bundle) = running("update") else { return };
    let id = bundle.name.as_str();
    bundle.ok(&["update", "--memory", "64M", "--pids-limit", "30", id]);
    let first = stats(&bundle);
    assert_eq!((&first["type"], &first["id"]), (&json!("stats"), &json!(id)));
    assert_eq!(first["data"]["memory"]["usage"]["limit"], 64 << 20);
    assert_eq!(first["data"]["pids"], json!({"current": 1, "limit": 30}));

    let file = bundle.file("resources.json");
    std::fs::write(&file, json!({"memory": {"limit": 32 << 20}}).to_string()).unwrap();
    bundle.ok(&["update", "--resources", &file, id]);
    let mut piped = bundle.command(&["update", "-r", "-", id]).stdin(Stdio::piped()).spawn().unwrap();
    piped.stdin.take().unwrap().write_all(br#"{"pids": {"limit": 40}}"#).unwrap();
    assert!(piped.wait().unwrap().success());
    let second = stats(&bundle);
    assert_eq!(second["data"]["memory"]["usage"]["limit"], 32 << 20);
    assert_eq!(second["data"]["pids"]["limit"], 40);

    bundle.refused(&["update", "--memory", "much", id], "--memory much: ");
    bundle.refused(&["update", "--resources", "/dev/null", id], "--resources /dev/null: ");
    bundle.refused(&["update", "--l3-cache-schema", "L3:0=f", id], "Intel RDT");
    bundle.refused(&["update", "--cpu-period", "5", id], "cpu.period: must be between 1000 and 1000000");
    assert_eq!(stats(&bundle)["data"]["memory"]["usage"]["limit"], 32 << 20, "a refused change changes nothing");

    bundle.ok(&["delete", "--force", id]);
    bundle.refused(&["update", "--memory", "64M", id], "container does not exist");
    bundle.refused(&["events", "--stats", id], "container does not exist");
    bundle.leaves_nothing();
}

#[test]
fn events_tell_of_kills_and_end_with_the_container() {
    let Some(bundle) = running("events") else { return };
    let id = bundle.name.as_str();
    bundle.refused(&["events", "--interval", "0s", id], "--interval 0s: ");
    bundle.ok(&["update", "--memory", "16M", "--memory-swap", "16M", id]);
    let mut events = bundle.command(&["events", "--interval", "50ms", id]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(events.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(next()["type"], "stats");
    // The shell holds what it reads in memory.
    let hog = bundle.zviz(&["exec", id, "sh", "-c", "x=$(cat /dev/zero /dev/zero | busybox tr '\\0' x)"]);
    assert!(!hog.status.success());
    let oom = std::iter::repeat_with(&mut next).take(100).find(|event| event["type"] == "oom");
    assert_eq!(oom.unwrap(), json!({"type": "oom", "id": id}));
    bundle.ok(&["delete", "--force", id]);
    assert!(events.wait().unwrap().success());
    bundle.leaves_nothing();
}

#[test]
fn a_container_that_has_ended_has_no_limits() {
    let Some(bundle) = running("ended") else { return };
    let id = bundle.name.as_str();
    bundle.ok(&["kill", id, "KILL"]);
    bundle.wait_for("stopped");
    bundle.refused(&["update", "--memory", "64M", id], "container not running");
    bundle.refused(&["events", id], "is not running");
    bundle.ok(&["delete", id]);
    bundle.leaves_nothing();
}
