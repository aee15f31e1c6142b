//! Cgroups with processes in them, and the hosts that tests ask for.

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use oci_spec::runtime::Linux;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use zviz_runtime::apply::cgroup as apply;
use zviz_runtime::host::cgroup::{self as host, CgroupHost, Mode};
use zviz_runtime::plan::Problems;
use zviz_runtime::plan::cgroup::{self as plan, Cgroup, Driver};

pub fn skip(why: &str) {
    // Not by eprintln, which a test that passes keeps to itself.
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let _ = std::io::stderr().write_all(format!("SKIP {test}: {why}\n").as_bytes());
}

pub fn root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        skip("needs root");
    }
    root
}

/// A name of which no one else thinks.
pub fn fresh() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("zviz-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

pub fn planned(host: &CgroupHost, mut linux: Value) -> Cgroup {
    linux["cgroupsPath"] = json!(format!("/{}/leaf", fresh()));
    let linux: Linux = serde_json::from_value(linux).unwrap();
    let mut problems = Problems::default();
    let cgroup = plan::plan(Some(&linux), host, false, false, "id", &mut problems, &mut Vec::new());
    assert!(problems.is_empty(), "{problems}");
    cgroup
}

/// A cgroup with a process inside; both end with it.
pub struct Running {
    pub cgroup: Cgroup,
    pub child: Child,
}

impl Running {
    pub fn start(cgroup: &Cgroup, mut command: Command) -> Self {
        let mut created = apply::create(cgroup).unwrap_or_else(|e| panic!("{}", chain(&e)));
        let child = command.spawn().unwrap();
        apply::settle(&mut created.cgroup, child.id()).unwrap_or_else(|e| panic!("{}", chain(&e)));
        if created.cgroup.driver == Driver::Cgroupfs {
            created.entrance.add(child.id()).unwrap_or_else(|e| panic!("{}", chain(&e)));
        }
        Self { cgroup: created.cgroup, child }
    }

    pub fn sleeping(cgroup: &Cgroup) -> Self {
        let mut sleep = Command::new("sleep");
        sleep.arg("60");
        Self::start(cgroup, sleep)
    }

    pub fn read(&self, controller: &str, file: &str) -> String {
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

pub fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or(error.to_string(), |source| format!("{error}: {}", chain(source)))
}

/// Hides the host's mounts from this thread behind a unified hierarchy, as a host with version 2 alone would have it.
pub fn unified_view() -> Option<CgroupHost> {
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
pub fn version_1() -> Option<CgroupHost> {
    let host = host::probe().unwrap();
    if host.v1.is_empty() {
        skip("no cgroup v1");
    }
    (root() && !host.v1.is_empty()).then_some(host)
}

pub fn has(host: &CgroupHost, controller: &str) -> bool {
    let unified = host.v2.as_ref().is_some_and(|v2| v2.controllers.iter().any(|c| c == controller));
    let there = unified || host.v1.iter().any(|h| h.controllers.iter().any(|c| c == controller));
    if !there {
        skip(&format!("no {controller} controller"));
    }
    there
}

pub fn updated(running: &Running, host: &CgroupHost, resources: Value) -> Cgroup {
    let asked = serde_json::from_value(resources).unwrap();
    let update = plan::update::update(&running.cgroup, &asked, host, false, &mut Vec::new()).unwrap();
    apply::update(&update).unwrap_or_else(|e| panic!("{}", chain(&e)));
    update.cgroup
}
