//! Where containers are remembered between commands: one directory each, below one root.
//!
//! ```text
//! ROOT/ID/             the lock: flock(2) on the directory itself
//! ROOT/ID/state.json   replaced by rename, so that a reader needs no lock
//! ROOT/ID/runtime      locked by a runtime that waits for the end, and takes all of it away then
//! ROOT/ID/exec.fifo    init waits on it until `start`; its presence is what tells created from running
//! ```
//!
//! Everything below the root is reached through descriptors. A name is only ever resolved in the root's own
//! directory, and a directory that was removed while its lock was waited for is seen by its link count.

mod entry;
mod lock;
mod root;
mod text;

pub use entry::{ENDED, EXEC_FIFO, Entry, Left, Locked};
pub use root::Root;
pub use text::PlanText;

use crate::container::Id;
use crate::container::id;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is wrong with the store or with a container in it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The words are runc's: containerd and Podman look for "does not exist".
    #[error("container does not exist: {0}")]
    Absent(Id),
    /// The words are runc's.
    #[error("container with given ID already exists: {0}")]
    Exists(Id),
    /// Another command holds it longer than one should.
    #[error("container {id}: another command has held it for {seconds} seconds")]
    Busy {
        /// The container's.
        id: Id,
        /// The time waited.
        seconds: u64,
    },
    /// state.json is not what zviz writes.
    #[error("container {id}: state.json: {source}")]
    State {
        /// The container's.
        id: Id,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// A file of the container.
    #[error("container {id}: {what}")]
    Entry {
        /// The container's.
        id: Id,
        /// The operation and the file.
        what: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The root itself.
    #[error("state root {}: {what}", path.display())]
    Root {
        /// As given.
        path: PathBuf,
        /// The operation.
        what: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The root is in a place where others could have made it, and did.
    #[error("state root {}: {what}", path.display())]
    Untrusted {
        /// As given.
        path: PathBuf,
        /// Why it is not trusted.
        what: &'static str,
    },
    /// An id that cannot be one.
    #[error(transparent)]
    Id(#[from] id::Error),
}

/// All containers of one root directory.
#[derive(Debug, Clone)]
pub struct Store {
    root: Arc<OwnedFd>,
    path: PathBuf,
}

const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

impl Store {
    /// The root as a path, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the directory of a new container and takes its lock. It holds no state yet: until the first
    /// [`Locked::save`] other commands answer that the container does not exist.
    ///
    /// # Errors
    /// `Exists` if there is one of this id.
    pub fn create(&self, id: &Id) -> Result<Locked, Error> {
        loop {
            match mkdirat(&*self.root, id.as_str(), Mode::S_IRWXU) {
                Ok(()) => {}
                Err(Errno::EEXIST) => return Err(Error::Exists(id.clone())),
                Err(errno) => {
                    return Err(Error::Entry { id: id.clone(), what: "make its directory", source: errno.into() });
                }
            }
            // A `delete` may come between the two calls, find a directory without a state, and clear it away.
            match self.lock(id) {
                Err(Error::Absent(_)) => {}
                Ok(locked) => return Ok(locked),
                Err(error) => {
                    // Not one that holds something: another `create` may have come after a `delete`.
                    let _ = unlinkat(&*self.root, id.as_str(), UnlinkatFlags::RemoveDir);
                    return Err(error);
                }
            }
        }
    }

    /// A container, without its lock: to look, to signal, to join. What is looked at may be deleted meanwhile.
    ///
    /// # Errors
    /// `Absent` if there is none of this id.
    pub fn entry(&self, id: &Id) -> Result<Entry, Error> {
        match openat(&*self.root, id.as_str(), DIRECTORY, Mode::empty()) {
            Ok(dir) => Ok(Entry::new(id.clone(), dir)),
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Err(Error::Absent(id.clone())),
            Err(errno) => Err(Error::Entry { id: id.clone(), what: "open its directory", source: errno.into() }),
        }
    }

    /// A container that no other command can change meanwhile. Waits a minute for others to finish.
    ///
    /// # Errors
    /// `Absent` if there is none of this id, `Busy` if another command does not finish.
    pub fn lock(&self, id: &Id) -> Result<Locked, Error> {
        loop {
            let entry = self.entry(id)?;
            lock::exclusive(&entry, lock::PATIENCE)?;
            let locked = Locked::new(entry, Arc::clone(&self.root));
            // Deleted while we waited: another of the same name may have taken its place.
            if locked.linked()? {
                return Ok(locked);
            }
        }
    }

    /// The ids of all containers, sorted. A directory whose name cannot be an id is not ours and is left out.
    ///
    /// # Errors
    /// `Root` if the directory cannot be read.
    pub fn ids(&self) -> Result<Vec<Id>, Error> {
        let broken = |errno: Errno| Error::Root { path: self.path.clone(), what: "read", source: errno.into() };
        // A new description: the position of a directory is shared by duplicates.
        let mut dir = Dir::openat(&*self.root, ".", DIRECTORY, Mode::empty()).map_err(broken)?;
        let mut ids = Vec::new();
        for entry in dir.iter() {
            let entry = entry.map_err(broken)?;
            let directory = entry.file_type().is_none_or(|kind| kind == nix::dir::Type::Directory);
            if let Some(id) = entry.file_name().to_str().ok().filter(|_| directory).and_then(|name| Id::new(name).ok())
            {
                ids.push(id);
            }
        }
        ids.sort();
        Ok(ids)
    }
}

#[cfg(test)]
mod tests;
