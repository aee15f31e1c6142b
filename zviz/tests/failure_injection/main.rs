//! A start that fails, wherever it does, leaves nothing: no process, mount, cgroup or state.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod calls;
mod commands;
mod console;
mod hooks;
mod kills;
#[path = "../support/mod.rs"]
mod support;

use serde_json::{Value, json};
use support::bundle;

/// A change of the config, and a word of the error that it must give.
type Fault = (&'static str, fn(&mut Value), &'static str);

fn push_mount(spec: &mut Value, mount: Value) {
    spec["mounts"].as_array_mut().unwrap().push(mount);
}

const FAULTS: &[Fault] = &[
    ("mount", |s| push_mount(s, json!({ "destination": "/x", "type": "nosuchfs", "source": "x" })), "mount"),
    (
        "bind",
        |s| push_mount(s, json!({ "destination": "/x", "source": "/nonexistent", "options": ["rbind"] })),
        "/nonexistent",
    ),
    ("option", |s| push_mount(s, json!({ "destination": "/x", "type": "tmpfs", "options": ["size=none"] })), "on /x"),
    (
        "device",
        |s| s["linux"]["devices"] = json!([{ "path": "/proc/x", "type": "c", "major": 1, "minor": 3 }]),
        "/proc/x",
    ),
    ("program", |s| s["process"]["args"] = json!(["/nonexistent"]), "no such file or directory"),
    ("cwd", |s| s["process"]["cwd"] = json!("/bin/busybox"), "cwd"),
    ("rootfs", |s| s["root"]["path"] = json!("nonexistent"), "nonexistent"),
    (
        "namespace",
        |s| {
            s["linux"]["namespaces"] =
                json!([{ "type": "mount" }, { "type": "uts" }, { "type": "pid", "path": "/dev/null" }])
        },
        "join",
    ),
    ("maps", |s| s["linux"]["uidMappings"] = json!([{ "containerID": 0, "hostID": 0, "size": 1 }]), "uidMappings"),
    ("sysctl", |s| s["linux"]["sysctl"] = json!({ "net.core.somaxconn": "none" }), "somaxconn"),
    ("cgroup", |s| s["linux"]["cgroupsPath"] = json!("/../x"), "cgroupsPath"),
    (
        "rlimit",
        |s| s["process"]["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "soft": 1, "hard": u64::MAX }]),
        "rlimits",
    ),
    (
        "seccomp",
        |s| s["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [] }),
        "linux.seccomp",
    ),
    (
        "agent",
        |s| {
            let rule = json!([{ "names": ["mkdir"], "action": "SCMP_ACT_NOTIFY" }]);
            s["linux"]["seccomp"] =
                json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/nonexistent/agent", "syscalls": rule });
        },
        "/nonexistent/agent",
    ),
    ("prestart", |s| s["hooks"] = json!({ "prestart": [{ "path": "/bin/false" }] }), "hooks.prestart[0]"),
    (
        "createRuntime",
        |s| s["hooks"] = json!({ "createRuntime": [{ "path": "/bin/false" }] }),
        "hooks.createRuntime[0]",
    ),
    (
        "createContainer",
        |s| s["hooks"] = json!({ "createContainer": [{ "path": "/bin/false" }] }),
        "hooks.createContainer[0]",
    ),
    ("startContainer", |s| s["hooks"] = json!({ "startContainer": [{ "path": "/no" }] }), "hooks.startContainer[0]"),
    (
        "timeout",
        |s| {
            let hook = json!([{ "path": "/bin/sleep", "args": ["sleep", "1000"], "timeout": 1 }]);
            s["hooks"] = json!({ "createRuntime": hook });
        },
        "hooks.createRuntime[0]",
    ),
    ("console", |s| s["process"]["terminal"] = json!(true), "tty"),
];

#[test]
fn faults_of_the_config_leave_nothing() {
    let Some(bundle) = bundle("fault", &["true"]) else { return };
    let path = bundle.file("config.json");
    let good = std::fs::read(&path).unwrap();
    for (name, change, words) in FAULTS {
        std::fs::write(&path, &good).unwrap();
        bundle.edit(change);
        let verb = if *name == "console" { vec!["run", "--detach"] } else { vec!["run"] };
        let output = bundle.zviz(&[&verb[..], &["--bundle", bundle.path(), &bundle.name]].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(words), "{name}: {error}");
        assert_eq!(error.lines().count(), 1, "{name}: {error}");
        bundle.leaves_nothing();
    }
}
