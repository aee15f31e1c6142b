//! What is known about the machine: read once, then a plain value that the deciders are given.

pub mod cgroup;
mod probe;

use serde::{Deserialize, Serialize};

/// Facts about the machine and about who runs us on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Effective user id of the runtime.
    pub euid: u32,
    /// Effective group id of the runtime.
    pub egid: u32,
    /// Whether the runtime lacks the rights of root over its user namespace: euid not 0, or no CAP_SYS_ADMIN.
    pub rootless: bool,
    /// Whether the runtime itself is in a user namespace other than the first one: it may not mknod(2) there.
    pub user_namespace: bool,
    /// The kernel's version.
    pub kernel: Kernel,
    /// The highest capability that the kernel knows, by number.
    pub last_capability: u32,
    /// Our own effective capabilities, as a mask by number.
    pub capabilities: u64,
    /// The kernel's Landlock ABI; 0 where it has none.
    pub landlock_abi: u32,
    /// Whether AppArmor enforces.
    pub apparmor: bool,
    /// Whether SELinux is there.
    pub selinux: bool,
    /// Whether time namespaces are there.
    pub time_namespaces: bool,
    /// Whether /proc/kcore is there: /dev/core points to it.
    pub kcore: bool,
    /// Whether resctrl is mounted (Intel RDT, AMD QoS).
    pub resctrl: bool,
    /// Subordinate user ids of our user. subuid(5). Read only where `rootless`.
    pub subuids: Vec<IdRange>,
    /// Subordinate group ids of our user. subgid(5). Read only where `rootless`.
    pub subgids: Vec<IdRange>,
    /// Whether newuidmap(1) and newgidmap(1) are installed. Looked for only where `rootless`.
    pub id_helpers: bool,
    /// Control groups.
    #[serde(default)]
    pub cgroup: cgroup::CgroupHost,
}

/// A kernel version, as far as features hang on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Kernel {
    /// 6 of 6.18.
    pub major: u32,
    /// 18 of 6.18.
    pub minor: u32,
}

/// Ids that a user owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    /// The first.
    pub start: u32,
    /// How many.
    pub count: u32,
}

impl Host {
    /// Whether all of `count` ids from `first` are in one of `ranges`.
    pub fn owns(ranges: &[IdRange], first: u32, count: u32) -> bool {
        ranges.iter().any(|range| {
            first >= range.start
                && u64::from(first) + u64::from(count) <= u64::from(range.start) + u64::from(range.count)
        })
    }
}
