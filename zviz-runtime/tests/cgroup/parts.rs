//! A cgroup that a container shares with its broker.

use crate::support::*;
use nix::sys::signal::Signal;
use serde_json::json;
use std::fs;
use std::os::fd::AsFd;
use std::process::{Child, Command};
use zviz_runtime::apply::cgroup as apply;
use zviz_runtime::host::cgroup::{self as host, CgroupHost, Mode};
use zviz_runtime::plan::cgroup::Cgroup;
use zviz_sys::process::{Cloned, fork_into};

fn parted(host: &CgroupHost, linux: serde_json::Value) -> Cgroup {
    Cgroup { parted: true, ..planned(host, linux) }
}

/// This host, with all that it has; and each version alone, where it has both.
fn hosts() -> Vec<CgroupHost> {
    let first = host::probe().unwrap();
    let v1 = (first.mode == Mode::Hybrid).then(|| CgroupHost { mode: Mode::V1, v2: None, ..first.clone() });
    [first].into_iter().chain(v1).collect()
}

/// A process in the broker's part; killed and reaped by whoever has it.
fn broker(cgroup: &Cgroup) -> Child {
    let sleep = Command::new("sleep").arg("60").spawn().unwrap();
    apply::move_broker(cgroup, sleep.id()).unwrap_or_else(|e| panic!("{}", chain(&e)));
    sleep
}

fn is_running(child: &mut Child) -> bool {
    child.try_wait().unwrap().is_none()
}

#[test]
fn the_broker_is_neither_told_nor_frozen_nor_killed_with_the_container() {
    if !root() {
        return;
    }
    // The last one changes what this thread sees.
    for host in hosts().into_iter().map(Some).chain([None]) {
        let Some(host) = host.or_else(unified_view) else { return };
        let mut running = Running::sleeping(&parted(&host, json!({})));
        let mut broker = broker(&running.cgroup);
        assert_eq!(apply::pids(&running.cgroup).unwrap(), [running.child.id()], "{:?}", host.mode);
        apply::freeze(&running.cgroup).unwrap();
        assert!(apply::is_frozen(&running.cgroup).unwrap());
        let place = fs::read_to_string(format!("/proc/{}/cgroup", broker.id())).unwrap();
        let own = running.cgroup.payload().v2.as_ref().or(running.cgroup.v1("freezer")).unwrap().path.clone();
        // Each of these would stop it.
        let stops = |line: &&str| line.starts_with("0:") || line.contains(":freezer:");
        let there = place.lines().filter(stops).any(|line| line.ends_with(&format!("{}", own.display())));
        assert!(!there, "{place}");
        apply::thaw(&running.cgroup).unwrap();
        // The limit of processes is the container's; what is used in both counts for the whole.
        assert_eq!(apply::stats(&running.cgroup).unwrap().pids.current, 1, "{:?}", host.mode);
        apply::kill(&running.cgroup, Signal::SIGKILL).unwrap();
        running.child.wait().unwrap();
        assert!(is_running(&mut broker), "{:?}", host.mode);
        // Whoever has not ended with the container is ended.
        apply::remove(&running.cgroup).unwrap();
        assert!(broker.wait().unwrap().code().is_none());
    }
}

#[test]
fn limits_are_those_of_the_whole_and_can_be_read_inside() {
    let Some(host) = unified_view() else { return };
    if !["memory", "pids"].iter().all(|controller| has(&host, controller)) {
        return;
    }
    let resources = json!({ "resources": { "memory": { "limit": 134_217_728 }, "pids": { "limit": 17 } } });
    let mut running = Running::sleeping(&parted(&host, resources));
    let read = |running: &Running, below: &str| running.read("none", below);
    assert_eq!(read(&running, "memory.max"), "134217728");
    assert_eq!(read(&running, "payload/memory.max"), "134217728");
    assert_eq!(read(&running, "broker/memory.max"), (1 << 30).to_string());
    assert_eq!((read(&running, "pids.max"), read(&running, "payload/pids.max")), ("max".into(), "17".into()));
    running.cgroup = updated(&running, &host, json!({ "memory": { "limit": 268_435_456 }, "pids": { "limit": 5 } }));
    assert_eq!(read(&running, "memory.max"), "268435456");
    assert_eq!(read(&running, "payload/memory.max"), "268435456");
    assert_eq!((read(&running, "pids.max"), read(&running, "payload/pids.max")), ("max".into(), "5".into()));
    let mut broker = broker(&running.cgroup);
    let used = |of: &str| read(&running, of).parse::<u64>().unwrap();
    assert!(used("memory.current") >= used("broker/memory.current"));
    assert_eq!(apply::stats(&running.cgroup).unwrap().pids.limit, 5);
    broker.kill().unwrap();
    broker.wait().unwrap();
}

/// As a broker gets in that is started when the cgroup is there.
#[test]
fn a_broker_is_born_in_its_part() {
    let Some(host) = unified_view() else { return };
    let running = Running::sleeping(&parted(&host, json!({})));
    let seat = apply::seat(&running.cgroup, false).unwrap().unwrap();
    assert!(!seat.later && seat.tasks.is_empty());
    let Cloned::Parent { pid, pidfd } = fork_into(seat.v2.as_ref().unwrap().as_fd()).unwrap() else {
        std::thread::sleep(std::time::Duration::from_secs(10));
        zviz_sys::process::exit(0)
    };
    let place = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert!(place.contains("/leaf/broker\n"), "{place}");
    zviz_sys::process::pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL).unwrap();
    zviz_sys::wait::wait(pidfd.as_fd()).unwrap();
    // Without a broker there is nothing of it.
    let alone = Running::sleeping(&planned(&host, json!({})));
    assert!(apply::seat(&alone.cgroup, false).unwrap().is_none());
    assert!(!alone.cgroup.v2.as_ref().unwrap().dir().join("payload").exists());
}
