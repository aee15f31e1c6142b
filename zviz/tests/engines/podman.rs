//! Podman with zviz as its runtime, rootful, with a storage of its own.

use crate::support::{Daemon, Done, Scratch, ZVIZ, busybox_rootfs, program, requires, run};
use std::path::PathBuf;
use std::process::Command;

const RUN: &[&str] =
    &["run", "--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096", "--network=none", "--log-driver=k8s-file"];

/// Podman, with the image `box` (busybox).
pub struct Podman {
    scratch: Scratch,
    runtime: PathBuf,
    /// The network that it is run in, where that is not the test's.
    space: Option<PathBuf>,
}

impl Podman {
    pub fn new(runtime: impl Into<PathBuf>) -> Self {
        Podman::within(None, runtime)
    }

    /// In this network namespace.
    pub fn within(space: Option<PathBuf>, runtime: impl Into<PathBuf>) -> Self {
        let podman = Podman { scratch: Scratch::new("podman"), runtime: runtime.into(), space };
        let root = podman.scratch.join("rootfs");
        busybox_rootfs(&root);
        let tar = podman.scratch.join("rootfs.tar");
        run(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&tar).arg(".")).ok();
        podman.cli(&["import", tar.to_str().unwrap(), "box"]).ok();
        podman
    }

    pub fn cli(&self, arguments: &[&str]) -> Done {
        let podman = program("podman").unwrap();
        let mut command = match &self.space {
            None => Command::new(podman),
            Some(space) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net={}", space.display())).arg(podman);
                command
            }
        };
        for (flag, folder) in [("--root", "storage"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
            command.arg(flag).arg(self.scratch.join(folder));
        }
        command.arg("--runtime").arg(&self.runtime);
        command.args(["--cgroup-manager=cgroupfs", "--storage-driver=vfs", "--events-backend=file"]);
        run(command.args(arguments))
    }

    /// `podman run FLAGS box sh -c SCRIPT`. Podman's own limits are above what a caller without CAP_SYS_RESOURCE may set.
    pub fn run(&self, flags: &[&str], script: &str) -> Done {
        self.cli(&[RUN, flags, &["box", "sh", "-c", script]].concat())
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        self.cli(&["rm", "--all", "--force", "--time=0"]);
    }
}

fn outcomes(podman: &Podman) {
    assert_eq!(podman.run(&["--rm"], "echo hello").ok(), "hello");
    podman.run(&["--rm"], "exit 3").exits(3);
    podman.cli(&[RUN, &["--rm", "box", "/absent"]].concat()).exits(127);
}

fn flags(podman: &Podman) {
    let shared = podman.scratch.join("shared");
    std::fs::create_dir(&shared).unwrap();
    let volume = format!("{}:/shared", shared.display());
    podman.run(&["--rm", "-v", &volume], "echo inside >/shared/file").ok();
    assert_eq!(std::fs::read_to_string(shared.join("file")).unwrap(), "inside\n");
    // The control: a root that is not read-only can be written.
    podman.run(&["--rm"], "touch /x").ok();
    assert_ne!(podman.run(&["--rm", "--read-only"], "touch /x").code, 0);
    assert_eq!(podman.run(&["--rm", "--user=1000:1000"], "id -u; id -g").ok(), "1000\n1000");
    assert_eq!(podman.run(&["--rm", "--hostname=inside"], "hostname").ok(), "inside");
}

fn life(podman: &Podman) {
    podman.run(&["--detach", "--name=long"], "trap 'echo stopped; exit 0' TERM; while :; do sleep 0.1; done").ok();
    assert_eq!(podman.cli(&["exec", "long", "sh", "-c", "echo beside"]).ok(), "beside");
    podman.cli(&["exec", "long", "sh", "-c", "exit 4"]).exits(4);
    podman.cli(&["pause", "long"]).ok();
    assert_eq!(podman.cli(&["inspect", "--format", "{{.State.Status}}", "long"]).ok(), "paused");
    podman.cli(&["unpause", "long"]).ok();
    assert!(podman.cli(&["top", "long"]).ok().contains("sh -c trap"));
    podman.cli(&["stop", "--time=20", "long"]).ok();
    assert!(podman.cli(&["logs", "long"]).ok().contains("stopped"));
    podman.cli(&["start", "long"]).ok();
    podman.cli(&["kill", "long"]).ok();
    podman.cli(&["wait", "long"]).ok();
    podman.cli(&["rm", "long"]).ok();
}

/// `zviz broker` at the listenerPath of a profile of Podman's.
fn mediated(podman: &Podman) {
    let (socket, pid) = (podman.scratch.join("agent"), podman.scratch.join("agent.pid"));
    let mut agent = Command::new(ZVIZ);
    agent.args(["broker", "--profile", "virtualised", "--listen"]).arg(&socket).arg("--pid-file").arg(&pid);
    let mut agent = Daemon::start(&agent, &podman.scratch.join("agent.log"));
    agent.wait_until("the agent", || pid.exists());
    let file = podman.scratch.join("mediated.json");
    let rule = serde_json::json!([{ "names": ["sysinfo", "uname"], "action": "SCMP_ACT_NOTIFY" }]);
    let profile = serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": socket, "syscalls": rule });
    std::fs::write(&file, profile.to_string()).unwrap();
    let flag = format!("--security-opt=seccomp={}", file.display());
    assert_eq!(podman.run(&["--rm", &flag], "uname -r").ok(), "6.1.0");
    assert_ne!(podman.run(&["--rm"], "uname -r").ok(), "6.1.0", "the control");
}

#[test]
fn podman() {
    requires!(root, program "podman", program "conmon", program "busybox");
    let podman = Podman::new(ZVIZ);
    cases!(&podman, outcomes, flags, life, mediated);
}
