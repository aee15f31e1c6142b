//! Mounts, in terms of the mount API: a source, a place, attributes.

mod options;
pub(super) mod place;
mod source;

pub use options::{KNOWN_OPTIONS, attr};
pub(super) use source::plan;

use super::namespaces::IdMap;
use serde::{Deserialize, Serialize};

/// Attributes of a mount (`MOUNT_ATTR_*` of mount_setattr(2)), set and cleared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// Bits to set.
    pub set: u64,
    /// Bits to clear; `MOUNT_ATTR__ATIME` whole, if an access-time mode is set.
    pub clear: u64,
}

/// How mount events travel. mount_namespaces(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PropagationKind {
    /// Both ways.
    Shared,
    /// Inwards only.
    Slave,
    /// Neither.
    Private,
    /// Neither, and cannot be bound.
    Unbindable,
}

/// A propagation, of one mount or of the whole tree below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Propagation {
    /// Which.
    pub kind: PropagationKind,
    /// Of the whole tree.
    pub recursive: bool,
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mount {
    /// Inside the container: absolute, without `.` and `..`.
    pub destination: String,
    /// Where the place comes from in the input, for messages: `mounts[3]`.
    pub origin: String,
    /// What is mounted.
    pub kind: MountKind,
    /// Attributes of this mount alone.
    pub attributes: Attributes,
    /// Attributes of the whole tree (`rro`, `rnosuid`, ...).
    pub recursive: Attributes,
    /// Applied in order, after attributes.
    pub propagation: Vec<Propagation>,
    /// Read-only is applied after all mounts are made, so that places for mounts inside can be made (tmpfs).
    pub late_readonly: bool,
    /// The place must be a plain directory of the image, never a symbolic link (proc and sysfs: CVE-2019-19921).
    pub no_symlinks: bool,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MountKind {
    /// A part of the host's tree.
    Bind(Bind),
    /// A file system.
    Filesystem(Filesystem),
    /// Changes attributes of what is mounted there already (`remount`).
    Remount,
    /// An overlay of the two binds before it, on the same place, which it replaces: the first is what is read, the second
    /// holds the folders `upper`, for what is written, and `work`. Whiteouts and other marks are attributes of users
    /// (`userxattr`), since no user namespace but the first one may have the other kind.
    Overlay,
    /// Not a mount: a symbolic link, as hosts with joint cgroup v1 controllers need.
    Symlink {
        /// What it points to.
        target: String,
    },
    /// Not a mount: an empty directory.
    Directory {
        /// Permission bits.
        mode: u32,
    },
}

/// A part of the host's tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bind {
    /// On the host, absolute.
    pub source: String,
    /// With everything mounted below it.
    pub recursive: bool,
    /// Whether a symbolic link at the end of the source is bound itself (`src-nofollow`).
    pub nofollow: bool,
    /// Ids translated on the way.
    pub idmap: Option<IdmapSource>,
}

/// Where an idmapped mount takes its map from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdmapSource {
    /// The container's own user namespace.
    Container {
        /// Submounts too (`ridmap`).
        recursive: bool,
        /// A file system that cannot be idmapped is bound without (read-only system folders).
        best_effort: bool,
    },
    /// Its own map.
    Own {
        /// uid map.
        uids: Vec<IdMap>,
        /// gid map.
        gids: Vec<IdMap>,
        /// Submounts too (`ridmap`).
        recursive: bool,
    },
}

/// A file system to make an instance of. fsopen(2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filesystem {
    /// `tmpfs`, `proc`, ...
    pub fstype: String,
    /// The `source` parameter.
    pub source: Option<String>,
    /// (key, value): a flag where the value is absent.
    pub options: Vec<(String, Option<String>)>,
    /// The place's former content is copied into a new tmpfs (`tmpcopyup`).
    pub copy_up: bool,
}
