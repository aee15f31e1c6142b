//! Linux system calls that nix does not wrap, or not without allocating.
//!
//! The only crate of the project that may use `unsafe`. Every function here is one system call, or a few that belong
//! together; none allocates, locks or logs unless it says so, so that a freshly cloned child may call it.

pub mod bpf;
pub mod dir;
pub mod exec;
pub mod fd;
pub mod guard;
pub mod ids;
pub mod landlock;
pub mod machine;
pub mod mount;
pub mod net;
pub mod notify;
pub mod path;
pub mod probe;
pub mod process;
pub mod ptrace;
pub mod pty;
pub mod reaper;
pub mod rights;
pub mod sched;
pub mod seccomp;
pub mod signals;
pub mod socket;
pub mod spawn;
pub mod tend;
pub mod time;
pub mod victim;
pub mod wait;

pub use nix::errno::Errno;

/// The result of a system call.
pub type Result<T> = std::result::Result<T, Errno>;

/// Turns a raw return value into a result.
pub(crate) fn ret(value: libc::c_long) -> Result<libc::c_long> {
    if value < 0 { Err(Errno::last()) } else { Ok(value) }
}

/// Takes the descriptor that a system call has just returned.
pub(crate) fn owned(value: libc::c_long) -> Result<std::os::fd::OwnedFd> {
    use std::os::fd::FromRawFd;
    let raw = i32::try_from(ret(value)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel has just made this descriptor for the caller, so nothing else owns it.
    Ok(unsafe { std::os::fd::OwnedFd::from_raw_fd(raw) })
}
