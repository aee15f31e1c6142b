//! Namespaces: what is new, joined, or the host's.

mod choose;

pub use choose::names;
pub(super) use choose::plan;

use serde::{Deserialize, Serialize};

/// A namespace that carries no settings of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Namespace {
    /// The runtime's own.
    #[default]
    Host,
    /// An existing one, by path.
    Join(String),
    /// A fresh one.
    New,
}

/// One line of uid_map or gid_map. user_namespaces(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMap {
    /// First id inside.
    pub inside: u32,
    /// First id outside.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// Whether somebody inside is this id outside.
pub(crate) fn maps_to(lines: &[IdMap], outside: u32) -> bool {
    lines.iter().any(|line| outside.checked_sub(line.outside).is_some_and(|above| above < line.count))
}

/// The user namespace. Only a new one has id maps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum User {
    /// The runtime's own.
    #[default]
    Host,
    /// An existing one, by path.
    Join(String),
    /// A fresh one.
    New {
        /// uid_map.
        uids: Vec<IdMap>,
        /// gid_map.
        gids: Vec<IdMap>,
        /// Whether setgroups(2) stays allowed inside; an unprivileged writer of gid_map must deny it.
        setgroups: bool,
        /// Maps go through newuidmap(1) and newgidmap(1), since the runtime may not write them itself.
        by_helper: bool,
    },
}

/// The UTS namespace. The host's own is never given names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Uts {
    /// The runtime's own.
    #[default]
    Host,
    /// An existing one. Pods name the containers that share theirs anew, each with the same name.
    Join {
        /// Where it is.
        path: String,
        /// What it is named.
        names: Names,
    },
    /// A fresh one.
    New(Names),
}

/// What a UTS namespace is named; none leaves the name as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// sethostname(2).
    pub hostname: Option<String>,
    /// setdomainname(2).
    pub domainname: Option<String>,
}

/// The network namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Net {
    /// The runtime's own.
    #[default]
    Host,
    /// An existing one.
    Join {
        /// Where it is.
        path: String,
        /// As in a fresh one.
        devices: Vec<(String, String)>,
    },
    /// A fresh one, whose loopback is brought up.
    New {
        /// Links of the runtime's namespace to move in (`linux.netDevices`): (name outside, name inside).
        devices: Vec<(String, String)>,
    },
}

/// The time namespace. Only a new one has offsets. time_namespaces(7).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Time {
    /// The runtime's own.
    #[default]
    Host,
    /// An existing one, by path.
    Join(String),
    /// A fresh one.
    New {
        /// (clock: `monotonic` or `boottime`, seconds, nanoseconds).
        offsets: Vec<(String, i64, u32)>,
    },
}

/// All eight.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespaces {
    /// User ids and capabilities.
    pub user: User,
    /// Process ids.
    pub pid: Namespace,
    /// Mounts.
    pub mount: Namespace,
    /// Host and domain name.
    pub uts: Uts,
    /// System V IPC and POSIX message queues.
    pub ipc: Namespace,
    /// Network.
    pub net: Net,
    /// The view of the cgroup tree.
    pub cgroup: Namespace,
    /// Monotonic and boot clocks.
    pub time: Time,
}
