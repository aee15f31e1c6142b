//! Loading a seccomp program.

use crate::{Errno, Result, ret};
use std::os::fd::{FromRawFd, OwnedFd};

/// One instruction, as the kernel's `struct sock_filter`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Jump if true.
    pub jt: u8,
    /// Jump if false.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

/// seccomp(2) filter flags.
pub mod flag {
    /// All threads of the process.
    pub const TSYNC: u64 = 1;
    /// Log all but allowed calls.
    pub const LOG: u64 = 2;
    /// No speculative-store-bypass mitigation.
    pub const SPEC_ALLOW: u64 = 4;
    /// Return a listener.
    pub const NEW_LISTENER: u64 = 8;
    /// TSYNC reports ESRCH instead of a thread id, which would look like success.
    pub const TSYNC_ESRCH: u64 = 16;
    /// Once received, a notification waits through all but fatal signals.
    pub const WAIT_KILLABLE_RECV: u64 = 32;
}

/// Whether the kernel knows a filter flag: it looks at flags before it looks at the program, which is not there.
pub fn knows_flag(flag: u64) -> bool {
    // WAIT_KILLABLE_RECV means nothing without a listener, and is refused.
    let flags = if flag == flag::WAIT_KILLABLE_RECV { flag | flag::NEW_LISTENER } else { flag };
    let none = std::ptr::null::<libc::sock_fprog>();
    // SAFETY: a null program is refused with EFAULT before anything is changed.
    ret(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, none) }) == Err(Errno::EFAULT)
}

/// Loads a program for the calling thread; a listener comes back if NEW_LISTENER was asked for.
/// seccomp(2) SECCOMP_SET_MODE_FILTER; needs no_new_privs or CAP_SYS_ADMIN in the user namespace.
pub fn load(program: &[Instruction], flags: u64) -> Result<Option<OwnedFd>> {
    let length = u16::try_from(program.len()).map_err(|_| Errno::EINVAL)?;
    let filter = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: `Instruction` has the layout of `struct sock_filter`, `len` is the array's, and the kernel only reads it.
    let value = ret(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &filter) })?;
    if flags & flag::NEW_LISTENER == 0 {
        return Ok(None);
    }
    let raw = i32::try_from(value).map_err(|_| Errno::EBADF)?;
    // SAFETY: with NEW_LISTENER the kernel returns a new descriptor.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(raw) }))
}
