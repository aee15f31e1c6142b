//! The container's root and the nodes of its /dev.

use super::mounts::Propagation;
use serde::{Deserialize, Serialize};

/// The container's root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rootfs {
    /// On the host, absolute; resolved once. Empty for a fresh tmpfs, which `zviz run` fills with binds.
    pub path: String,
    /// Made read-only after everything is mounted.
    pub readonly: bool,
    /// Propagation of the whole tree before and, if shared, after the root is changed (`linux.rootfsPropagation`).
    pub propagation: Option<Propagation>,
    /// pivot_root(2); else the root is moved and entered by chroot(2) (`--no-pivot`, for a root on the initial ramfs).
    pub pivot: bool,
    /// SELinux label of the mounts (`linux.mountLabel`).
    pub mount_label: Option<String>,
}

/// What mknod(2) makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    /// Character device.
    Char,
    /// Block device.
    Block,
    /// FIFO.
    Fifo,
}

/// A node below the container's /dev or elsewhere in its root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Absolute, inside the container.
    pub path: String,
    /// Its type.
    pub kind: DeviceKind,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner, inside the container.
    pub uid: u32,
    /// Group, inside the container.
    pub gid: u32,
    /// The host's node is bound instead of made: a user namespace may not mknod(2).
    pub bind: bool,
}
