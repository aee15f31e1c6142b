//! A start that fails, wherever it does, leaves nothing: no process, mount, cgroup or state.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use serde_json::{Value, json};
use std::process::{Command, Stdio};
use std::time::Duration;
use support::{Bundle, bundle, missing, skip};

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

/// What a start calls, and how often each is made to fail in turn.
const CALLS: &[(&str, usize)] = &[
    ("clone3", 1),
    ("socketpair", 1),
    ("open_tree", 2),
    ("move_mount", 4),
    ("fsopen", 3),
    ("fsconfig", 3),
    ("fsmount", 3),
    ("mount_setattr", 3),
    ("openat2", 6),
    ("mknodat", 2),
    ("symlinkat", 2),
    ("pivot_root", 1),
    ("umount2", 1),
    ("setsid", 1),
    ("sethostname", 1),
    ("setresuid", 1),
    ("setresgid", 1),
    ("setgroups", 1),
    ("capset", 1),
    ("close_range", 1),
    ("recvmsg", 2),
];

#[test]
fn calls_that_fail_leave_nothing() {
    let test = "calls_that_fail_leave_nothing";
    if let Some(program) = missing(&["strace"]) {
        return skip(test, &format!("{program} is not installed"));
    }
    let Some(bundle) = bundle("inject", &["true"]) else { return };
    let run = |call: &str, when: usize| {
        let zviz = bundle.command(&["run", "--bundle", bundle.path(), &bundle.name]);
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e"]);
        strace.arg(format!("inject={call}:error=EPERM:when={when}")).arg(zviz.get_program()).args(zviz.get_args());
        strace.stdin(Stdio::null()).output().unwrap()
    };
    // The control: strace alone changes nothing.
    let control = run("clone3", 10_000);
    assert!(control.status.success(), "{control:?}");
    let mut failed = 0;
    for (call, times) in CALLS {
        for when in 1..=*times {
            let output = run(call, when);
            failed += usize::from(!output.status.success());
            bundle.leaves_nothing();
        }
    }
    assert!(failed > CALLS.len(), "only {failed} starts failed");
}

#[test]
fn a_runtime_that_is_killed_leaves_what_delete_takes_away() {
    let Some(bundle) = bundle("killed", &["sleep", "1000"]) else { return };
    // The first of these may be killed before it has made the root of states.
    std::fs::create_dir(bundle.file("root")).unwrap();
    let create = |bundle: &Bundle| {
        let mut command = bundle.command(&["create", "--bundle", bundle.path(), &bundle.name]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    for microseconds in (0..40).map(|n| n * 400) {
        let mut child = create(&bundle);
        std::thread::sleep(Duration::from_micros(microseconds));
        child.kill().unwrap();
        child.wait().unwrap();
        bundle.ok(&["delete", "--force", &bundle.name]);
        bundle.leaves_nothing();
    }
}
