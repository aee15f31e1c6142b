//! A process whose call waits: its memory and its descriptors.

use crate::memory::Memory;
use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::unistd::Pid;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, OwnedFd};
use zviz_sys::{fd, process};

/// The memory of a thread's process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub thread: i32,
    pub process: Option<i32>,
}

impl Memory for Target {
    fn read(&mut self, address: u64, buffer: &mut [u8]) -> Result<(), Errno> {
        let length = buffer.len();
        let remote = RemoteIoVec { base: usize::try_from(address).map_err(|_| Errno::EFAULT)?, len: length };
        let read = process_vm_readv(Pid::from_raw(self.thread), &mut [IoSliceMut::new(buffer)], &[remote])?;
        if read == length { Ok(()) } else { Err(Errno::EFAULT) }
    }
}

impl Target {
    /// Writes what the call returns by pointer, by the number of a thread that still waited a moment ago.
    ///
    /// It may be killed in that moment, and its number be another's: of all numbers that the host has, each is given out
    /// once before one comes again (pid_max), so all of them would have to be in between the two system calls. What is written
    /// then is what `sysinfo` and `uname` say, which nobody chooses, at an address that the dead caller did choose. Whom it
    /// would hit is whom these eyes may write to at all (__ptrace_may_access): processes of the container; beside them, as root, none
    /// that has any capability on the host, and, as an ordinary user, that user's own. A descriptor of /proc/PID/mem would
    /// be bound to the memory, but costs three times the whole write.
    ///
    /// # Errors
    /// EFAULT.
    pub(super) fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        let remote = RemoteIoVec { base: usize::try_from(address).map_err(|_| Errno::EFAULT)?, len: bytes.len() };
        let written = process_vm_writev(Pid::from_raw(self.thread), &[IoSlice::new(bytes)], &[remote])?;
        if written == bytes.len() { Ok(()) } else { Err(Errno::EFAULT) }
    }

    /// One of its descriptors, as it is now.
    ///
    /// # Errors
    /// EBADF; EPERM where it may not be had.
    pub(crate) fn descriptor(&self, number: i32) -> Result<OwnedFd, Errno> {
        fd::pidfd_getfd(self.pidfd()?.as_fd(), number)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// EPERM where it has taken on ids that nobody outside may signal; ESRCH.
    pub(super) fn signal(&self, signal: i32) -> Result<(), Errno> {
        process::pidfd_send_signal(self.pidfd()?.as_fd(), signal)
    }

    fn pidfd(&self) -> Result<OwnedFd, Errno> {
        match process::pidfd_open_thread(self.thread) {
            // Linux before 6.9: only the first thread of a process has a pidfd. Others have the same descriptors, unless they have
            // been made to have their own (CLONE_FILES).
            Err(Errno::EINVAL) => process::pidfd_open(self.process.unwrap_or(self.thread)),
            other => other,
        }
    }
}
