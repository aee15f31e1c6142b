//! Paths below a directory descriptor, resolved by the kernel inside that directory.

use crate::{Result, owned, ret};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// openat2(2) resolution flags.
pub mod resolve {
    /// Magic links (/proc/PID/fd/N and the like) are refused.
    pub const NO_MAGICLINKS: u64 = 0x02;
    /// Symbolic links are refused.
    pub const NO_SYMLINKS: u64 = 0x04;
    /// Leaving the directory is refused.
    pub const BENEATH: u64 = 0x08;
    /// The directory is the root: `/` and `..` stay inside.
    pub const IN_ROOT: u64 = 0x10;
    /// Mount points are not crossed.
    pub const NO_XDEV: u64 = 0x01;
    /// What the kernel would have to ask a file system about is EAGAIN. Linux 5.12.
    pub const CACHED: u64 = 0x20;
}

#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

/// openat2(2), close-on-exec, again while the kernel says that a rename raced with `..` (EAGAIN), or that a signal came
/// while a file system of another machine or process was asked (EINTR).
pub fn openat2(dir: BorrowedFd<'_>, path: &CStr, flags: i32, mode: u32, resolve: u64) -> Result<OwnedFd> {
    let how = OpenHow { flags: (flags | libc::O_CLOEXEC) as u64, mode: mode.into(), resolve };
    loop {
        // SAFETY: the structure has the kernel's layout and its size is passed; the path is a valid string.
        let value =
            unsafe { libc::syscall(libc::SYS_openat2, dir.as_raw_fd(), path.as_ptr(), &how, size_of::<OpenHow>()) };
        match owned(value) {
            Err(crate::Errno::EAGAIN | crate::Errno::EINTR) => {}
            other => return other,
        }
    }
}

/// As `openat2`, once: EAGAIN may also be that somebody has a lease on the file, whom O_NONBLOCK does not wait for.
pub fn openat2_once(dir: BorrowedFd<'_>, path: &CStr, flags: i32, mode: u32, resolve: u64) -> Result<OwnedFd> {
    let how = OpenHow { flags: (flags | libc::O_CLOEXEC) as u64, mode: mode.into(), resolve };
    // SAFETY: as in `openat2`.
    owned(unsafe { libc::syscall(libc::SYS_openat2, dir.as_raw_fd(), path.as_ptr(), &how, size_of::<OpenHow>()) })
}

/// As `openat2`, of what the kernel knows without asking a file system: it never waits for anybody.
///
/// # Errors
/// EAGAIN where it does not know; EINVAL before Linux 5.12.
pub fn openat2_cached(dir: BorrowedFd<'_>, path: &CStr, flags: i32, resolve: u64) -> Result<OwnedFd> {
    openat2_once(dir, path, flags, 0, resolve | resolve::CACHED)
}

/// An O_PATH descriptor of a path of this process's own root and working directory.
pub fn open_path(path: &CStr, flags: i32) -> Result<OwnedFd> {
    open(path, flags | libc::O_PATH)
}

/// An O_PATH descriptor of an absolute path that no symbolic link is part of. openat2(2).
///
/// # Errors
/// ELOOP if one is.
pub fn open_plain(path: &CStr, flags: i32) -> Result<OwnedFd> {
    openat2(nix::fcntl::AT_FDCWD, path, flags | libc::O_PATH, 0, resolve::NO_SYMLINKS)
}

/// open(2), close-on-exec.
pub fn open(path: &CStr, flags: i32) -> Result<OwnedFd> {
    // SAFETY: the path is a valid string; O_CREAT is not used, so no mode is read.
    owned(unsafe { libc::open(path.as_ptr(), flags & !libc::O_CREAT | libc::O_CLOEXEC) }.into())
}

/// openat(2), close-on-exec, once: whatever it answers is the caller's to judge. The mode counts if a file is made.
pub fn openat(dir: BorrowedFd<'_>, path: &CStr, flags: i32, mode: u32) -> Result<OwnedFd> {
    // SAFETY: the path is a valid string; no flag makes the kernel read or write anything else of this process.
    owned(unsafe { libc::openat(dir.as_raw_fd(), path.as_ptr(), flags | libc::O_CLOEXEC, mode) }.into())
}

/// mkdirat(2).
pub fn mkdirat(dir: BorrowedFd<'_>, name: &CStr, mode: u32) -> Result<()> {
    // SAFETY: the name is a valid string.
    ret(unsafe { libc::mkdirat(dir.as_raw_fd(), name.as_ptr(), mode) }.into()).map(drop)
}

/// mknodat(2).
pub fn mknodat(dir: BorrowedFd<'_>, name: &CStr, mode: u32, major: u32, minor: u32) -> Result<()> {
    // SAFETY: the name is a valid string.
    ret(unsafe { libc::mknodat(dir.as_raw_fd(), name.as_ptr(), mode, libc::makedev(major, minor)) }.into()).map(drop)
}

/// symlinkat(2).
pub fn symlinkat(target: &CStr, dir: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    // SAFETY: both are valid strings.
    ret(unsafe { libc::symlinkat(target.as_ptr(), dir.as_raw_fd(), name.as_ptr()) }.into()).map(drop)
}

/// unlinkat(2).
pub fn unlinkat(dir: BorrowedFd<'_>, name: &CStr, flags: i32) -> Result<()> {
    // SAFETY: the name is a valid string.
    ret(unsafe { libc::unlinkat(dir.as_raw_fd(), name.as_ptr(), flags) }.into()).map(drop)
}

/// The text of a link below a directory, in `buffer`. readlinkat(2).
pub fn readlinkat<'b>(dir: BorrowedFd<'_>, name: &CStr, buffer: &'b mut [u8]) -> Result<&'b [u8]> {
    // SAFETY: the pointer and the length describe one buffer; the name is a valid string.
    let length =
        ret(unsafe { libc::readlinkat(dir.as_raw_fd(), name.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) }
            as libc::c_long)?;
    let length = usize::try_from(length).map_err(|_| crate::Errno::EINVAL)?;
    buffer.get(..length).ok_or(crate::Errno::ENAMETOOLONG)
}

/// fchmodat(2), which follows links: for a name that was just made.
pub fn chmodat(dir: BorrowedFd<'_>, name: &CStr, mode: u32) -> Result<()> {
    // SAFETY: the name is a valid string.
    ret(unsafe { libc::fchmodat(dir.as_raw_fd(), name.as_ptr(), mode, 0) }.into()).map(drop)
}

/// fchownat(2) without following a link; an empty name is `dir` itself.
pub fn chownat(dir: BorrowedFd<'_>, name: &CStr, uid: u32, gid: u32) -> Result<()> {
    let flags = libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH;
    // SAFETY: the name is a valid string.
    ret(unsafe { libc::fchownat(dir.as_raw_fd(), name.as_ptr(), uid, gid, flags) }.into()).map(drop)
}

/// Whether this process may execute a file, with its effective ids. faccessat2(2).
pub fn may_execute(path: &CStr) -> Result<()> {
    // SAFETY: the path is a valid string.
    ret(unsafe { libc::syscall(libc::SYS_faccessat2, libc::AT_FDCWD, path.as_ptr(), libc::X_OK, libc::AT_EACCESS) })
        .map(drop)
}

/// What a path is, links followed. stat(2).
pub fn stat(path: &CStr) -> Result<libc::stat> {
    nix::sys::stat::stat(path)
}

/// As `stat`, of a link itself. lstat(2).
pub fn stat_link(path: &CStr) -> Result<libc::stat> {
    nix::sys::stat::lstat(path)
}

/// Makes an open directory the working directory. fchdir(2).
pub fn enter(dir: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: integers only.
    ret(unsafe { libc::fchdir(dir.as_raw_fd()) }.into()).map(drop)
}

/// chdir(2).
pub fn change_directory(path: &CStr) -> Result<()> {
    // SAFETY: the path is a valid string.
    ret(unsafe { libc::chdir(path.as_ptr()) }.into()).map(drop)
}

/// Makes the working directory the root. chroot(2).
pub fn chroot_to_cwd() -> Result<()> {
    // SAFETY: the path is a valid string.
    ret(unsafe { libc::chroot(c".".as_ptr()) }.into()).map(drop)
}

/// The path of the working directory, by the system call itself: libc's wrapper may fall back to a walk.
/// getcwd(2); a directory outside the root is given as `(unreachable)...`.
pub fn working_directory(buffer: &mut [u8]) -> Result<&[u8]> {
    // SAFETY: the pointer and the length describe one buffer.
    let length = ret(unsafe { libc::syscall(libc::SYS_getcwd, buffer.as_mut_ptr(), buffer.len()) })?;
    let length = usize::try_from(length).map_err(|_| crate::Errno::EINVAL)?;
    buffer.get(..length.saturating_sub(1)).ok_or(crate::Errno::ENAMETOOLONG)
}

/// Makes sure that the working directory is below the root: one of the host's, reached through a descriptor that was left
/// open, has no path there (CVE-2024-21626).
///
/// # Errors
/// EXDEV if it is outside.
pub fn working_directory_is_inside() -> Result<()> {
    let mut buffer = [0u8; 4096];
    match working_directory(&mut buffer)? {
        [b'/', ..] => Ok(()),
        _ => Err(crate::Errno::EXDEV),
    }
}

/// Whether a file has an extended attribute. getxattr(2).
pub fn has_attribute(path: &CStr, name: &CStr) -> bool {
    // SAFETY: both strings end with a NUL; with size 0 nothing is written to the null buffer.
    unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), std::ptr::null_mut(), 0) >= 0 }
}
