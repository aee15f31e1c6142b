//! Addresses at the bridge: one for every sandbox, of all that start and end at once, of all stores.
//!
//! ```text
//! /run/zviz-net/4026531840/10.213.7.9    who has it, locked by a process of that sandbox
//!               └ inode of the network namespace that has the bridge
//! ```
//!
//! An address is whose lock its file has: the kernel drops that whatever becomes of the holder, so nothing is believed of pids,
//! and of two that come for what a dead one has left one gets it. Such a file is not empty, which tells that there may be devices and
//! rules of the dead one that bear its name.

mod gone;
mod held;

use held::read;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{FileStat, Mode, fstat, mkdirat, stat};
use sha2::{Digest, Sha256};
use std::fs::{File, TryLockError};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) use gone::{gone, inhabited};
pub use held::{Holder, Lease};

/// Where leases are, for all stores of this machine: two of them share one bridge.
pub const ROOT: &str = "/run/zviz-net";
const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Why there is no address.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder or a file in it.
    #[error("{}: {what}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Doing what.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// Somebody else could have put something there.
    #[error("{} must be a folder of root's that nobody else may enter (0700)", path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
    },
    /// All are taken.
    #[error("all {count} addresses of {first} to {last} are taken: that many sandboxes run at the bridge")]
    Exhausted {
        /// How many there are.
        count: u32,
        /// The first.
        first: Ipv4Addr,
        /// The last.
        last: Ipv4Addr,
    },
}

/// Addresses that may be leased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// The first.
    pub first: Ipv4Addr,
    /// How many follow each other.
    pub count: u32,
    /// The network whose addresses end in the IPv4 address: one lease is for both.
    pub network6: Ipv6Addr,
}

impl Pool {
    fn at(&self, index: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.first.to_bits().wrapping_add(index))
    }

    fn has(&self, address: Ipv4Addr) -> bool {
        address.to_bits().checked_sub(self.first.to_bits()).is_some_and(|index| index < self.count)
    }

    /// The IPv6 address that goes with it.
    #[must_use]
    pub fn six(&self, address: Ipv4Addr) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.network6.to_bits() | u128::from(address.to_bits()))
    }
}

/// The leases of one network namespace.
#[derive(Debug)]
pub struct Leases {
    folder: Arc<OwnedFd>,
    path: PathBuf,
    pool: Pool,
}

impl Leases {
    /// Those of the caller's network namespace. Their folder is made where it is absent.
    ///
    /// # Errors
    /// It cannot be made, or others than root may have made something in it.
    pub fn open(root: &Path, pool: Pool) -> Result<Leases, Error> {
        Leases::within(root, pool, own_folder)
    }

    /// Those of the caller's network namespace, if it has a folder.
    ///
    /// # Errors
    /// As of [`Leases::open`].
    pub fn existing(root: &Path, pool: Pool) -> Result<Option<Leases>, Error> {
        match Leases::within(root, pool, found_folder) {
            Err(Error::Folder { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    fn within(
        root: &Path,
        pool: Pool,
        folder: fn(&OwnedFd, &Path, &Path) -> Result<OwnedFd, Error>,
    ) -> Result<Leases, Error> {
        let namespace = stat("/proc/self/ns/net").map_err(|errno| Error::Folder {
            path: "/proc/self/ns/net".into(),
            what: "stat",
            source: errno.into(),
        })?;
        let parent =
            Arc::new(openat(nix::fcntl::AT_FDCWD, "/", DIRECTORY, Mode::empty()).map_err(|errno| Error::Folder {
                path: "/".into(),
                what: "open",
                source: errno.into(),
            })?);
        let root_folder = folder(&parent, root, root)?;
        let path = root.join(namespace.st_ino.to_string());
        let own = folder(&root_folder, Path::new(&namespace.st_ino.to_string()), &path)?;
        Ok(Leases { folder: Arc::new(own), path, pool })
    }

    /// A free address. Where to begin to look is given by who asks, so that those who ask at once seldom meet.
    ///
    /// # Errors
    /// There is none, or the folder cannot be written.
    pub fn take(&self, holder: &Holder) -> Result<Lease, Error> {
        let mut hash = Sha256::new();
        hash.update(holder.store.as_os_str().as_encoded_bytes());
        hash.update([0]);
        hash.update(&holder.id);
        let digest = hash.finalize();
        let door = self.door()?;
        door.lock_shared().map_err(|error| self.failed("lock", error))?;
        let begin = digest.iter().take(4).fold(0, |sum, byte| sum << 8 | u32::from(*byte)) % self.pool.count.max(1);
        for index in (begin..self.pool.count).chain(0..begin) {
            if let Some(mut lease) = self.try_take(self.pool.at(index), true)? {
                lease.write(holder).map_err(|source| self.failed("write a lease", source))?;
                return Ok(lease);
            }
        }
        let Pool { first, count, .. } = self.pool;
        Err(Error::Exhausted { count, first, last: self.pool.at(count.saturating_sub(1)) })
    }

    /// Those whose holders are gone, taken over. Their files go when these are dropped.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn left(&self) -> Result<Vec<Lease>, Error> {
        let broken = |errno: Errno| self.failed("read", errno.into());
        let mut left = Vec::new();
        let mut dir = Dir::openat(&*self.folder, ".", DIRECTORY, Mode::empty()).map_err(broken)?;
        for found in dir.iter() {
            let found = found.map_err(broken)?;
            let address = found.file_name().to_str().ok().and_then(|name| name.parse().ok());
            let Some(address) = address.filter(|address| self.pool.has(*address)) else { continue };
            left.extend(self.try_take(address, false)?);
        }
        Ok(left)
    }

    /// One address, if nobody holds it; its file is made where it is absent.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn of(&self, address: Ipv4Addr) -> Result<Option<Lease>, Error> {
        if self.pool.has(address) { self.try_take(address, true) } else { Ok(None) }
    }

    /// Keeps everybody from taking an address, until what comes back is dropped. None if somebody has one, or is about to.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn alone(&self) -> Result<Option<File>, Error> {
        let door = self.door()?;
        match door.try_lock() {
            Ok(()) => Ok((self.count()? == 0).then_some(door)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(self.failed("lock", error)),
        }
    }

    /// The folder itself, to be locked.
    fn door(&self) -> Result<File, Error> {
        openat(&*self.folder, ".", DIRECTORY, Mode::empty())
            .map(File::from)
            .map_err(|errno| self.failed("open", errno.into()))
    }

    /// How many addresses are held, by whomever.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn count(&self) -> Result<usize, Error> {
        let broken = |errno: Errno| self.failed("read", errno.into());
        let mut dir = Dir::openat(&*self.folder, ".", DIRECTORY, Mode::empty()).map_err(broken)?;
        let mut count = 0;
        for found in dir.iter() {
            let found = found.map_err(broken)?;
            count += usize::from(found.file_name().to_str().is_ok_and(|name| name.parse::<Ipv4Addr>().is_ok()));
        }
        Ok(count)
    }

    /// None if somebody has it, or what has its name is no file, as zviz makes none. A name may vanish between the opening and the
    /// lock, by its last holder; then it is made again.
    fn try_take(&self, address: Ipv4Addr, make: bool) -> Result<Option<Lease>, Error> {
        let failed = |errno: Errno| self.failed("open a lease", errno.into());
        let create = if make { OFlag::O_CREAT } else { OFlag::empty() };
        let flags = OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | create;
        loop {
            let name = address.to_string();
            let file = match openat(&*self.folder, name.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR) {
                Err(Errno::ENOENT) if !make => return Ok(None),
                Err(Errno::EISDIR | Errno::ELOOP | Errno::ENXIO | Errno::ENODEV) => return Ok(None),
                other => File::from(other.map_err(failed)?),
            };
            if !file.metadata().is_ok_and(|found| found.is_file()) {
                return Ok(None);
            }
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(TryLockError::Error(error)) => return Err(self.failed("lock a lease", error)),
            }
            let found: FileStat = fstat(&file).map_err(failed)?;
            if found.st_nlink == 0 {
                continue;
            }
            let left = found.st_size > 0;
            let left_by = if left { read(&file) } else { None };
            let (six, folder) = (self.pool.six(address), Arc::clone(&self.folder));
            return Ok(Some(Lease { address, six, left_by, left, kept: false, folder, file }));
        }
    }

    fn failed(&self, what: &'static str, source: io::Error) -> Error {
        Error::Folder { path: self.path.clone(), what, source }
    }
}

/// A folder, made where it is absent, that only its owner, the caller, may enter.
fn own_folder(parent: &OwnedFd, name: &Path, path: &Path) -> Result<OwnedFd, Error> {
    match mkdirat(parent, name, Mode::S_IRWXU) {
        Ok(()) | Err(Errno::EEXIST) => found_folder(parent, name, path),
        Err(errno) => Err(Error::Folder { path: path.to_owned(), what: "make it", source: errno.into() }),
    }
}

/// The same, which must be there.
fn found_folder(parent: &OwnedFd, name: &Path, path: &Path) -> Result<OwnedFd, Error> {
    let failed = |what| move |errno: Errno| Error::Folder { path: path.to_owned(), what, source: errno.into() };
    let folder = openat(parent, name, DIRECTORY, Mode::empty()).map_err(failed("open it"))?;
    let found = fstat(&folder).map_err(failed("stat it"))?;
    let own = found.st_uid == nix::unistd::geteuid().as_raw();
    if !own || found.st_mode & 0o077 != 0 {
        return Err(Error::Foreign { path: path.to_owned() });
    }
    Ok(folder)
}

#[cfg(test)]
mod tests;
