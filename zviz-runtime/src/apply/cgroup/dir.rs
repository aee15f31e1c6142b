//! A cgroup's directory and the files in it.

use super::Error;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
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
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = open(path, flags, Mode::empty()).map_err(|e| call("open", path, e))?;
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
        nix::unistd::write(&file, value.as_bytes()).map(drop)
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

/// The directories right below one.
pub fn children(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            out.push(entry.path());
        }
    }
    Ok(out)
}
