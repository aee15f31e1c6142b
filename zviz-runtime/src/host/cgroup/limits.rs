//! What the cgroups of any process limit it to. Those of its own cgroup: an engine sets a container's limits there.

use super::{Mounted, ROOT, below, own_path, parse_mounts, read};
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use std::fs::{self, File};
use std::path::{Component, Path, PathBuf};
use zviz_broker::eyes::Facts;

/// Where one of these cannot be read, it is not known, and no limit.
#[must_use]
pub fn of(pid: i32) -> Facts {
    let Ok(lines) = read(&format!("/proc/{pid}/cgroup")) else { return Facts::default() };
    let mounts = mounts();
    let memory = directory(&mounts, &lines, "memory");
    let number = |v2: &str, v1: &str| {
        let (directory, unified) = memory.as_ref()?;
        fs::read_to_string(directory.join(if *unified { v2 } else { v1 })).ok()?.trim().parse::<u64>().ok()
    };
    let limit = number("memory.max", "memory.limit_in_bytes").filter(|limit| *limit < UNLIMITED);
    let swap = match memory {
        Some((_, true)) => number("memory.swap.max", ""),
        // Both together.
        _ => number("", "memory.memsw.limit_in_bytes").zip(limit).map(|(both, limit)| both.saturating_sub(limit)),
    };
    let file = |place: &Option<(PathBuf, bool)>, v2: &str, v1: &str| {
        place.as_ref().and_then(|(directory, unified)| File::open(directory.join(if *unified { v2 } else { v1 })).ok())
    };
    Facts {
        memory: limit,
        swap: swap.filter(|swap| *swap < UNLIMITED),
        usage: file(&memory, "memory.current", "memory.usage_in_bytes"),
        tasks: file(&directory(&mounts, &lines, "pids"), "pids.current", "pids.current"),
    }
}

/// Version 1 says so with the largest number of pages that there can be.
const UNLIMITED: u64 = 1 << 60;

fn mounts() -> Vec<Mounted> {
    if statfs(ROOT).is_ok_and(|s| s.filesystem_type() == CGROUP2_SUPER_MAGIC) {
        let unified = Mounted { device: (0, 0), root: "/".into(), point: ROOT.into(), v2: true, controllers: vec![] };
        return vec![unified];
    }
    read("/proc/self/mountinfo").map(|text| parse_mounts(&text)).unwrap_or_default()
}

/// The directory of a controller's cgroup, and whether it is one of version 2.
fn directory(mounts: &[Mounted], lines: &str, controller: &str) -> Option<(PathBuf, bool)> {
    let old = mounts.iter().find(|mount| mount.controllers.iter().any(|name| name == controller));
    let (mount, path) = match old.and_then(|mount| Some((mount, own_path(lines, controller)?))) {
        Some(found) => found,
        None => (mounts.iter().find(|mount| mount.v2)?, own_path(lines, "")?),
    };
    // `/../x` is a cgroup outside of what this process sees.
    let plain = Path::new(path).components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    plain.then(|| (below(&mount.point, &mount.root, path), mount.v2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_controllers_own_hierarchy_comes_first() {
        let mounts = parse_mounts(
            "32 31 0:29 / /c/memory rw - cgroup cgroup rw,memory\n41 31 0:38 / /c/unified rw - cgroup2 cgroup2 rw\n",
        );
        let lines = "4:memory:/a\n0::/e\n";
        assert_eq!(directory(&mounts, lines, "memory"), Some(("/c/memory/a".into(), false)));
        assert_eq!(directory(&mounts, lines, "pids"), Some(("/c/unified/e".into(), true)));
        assert_eq!(directory(&mounts, "4:memory:/../a\n", "memory"), None);
        assert_eq!(directory(&[], lines, "memory"), None);
    }

    #[test]
    fn a_process_that_is_not_there_has_none() {
        let facts = of(i32::MAX);
        assert!(facts.memory.is_none() && facts.usage.is_none() && facts.tasks.is_none());
    }
}
