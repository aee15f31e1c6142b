//! Whether a caller may have programs about devices for a cgroup: as the kernel would judge root of a user namespace, if it
//! let one have them at all.

use super::identity::Identity;
use nix::errno::Errno;
use std::os::fd::{AsFd, OwnedFd};
use zviz_sys::fd;
use zviz_sys::path::{self, resolve};

/// linux/capability.h.
const CAP_NET_ADMIN: u32 = 12;
const CAP_SYS_ADMIN: u32 = 21;
const CAP_BPF: u32 = 39;
/// `CGROUP2_SUPER_MAGIC`, linux/magic.h.
const CGROUP2: i64 = 0x6367_7270;

/// Gives the cgroup back, if there is one: it is the one that was looked at.
///
/// # Errors
/// EPERM without the capabilities that bpf(2) wants of such a program; EBADF where it is no cgroup of version 2; EACCES where
/// the caller may not move processes into it, and so is not who decides about those that are in it.
pub(super) fn may(identity: &Identity, cgroup: Option<OwnedFd>) -> Result<Option<OwnedFd>, Errno> {
    if !(identity.may(CAP_SYS_ADMIN) || identity.may(CAP_BPF) && identity.may(CAP_NET_ADMIN)) {
        return Err(Errno::EPERM);
    }
    let Some(cgroup) = cgroup else { return Ok(None) };
    if fd::filesystem_magic(cgroup.as_fd())? != CGROUP2 {
        return Err(Errno::EBADF);
    }
    let within = resolve::BENEATH | resolve::NO_SYMLINKS | resolve::NO_XDEV;
    path::openat2(cgroup.as_fd(), c"cgroup.procs", libc::O_WRONLY | libc::O_NONBLOCK, 0, within)?;
    Ok(Some(cgroup))
}
