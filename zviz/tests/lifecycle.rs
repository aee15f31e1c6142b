//! Containers from a bundle, from create to delete, by the real binary as root.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A bundle of busybox and a state root, with ids that no other test has.
struct Bundle {
    dir: tempfile::TempDir,
    name: String,
}

/// None where a container cannot be made here; the reason is printed.
fn bundle(name: &str, args: &[&str]) -> Option<Bundle> {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return None;
    }
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].iter().map(PathBuf::from).find(|path| path.exists());
    let Some(busybox) = busybox else {
        eprintln!("skipped: needs busybox");
        return None;
    };
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("rootfs/bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::copy(busybox, bin.join("busybox")).unwrap();
    for applet in ["sh", "sleep", "cat", "echo", "true"] {
        std::os::unix::fs::symlink("busybox", bin.join(applet)).unwrap();
    }
    let bundle = Bundle { name: format!("zviz-test-{name}-{}", std::process::id()), dir };
    assert!(bundle.zviz(&["spec", "--bundle", bundle.path()]).status.success());
    bundle.edit(|spec| {
        spec["process"]["terminal"] = json!(false);
        spec["process"]["args"] = json!(args);
    });
    Some(bundle)
}

impl Bundle {
    fn path(&self) -> &str {
        self.dir.path().to_str().unwrap()
    }

    fn edit(&self, change: impl FnOnce(&mut Value)) {
        let path = self.dir.path().join("config.json");
        let mut spec = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut spec);
        std::fs::write(path, spec.to_string()).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zviz"));
        command.arg("--root").arg(self.dir.path().join("root")).args(arguments).stdin(Stdio::null());
        command
    }

    fn zviz(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.zviz(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn refused(&self, arguments: &[&str], words: &str) {
        let output = self.zviz(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(words), "{arguments:?}: {error}");
    }

    fn create(&self) {
        // Init keeps standard output and error.
        let status = self
            .command(&["create", "--bundle", self.path(), "--pid-file", &self.file("pid"), &self.name])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(status.unwrap().success());
    }

    fn file(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn state(&self) -> Value {
        serde_json::from_str(&self.ok(&["state", &self.name])).unwrap()
    }

    fn wait_for(&self, status: &str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.state()["status"] != status {
            assert!(Instant::now() < deadline, "{} is not {status}", self.state());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn leaves_nothing(&self) {
        assert_eq!(self.ok(&["list", "-q"]), "");
        let left: Vec<String> = std::fs::read_dir(self.dir.path().join("root"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with('.'))
            .collect();
        assert!(left.is_empty(), "{left:?}");
        for hierarchy in std::fs::read_dir("/sys/fs/cgroup").unwrap() {
            assert!(!hierarchy.unwrap().path().join(&self.name).exists());
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(self.path()));
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        // What a failed test leaves.
        let _ = self.zviz(&["delete", "--force", &self.name]);
    }
}

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
    first.create();
    first.ok(&["start", &first.name]);
    second.edit(|spec| spec["linux"]["cgroupsPath"] = json!(format!("/{}", first.name)));
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
