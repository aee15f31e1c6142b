//! What a container may use.

use super::daemon::Docker;
use crate::support::requires;

/// Takes 60 MiB of memory.
const HUNGRY: &str = "exec dd if=/dev/zero of=/dev/null bs=60M count=1";

pub fn out_of_memory(docker: &Docker) {
    requires!(v1 "memory");
    docker.sh(&["--memory=200m"], HUNGRY).ok();
    let container = docker.background(&["--memory=32m"], HUNGRY);
    assert_eq!(container.wait(), 137);
    assert_eq!(container.field(".State.OOMKilled"), "true");
}

pub fn too_many_processes(docker: &Docker) {
    requires!(v1 "pids");
    let script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 0.5 & done; wait; echo done";
    assert_eq!(docker.sh(&["--pids-limit=30"], script).ok(), "done");
    let done = docker.sh(&["--pids-limit=8"], script).exits(2);
    assert!(done.err.contains("can't fork: Resource temporarily unavailable"), "{done}");
}

pub fn cpu_and_cpuset(docker: &Docker) {
    requires!(v1 "cpu", v1 "cpuset");
    let script = "cd /sys/fs/cgroup; cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us cpu/cpu.shares cpuset/cpuset.cpus; \
                  grep Cpus_allowed_list /proc/self/status";
    let flags = ["--cpus=0.5", "--cpu-shares=512", "--cpuset-cpus=0"];
    assert_eq!(docker.sh(&flags, script).ok(), "50000\n100000\n512\n0\nCpus_allowed_list:\t0");
}

pub fn changed_limits(docker: &Docker) {
    requires!(v1 "memory", v1 "pids");
    let container = docker.background(&["--memory=64m", "--memory-swap=64m"], "sleep 100");
    let limits = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max";
    assert_eq!(container.exec(&[], limits).ok(), "67108864\nmax");
    container.cli(&["update", "--memory=48m", "--memory-swap=48m", "--pids-limit=50", "--cpu-shares=300"]).ok();
    assert_eq!(container.exec(&[], limits).ok(), "50331648\n50");
    assert_eq!(container.exec(&[], "cat /sys/fs/cgroup/cpu/cpu.shares").ok(), "300");
}

pub fn ulimit(docker: &Docker) {
    assert_eq!(docker.sh(&["--ulimit=nofile=100:200"], "ulimit -Sn; ulimit -Hn").ok(), "100\n200");
}

pub fn its_own_cgroup(docker: &Docker) {
    requires!(v1 "memory");
    let script = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes; grep :memory: /proc/self/cgroup; \
                  mkdir /sys/fs/cgroup/memory/x";
    let done = docker.sh(&["--memory=32m"], script).exits(1);
    let lines: Vec<&str> = done.out.lines().collect();
    assert_eq!(lines[0], "33554432", "{done}");
    assert!(lines[1].contains(docker.cgroup_parent()), "{done}");
    assert!(done.err.contains("Read-only file system"), "{done}");
    // In a namespace of its own it is the root.
    assert_eq!(docker.sh(&["--cgroupns=private"], "grep :memory: /proc/self/cgroup | cut -d: -f3").ok(), "/");
}
