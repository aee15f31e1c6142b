//! Containers from a bundle, from create to delete, by the real binary as root.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use serde_json::json;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use support::bundle;

#[test]
fn a_container_is_created_started_paused_and_deleted() {
    let Some(bundle) = bundle("life", &["sleep", "1000"]) else { return };
    let id = bundle.name.as_str();
    bundle.create();
    let state = bundle.state();
    assert_eq!(state["status"], "created");
    assert_eq!(std::fs::read_to_string(bundle.file("pid")).unwrap(), state["pid"].to_string());
    bundle.refused(&["create", "--bundle", bundle.path(), id], "container with given ID already exists");
    bundle.refused(&["resume", id], "container not paused");

    bundle.ok(&["start", id]);
    assert_eq!(bundle.state()["status"], "running");
    bundle.refused(&["start", id], "cannot start a container in the running state");
    bundle.refused(&["delete", id], "that is not stopped: running");
    let pids: Vec<u64> = serde_json::from_str(&bundle.ok(&["ps", "--format", "json", id])).unwrap();
    assert_eq!(json!(pids), json!([state["pid"]]));
    assert!(bundle.ok(&["ps", id, "-o", "pid,args"]).contains("sleep 1000"));

    bundle.ok(&["pause", id]);
    assert_eq!(bundle.state()["status"], "paused");
    bundle.refused(&["pause", id], "container not running");
    bundle.refused(&["exec", id, "true"], "cannot exec in a paused container");
    bundle.ok(&["resume", id]);

    bundle.ok(&["kill", id, "0"]);
    bundle.ok(&["kill", id, "sigkill"]);
    bundle.wait_for("stopped");
    assert_eq!(bundle.state()["pid"], 0);
    bundle.refused(&["kill", id], "container not running");
    bundle.ok(&["kill", "--all", id]);
    bundle.refused(&["start", id], "cannot start a container");
    bundle.refused(&["exec", id, "true"], "cannot exec in a stopped container");
    bundle.ok(&["delete", id]);
    bundle.refused(&["delete", id], "container does not exist");
    bundle.ok(&["delete", "--force", id]);
    bundle.leaves_nothing();
}

#[test]
fn one_that_was_never_started_is_deleted() {
    let Some(bundle) = bundle("never", &["sleep", "1000"]) else { return };
    bundle.create();
    let pid = bundle.state()["pid"].to_string();
    bundle.ok(&["delete", &bundle.name]);
    assert!(!Path::new("/proc").join(pid).join("cwd").exists());
    bundle.leaves_nothing();
}

#[test]
fn codes_of_the_program_come_back() {
    let Some(bundle) = bundle("codes", &["sh", "-c", "exit 7"]) else { return };
    let run = ["run", "--bundle", bundle.path(), &bundle.name];
    assert_eq!(bundle.zviz(&run).status.code(), Some(7));
    bundle.edit(|spec| spec["process"]["args"] = json!(["sh", "-c", "kill -TERM $$; kill -KILL $$; sleep 10"]));
    bundle.edit(|spec| spec["linux"]["namespaces"].as_array_mut().unwrap().retain(|ns| ns["type"] != "pid"));
    assert_eq!(bundle.zviz(&run).status.code(), Some(128 + 15));
    bundle.edit(|spec| spec["process"]["args"] = json!(["nope"]));
    let output = bundle.zviz(&run);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("exec: \"nope\": executable file not found in $PATH"), "{error}");
    bundle.leaves_nothing();
}

#[test]
fn exec_runs_beside_the_payload() {
    let Some(bundle) = bundle("exec", &["sleep", "1000"]) else { return };
    let id = bundle.name.as_str();
    bundle.create();
    bundle.ok(&["start", id]);
    assert_eq!(bundle.ok(&["exec", "-e", "A=b c", id, "sh", "-c", "echo \"$A\"; pwd"]), "b c\n/\n");
    assert_eq!(bundle.zviz(&["exec", id, "sh", "-c", "exit 9"]).status.code(), Some(9));
    assert_eq!(bundle.zviz(&["exec", id, "nope"]).status.code(), Some(255));
    assert_eq!(bundle.zviz(&["exec", "--user", "root", id, "true"]).status.code(), Some(255));

    let process = json!({ "cwd": "/bin", "args": ["sh", "-c", "pwd; echo $B"], "env": ["PATH=/bin", "B=1"], "user": {"uid": 0, "gid": 0} });
    std::fs::write(bundle.file("process.json"), process.to_string()).unwrap();
    assert_eq!(bundle.ok(&["exec", "--process", &bundle.file("process.json"), id]), "/bin\n1\n");

    let status = bundle
        .command(&["exec", "--detach", "--pid-file", &bundle.file("exec.pid"), id, "sleep", "1000"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(status.unwrap().success());
    let pid: u64 = std::fs::read_to_string(bundle.file("exec.pid")).unwrap().parse().unwrap();
    assert!(bundle.ok(&["ps", "-f", "json", id]).contains(&pid.to_string()));
    bundle.ok(&["delete", "--force", id]);
    bundle.leaves_nothing();
}

#[test]
fn others_may_have_a_container_that_runs_in_the_foreground() {
    let Some(bundle) = bundle("fg", &["sleep", "1000"]) else { return };
    let mut run = bundle.command(&["run", "--bundle", bundle.path(), &bundle.name]).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while !bundle.zviz(&["state", &bundle.name]).status.success() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    }
    bundle.wait_for("running");
    bundle.ok(&["pause", &bundle.name]);
    bundle.ok(&["resume", &bundle.name]);
    bundle.ok(&["delete", "--force", &bundle.name]);
    assert_eq!(run.wait().unwrap().code(), Some(128 + 9));
    bundle.leaves_nothing();
}

#[test]
fn a_cgroup_of_another_container_is_left_alone() {
    let Some(first) = bundle("first", &["sleep", "1000"]) else { return };
    let Some(second) = bundle("second", &["true"]) else { return };
    for bundle in [&first, &second] {
        bundle.edit(|spec| spec["linux"]["cgroupsPath"] = json!(format!("/{}", first.name)));
    }
    first.create();
    first.ok(&["start", &first.name]);
    second.refused(&["run", "--bundle", second.path(), &second.name], "process(es) already");
    assert_eq!(first.state()["status"], "running");
    first.ok(&["delete", "--force", &first.name]);
    first.leaves_nothing();
    second.leaves_nothing();
}

#[test]
fn many_commands_at_once_on_one_id() {
    let Some(bundle) = bundle("many", &["sleep", "1000"]) else { return };
    let id = bundle.name.as_str();
    let created = std::thread::scope(|scope| {
        let create = || {
            let mut command = bundle.command(&["create", "--bundle", bundle.path(), id]);
            command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
        };
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(create)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|made| *made).count()
    });
    assert_eq!(created, 1);
    let started = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| bundle.zviz(&["start", id]).status.success())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|started| *started).count()
    });
    assert_eq!(started, 1);
    std::thread::scope(|scope| {
        for verb in ["pause", "resume", "state", "kill", "delete", "list", "pause", "resume", "ps"] {
            let arguments: Vec<&str> = match verb {
                "delete" => vec!["delete", "--force", id],
                "list" => vec!["list"],
                verb => vec![verb, id],
            };
            let bundle = &bundle;
            scope.spawn(move || bundle.zviz(&arguments));
        }
    });
    bundle.ok(&["delete", "--force", id]);
    bundle.leaves_nothing();
}
