//! What will be done, decided before anything is.
//!
//! A `Plan` is plain data: it holds no descriptor and reads no machine. `Plan::build` makes it from the parsed
//! config.json, the profile and the facts of the host; `prepare` and everything after it only carry it out.

mod apparmor;
pub mod backend;
mod brokered;
mod build;
pub mod capabilities;
pub mod cgroup;
mod devices;
mod display;
mod exec;
mod filter;
mod group;
pub mod hooks;
mod idmap;
mod in_place;
mod input;
mod labels;
mod landlock;
pub mod mounts;
pub mod namespaces;
mod narrow;
pub mod network;
pub mod note;
mod paths;
mod payload;
pub mod problems;
pub mod process;
mod programs;
mod required;
mod rlimits;
pub mod rootfs;
pub mod scheduling;
mod shared;
mod sysctl;
mod unsupported;

pub use backend::{Backend, InPlace};
pub use exec::{Changes, Exec};
pub use hooks::{Hook, Hooks};
pub use input::Request;
pub use mounts::{Attributes, Bind, Filesystem, Mount, MountKind, Propagation};
pub use namespaces::{IdMap, Names, Namespace, Namespaces, Net, Time, User, Uts};
pub use note::Note;
pub use problems::{Problem, Problems};
pub use process::{Capabilities, Credentials, Process, Rlimit};
pub(crate) use rlimits::name as rlimit_name;
pub use rootfs::{Device, DeviceKind, Rootfs};

use crate::profile::{Profile, apparmor::Policy as AppArmor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything that will be done for one container.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What stands between the payload and the host.
    #[serde(default)]
    pub backend: Backend,
    /// Which namespaces are made, joined, or shared with the host.
    pub namespaces: Namespaces,
    /// The container's root: absent where the mount namespace is joined, whose root is used as it is.
    pub rootfs: Option<Rootfs>,
    /// In the order in which they are mounted.
    pub mounts: Vec<Mount>,
    /// Device nodes to make below /dev, the default ones included.
    pub devices: Vec<Device>,
    /// Default symbolic links below /dev: (link, what it points to).
    pub symlinks: Vec<(String, String)>,
    /// Hidden under an empty read-only directory or the null device. Absolute, inside the container.
    pub masked_paths: Vec<String>,
    /// Made read-only. Absolute, inside the container.
    pub readonly_paths: Vec<String>,
    /// Kernel parameters, in dotted form, written after the namespaces exist.
    pub sysctl: BTreeMap<String, String>,
    /// Its cgroup, with limits and device rules.
    pub cgroup: cgroup::Cgroup,
    /// What may be granted at most, to the payload and to all that `exec` adds.
    pub profile: Profile,
    /// The payload.
    pub process: Process,
    /// The AppArmor profile that is loaded for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apparmor: Option<AppArmor>,
    /// The seccomp filter.
    pub seccomp: Option<Seccomp>,
    /// The Landlock ruleset.
    pub landlock: Option<Landlock>,
    /// Its network; none: nothing but a loopback device is made in a new one, and no rule in any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<network::Network>,
    /// Programs to run around the container's life.
    pub hooks: Hooks,
    /// Annotations as given. Those of ours have chosen the profile; here they change nothing.
    pub annotations: BTreeMap<String, String>,
    /// What was weakened or left to the host, and why.
    pub notes: Vec<Note>,
}

/// A seccomp filter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seccomp {
    /// Which call gets which answer. It is most of a plan, and is not changed any more.
    #[serde(with = "shared")]
    pub policy: Arc<zviz_seccomp::Policy>,
    /// The Unix socket that the listener is sent to, where a rule notifies. Absolute, on the host.
    pub listener_path: Option<String>,
    /// Sent with it, as given.
    pub listener_metadata: Option<String>,
    /// What the policy was compiled to beforehand. It is not remembered.
    #[serde(skip)]
    pub program: Option<zviz_seccomp::Program>,
}

/// A Landlock ruleset: everything handled is denied but what a rule grants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Landlock {
    /// The kernel's Landlock ABI that the rights below belong to.
    pub abi: u32,
    /// Without any, files are not handled.
    pub rules: Vec<LandlockRule>,
    /// Whether abstract Unix sockets and signals are kept inside (ABI 6).
    pub scoped: bool,
    /// TCP ports that may be bound; none is any (ABI 4).
    #[serde(default)]
    pub bind: Option<Vec<u16>>,
    /// TCP ports that may be connected to; none is any (ABI 4).
    #[serde(default)]
    pub connect: Option<Vec<u16>>,
    /// Whether the kernel is to record what it denies (ABI 7).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recorded: bool,
}

/// What may be done below a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LandlockRule {
    /// Inside the container.
    pub path: String,
    /// What is granted.
    pub rights: LandlockRights,
    /// Whether it need not be there when the ruleset is made. Nothing is granted then.
    #[serde(default)]
    pub optional: bool,
    /// To cut files is granted as well, though they are only read, since whoever is inside cannot do it: the mount is
    /// read-only, and the files are other users'.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncate: bool,
}

/// What a Landlock rule grants below its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LandlockRights {
    /// Read files and list directories.
    Read,
    /// Execute as well.
    ReadExecute,
    /// Everything that the ABI handles but to execute.
    ReadWrite,
    /// Everything that the ABI handles.
    Full,
}

impl LandlockRights {
    /// The rights that these are; none for nothing at all. What is written or executed is read as well.
    fn of(reads: bool, writes: bool, executes: bool) -> Option<LandlockRights> {
        match (reads, writes, executes) {
            (_, true, true) => Some(LandlockRights::Full),
            (_, true, false) => Some(LandlockRights::ReadWrite),
            (true, false, true) => Some(LandlockRights::ReadExecute),
            (true, false, false) => Some(LandlockRights::Read),
            // What is executed and not listed to be read is not there.
            (false, false, _) => None,
        }
    }
}
