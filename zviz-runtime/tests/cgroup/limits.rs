//! Limits: in force, changed, refused; and what is used under them.

use crate::support::*;
use serde_json::json;
use std::path::Path;
use std::process::Command;
use zviz_runtime::apply::cgroup as apply;
use zviz_runtime::host::cgroup as host;
use zviz_runtime::plan::cgroup as plan;

#[test]
fn limits_are_in_force_on_version_1() {
    let Some(mut host) = version_1() else { return };
    // A kernel may keep some controllers for version 2 alone.
    host.v2 = None;
    if !has(&host, "memory") || !has(&host, "pids") || !has(&host, "cpuset") {
        return;
    }
    let running = Running::sleeping(&planned(
        &host,
        json!({ "resources": {
            "memory": { "limit": 33554432, "swap": 67108864, "reservation": 16777216, "swappiness": 10 },
            "cpu": { "shares": 512, "quota": 50000, "period": 100000, "cpus": "0", "mems": "0" },
            "pids": { "limit": 7 },
            "network": {},
        }}),
    ));
    assert_eq!(running.read("memory", "memory.limit_in_bytes"), "33554432");
    assert_eq!(running.read("memory", "memory.memsw.limit_in_bytes"), "67108864");
    assert_eq!(running.read("memory", "memory.soft_limit_in_bytes"), "16777216");
    assert_eq!(running.read("memory", "memory.swappiness"), "10");
    assert_eq!(running.read("cpu", "cpu.shares"), "512");
    assert_eq!(running.read("cpu", "cpu.cfs_quota_us"), "50000");
    assert_eq!(running.read("cpuset", "cpuset.cpus"), "0");
    assert_eq!(running.read("pids", "pids.max"), "7");
}

#[test]
fn limits_are_in_force_on_version_2() {
    let Some(host) = unified_view() else { return };
    if !has(&host, "memory") || !has(&host, "pids") || !has(&host, "cpu") || !has(&host, "cpuset") || !has(&host, "io")
    {
        return;
    }
    let running = Running::sleeping(&planned(
        &host,
        json!({ "resources": {
            "memory": { "limit": 33554432, "swap": 67108864, "reservation": 16777216 },
            "cpu": { "shares": 512, "quota": 50000, "burst": 1000, "cpus": "0", "mems": "0" },
            "pids": { "limit": 0 },
            "unified": { "memory.high": "30000000", "memory.oom.group": "1" },
        }}),
    ));
    assert_eq!(running.read("", "memory.max"), "33554432");
    assert_eq!(running.read("", "memory.swap.max"), "33554432");
    assert_eq!(running.read("", "memory.low"), "16777216");
    assert_eq!(running.read("", "memory.high"), "29999104");
    assert_eq!(running.read("", "memory.oom.group"), "1");
    assert_eq!(running.read("", "cpu.weight"), "59");
    assert_eq!(running.read("", "cpu.max"), "50000 100000");
    assert_eq!(running.read("", "cpu.max.burst"), "1000");
    assert_eq!(running.read("", "cpuset.cpus"), "0");
    assert_eq!(running.read("", "pids.max"), "1");
}

#[test]
fn a_limit_without_its_file_fails_and_leaves_nothing() {
    let Some(mut host) = unified_view() else { return };
    // The plan believes in a controller that the kernel has not.
    host.v2.as_mut().unwrap().controllers.push("rdma".to_owned());
    let cgroup = planned(&host, json!({ "resources": { "unified": { "rdma.fantasy": "1" } } }));
    let error = apply::create(&cgroup).unwrap_err();
    assert!(matches!(error, apply::Error::NoSuchLimit { .. }), "{error}");
    assert!(!cgroup.v2.unwrap().dir().parent().unwrap().exists());
}

#[test]
fn limits_can_be_changed_in_any_order() {
    let host = host::probe().unwrap();
    if !root() || !has(&host, "memory") || !has(&host, "cpu") || !has(&host, "pids") {
        return;
    }
    let first =
        json!({ "memory": { "limit": 64 << 20, "swap": 64 << 20 }, "cpu": { "quota": 20000, "period": 50000 } });
    let mut shell = Command::new("sh");
    shell.args(["-c", "read -r go; sleep 60"]).stdin(std::process::Stdio::piped());
    let mut running = Running::start(&planned(&host, json!({ "resources": first })), shell);
    let on_v1 = |controller| running.cgroup.v1(controller).is_some();
    let max = if on_v1("memory") { "memory.limit_in_bytes" } else { "memory.max" };
    let (file, quota) = if on_v1("cpu") { ("cpu.cfs_quota_us", "40000") } else { ("cpu.max", "40000 50000") };
    // Up beyond the old sum with swap, down below everything, quota alone, burst beyond the old quota.
    running.cgroup = updated(&running, &host, json!({ "memory": { "limit": 128 << 20, "swap": 256 << 20 } }));
    assert_eq!(running.read("memory", max), (128 << 20).to_string());
    running.cgroup = updated(&running, &host, json!({ "memory": { "limit": 32 << 20, "swap": 32 << 20 } }));
    assert_eq!(running.read("memory", max), (32 << 20).to_string());
    running.cgroup =
        updated(&running, &host, json!({ "cpu": { "quota": 40000, "burst": 30000 }, "pids": { "limit": 12 } }));
    assert_eq!(running.read("cpu", file), quota);
    running.cgroup = updated(&running, &host, json!({ "cpu": { "quota": 10000, "burst": 5000 } }));
    assert_eq!(running.read("pids", "pids.max"), "12");
    // What a process has is charged to where it was born: have one born here.
    std::io::Write::write_all(&mut running.child.stdin.take().unwrap(), b"go\n").unwrap();
    while apply::stats(&running.cgroup).unwrap().memory.usage.usage <= 8192 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let asked = json!({ "memory": { "limit": 4096, "swap": 8192, "checkBeforeUpdate": true } });
    let update =
        plan::update::update(&running.cgroup, &serde_json::from_value(asked).unwrap(), &host, false, &mut vec![]);
    let error = apply::update(&update.unwrap()).unwrap_err();
    assert!(matches!(error, apply::Error::MemoryInUse { .. }), "{error}");
    running.cgroup = updated(&running, &host, json!({ "memory": { "limit": -1 } }));
    assert!(["max", "9223372036854771712"].contains(&running.read("memory", max).as_str()));
}

#[test]
fn what_is_used_is_counted() {
    let host = host::probe().unwrap();
    if !root() || !has(&host, "memory") || !has(&host, "pids") {
        return;
    }
    let resources = json!({ "memory": { "limit": 64 << 20 }, "pids": { "limit": 9 } });
    let mut shell = Command::new("sh");
    shell.args(["-c", "read -r go; i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done; dd if=/dev/zero of=/dev/null bs=8M count=1 2>&-; sleep 60"]);
    shell.stdin(std::process::Stdio::piped());
    let mut running = Running::start(&planned(&host, json!({ "resources": resources })), shell);
    std::io::Write::write_all(&mut running.child.stdin.take().unwrap(), b"go\n").unwrap();
    let counted = |stats: &apply::Stats| stats.cpu.usage.total > 0 && stats.memory.usage.max > 4 << 20;
    let mut stats = apply::stats(&running.cgroup).unwrap();
    for _ in 0..500 {
        if counted(&stats) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
        stats = apply::stats(&running.cgroup).unwrap();
    }
    assert!(counted(&stats), "{stats:?}");
    assert_eq!(stats.pids.limit, 9);
    assert!(stats.pids.current >= 1);
    assert_eq!(stats.memory.usage.limit, 64 << 20);
    let text = serde_json::to_value(&stats).unwrap();
    assert!(text["memory"]["raw"].as_object().unwrap().len() > 10);
    assert!(text["intel_rdt"].is_object() && text["network_interfaces"].is_null() && text["cpuset"].is_object());
}

#[test]
fn killing_for_memory_is_told() {
    let host = host::probe().unwrap();
    if !root() || !has(&host, "memory") {
        return;
    }
    let mut shell = Command::new("sh");
    // tail keeps what it reads of a line without an end.
    shell.args(["-c", "read -r go; tail /dev/zero"]).stdin(std::process::Stdio::piped());
    let limits = json!({ "memory": { "limit": 16 << 20, "swap": 16 << 20 } });
    let mut running = Running::start(&planned(&host, json!({ "resources": limits })), shell);
    let mut watch = apply::oom::Watch::open(&running.cgroup).unwrap();
    assert_eq!(apply::oom::kills(&running.cgroup).unwrap(), 0);
    std::io::Write::write_all(&mut running.child.stdin.take().unwrap(), b"go\n").unwrap();
    let mut told = Vec::new();
    for _ in 0..1000 {
        told.extend(watch.take().unwrap());
        if told.contains(&apply::oom::Event::Oom) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(told.contains(&apply::oom::Event::Oom));
    // The event tells that memory ran out; the kill, which is counted, may come after it.
    let counted = || apply::oom::kills(&running.cgroup).unwrap() >= 1;
    assert!((0..1000).any(|_| counted() || {
        std::thread::sleep(std::time::Duration::from_millis(10));
        false
    }));
}

#[test]
fn nothing_of_this_is_left_by_a_refusal() {
    let Some(host) = version_1().filter(|host| has(host, "cpuset")) else { return };
    let cgroup = planned(&host, json!({ "resources": { "cpu": { "cpus": "4000" } } }));
    let error = apply::create(&cgroup).unwrap_err();
    assert!(chain(&error).contains("cpuset.cpus"), "{}", chain(&error));
    for group in cgroup.v1.iter().chain(&cgroup.v2) {
        assert!(!Path::new(&group.mount).join(group.path.components().next().unwrap()).exists());
    }
}
