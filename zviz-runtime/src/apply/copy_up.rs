//! Copying what is below a place into the tmpfs that will cover it (`tmpcopyup`). In init, so without allocating: every
//! level keeps one buffer of directory entries on the stack, and a tree deeper than `DEPTH` is refused.

use nix::errno::Errno;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use zviz_sys::path::{self, resolve};
use zviz_sys::{dir, fd};

const DEPTH: usize = 32;

/// Copies the content of one directory into another: directories, files, links and nodes, with owner and mode.
pub(crate) fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<(), Errno> {
    level(from, to, 0)
}

fn level(from: BorrowedFd<'_>, to: BorrowedFd<'_>, depth: usize) -> Result<(), Errno> {
    if depth > DEPTH {
        return Err(Errno::ELOOP);
    }
    let readable = beneath(from, c".", libc::O_RDONLY | libc::O_DIRECTORY)?;
    let mut buffer = [0u8; 4096];
    loop {
        let mut entries = dir::read(readable.as_fd(), &mut buffer)?;
        let mut any = false;
        while let Some(name) = entries.next_name() {
            any = true;
            if name != c"." && name != c".." {
                entry(from, to, name, depth)?;
            }
        }
        if !any {
            return Ok(());
        }
    }
}

fn beneath(dir: BorrowedFd<'_>, name: &CStr, flags: i32) -> Result<OwnedFd, Errno> {
    path::openat2(dir, name, flags, 0, resolve::BENEATH | resolve::NO_SYMLINKS)
}

fn entry(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, depth: usize) -> Result<(), Errno> {
    let source = path::openat2(from, name, libc::O_PATH | libc::O_NOFOLLOW, 0, resolve::BENEATH)?;
    let stat = fd::stat(&source)?;
    let mode = stat.st_mode & 0o7777;
    match stat.st_mode & libc::S_IFMT {
        libc::S_IFDIR => {
            path::mkdirat(to, name, 0o700)?;
            let inside = beneath(to, name, libc::O_PATH | libc::O_DIRECTORY)?;
            level(source.as_fd(), inside.as_fd(), depth + 1)?;
        }
        libc::S_IFREG => file(from, to, name)?,
        libc::S_IFLNK => {
            let mut text = [0u8; 4097];
            let length = path::readlinkat(from, name, text.get_mut(..4096).unwrap_or_default())?.len();
            *text.get_mut(length).ok_or(Errno::ENAMETOOLONG)? = 0;
            let target = CStr::from_bytes_until_nul(&text).map_err(|_| Errno::ENAMETOOLONG)?;
            path::symlinkat(target, to, name)?;
            return path::chownat(to, name, stat.st_uid, stat.st_gid);
        }
        kind => path::mknodat(to, name, kind | mode, libc::major(stat.st_rdev), libc::minor(stat.st_rdev))?,
    }
    path::chownat(to, name, stat.st_uid, stat.st_gid)?;
    path::chmodat(to, name, mode)
}

fn file(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    let source = beneath(from, name, libc::O_RDONLY | libc::O_NONBLOCK)?;
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;
    let copy = path::openat2(to, name, flags, 0o600, resolve::BENEATH)?;
    let mut buffer = [0u8; 8192];
    loop {
        match fd::read(source.as_fd(), &mut buffer)? {
            0 => return Ok(()),
            n => fd::write_all(copy.as_fd(), buffer.get(..n).unwrap_or_default())?,
        }
    }
}
