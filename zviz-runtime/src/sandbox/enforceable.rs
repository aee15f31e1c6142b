//! Which limits the cgroups of this caller can enforce.

use super::facts::Limits;
use crate::host::Host;
use crate::host::cgroup::{CgroupHost, Mode, Unified};
use std::fs;
use std::path::Path;

/// RLIMIT_NPROC counts in each user namespace by itself.
const NPROC_OF_NAMESPACE: (u32, u32) = (5, 14);

/// Reads it: a few small files. What cannot be read is taken as absent.
pub fn limits(host: &Host, cgroups: &CgroupHost) -> Limits {
    let v1 = |controller: &str| {
        cgroups.v1.iter().find(|h| h.controllers.iter().any(|c| c == controller)).filter(|h| h.writable)
    };
    let v2 = cgroups.v2.as_ref().filter(|v2| v2.writable).map(delegated).unwrap_or_default();
    let has = |controller: &str| v1(controller).is_some() || v2.iter().any(|c| c == controller);
    let swap = match v1("memory") {
        Some(memory) => memory.own.join("memory.memsw.limit_in_bytes").exists(),
        None => cgroups.v2.as_ref().is_some_and(|v2| v2.own.join("memory.swap.max").exists()),
    };
    let limits = Limits {
        memory: has("memory"),
        swap: swap && has("memory"),
        pids: has("pids"),
        cpu: has("cpu"),
        nproc_of_namespace: (host.kernel.major, host.kernel.minor) >= NPROC_OF_NAMESPACE,
        remedy: String::new(),
        memory_total: memory_total(),
    };
    Limits {
        remedy: if limits.memory && limits.pids && limits.cpu { String::new() } else { remedy(host, cgroups) },
        ..limits
    }
}

/// The controllers that a cgroup of ours gets. On a host with only the unified hierarchy it is made beside our own, where
/// a controller is on already, or can be switched on because no process stands in the parent (cgroups(7), "no internal
/// processes").
fn delegated(v2: &Unified) -> Vec<String> {
    let parent = if v2.own == v2.mount { v2.mount.as_path() } else { v2.own.parent().unwrap_or(&v2.mount) };
    let words = |file: &str| -> Vec<String> {
        let text = fs::read_to_string(parent.join(file)).unwrap_or_default();
        text.split_ascii_whitespace().map(str::to_owned).collect()
    };
    let root = parent == v2.mount && !Path::new(parent).join("cgroup.type").exists();
    let can_switch = root || words("cgroup.procs").is_empty();
    if can_switch { words("cgroup.controllers") } else { words("cgroup.subtree_control") }
}

/// What would give this caller limits.
fn remedy(host: &Host, cgroups: &CgroupHost) -> String {
    match (cgroups.mode, host.rootless) {
        (Mode::None, _) => "no cgroup file system is mounted: mount -t cgroup2 none /sys/fs/cgroup".into(),
        (Mode::V1 | Mode::Hybrid, true) => {
            "cgroup version 1 is for root only: boot with systemd.unified_cgroup_hierarchy=1".into()
        }
        (Mode::V2, true) if cgroups.systemd => {
            "start it as systemd-run --user --scope -p Delegate=yes zviz run ...".into()
        }
        (Mode::V2, true) => "have root give this user a cgroup (docs/doctor.md, \"Delegation\")".into(),
        (_, false) => "the controller is not there: see /proc/cgroups and the kernel's command line".into(),
    }
}

/// In bytes; 0 where it cannot be told.
fn memory_total() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes = text.strip_prefix("MemTotal:").and_then(|rest| rest.split_ascii_whitespace().next());
    kilobytes.and_then(|number| number.parse::<u64>().ok()).map_or(0, |kilobytes| kilobytes.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::cgroup::Hierarchy;

    fn host(rootless: bool) -> Host {
        let mut host = Host::probe().expect("a Linux machine");
        host.rootless = rootless;
        host
    }

    fn v2(own: &Path) -> CgroupHost {
        let mount = own.parent().and_then(Path::parent).unwrap().to_owned();
        let unified = Unified { mount, own: own.to_owned(), controllers: vec!["cpu".into()], writable: true };
        CgroupHost { mode: Mode::V2, v2: Some(unified), v1: Vec::new(), systemd: true }
    }

    #[test]
    fn a_delegated_parent_gives_what_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let parent = folder.path().join("app.slice");
        let own = parent.join("a.scope");
        fs::create_dir_all(&own).unwrap();
        fs::write(parent.join("cgroup.type"), "domain\n").unwrap();
        fs::write(parent.join("cgroup.controllers"), "memory pids\n").unwrap();
        fs::write(parent.join("cgroup.subtree_control"), "pids\n").unwrap();
        fs::write(parent.join("cgroup.procs"), "").unwrap();
        let found = limits(&host(true), &v2(&own));
        assert_eq!((found.memory, found.pids, found.cpu, found.swap), (true, true, false, false));
        assert!(found.remedy.contains("systemd-run"));
        fs::write(parent.join("cgroup.procs"), "1\n").unwrap();
        let found = limits(&host(true), &v2(&own));
        assert_eq!((found.memory, found.pids), (false, true), "a parent with processes cannot switch one on");
    }

    #[test]
    fn version_1_by_who_may_write() {
        let hierarchy = |name: &str, writable| Hierarchy {
            controllers: vec![name.into()],
            mount: "/m".into(),
            own: "/m".into(),
            writable,
        };
        let v1 = vec![hierarchy("memory", true), hierarchy("pids", false)];
        let cgroups = CgroupHost { mode: Mode::V1, v1, ..CgroupHost::none() };
        let found = limits(&host(true), &cgroups);
        assert_eq!((found.memory, found.pids, found.swap), (true, false, false));
        assert!(found.remedy.contains("unified_cgroup_hierarchy"));
    }

    #[test]
    fn the_machine_has_memory() {
        assert!(memory_total() > 1 << 20);
    }
}
