//! A log file and its older ones, for a process that can open none: every file is open before, and rotation copies from
//! one to the next.
//!
//! ```text
//! audit.jsonl ──► audit.jsonl.1 ──► ... ──► audit.jsonl.KEEP
//! ```
//!
//! Several brokers may write to one set. Each takes an flock(2) on the first file to append or to rotate, and never
//! waits in the kernel for it; lines go in by one write(2) with O_APPEND. A rotation that is killed loses no line of the
//! first file, which is emptied last; older ones may then hold lines twice, or end in a cut one.

mod append;

use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;
use zviz_sys::Errno;

/// The most old files: each is a descriptor of each broker.
pub const MOST_KEPT: u8 = 32;

/// The open files of a log, for one writer: processes that have the same descriptors hold one lock together.
#[derive(Debug)]
pub struct FileSet {
    current: File,
    /// From the youngest to the oldest.
    old: Vec<File>,
    max_bytes: u64,
    /// Whether this writer has the lock.
    locked: bool,
    /// The size of the first file while it is locked.
    size: u64,
    /// Since when someone else has had the lock.
    taken_since: Option<Instant>,
    /// Whether the last line is one that could not be completed nor taken back.
    cut: bool,
    /// No rotation before this, since the last one failed.
    rotate_after: Option<Instant>,
}

/// Files that are no log.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// open(2): ELOOP for a symbolic link.
    #[error("open {}: {}", path.display(), errno.desc())]
    Open {
        /// The directory, or a file in it.
        path: PathBuf,
        /// Why.
        errno: Errno,
    },
    /// What is there is not for appending to.
    #[error("{}: {what}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The name has a slash, or is none.
    #[error("{0:?} is no name of a log file")]
    Name(String),
    /// They would hold nothing.
    #[error("a log file of 0 bytes")]
    Size,
    /// More than `MOST_KEPT`.
    #[error("{0} old log files to keep: at most {MOST_KEPT}")]
    Keep(u8),
}

impl FileSet {
    /// Those of all files, the youngest first: with [`FileSet::max_bytes`] all that another process needs to write to them.
    #[must_use]
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        std::iter::once(&self.current).chain(&self.old).map(AsFd::as_fd).collect()
    }

    /// The most bytes of one file.
    #[must_use]
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// What another process has opened, and keeps no more: the first file, and the older ones, the youngest first.
    #[must_use]
    pub fn of(current: OwnedFd, old: Vec<OwnedFd>, max_bytes: u64) -> FileSet {
        FileSet {
            current: current.into(),
            old: old.into_iter().map(File::from).collect(),
            max_bytes,
            locked: false,
            size: 0,
            taken_since: None,
            cut: false,
            rotate_after: None,
        }
    }

    /// Opens, and makes with mode 0600 where they are missing, `name` in `directory`, and `keep` older ones. A file is
    /// rotated before a line that would make it larger than `max_bytes`; with nothing to keep it is emptied.
    ///
    /// # Errors
    /// `OpenError`. A file that is not regular, not ours, has a second name or may be written by others is refused.
    pub fn open(directory: &Path, name: &str, max_bytes: u64, keep: u8) -> Result<FileSet, OpenError> {
        if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
            return Err(OpenError::Name(name.into()));
        }
        if max_bytes == 0 {
            return Err(OpenError::Size);
        }
        if keep > MOST_KEPT {
            return Err(OpenError::Keep(keep));
        }
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let within =
            open(directory, flags, Mode::empty()).map_err(|errno| OpenError::Open { path: directory.into(), errno })?;
        let one = |name: &str, flags| open_one(&within, directory, name, flags);
        let current = one(name, OFlag::O_APPEND)?;
        let old = (1..=keep).map(|i| one(&format!("{name}.{i}"), OFlag::empty())).collect::<Result<_, _>>()?;
        Ok(FileSet::of(current, old, max_bytes))
    }
}

fn open_one(within: &impl AsFd, directory: &Path, name: &str, flags: OFlag) -> Result<OwnedFd, OpenError> {
    let path = directory.join(name);
    // Without O_NONBLOCK a FIFO of that name would hold us.
    let flags = flags | OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let errno = |errno| OpenError::Open { path: path.clone(), errno };
    let file = File::from(openat(within, name, flags, Mode::S_IRUSR | Mode::S_IWUSR).map_err(errno)?);
    let is = file.metadata().map_err(|e| errno(from_io(&e)))?;
    let refused = |what| Err(OpenError::Refused { path: path.clone(), what });
    if !is.is_file() {
        return refused("no regular file");
    }
    if is.uid() != nix::unistd::geteuid().as_raw() {
        return refused("owned by another user");
    }
    if is.nlink() != 1 {
        return refused("a file with another name");
    }
    if is.mode() & 0o022 != 0 {
        return refused("may be written by other users");
    }
    Ok(file.into())
}

fn from_io(e: &io::Error) -> Errno {
    e.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

#[cfg(test)]
mod tests;
