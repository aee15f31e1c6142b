//! A container from its start to its end.

use super::daemon::Docker;
use crate::support::ZVIZ;
use std::fs;
use std::time::{Duration, Instant};

pub fn stop(docker: &Docker) {
    let asked = docker.background(&[], "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.1; done");
    asked.wait_for_line("ready");
    asked.cli(&["stop"]).ok();
    assert_eq!((asked.field(".State.ExitCode"), asked.logs()), ("7".into(), "ready\nbye".into()));
    // Process 1 has no handler unless it makes one.
    let deaf = docker.background(&[], "exec sleep 100");
    let begin = Instant::now();
    deaf.cli(&["stop", "--time=1"]).ok();
    assert!(begin.elapsed() >= Duration::from_secs(1));
    assert_eq!(deaf.field(".State.ExitCode"), "137");
}

pub fn kill(docker: &Docker) {
    let container = docker.background(&[], "trap 'echo usr1' USR1; echo ready; while :; do sleep 0.1; done");
    container.wait_for_line("ready");
    container.cli(&["kill", "--signal=USR1"]).ok();
    container.wait_for_line("usr1");
    container.cli(&["kill"]).ok();
    assert_eq!(container.wait(), 137);
    assert_eq!(container.field(".State.OOMKilled"), "false");
    container.cli(&["kill"]).exits(1);
}

pub fn pause(docker: &Docker) {
    let container = docker.background(&[], "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done");
    container.wait_for_line("1");
    container.cli(&["pause"]).ok();
    assert_eq!(container.field(".State.Status"), "paused");
    let before = container.logs();
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(container.logs(), before);
    container.exec(&[], "true").exits(1);
    container.cli(&["unpause"]).ok();
    container.wait_for_line(&(before.lines().count() + 2).to_string());
    // One that is paused can be removed.
    container.cli(&["pause"]).ok();
    container.cli(&["rm", "--force"]).ok();
}

pub fn top_and_stats(docker: &Docker) {
    let container = docker.background(&["--memory=64m"], "sleep 4321 & sleep 4322");
    container.exec(&[], "true").ok();
    let top = docker.cli(&["top", &container.id, "-o", "pid,args"]).ok();
    assert!(top.contains("sleep 4321") && top.contains("sleep 4322"), "{top}");
    let format = "{{.MemUsage}} {{.PIDs}}";
    let stats = container.cli(&["stats", "--no-stream", "--format", format]).ok();
    assert!(stats.contains("/ 64MiB 2"), "{stats}");
}

pub fn restart(docker: &Docker) {
    let failing = docker.background(&["--restart=on-failure:2"], "exit 1");
    failing.wait_for(".State.Status", "exited");
    assert_eq!(failing.field(".RestartCount"), "2");
    let always = docker.background(&["--restart=always"], "echo ready; sleep 0.3; exit 0");
    always.wait_for(".RestartCount", "2");
    let by_hand = docker.background(&[], "echo $$ > /count; cat /count; exec sleep 100");
    let first = by_hand.field(".State.Pid");
    by_hand.cli(&["restart", "--time=0"]).ok();
    assert_ne!(by_hand.field(".State.Pid"), first);
    assert_eq!(by_hand.field(".State.Running"), "true");
}

pub fn init(docker: &Docker) {
    assert_eq!(docker.sh(&["--init"], "cat /proc/1/comm").ok(), "docker-init");
    let container = docker.background(&["--init"], "exec sleep 100");
    container.wait_for(".State.Running", "true");
    container.cli(&["stop", "--time=20"]).ok();
    assert_eq!(container.field(".State.ExitCode"), "143");
}

pub fn inspect_and_rename(docker: &Docker) {
    let container = docker.background(&["--name=before", "--label=a=b"], "sleep 100");
    let pid = container.field(".State.Pid");
    assert_eq!(fs::read_to_string(format!("/proc/{pid}/comm")).unwrap().trim(), "sleep");
    assert_eq!(container.field(".HostConfig.Runtime"), "zviz");
    container.cli(&["inspect"]).ok();
    docker.cli(&["rename", "before", "after"]).ok();
    assert_eq!(docker.cli(&["ps", "--filter=label=a=b", "--format={{.Names}} {{.State}}"]).ok(), "after running");
    docker.cli(&["exec", "after", "true"]).ok();
    docker.cli(&["commit", "after", "committed"]).ok();
    docker.cli(&["run", "--rm", "--network=none", "committed", "true"]).ok();
    docker.cli(&["cp", "after:/etc/passwd", docker.scratch.join("copied").to_str().unwrap()]).ok();
    let diff = docker.cli(&["diff", "after"]).ok();
    assert!(!diff.contains("/etc"), "{diff}");
}

/// Run last of all but for `build`: whatever the cases before made is gone.
pub fn leaves_nothing(docker: &Docker) {
    docker.sh(&[], "true").ok();
    assert_eq!(docker.cli(&["ps", "--all", "--quiet"]).ok(), "");
    let root = docker.runtime_root();
    let list = std::process::Command::new(ZVIZ).arg("--root").arg(&root).args(["list", "--quiet"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&list.stdout), "");
    let left: Vec<_> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name.to_string_lossy().starts_with('.')), "{left:?}");
    for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
        let parent = hierarchy.path().join(docker.cgroup_parent());
        let below = fs::read_dir(parent).into_iter().flatten().flatten();
        let groups: Vec<_> = below.filter(|entry| entry.path().is_dir()).map(|entry| entry.path()).collect();
        assert!(groups.is_empty(), "{groups:?}");
    }
    let mounts = docker.scratch.mounts();
    let merged: Vec<_> = mounts.iter().filter(|mount| mount.ends_with("merged")).collect();
    assert!(merged.is_empty(), "{merged:?}");
}
