//! Which cgroups are the container's to attach programs to, found out by descriptors alone.

use nix::errno::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use zviz_sys::bpf::{self, ALLOW_MULTI, CGROUP_DEVICE};
use zviz_sys::fd;
use zviz_sys::path::{self, resolve};

/// `CGROUP2_SUPER_MAGIC`, linux/magic.h.
const CGROUP2: i64 = 0x6367_7270;
/// How far up is looked. A cgroup that is deeper below is not the container's.
const DEEPEST: usize = 256;

/// The container's own cgroup, with the programs that hold for all of it.
pub(super) struct Own {
    directory: OwnedFd,
    place: (u64, u64),
}

impl Own {
    /// # Errors
    /// EINVAL where it is no cgroup of version 2.
    pub(super) fn new(directory: OwnedFd) -> Result<Self, Errno> {
        if fd::filesystem_magic(directory.as_fd())? != CGROUP2 {
            return Err(Errno::EINVAL);
        }
        let place = place(directory.as_fd())?;
        Ok(Own { directory, place })
    }

    /// Whether a cgroup is below it. Itself is not: what is attached there is the runtime's.
    ///
    /// All mounts of the hierarchy have one device number, and an inode number is a cgroup's for as long as the machine runs. A
    /// cgroup cannot be moved to another parent, so that `..` leads to where it always has. At the root of the caller's
    /// mount there is no way up: a cgroup whose mount does not show the container's own is refused.
    pub(super) fn is_above(&self, cgroup: BorrowedFd<'_>) -> Result<bool, Errno> {
        let there = place(cgroup)?;
        if fd::filesystem_magic(cgroup)? != CGROUP2 || there.0 != self.place.0 || there == self.place {
            return Ok(false);
        }
        let mut here = up(cgroup)?;
        for _ in 0..DEEPEST {
            let Some(parent) = here else { return Ok(false) };
            if place(parent.as_fd())? == self.place {
                return Ok(true);
            }
            here = up(parent.as_fd())?;
        }
        Ok(false)
    }

    /// Whether what holds for this cgroup still holds for one below it that has a program: a program that was attached to allow
    /// others instead of it (BPF_F_ALLOW_OVERRIDE) does not, unless one that does not is nearer.
    pub(super) fn still_counts(&self) -> Result<bool, Errno> {
        let mut here = self.directory.try_clone().map_err(|_| Errno::EMFILE)?;
        for _ in 0..DEEPEST {
            let attached = bpf::query(CGROUP_DEVICE, here.as_fd())?;
            if !attached.ids.is_empty() {
                return Ok(attached.flags & ALLOW_MULTI != 0);
            }
            match up(here.as_fd())? {
                Some(above) => here = above,
                // Above this nothing can be seen from here; there may be something.
                None => return bpf::is_filtered(CGROUP_DEVICE, here.as_fd()).map(|filtered| !filtered),
            }
        }
        Ok(false)
    }
}

/// The parent, or none at the root of the mount.
fn up(cgroup: BorrowedFd<'_>) -> Result<Option<OwnedFd>, Errno> {
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    match path::openat2(cgroup, c"..", flags, 0, resolve::NO_XDEV | resolve::NO_MAGICLINKS) {
        Err(Errno::EXDEV) => Ok(None),
        other => other.map(Some),
    }
}

fn place(directory: BorrowedFd<'_>) -> Result<(u64, u64), Errno> {
    let stat = fd::stat(directory)?;
    Ok((stat.st_dev, stat.st_ino))
}
