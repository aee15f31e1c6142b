//! What the machine and the caller bring to a sandbox: read once by [`probe`](super::probe()), then a plain value.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use zviz_network::address::Network;

/// Facts that [`lower`](super::lower()) decides on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The caller's user id.
    pub uid: u32,
    /// The caller's group id.
    pub gid: u32,
    /// The first of 65,536 ids that are the sandbox's alone, where the caller may map any: root of the first user
    /// namespace. Absent, the caller maps its own id and no other.
    pub subid_base: Option<u32>,
    /// The caller's current folder, without links; absent where it was deleted or has no path in UTF-8.
    pub cwd: Option<String>,
    /// The caller's home folder, as far as it is named by an absolute path.
    pub home: Option<Home>,
    /// The caller's environment, as far as it is UTF-8.
    pub environment: BTreeMap<String, String>,
    /// What is in the folder that becomes the root: the host's own, or that of `--rootfs`.
    pub root: BTreeMap<String, RootEntry>,
    /// The path of `--rootfs` on the host, without links, or why it cannot be the root; absent for the host's own.
    pub rootfs: Option<Result<String, String>>,
    /// What `--rw` and `--ro` name: by the text given, what is there or why it cannot be shared.
    pub sources: BTreeMap<String, Result<Source, String>>,
    /// What `--user` names: ids, or what is wrong with it.
    pub user: Option<Result<(u32, u32), String>>,
    /// Files with secrets below the system folders that the caller can read.
    pub readable_secrets: Vec<String>,
    /// The file that /etc/resolv.conf leads to, where that is below /run, which the sandbox does not see.
    pub resolver: Option<String>,
    /// Whether the caller has the rights of root over the network.
    pub is_root: bool,
    /// Where the sandbox's own files will be while it runs.
    pub state: Option<String>,
    /// Where the sandbox has a network of its own: what the host says of names.
    pub names: Names,
    /// Without mounts: where its private folder will be.
    pub temporary: Option<String>,
    /// Without mounts: what is in the folders around what is to be hidden, links left out.
    pub beside: BTreeMap<String, Vec<String>>,
    /// Which limits can be applied.
    pub limits: Limits,
    /// The caller's limits of open files, soft and hard.
    pub open_files: (u64, u64),
}

/// What the host says of names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// `nameserver` of resolv.conf(5).
    pub servers: Vec<IpAddr>,
    /// Its other lines, as they are.
    pub lines: Vec<String>,
    /// Addresses of the host.
    pub own: Vec<IpAddr>,
    /// Networks that the host's devices are in.
    pub links: Vec<Network>,
    /// Which of the files for names are there, in the root's /etc.
    pub there: BTreeSet<String>,
}

/// A home folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// Absolute; without links where it exists.
    pub path: String,
    /// Whether it exists.
    pub exists: bool,
}

/// What stands below the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootEntry {
    /// A folder.
    Folder,
    /// A symbolic link, and what it points to.
    Link(String),
    /// A regular file.
    File,
}

/// Something of the host that is shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Absolute, without links.
    pub path: String,
    /// What it is.
    pub kind: Kind,
}

/// What a shared thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A regular file, socket or FIFO.
    File,
    /// A character or block device.
    Device,
}

/// Which limits the cgroups of this caller can enforce.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory.
    pub memory: bool,
    /// Swap beside it.
    pub swap: bool,
    /// The number of processes and threads.
    pub pids: bool,
    /// Processor time.
    pub cpu: bool,
    /// Whether RLIMIT_NPROC counts the processes of one user namespace alone, as it does since Linux 5.14: then it can
    /// stand in for the pids controller.
    pub nproc_of_namespace: bool,
    /// What would make the missing ones work, in words for the user.
    pub remedy: String,
    /// The machine's memory, in bytes; 0 where unknown.
    pub memory_total: u64,
}
