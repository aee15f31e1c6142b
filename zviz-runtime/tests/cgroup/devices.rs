//! Device rules.

use crate::support::*;
use serde_json::{Value, json};
use std::process::Command;
use zviz_runtime::host::cgroup::CgroupHost;
use zviz_runtime::plan::cgroup::Cgroup;

/// Opens a device in a child that is inside.
fn opens(cgroup: &Cgroup, how: &str, device: &str) -> bool {
    let mut shell = Command::new("sh");
    // Waits for a line, so that it is inside when it opens.
    shell.args(["-c", &format!("read -r go; exec 3{how}{device}")]);
    shell.stdin(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    let mut running = Running::start(cgroup, shell);
    use std::io::Write;
    running.child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    running.child.wait().unwrap().success()
}

fn devices_are_filtered(host: &CgroupHost) {
    let rules = |rules: Value| planned(host, json!({ "resources": { "devices": rules } }));
    let usual = rules(json!([{ "allow": false, "access": "rwm" }]));
    assert!(opens(&usual, "<", "/dev/null"));
    assert!(!opens(&usual, "<", "/dev/kmsg"), "/dev/kmsg (1:11) was not allowed");
    let more = rules(json!([
        { "allow": false, "access": "rwm" },
        { "allow": true, "type": "c", "major": 1, "minor": 11, "access": "r" },
    ]));
    assert!(opens(&more, "<", "/dev/kmsg"));
    assert!(!opens(&more, ">", "/dev/kmsg"), "only reading was allowed");
    let all = rules(
        json!([{ "allow": true, "access": "rwm" }, { "allow": false, "type": "c", "major": 1, "minor": 11, "access": "w" }]),
    );
    assert!(opens(&all, "<", "/dev/kmsg"));
    assert!(!opens(&all, ">", "/dev/kmsg"), "writing was denied");
}

#[test]
fn devices_are_filtered_on_version_1() {
    if let Some(host) = version_1().filter(|host| has(host, "devices")) {
        devices_are_filtered(&host);
    }
}

#[test]
fn devices_are_filtered_on_version_2() {
    if let Some(host) = unified_view() {
        devices_are_filtered(&host);
    }
}
