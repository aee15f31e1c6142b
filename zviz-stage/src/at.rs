//! Files below a folder's descriptor. No call here follows a symbolic link.

use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{FileStat, fstatat};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use zviz_sys::fd::ProcPath;
use zviz_sys::path;

/// Symbolic links are not followed, anywhere on the way, and the folder is not left.
fn how(flags: OFlag) -> OpenHow {
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve)
}

/// Opens `path` below `dir`; the folder itself where it is empty.
///
/// # Errors
/// openat2(2); ELOOP if a link is on the way.
pub fn open(dir: impl AsFd, path: &[u8], flags: OFlag) -> io::Result<OwnedFd> {
    let path = OsStr::from_bytes(if path.is_empty() { b"." } else { path });
    // Renames elsewhere on the machine make it say EAGAIN.
    loop {
        match openat2(dir.as_fd(), path, how(flags)) {
            Err(nix::Error::EAGAIN | nix::Error::EINTR) => {}
            other => return Ok(other?),
        }
    }
}

/// Opens a folder.
///
/// # Errors
/// As [`open`].
pub fn folder(dir: impl AsFd, path: &[u8]) -> io::Result<OwnedFd> {
    open(dir, path, OFlag::O_RDONLY | OFlag::O_DIRECTORY)
}

/// Opens a regular file for reading. What it is, is looked at after: a FIFO must not hold us up.
///
/// # Errors
/// As [`open`]; EINVAL if it is no regular file.
pub fn file(dir: impl AsFd, path: &[u8]) -> io::Result<std::fs::File> {
    let file = std::fs::File::from(open(dir, path, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// What a name of a folder is; none if it is not there.
///
/// # Errors
/// fstatat(2).
pub fn stat(dir: impl AsFd, name: &[u8]) -> io::Result<Option<FileStat>> {
    match fstatat(dir, OsStr::from_bytes(name), AtFlags::AT_SYMLINK_NOFOLLOW) {
        Err(nix::Error::ENOENT) => Ok(None),
        Ok(found) => Ok(Some(found)),
        Err(errno) => Err(errno.into()),
    }
}

/// The names in a folder, sorted.
///
/// # Errors
/// getdents64(2).
pub fn names(dir: impl AsFd) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::from_fd(folder(dir, b"")?)?.iter() {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Where a symbolic link points to.
///
/// # Errors
/// readlinkat(2).
pub fn link(dir: impl AsFd, name: &[u8]) -> io::Result<Vec<u8>> {
    Ok(nix::fcntl::readlinkat(dir, OsStr::from_bytes(name)).map(OsString::into_vec)?)
}

/// Whether a file or folder of a layer has an attribute. Links and devices have none of users (xattr(7)).
pub(crate) fn is_marked(dir: impl AsFd, name: &[u8], attribute: &std::ffi::CStr) -> bool {
    open(dir, name, OFlag::O_PATH)
        .is_ok_and(|file| path::has_attribute(ProcPath::of(file.as_fd()).as_c_str(), attribute))
}

/// The folder of a path and its last name.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
        None => (b"", path),
    }
}

/// A name below a path.
pub(crate) fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() }
}
