//! A cgroup's directory and the files in it.

use super::Error;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::Mode;
use std::ffi::{CStr, CString};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// An open directory. Files are opened through it, so that a name cannot come to mean another cgroup.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

impl Dir {
    /// Opens it. A symbolic link at the end is not followed.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_at(AT_FDCWD, path)
    }

    /// Opens it relative to another.
    pub fn open_at(at: BorrowedFd<'_>, path: &Path) -> Result<Self, Error> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = openat(at, path, flags, Mode::empty()).map_err(|e| call("open", path, e))?;
        Ok(Self { fd, path: path.to_path_buf() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a file in it.
    pub fn file(&self, name: &str, flags: OFlag) -> Result<OwnedFd, Errno> {
        openat(&self.fd, name, flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW, Mode::empty())
    }

    /// Writes a value, whole, in one call.
    pub fn write(&self, name: &str, value: &str) -> Result<(), Errno> {
        let file = self.file(name, OFlag::O_WRONLY)?;
        zviz_sys::fd::write_value(file.as_fd(), value.as_bytes())
    }

    /// Reads a file.
    pub fn read(&self, name: &str) -> Result<String, Error> {
        let mut text = String::new();
        self.file(name, OFlag::O_RDONLY)
            .map_err(io::Error::from)
            .and_then(|fd| std::fs::File::from(fd).read_to_string(&mut text))
            .map_err(|source| Error::Call { call: "read", path: self.path.join(name), source })?;
        Ok(text)
    }

    /// The error of a write.
    pub fn refused(&self, name: &str, value: &str, errno: Errno) -> Error {
        Error::Write { path: self.path.join(name), value: value.to_owned(), source: errno.into() }
    }

    /// Gives it away.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// An error of a call on a path.
pub fn call(call: &'static str, path: &Path, errno: Errno) -> Error {
    Error::Call { call, path: path.to_path_buf(), source: errno.into() }
}

/// Makes the directory and what is missing above it, below the mount. Says whether it was made, and notes each that was.
pub fn make(mount: &Path, dir: &Path, made: &mut Vec<PathBuf>) -> Result<bool, Error> {
    match nix::unistd::mkdir(dir, Mode::from_bits_truncate(0o755)) {
        Ok(()) => {
            made.push(dir.to_path_buf());
            Ok(true)
        }
        Err(Errno::EEXIST) => Ok(false),
        Err(Errno::ENOENT) if dir != mount && dir.starts_with(mount) => {
            make(mount, dir.parent().unwrap_or(mount), made)?;
            make(mount, dir, made)
        }
        Err(errno) => Err(call("make", dir, errno)),
    }
}

/// What [`walk`] calls for each directory.
pub trait Visit {
    /// On the way down, for the top too.
    fn enter(&mut self, dir: BorrowedFd<'_>) -> Result<(), Errno>;
    /// On the way up, but not for the top.
    fn leave(&mut self, parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno>;
}

/// Goes through a directory and all below it. A container that may make cgroups can nest them deeper than any path is
/// long, or than there are descriptors: so one is held, and the way back up is `..`, which no one can move in a cgroup
/// file system. What goes away meanwhile is passed by.
///
/// # Errors
/// What the visitor returns, and what keeps a directory from being read.
pub fn walk(top: OwnedFd, visit: &mut dyn Visit) -> Result<(), Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    visit.enter(top.as_fd())?;
    let mut rest = vec![children(&top)?];
    let mut names: Vec<CString> = Vec::new();
    let mut here = top;
    while let Some(todo) = rest.last_mut() {
        match todo.pop() {
            Some(name) => {
                match openat(&here, name.as_c_str(), flags, Mode::empty()) {
                    Ok(child) => here = child,
                    Err(Errno::ENOENT) => continue,
                    Err(errno) => return Err(errno),
                }
                visit.enter(here.as_fd())?;
                rest.push(children(&here)?);
                names.push(name);
            }
            None => {
                rest.pop();
                if let Some(name) = names.pop() {
                    here = openat(&here, "..", flags, Mode::empty())?;
                    visit.leave(here.as_fd(), &name)?;
                }
            }
        }
    }
    Ok(())
}

/// The names of the directories right below one; none where it is gone.
fn children(dir: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut names = Vec::new();
    let mut entries = match nix::dir::Dir::openat(dir, ".", flags, Mode::empty()) {
        Err(Errno::ENOENT | Errno::ENODEV) => return Ok(names),
        other => other?,
    };
    for entry in entries.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type() == Some(nix::dir::Type::Directory) && name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}
