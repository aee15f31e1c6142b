//! A device node for the caller: a mount of the one that its root has, on a new empty file.

use super::identity::Identity;
use crate::decision::Work;
use crate::handlers::nodes::HARMLESS;
use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use zviz_sys::path::{self, resolve};
use zviz_sys::{fd, mount};

/// linux/capability.h.
const CAP_MKNOD: u32 = 27;

/// mknodat(2) relative to the working directory: text 0 is the path; numbers are mode and device.
///
/// # Errors
/// EPERM without CAP_MKNOD, or where the caller's root has no such node; else as mknod(2) of a regular file, and mount(2).
pub(super) fn make(identity: &Identity, work: &Work) -> Result<(), Errno> {
    if !identity.may(CAP_MKNOD) {
        return Err(Errno::EPERM);
    }
    let [mode, device, ..] = work.numbers;
    let harmless = HARMLESS.iter().find(|(number, _)| u64::from(*number) == device);
    let (_, name) = harmless.ok_or(Errno::EPERM)?;
    let source = CString::new(format!("/dev/{name}")).map_err(|_| Errno::EINVAL)?;
    let tree = mount::clone_tree_at(&source, false, true).map_err(|errno| match errno {
        Errno::ENOENT => Errno::EPERM,
        other => other,
    })?;
    let stat = fd::stat(tree.as_fd())?;
    // The kernel's encoding of a small device number is the system call's.
    if stat.st_mode & libc::S_IFMT != libc::S_IFCHR || stat.st_rdev != device {
        return Err(Errno::EPERM);
    }
    let path = CString::new(work.texts[0].clone().unwrap_or_default()).map_err(|_| Errno::EINVAL)?;
    let permissions = u32::try_from(mode & 0o7777).map_err(|_| Errno::EINVAL)?;
    path::mknodat(AT_FDCWD.as_fd(), &path, libc::S_IFREG | permissions, 0, 0)?;
    let attached = place(&path).and_then(|place| mount::attach(tree.as_fd(), place.as_fd()));
    if attached.is_err() {
        // What was made a moment ago; if it is something else by now, its owner had every right to that.
        let _ = path::unlinkat(AT_FDCWD.as_fd(), &path, 0);
    }
    attached
}

fn place(path: &CString) -> Result<OwnedFd, Errno> {
    path::openat2(AT_FDCWD.as_fd(), path, libc::O_PATH | libc::O_NOFOLLOW, 0, resolve::NO_MAGICLINKS)
}
