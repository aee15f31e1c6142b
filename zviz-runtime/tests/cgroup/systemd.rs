//! Units of systemd, of the system's manager and of a user's.

use crate::support::*;
use nix::sys::signal::Signal;
use oci_spec::runtime::Linux;
use serde_json::json;
use std::fs;
use std::process::Command;
use zviz_runtime::apply::cgroup as apply;
use zviz_runtime::host::cgroup as host;
use zviz_runtime::plan::Problems;
use zviz_runtime::plan::cgroup as plan;

/// Where systemd runs (the virtual machine with `--systemd`).
#[test]
fn systemd_makes_a_scope() {
    let host = host::probe().unwrap();
    if !host.systemd {
        return skip("systemd does not run here");
    }
    let rootless = !nix::unistd::geteuid().is_root();
    let slice = if rootless { "user.slice" } else { "system.slice" };
    let name = fresh();
    let linux = json!({ "cgroupsPath": format!("{slice}:zviz:{name}"), "resources": {
        "memory": { "limit": 67108864, "reservation": 33554432 }, "pids": { "limit": 17 },
        "cpu": { "quota": 12345, "shares": 512 }, "devices": [{ "allow": false, "access": "rwm" }],
    }});
    let linux: Linux = serde_json::from_value(linux).unwrap();
    let mut problems = Problems::default();
    let cgroup = plan::plan(Some(&linux), &host, true, rootless, "id", &mut problems, &mut Vec::new());
    assert!(problems.is_empty(), "{problems}");
    let mut running = Running::sleeping(&cgroup);
    let path = fs::read_to_string(format!("/proc/{}/cgroup", running.child.id())).unwrap();
    assert!(path.contains(&format!("{slice}/zviz-{name}.scope")), "{path}");
    assert_eq!(apply::pids(&running.cgroup).unwrap(), [running.child.id()]);
    let max = if running.cgroup.v1("memory").is_some() { "memory.limit_in_bytes" } else { "memory.max" };
    assert_eq!(running.read("memory", max), "67108864");
    assert_eq!(running.read("pids", "pids.max"), "17");
    // The exact quota, where systemd keeps whole percents.
    let on_v1 = running.cgroup.v1("cpu").is_some();
    let (file, quota) = if on_v1 { ("cpu.cfs_quota_us", "12345") } else { ("cpu.max", "12345 100000") };
    assert_eq!(running.read("cpu", file), quota);
    let show = |property: &str| {
        let mut command = Command::new("systemctl");
        command.args(if rootless { &["--user"][..] } else { &[] });
        let output = command.args(["show", "-P", property, &format!("zviz-{name}.scope")]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let memory = if running.cgroup.is_unified() { "MemoryMax" } else { "MemoryLimit" };
    assert_eq!(show(memory), "67108864");
    assert_eq!(show("TasksMax"), "17");
    assert_eq!(if on_v1 { show("CPUShares") } else { show("CPUWeight") }, if on_v1 { "512" } else { "59" });
    assert_eq!(show("CPUQuotaPerSecUSec"), "130ms");
    assert_eq!(show("Delegate"), "yes");
    running.cgroup = updated(&running, &host, json!({ "memory": { "limit": 134217728 } }));
    assert_eq!((running.read("memory", max).as_str(), show(memory).as_str()), ("134217728", "134217728"));
    // A second process, as exec brings it.
    let mut second = Command::new("sleep").arg("60").spawn().unwrap();
    apply::enter(&running.cgroup, Some(running.child.id())).unwrap().add(second.id()).unwrap();
    assert_eq!(apply::pids(&running.cgroup).unwrap().len(), 2);
    apply::freeze(&running.cgroup).unwrap();
    apply::kill(&running.cgroup, Signal::SIGKILL).unwrap();
    second.wait().unwrap();
    drop(running);
    assert_ne!(show("ActiveState"), "active");
}

/// A scope is made around init, which then goes to its part; a broker that waits goes to the other.
#[test]
fn a_scope_is_shared_with_a_broker() {
    let host = host::probe().unwrap();
    if !host.systemd {
        return skip("systemd does not run here");
    }
    let rootless = !nix::unistd::geteuid().is_root();
    let slice = if rootless { "user.slice" } else { "system.slice" };
    let name = fresh();
    let linux = json!({ "cgroupsPath": format!("{slice}:zviz:{name}"), "resources": {
        "memory": { "limit": 67108864 }, "pids": { "limit": 17 },
    }});
    let linux: Linux = serde_json::from_value(linux).unwrap();
    let mut problems = Problems::default();
    let cgroup = plan::plan(Some(&linux), &host, true, rootless, "id", &mut problems, &mut Vec::new());
    assert!(problems.is_empty(), "{problems}");
    let cgroup = plan::Cgroup { parted: true, ..cgroup };
    assert!(apply::seat(&cgroup, false).unwrap().unwrap().later);
    let mut running = Running::sleeping(&cgroup);
    let mut broker = Command::new("sleep").arg("60").spawn().unwrap();
    apply::move_broker(&running.cgroup, broker.id()).unwrap_or_else(|e| panic!("{}", chain(&e)));
    let place = |pid: u32| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let unit = format!("{slice}/zviz-{name}.scope");
    assert!(place(running.child.id()).contains(&format!("{unit}/payload\n")), "{}", place(running.child.id()));
    assert!(place(broker.id()).contains(&format!("{unit}/broker\n")), "{}", place(broker.id()));
    assert_eq!(apply::pids(&running.cgroup).unwrap(), [running.child.id()]);
    if running.cgroup.is_unified() {
        let limits = ["memory.max", "payload/memory.max", "broker/memory.max", "pids.max", "payload/pids.max"];
        let limits = limits.map(|file| running.read("none", file));
        assert_eq!(limits, ["67108864", "67108864", "1073741824", "max", "17"]);
    }
    running.cgroup = updated(&running, &host, json!({ "memory": { "limit": 134217728 }, "pids": { "limit": 19 } }));
    if running.cgroup.is_unified() {
        let limits = ["memory.max", "payload/memory.max", "pids.max", "payload/pids.max"];
        assert_eq!(limits.map(|file| running.read("none", file)), ["134217728", "134217728", "max", "19"]);
    }
    // As exec brings another process, and another broker.
    let mut second = Command::new("sleep").arg("60").spawn().unwrap();
    apply::enter(&running.cgroup, Some(running.child.id())).unwrap().add(second.id()).unwrap();
    assert!(place(second.id()).contains(&format!("{unit}/payload\n")), "{}", place(second.id()));
    apply::freeze(&running.cgroup).unwrap();
    apply::kill(&running.cgroup, Signal::SIGKILL).unwrap();
    second.wait().unwrap();
    assert!(broker.try_wait().unwrap().is_none());
    drop(running);
    broker.wait().unwrap();
}
