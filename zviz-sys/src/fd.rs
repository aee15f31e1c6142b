//! Descriptors: marking, duplicating and transferring them.

use crate::{Errno, Result, owned, ret};
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Marks every descriptor from `first` up close-on-exec. close_range(2).
pub fn cloexec_from(first: u32) -> Result<()> {
    // SAFETY: no pointers are passed, and no descriptor is closed, so nothing that owns one is invalidated.
    ret(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) }).map(drop)
}

/// Makes `to` (0, 1 or 2) a copy of `from` that survives execve(2). dup3(2).
pub fn dup_onto_stdio(from: BorrowedFd<'_>, to: i32) -> Result<()> {
    if !(0..=2).contains(&to) {
        return Err(Errno::EBADF);
    }
    if from.as_raw_fd() == to {
        return Ok(());
    }
    // SAFETY: only a standard stream is replaced, which nothing in this process owns as an OwnedFd.
    ret(unsafe { libc::dup3(from.as_raw_fd(), to, 0) }.into()).map(drop)
}

/// Leaves a copy of a descriptor to whoever is executed next, under a number from `first` on, which is returned. Nobody owns
/// it. fcntl(2) F_DUPFD.
///
/// # Errors
/// EMFILE.
pub fn leave(from: BorrowedFd<'_>, first: u16) -> Result<i32> {
    // SAFETY: integers only; the result is a new descriptor.
    let number = ret(unsafe { libc::fcntl(from.as_raw_fd(), libc::F_DUPFD, i32::from(first)) }.into())?;
    i32::try_from(number).map_err(|_| Errno::EBADF)
}

/// Lets a descriptor survive execve(2). fcntl(2) F_SETFD.
pub fn keep_over_exec(fd: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: F_SETFD takes an integer and changes a flag of a descriptor that is open, since it is borrowed.
    ret(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, 0) }.into()).map(drop)
}

/// Lets the descriptor `raw`, given by number on the command line, survive execve(2).
///
/// # Errors
/// EBADF if it is not open.
pub fn keep_number_over_exec(raw: i32) -> Result<()> {
    // SAFETY: F_SETFD changes a flag only; if the number is not open the kernel says EBADF.
    ret(unsafe { libc::fcntl(raw, libc::F_SETFD, 0) }.into()).map(drop)
}

/// Reads without allocating, again after a signal. read(2).
pub fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize> {
    loop {
        match nix::unistd::read(fd, buffer) {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

/// Writes a value in one call, as files of /proc and of cgroups take it, again if a signal interrupts it.
///
/// # Errors
/// What write(2) says; EIO if only a part was taken.
pub fn write_value(fd: BorrowedFd<'_>, value: &[u8]) -> Result<()> {
    loop {
        return match nix::unistd::write(fd, value) {
            Err(Errno::EINTR) => continue,
            Ok(written) if written < value.len() => Err(Errno::EIO),
            other => other.map(drop),
        };
    }
}

/// Writes all, again after a signal. write(2).
pub fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match nix::unistd::write(fd, bytes) {
            Ok(0) => return Err(Errno::EIO),
            Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Copies one of this process's own descriptors, which the caller knows by number only: an inherited one. fcntl(2)
/// F_DUPFD_CLOEXEC.
///
/// # Errors
/// EBADF if there is none.
pub fn duplicate(number: i32) -> Result<OwnedFd> {
    // SAFETY: integers only; the result is a new descriptor, above the standard ones.
    owned(unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) }.into())
}

/// Copies a descriptor of another process. pidfd_getfd(2).
pub fn pidfd_getfd(pidfd: BorrowedFd<'_>, number: i32) -> Result<OwnedFd> {
    // SAFETY: integers only; the result is a new descriptor.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), number, 0) })
}

/// A connected pair of sequenced-packet sockets, close-on-exec. socketpair(2).
pub fn packet_pair() -> Result<(OwnedFd, OwnedFd)> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
}

/// What a descriptor is. fstat(2).
pub fn stat(fd: impl AsFd) -> Result<libc::stat> {
    nix::sys::stat::fstat(fd)
}

/// The path of a descriptor in the calling process's own /proc, for calls that take only paths. Nothing is allocated.
pub struct ProcPath([u8; 32]);

impl ProcPath {
    /// Of a descriptor that is open as long as the path is used.
    pub fn of(fd: BorrowedFd<'_>) -> ProcPath {
        const PREFIX: &[u8] = b"/proc/self/fd/";
        let mut path = [0; 32];
        path[..PREFIX.len()].copy_from_slice(PREFIX);
        let mut number = fd.as_raw_fd().unsigned_abs();
        let digits = number.checked_ilog10().unwrap_or(0) as usize + 1;
        for place in path[PREFIX.len()..PREFIX.len() + digits].iter_mut().rev() {
            *place = b'0' + (number % 10) as u8;
            number /= 10;
        }
        ProcPath(path)
    }

    /// The path below /proc, for who has a proc file system as its working directory.
    pub fn below_proc(&self) -> &CStr {
        self.0.get(b"/proc/".len()..).and_then(|path| CStr::from_bytes_until_nul(path).ok()).unwrap_or(c"")
    }

    /// The path.
    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or(c"")
    }
}

/// The magic number of the file system below a descriptor. fstatfs(2).
pub fn filesystem_magic(fd: BorrowedFd<'_>) -> Result<i64> {
    let mut buffer = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the buffer is as large as the kernel's structure.
    ret(unsafe { libc::fstatfs(fd.as_raw_fd(), buffer.as_mut_ptr()) }.into())?;
    // SAFETY: the call succeeded, so the kernel has filled the buffer.
    let buffer = unsafe { buffer.assume_init() };
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion)] // the field's type differs between architectures
    Ok(buffer.f_type as i64)
}

/// Closes every descriptor from `first` up, whoever owns it: for a process that will use none of them again, nor run a
/// destructor. close_range(2).
pub fn close_from(first: u32) -> Result<()> {
    // SAFETY: the caller never returns to code that owns a descriptor; numbers left in this process's memory are unused.
    ret(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) }).map(drop)
}

/// Closes every descriptor from `first` up but those to keep, whoever owns it: for a process that will use none of them
/// again, nor run a destructor. close_range(2).
pub fn close_all_but(first: u32, keep: &[Option<BorrowedFd<'_>>]) -> Result<()> {
    let mut from = first;
    loop {
        let kept = keep.iter().flatten().filter_map(|fd| u32::try_from(fd.as_raw_fd()).ok());
        let Some(next) = kept.filter(|kept| *kept >= from).min() else { return close_from(from) };
        if next > from {
            // SAFETY: as for close_from.
            ret(unsafe { libc::syscall(libc::SYS_close_range, from, next - 1, 0) })?;
        }
        from = next + 1;
    }
}
