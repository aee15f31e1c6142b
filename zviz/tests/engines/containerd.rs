//! containerd with zviz as its runtime, by ctr and the runc shim.

use crate::support::{Daemon, Done, Scratch, ZVIZ, busybox_rootfs, program, requires, run};
use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::Command;

const IMAGE: &str = "box.test/busybox:1";

/// A containerd of the test's own, and its client.
struct Containerd {
    // Dropped in this order: the folder goes when nothing uses it any more.
    daemon: Daemon,
    scratch: Scratch,
}

impl Containerd {
    fn start() -> Self {
        let scratch = Scratch::new("containerd");
        let path = |name: &str| scratch.join(name).display().to_string();
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = {:?}\n",
            path("root"),
            path("state"),
            path("sock"),
        );
        fs::write(scratch.join("config.toml"), config).unwrap();
        let mut command = Command::new(program("containerd").unwrap());
        command.arg("--config").arg(scratch.join("config.toml"));
        let daemon = Daemon::start(&command, &scratch.join("log"));
        let mut containerd = Containerd { daemon, scratch };
        let socket = containerd.scratch.join("sock");
        containerd.daemon.wait_until("containerd", || socket.exists());
        let archive = archive(containerd.scratch.path());
        containerd.ctr(&["images", "import", "--snapshotter=native", &archive]).ok();
        containerd
    }

    fn ctr(&self, arguments: &[&str]) -> Done {
        let mut command = Command::new(program("ctr").unwrap());
        run(command.arg("--address").arg(self.scratch.join("sock")).args(arguments))
    }

    /// `ctr run --rm --runc-binary zviz FLAGS IMAGE ID COMMAND`.
    fn run(&self, flags: &[&str], id: &str, command: &[&str]) -> Done {
        let runtime = self.scratch.join("runtime").display().to_string();
        let fixed = ["run", "--snapshotter=native", "--runc-binary", ZVIZ, "--runc-root", &runtime];
        self.ctr(&[&fixed[..], flags, &[IMAGE, id], command].concat())
    }
}

/// An image archive as engines save it: a list, a config, one layer.
fn archive(folder: &Path) -> String {
    let (root, image) = (folder.join("rootfs"), folder.join("image"));
    busybox_rootfs(&root);
    fs::create_dir(&image).unwrap();
    let tar = |from: &Path, to: &Path| run(Command::new("tar").arg("-C").arg(from).arg("-cf").arg(to).arg(".")).ok();
    tar(&root, &image.join("layer.tar"));
    let sum = run(Command::new("sha256sum").arg(image.join("layer.tar"))).ok();
    let sum = sum.split(' ').next().unwrap();
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = json!({
        "architecture": architecture, "os": "linux", "config": { "Env": ["PATH=/bin"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{sum}")] },
    });
    fs::write(image.join("config.json"), config.to_string()).unwrap();
    let list = json!([{ "Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"] }]);
    fs::write(image.join("manifest.json"), list.to_string()).unwrap();
    let file = folder.join("image.tar");
    run(Command::new("tar").arg("-C").arg(&image).arg("-cf").arg(&file).args([
        "manifest.json",
        "config.json",
        "layer.tar",
    ]))
    .ok();
    file.display().to_string()
}

fn outcomes(containerd: &Containerd) {
    assert_eq!(containerd.run(&["--rm"], "hello", &["echo", "hello"]).ok(), "hello");
    containerd.run(&["--rm"], "three", &["sh", "-c", "exit 3"]).exits(3);
    let absent = containerd.run(&["--rm"], "absent", &["/absent"]);
    assert!(absent.code != 0 && absent.err.contains("no such file or directory"), "{absent}");
}

fn life(containerd: &Containerd) {
    containerd.run(&["--detach"], "long", &["sleep", "1000"]).ok();
    assert!(containerd.ctr(&["tasks", "list"]).ok().contains("RUNNING"));
    assert_eq!(containerd.ctr(&["tasks", "exec", "--exec-id=e", "long", "echo", "beside"]).ok(), "beside");
    containerd.ctr(&["tasks", "pause", "long"]).ok();
    assert!(containerd.ctr(&["tasks", "list"]).ok().contains("PAUSED"));
    containerd.ctr(&["tasks", "resume", "long"]).ok();
    containerd.ctr(&["tasks", "kill", "--signal=SIGKILL", "long"]).ok();
    // The kill returns before the end: deleting waits for it.
    containerd.ctr(&["tasks", "delete", "--force", "long"]);
    containerd.ctr(&["containers", "delete", "long"]).ok();
    assert!(!containerd.ctr(&["tasks", "list"]).ok().contains("long"));
}

#[test]
fn containerd() {
    requires!(root, program "containerd", program "ctr", program "busybox");
    let containerd = Containerd::start();
    cases!(&containerd, outcomes, life);
}
