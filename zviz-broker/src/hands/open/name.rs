//! What a file is called.

use super::{Found, Opener};
use nix::errno::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use zviz_sys::fd;
use zviz_sys::path::{self, resolve};

/// What the kernel puts behind the name of a file that has none any more. d_path of fs/d_path.c.
const DELETED: &[u8] = b" (deleted)";
/// As long as a name can be: the kernel has a page for it.
const LONGEST: usize = 4097;

impl Opener<'_> {
    /// The name of a file in the caller's root. One that was deleted is called what it was; one that is in no directory of
    /// the root at all has the empty name; what never was in a directory (a pipe) has one that does not begin with a slash.
    pub(super) fn name(&self, found: &Found, stat: &libc::stat) -> Result<Vec<u8>, Errno> {
        let mut buffer = [0u8; LONGEST];
        let name = path::readlinkat(self.own.as_fd(), &number(found.file.as_fd())?, &mut buffer)?;
        let gone = stat.st_nlink == 0;
        let name = if gone { name.strip_suffix(DELETED).unwrap_or(name) } else { name };
        // The path of a call begins inside the root and cannot leave it, except by proc's links.
        if found.jumped && !gone && name.starts_with(b"/") && !is_at(name, stat) {
            return Ok(Vec::new());
        }
        Ok(name.to_vec())
    }
}

/// Whether this name leads to this file: outside the root, the kernel gives a name from the root of the mount.
fn is_at(name: &[u8], stat: &libc::stat) -> bool {
    let Ok(name) = CString::new(name) else { return false };
    let file = path::openat2(
        nix::fcntl::AT_FDCWD,
        &name,
        libc::O_PATH | libc::O_NOFOLLOW,
        0,
        resolve::NO_MAGICLINKS | resolve::NO_SYMLINKS,
    );
    let found = file.and_then(|file| fd::stat(file.as_fd()));
    found.is_ok_and(|found| (found.st_dev, found.st_ino) == (stat.st_dev, stat.st_ino))
}

/// A descriptor's number, as its entry in /proc/self/fd is called.
pub(super) fn number(fd: BorrowedFd<'_>) -> Result<CString, Errno> {
    CString::new(fd.as_raw_fd().to_string()).map_err(|_| Errno::EBADF)
}

/// The name of something in a directory.
pub(super) fn below(mut directory: Vec<u8>, last: &[u8]) -> Vec<u8> {
    if directory.is_empty() {
        return directory;
    }
    if directory.last() != Some(&b'/') {
        directory.push(b'/');
    }
    directory.extend_from_slice(last);
    directory
}
