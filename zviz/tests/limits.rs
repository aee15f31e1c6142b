//! Limits that change while a container runs, and what is told of it: `update` and `events`.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use support::{Bundle, bundle, skip};

/// A running container, where the memory controller is.
fn running(name: &str) -> Option<Bundle> {
    let unified = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    if !std::path::Path::new("/sys/fs/cgroup/memory").exists() && !unified.contains("memory") {
        skip(name, "there is no memory controller");
        return None;
    }
    let bundle = bundle(name, &["sleep", "1000"])?;
    bundle.create();
    bundle.ok(&["start", &bundle.name]);
    Some(bundle)
}

fn stats(bundle: &Bundle) -> Value {
    serde_json::from_str(&bundle.ok(&["events", "--stats", &bundle.name])).unwrap()
}

#[test]
fn limits_change_and_the_rest_stays() {
    let Some(bundle) = running("update") else { return };
    let id = bundle.name.as_str();
    bundle.ok(&["update", "--memory", "64M", "--pids-limit", "30", id]);
    let first = stats(&bundle);
    assert_eq!((&first["type"], &first["id"]), (&json!("stats"), &json!(id)));
    assert_eq!(first["data"]["memory"]["usage"]["limit"], 64 << 20);
    assert_eq!(first["data"]["pids"], json!({"current": 1, "limit": 30}));

    let file = bundle.file("resources.json");
    std::fs::write(&file, json!({"memory": {"limit": 32 << 20}}).to_string()).unwrap();
    bundle.ok(&["update", "--resources", &file, id]);
    let mut piped = bundle.command(&["update", "-r", "-", id]).stdin(Stdio::piped()).spawn().unwrap();
    piped.stdin.take().unwrap().write_all(br#"{"pids": {"limit": 40}}"#).unwrap();
    assert!(piped.wait().unwrap().success());
    let second = stats(&bundle);
    assert_eq!(second["data"]["memory"]["usage"]["limit"], 32 << 20);
    assert_eq!(second["data"]["pids"]["limit"], 40);

    bundle.refused(&["update", "--memory", "much", id], "--memory much: ");
    bundle.refused(&["update", "--resources", "/dev/null", id], "--resources /dev/null: ");
    bundle.refused(&["update", "--l3-cache-schema", "L3:0=f", id], "Intel RDT");
    bundle.refused(&["update", "--cpu-period", "5", id], "cpu.period: must be between 1000 and 1000000");
    assert_eq!(stats(&bundle)["data"]["memory"]["usage"]["limit"], 32 << 20, "a refused change changes nothing");

    bundle.ok(&["delete", "--force", id]);
    bundle.refused(&["update", "--memory", "64M", id], "container does not exist");
    bundle.refused(&["events", "--stats", id], "container does not exist");
    bundle.leaves_nothing();
}

#[test]
fn events_tell_of_kills_and_end_with_the_container() {
    let Some(bundle) = running("events") else { return };
    let id = bundle.name.as_str();
    bundle.refused(&["events", "--interval", "0s", id], "--interval 0s: ");
    bundle.ok(&["update", "--memory", "16M", "--memory-swap", "16M", id]);
    let mut events = bundle.command(&["events", "--interval", "50ms", id]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(events.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(next()["type"], "stats");
    // The shell holds what it reads in memory.
    let hog = bundle.zviz(&["exec", id, "sh", "-c", "x=$(cat /dev/zero /dev/zero | busybox tr '\\0' x)"]);
    assert!(!hog.status.success());
    let oom = std::iter::repeat_with(&mut next).take(100).find(|event| event["type"] == "oom");
    assert_eq!(oom.unwrap(), json!({"type": "oom", "id": id}));
    bundle.ok(&["delete", "--force", id]);
    assert!(events.wait().unwrap().success());
    bundle.leaves_nothing();
}

#[test]
fn a_container_that_has_ended_has_no_limits() {
    let Some(bundle) = running("ended") else { return };
    let id = bundle.name.as_str();
    bundle.ok(&["kill", id, "KILL"]);
    bundle.wait_for("stopped");
    bundle.refused(&["update", "--memory", "64M", id], "container not running");
    bundle.refused(&["events", id], "is not running");
    bundle.ok(&["delete", id]);
    bundle.leaves_nothing();
}

/// A key, its value, and where the kernel has it: of version 1 its controller and file, of version 2 the same.
type Limit = (&'static str, &'static str, Option<(&'static str, &'static str, &'static str)>, [&'static str; 3]);

/// DEVICE is a block device of this machine. The swap of version 2 is without memory.
#[rustfmt::skip]
const LIMITS: &[Limit] = &[
    ("memory_max", "64M", Some(("memory", "memory.limit_in_bytes", "67108864")), ["memory", "memory.max", "67108864"]),
    ("memory_swap_max", "96M", Some(("memory", "memory.memsw.limit_in_bytes", "100663296")), ["memory", "memory.swap.max", "33554432"]),
    ("memory_high", "48M", None, ["memory", "memory.high", "50331648"]),
    ("cpu_max", "0.5", Some(("cpu", "cpu.cfs_quota_us", "50000")), ["cpu", "cpu.max", "50000 100000"]),
    ("cpu_weight", "59", Some(("cpu", "cpu.shares", "521")), ["cpu", "cpu.weight", "59"]),
    ("pids_max", "30", Some(("pids", "pids.max", "30")), ["pids", "pids.max", "30"]),
    ("rbps", "1048576", Some(("blkio", "blkio.throttle.read_bps_device", "DEVICE 1048576")), ["io", "io.max", "rbps=1048576"]),
    ("wbps", "2097152", Some(("blkio", "blkio.throttle.write_bps_device", "DEVICE 2097152")), ["io", "io.max", "wbps=2097152"]),
    ("riops", "300", Some(("blkio", "blkio.throttle.read_iops_device", "DEVICE 300")), ["io", "io.max", "riops=300"]),
    ("wiops", "400", Some(("blkio", "blkio.throttle.write_iops_device", "DEVICE 400")), ["io", "io.max", "wiops=400"]),
];

/// The folder of a process's cgroup, of a controller of version 1 or of version 2.
fn folder(pid: &Value, controller: Option<&str>) -> PathBuf {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let own = |line: &str| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (names, path) = (parts.next()?, parts.next()?);
        names.split(',').any(|name| name == controller.unwrap_or_default()).then(|| path.to_owned())
    };
    Path::new("/sys/fs/cgroup").join(controller.unwrap_or_default()).join(&text.lines().find_map(own).unwrap()[1..])
}

/// A disk of this machine by its numbers, or nothing.
fn device() -> String {
    let disk = |name: &str| !["loop", "ram", "zram", "sr", "fd"].iter().any(|other| name.starts_with(other));
    let mut disks: Vec<PathBuf> = fs::read_dir("/sys/block").unwrap().map(|entry| entry.unwrap().path()).collect();
    disks.retain(|path| path.file_name().is_some_and(|name| disk(name.to_str().unwrap())));
    disks.first().map(|path| fs::read_to_string(path.join("dev")).unwrap().trim().to_owned()).unwrap_or_default()
}

fn of_disks(key: &str) -> bool {
    ["rbps", "wbps", "riops", "wiops"].contains(&key)
}

/// A limit on this machine: the key, its value, the controller of version 1, the file, and what is in it.
type Here = (&'static str, &'static str, Option<&'static str>, &'static str, String);

/// Those that this machine has.
fn here(device: &str) -> Vec<Here> {
    let unified = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    let here = |(key, value, v1, v2): &Limit| {
        let first = v1.filter(|(controller, ..)| Path::new("/sys/fs/cgroup").join(controller).exists());
        let first = first.map(|(controller, file, there)| (Some(controller), file, there));
        let second = unified.split_whitespace().any(|name| name == v2[0]).then_some((None, v2[1], v2[2]));
        let found = first.or(second).filter(|_| !of_disks(key) || !device.is_empty());
        if found.is_none() {
            skip(&format!("limits_of_a_profile_are_in_force::{key}"), "there is no controller or disk for it");
        }
        let (controller, file, there) = found?;
        Some((*key, *value, controller, file, there.replace("DEVICE", device)))
    };
    LIMITS.iter().filter_map(here).collect()
}

#[test]
fn limits_of_a_profile_are_in_force() {
    let Some(bundle) = bundle("profiled", &["sleep", "1000"]) else { return };
    let device = device();
    let here = here(&device);
    let written = |disks: bool| {
        let list = here.iter().filter(|(key, ..)| of_disks(key) == disks);
        list.map(|(key, value, ..)| format!("{key}: {value}")).collect::<Vec<_>>().join(", ")
    };
    let (plain, disks) = (written(false), written(true));
    let disks = if disks.is_empty() { disks } else { format!(", io_max: [{{device: \"{device}\", {disks}}}]") };
    let text = format!("name: own\nextends: default\nresources: {{{plain}{disks}}}\n");
    let profiles = bundle.folder("profiles");
    fs::write(format!("{profiles}/own.yaml"), &text).unwrap();
    fs::write(bundle.file("config.yaml"), format!("annotations: {{folder: {profiles}}}\n")).unwrap();
    for limited in [true, false] {
        let annotations = if limited { json!({"zviz.io/profile": "own"}) } else { json!({}) };
        bundle.edit(|spec| spec["annotations"] = annotations);
        let (config, id) = (bundle.file("config.yaml"), bundle.name.as_str());
        let create = ["--config", &config, "create", "--bundle", bundle.path(), id];
        let status = bundle.command(&create).stdout(Stdio::null()).stderr(Stdio::inherit()).status().unwrap();
        assert!(status.success(), "{text}");
        let pid = &bundle.state()["pid"];
        for (key, _, controller, file, there) in &here {
            let said =
                fs::read_to_string(folder(pid, *controller).join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
            let holds = said.trim() == there || (of_disks(key) && said.contains(there.as_str()));
            assert_eq!(holds, limited, "{key}: {file} is {said:?}, with the profile {there:?}");
        }
        bundle.ok(&["delete", "--force", id]);
    }
    bundle.leaves_nothing();
}
