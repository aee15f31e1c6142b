//! Processes that are killed on the way.

use crate::support::{Bundle, bundle};
use std::process::{Child, Stdio};
use std::time::Duration;

fn create(bundle: &Bundle) -> Child {
    let mut command = bundle.command(&["create", "--bundle", bundle.path(), &bundle.name]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_runtime_that_is_killed_leaves_what_delete_takes_away() {
    let Some(bundle) = bundle("killed", &["sleep", "1000"]) else { return };
    // The first of these may be killed before it has made the root of states.
    std::fs::create_dir(bundle.file("root")).unwrap();
    for microseconds in (0..40).map(|n| n * 400) {
        let mut child = create(&bundle);
        std::thread::sleep(Duration::from_micros(microseconds));
        child.kill().unwrap();
        child.wait().unwrap();
        bundle.ok(&["delete", "--force", &bundle.name]);
        bundle.leaves_nothing();
    }
}

/// Between `create` and `start`.
#[test]
fn an_init_that_is_killed_before_start_is_told() {
    let Some(bundle) = bundle("early", &["sleep", "1000"]) else { return };
    bundle.create();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(bundle.state()["pid"].as_i64().unwrap()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    bundle.wait_for("stopped");
    bundle.refused(&["start", &bundle.name], "stopped");
    bundle.refused(&["exec", &bundle.name, "true"], "stopped");
    bundle.ok(&["delete", &bundle.name]);
    bundle.leaves_nothing();
}

/// It has run the container, or has not; a startContainer hook makes the way longer.
#[test]
fn a_start_that_is_killed_leaves_what_delete_takes_away() {
    let Some(bundle) = bundle("startkill", &["sleep", "1000"]) else { return };
    let hook =
        serde_json::json!([{ "path": "/bin/busybox", "args": ["true"], "env": [format!("A={}", bundle.path())] }]);
    for microseconds in (0..30).map(|n| n * 400) {
        if microseconds == 6000 {
            bundle.edit(|spec| spec["hooks"] = serde_json::json!({ "startContainer": hook }));
        }
        bundle.create();
        let mut start = bundle.command(&["start", &bundle.name]);
        let mut start = start.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(microseconds));
        start.kill().unwrap();
        start.wait().unwrap();
        bundle.ok(&["delete", "--force", &bundle.name]);
        bundle.leaves_nothing();
    }
}

/// The container's life does not hang on the commands that act on it.
#[test]
fn commands_that_are_killed_leave_the_container() {
    let Some(bundle) = bundle("command", &["sleep", "1000"]) else { return };
    bundle.create();
    bundle.ok(&["start", &bundle.name]);
    for microseconds in (0..30).map(|n| n * 300) {
        let mut exec = bundle.command(&["exec", &bundle.name, "sleep", "1000"]);
        let mut exec = exec.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(microseconds));
        exec.kill().unwrap();
        exec.wait().unwrap();
    }
    assert_eq!(bundle.ok(&["exec", &bundle.name, "echo", "alive"]), "alive\n");
    bundle.ok(&["delete", "--force", &bundle.name]);
    bundle.leaves_nothing();
}
