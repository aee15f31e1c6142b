//! `dockerd --userns-remap`: every container has a user namespace, whose ids are a user's subordinate ones.

use super::daemon::Docker;
use crate::support::{requires, run};
use std::fs;
use std::process::{Command, Stdio};

/// A user with subordinate ids, removed when this is dropped.
struct Remapped {
    name: String,
    first: u32,
}

impl Remapped {
    fn new() -> Self {
        let mut user = Remapped { name: format!("zviz-r{}", std::process::id()), first: 900_100_000 };
        run(Command::new("useradd").args(["--system", "--no-create-home", "--shell", "/bin/false", &user.name])).ok();
        let range = format!("{}-{}", user.first, user.first + 65535);
        run(Command::new("usermod").args(["--add-subuids", &range, "--add-subgids", &range, &user.name])).ok();
        let text = fs::read_to_string("/etc/subuid").unwrap();
        let line = text.lines().find(|line| line.starts_with(&format!("{}:", user.name))).unwrap();
        user.first = line.split(':').nth(1).unwrap().parse().unwrap();
        user
    }
}

impl Drop for Remapped {
    fn drop(&mut self) {
        let _ = Command::new("userdel").arg(&self.name).stderr(Stdio::null()).status();
    }
}

#[test]
fn remapped_ids() {
    requires!(root, program "dockerd", program "containerd", program "docker", program "busybox", program "useradd");
    let user = Remapped::new();
    let docker = Docker::start_with(&[&format!("--userns-remap={}", user.name)]);
    let map = "cat /proc/self/uid_map | tr -s ' '; id -u; touch /tmp/x && stat -c %u /tmp/x; id -u user";
    assert_eq!(docker.sh(&[], map).ok(), format!("0 {} 65536\n0\n0\n1000", user.first));
    assert_eq!(docker.sh(&["--userns=host"], "tr -s ' ' </proc/self/uid_map").ok(), "0 0 4294967295", "control");

    // Root inside owns nothing of the host's, and a volume's files belong to who they belong to.
    let volume = docker.scratch.join("volume");
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join("file"), "text").unwrap();
    let flag = format!("--volume={}:/volume", volume.display());
    let seen = docker.sh(&[&flag], "cat /volume/file; stat -c %u /volume/file; touch /volume/new || echo no").ok();
    assert_eq!(seen, "text65534\nno");
    docker.sh(&[&flag, "--userns=host"], "touch /volume/new").ok();

    let container = docker.background(&["--read-only", "--tmpfs=/tmp"], "sleep 1000");
    assert_eq!(container.exec(&[], "id -u; echo x >/tmp/file && stat -c %u /tmp/file").ok(), "0\n0");
    assert_eq!(docker.run(&["--user=1000", "--tty"], &["id", "-u"]).ok(), "1000");
    assert_eq!(docker.sh(&["--memory=64m"], "echo limited").ok(), "limited");
    drop(container);
}
