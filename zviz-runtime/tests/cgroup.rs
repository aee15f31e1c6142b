//! Real cgroups, made and removed as root. Each test says why it is skipped where the host cannot show it; the virtual
//! machine shows those that a hybrid host cannot.

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use oci_spec::runtime::Linux;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use zviz_runtime::apply::cgroup as apply;
use zviz_runtime::host::cgroup::{self as host, CgroupHost, Mode};
use zviz_runtime::plan::Problems;
use zviz_runtime::plan::cgroup::{self as plan, Cgroup, Driver};

fn skip(why: &str) {
    // Not by eprintln, which a test that passes keeps to itself.
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let _ = std::io::stderr().write_all(format!("SKIP {test}: {why}\n").as_bytes());
}

fn root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        skip("needs root");
    }
    root
}

/// A name of which no one else thinks.
fn fresh() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("zviz-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn planned(host: &CgroupHost, mut linux: Value) -> Cgroup {
    linux["cgroupsPath"] = json!(format!("/{}/leaf", fresh()));
    let linux: Linux = serde_json::from_value(linux).unwrap();
    let mut problems = Problems::default();
    let cgroup = plan::plan(Some(&linux), host, false, false, "id", &mut problems, &mut Vec::new());
    assert!(problems.is_empty(), "{problems}");
    cgroup
}

/// A cgroup with a process inside; both end with it.
struct Running {
    cgroup: Cgroup,
    child: Child,
}

impl Running {
    fn start(cgroup: &Cgroup, mut command: Command) -> Self {
        let mut created = apply::create(cgroup).unwrap_or_else(|e| panic!("{}", chain(&e)));
        let child = command.spawn().unwrap();
        apply::settle(&mut created.cgroup, child.id()).unwrap_or_else(|e| panic!("{}", chain(&e)));
        if created.cgroup.driver == Driver::Cgroupfs {
            created.entrance.add(child.id()).unwrap_or_else(|e| panic!("{}", chain(&e)));
        }
        Self { cgroup: created.cgroup, child }
    }

    fn sleeping(cgroup: &Cgroup) -> Self {
        let mut sleep = Command::new("sleep");
        sleep.arg("60");
        Self::start(cgroup, sleep)
    }

    fn read(&self, controller: &str, file: &str) -> String {
        let group = self.cgroup.v1(controller).or(self.cgroup.v2.as_ref()).unwrap();
        fs::read_to_string(group.dir().join(file)).unwrap_or_else(|e| panic!("{file}: {e}")).trim().to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = apply::kill(&self.cgroup, Signal::SIGKILL);
        let _ = apply::thaw(&self.cgroup);
        let _ = self.child.kill();
        let _ = self.child.wait();
        apply::remove(&self.cgroup).unwrap();
        for group in self.cgroup.v1.iter().chain(&self.cgroup.v2) {
            assert!(!group.dir().exists());
            // The parent was made by the test too.
            let _ = fs::remove_dir(group.dir().parent().unwrap());
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or(error.to_string(), |source| format!("{error}: {}", chain(source)))
}

/// Hides the host's mounts from this thread behind a unified hierarchy, as a host with version 2 alone would have it.
fn unified_view() -> Option<CgroupHost> {
    use nix::mount::{MsFlags, mount};
    if !root() {
        return None;
    }
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    if host::probe().unwrap().mode != Mode::V2 {
        mount(Some("none"), host::ROOT, Some("cgroup2"), MsFlags::empty(), none).unwrap();
    }
    let host = host::probe().unwrap();
    assert_eq!(host.mode, Mode::V2);
    Some(host)
}

/// The host, if it has hierarchies of version 1.
fn version_1() -> Option<CgroupHost> {
    let host = host::probe().unwrap();
    if host.v1.is_empty() {
        skip("no cgroup v1");
    }
    (root() && !host.v1.is_empty()).then_some(host)
}

fn has(host: &CgroupHost, controller: &str) -> bool {
    let unified = host.v2.as_ref().is_some_and(|v2| v2.controllers.iter().any(|c| c == controller));
    let there = unified || host.v1.iter().any(|h| h.controllers.iter().any(|c| c == controller));
    if !there {
        skip(&format!("no {controller} controller"));
    }
    there
}

#[test]
fn a_process_is_in_every_hierarchy() {
    if !root() {
        return;
    }
    let running = Running::sleeping(&planned(&host::probe().unwrap(), json!({})));
    let lines = fs::read_to_string(format!("/proc/{}/cgroup", running.child.id())).unwrap();
    for group in running.cgroup.v1.iter().chain(&running.cgroup.v2) {
        let path = format!(":/{}", group.path.display());
        let controller = group.controllers.first().map_or("", String::as_str);
        let line =
            lines.lines().find(|l| l.split(':').nth(1).is_some_and(|names| names.split(',').any(|n| n == controller)));
        assert!(
            line.unwrap_or_default().ends_with(&path) || lines.contains(&format!("0:{path}")),
            "{controller} in {lines}"
        );
    }
    assert_eq!(apply::pids(&running.cgroup).unwrap(), [running.child.id()]);
}

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

fn updated(running: &Running, host: &CgroupHost, resources: Value) -> Cgroup {
    let asked = serde_json::from_value(resources).unwrap();
    let update = plan::update::update(&running.cgroup, &asked, host, false, &mut Vec::new()).unwrap();
    apply::update(&update).unwrap_or_else(|e| panic!("{}", chain(&e)));
    update.cgroup
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
        told.extend(watch.next().unwrap());
        if told.contains(&apply::oom::Event::Oom) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(told.contains(&apply::oom::Event::Oom));
    assert!(apply::oom::kills(&running.cgroup).unwrap() >= 1);
}

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

#[test]
fn freezing_and_killing() {
    if !root() {
        return;
    }
    let mut running = Running::sleeping(&planned(&host::probe().unwrap(), json!({})));
    assert!(!apply::is_frozen(&running.cgroup).unwrap());
    apply::freeze(&running.cgroup).unwrap();
    assert!(apply::is_frozen(&running.cgroup).unwrap());
    apply::thaw(&running.cgroup).unwrap();
    assert!(!apply::is_frozen(&running.cgroup).unwrap());
    apply::kill(&running.cgroup, Signal::SIGTERM).unwrap();
    assert_eq!(running.child.wait().unwrap().signal(), Some(Signal::SIGTERM as i32));
}

#[test]
fn a_frozen_cgroup_can_be_killed() {
    if !root() {
        return;
    }
    let mut hosts = vec![host::probe().unwrap()];
    // Version 1 alone: no cgroup.kill, and signals wait for the thaw.
    if hosts[0].mode == Mode::Hybrid {
        hosts.push(CgroupHost { mode: Mode::V1, v2: None, ..hosts[0].clone() });
    }
    for host in hosts {
        let mut running = Running::sleeping(&planned(&host, json!({})));
        apply::freeze(&running.cgroup).unwrap();
        apply::kill(&running.cgroup, Signal::SIGKILL).unwrap();
        assert_eq!(running.child.wait().unwrap().signal(), Some(Signal::SIGKILL as i32));
    }
}

#[test]
fn one_that_is_in_use_is_refused() {
    if !root() {
        return;
    }
    let running = Running::sleeping(&planned(&host::probe().unwrap(), json!({})));
    let error = apply::create(&running.cgroup).unwrap_err();
    assert!(matches!(error, apply::Error::InUse { processes: 1, .. }), "{error}");
}

#[test]
fn removing_takes_what_the_container_made_and_what_is_gone() {
    if !root() {
        return;
    }
    let running = Running::sleeping(&planned(&host::probe().unwrap(), json!({})));
    for group in running.cgroup.v1.iter().chain(&running.cgroup.v2) {
        fs::create_dir_all(group.dir().join("inner/most")).unwrap();
    }
    let cgroup = running.cgroup.clone();
    let error = apply::remove(&cgroup).unwrap_err();
    assert!(matches!(error, apply::Error::Left { .. }), "a live process was lost: {error}");
    drop(running);
    apply::remove(&cgroup).unwrap();
}

/// Opens a device in a child that is inside.
fn opens(cgroup: &Cgroup, how: &str, device: &str) -> bool {
    let mut shell = Command::new("sh");
    // Waits for a line, so that it is inside when it opens.
    shell.args(["-c", &format!("read -r go; exec 3{how}{device}")]);
    shell.stdin(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    let mut running = Running::start(cgroup, shell);
    use std::io::Write;
    running.child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    running.child.wait().unwrap().success()
}

fn devices_are_filtered(host: &CgroupHost) {
    let rules = |rules: Value| planned(host, json!({ "resources": { "devices": rules } }));
    let usual = rules(json!([{ "allow": false, "access": "rwm" }]));
    assert!(opens(&usual, "<", "/dev/null"));
    assert!(!opens(&usual, "<", "/dev/kmsg"), "/dev/kmsg (1:11) was not allowed");
    let more = rules(json!([
        { "allow": false, "access": "rwm" },
        { "allow": true, "type": "c", "major": 1, "minor": 11, "access": "r" },
    ]));
    assert!(opens(&more, "<", "/dev/kmsg"));
    assert!(!opens(&more, ">", "/dev/kmsg"), "only reading was allowed");
    let all = rules(
        json!([{ "allow": true, "access": "rwm" }, { "allow": false, "type": "c", "major": 1, "minor": 11, "access": "w" }]),
    );
    assert!(opens(&all, "<", "/dev/kmsg"));
    assert!(!opens(&all, ">", "/dev/kmsg"), "writing was denied");
}

#[test]
fn devices_are_filtered_on_version_1() {
    if let Some(host) = version_1().filter(|host| has(host, "devices")) {
        devices_are_filtered(&host);
    }
}

#[test]
fn devices_are_filtered_on_version_2() {
    if let Some(host) = unified_view() {
        devices_are_filtered(&host);
    }
}

#[test]
fn a_delegated_cgroup_belongs_to_its_user() {
    use std::os::unix::fs::MetadataExt;
    let Some(host) = unified_view() else { return };
    let cgroup = Cgroup { owner: Some(4321), ..planned(&host, json!({})) };
    let running = Running::sleeping(&cgroup);
    let dir = running.cgroup.v2.as_ref().unwrap().dir();
    let owner = |file: &str| fs::metadata(dir.join(file)).unwrap().uid();
    assert_eq!((owner("."), owner("cgroup.procs"), owner("cgroup.subtree_control")), (4321, 4321, 4321));
    assert_eq!((owner("cgroup.kill"), owner("cgroup.freeze")), (0, 0), "not what delegation is about");
}

/// A container that has divided its cgroup: its own takes no process any more.
#[test]
fn a_new_process_goes_where_init_is() {
    let Some(host) = unified_view() else { return };
    let running = Running::sleeping(&planned(&host, json!({})));
    let dir = running.cgroup.v2.as_ref().unwrap().dir();
    let controllers = fs::read_to_string(dir.join("cgroup.controllers")).unwrap();
    let Some(controller) = controllers.split_whitespace().next() else { return skip("no controller to divide") };
    fs::create_dir(dir.join("init")).unwrap();
    fs::write(dir.join("init/cgroup.procs"), running.child.id().to_string()).unwrap();
    fs::write(dir.join("cgroup.subtree_control"), format!("+{controller}")).unwrap();
    let mut second = Command::new("sleep").arg("60").spawn().unwrap();
    apply::enter(&running.cgroup, Some(running.child.id())).unwrap().add(second.id()).unwrap();
    let path = fs::read_to_string(format!("/proc/{}/cgroup", second.id())).unwrap();
    second.kill().unwrap();
    second.wait().unwrap();
    assert!(path.lines().any(|line| line.starts_with("0::") && line.ends_with("/leaf/init")), "{path}");
}

/// The way in that `create` uses: cloned into the unified cgroup, and into the rest by its own hand.
#[test]
fn a_process_is_born_inside() {
    use zviz_sys::process::{Cloned, clone, exit};
    if !root() {
        return;
    }
    let created = apply::create(&planned(&host::probe().unwrap(), json!({}))).unwrap();
    let (mut wait, go) = std::io::pipe().unwrap();
    let Cloned::Parent { pid, pidfd } = clone(0, created.entrance.v2()).unwrap() else {
        // The child: only system calls.
        for tasks in created.entrance.v1_tasks() {
            if nix::unistd::write(tasks, b"0").is_err() {
                exit(1);
            }
        }
        drop(go);
        loop {
            nix::unistd::pause();
        }
    };
    drop(go);
    std::io::Read::read(&mut wait, &mut [0]).unwrap();
    let lines = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let outside: Vec<&str> = lines.lines().filter(|l| !l.ends_with("/leaf")).collect();
    let named: Vec<_> = created.cgroup.v1.iter().flat_map(|g| &g.controllers).collect();
    let missed = outside.iter().filter(|l| named.iter().any(|c| l.contains(c.as_str()))).collect::<Vec<_>>();
    assert!(missed.is_empty(), "{missed:?}");
    apply::kill(&created.cgroup, Signal::SIGKILL).unwrap();
    zviz_sys::wait::wait(std::os::fd::AsFd::as_fd(&pidfd)).unwrap();
    apply::remove(&created.cgroup).unwrap();
    for group in created.cgroup.v1.iter().chain(&created.cgroup.v2) {
        match fs::remove_dir(group.dir().parent().unwrap()) {
            Err(e) if e.raw_os_error() != Some(Errno::ENOENT as i32) => panic!("{e}"),
            _ => {}
        }
    }
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
