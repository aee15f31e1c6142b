//! One at a time: who gives a name away looks first at what has it, since a directory takes all that is in it along. Several hands
//! work at once, and none may put a directory there in between.

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::os::fd::OwnedFd;

/// What all hands of a container have. A lock on it is a process's own, and ends with it: fcntl(2), F_SETLKW.
pub(crate) struct Turns(pub(super) OwnedFd);

/// A turn, until it is dropped.
pub(super) struct Turn<'t>(&'t Turns);

impl Turns {
    /// Before there are hands.
    ///
    /// # Errors
    /// Those of memfd_create(2).
    pub(crate) fn new() -> Result<Turns, Errno> {
        memfd_create(c"zviz-turns", MFdFlags::MFD_CLOEXEC).map(Turns)
    }

    /// Waits for it.
    ///
    /// # Errors
    /// EINTR if the caller does not wait any more.
    pub(super) fn wait(&self) -> Result<Turn<'_>, Errno> {
        let (lock, turn) = (of(libc::F_WRLCK), Turn(self));
        fcntl(&self.0, FcntlArg::F_SETLKW(&lock)).map(|_| turn)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // It cannot fail for a descriptor that is open; if it did, the others would be refused in time.
        let _ = fcntl(&self.0.0, FcntlArg::F_SETLK(&of(libc::F_UNLCK)));
    }
}

/// Of the whole file.
fn of(kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}
