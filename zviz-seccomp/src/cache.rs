//! Compiled policies kept in a directory that is the caller's alone.
//!
//! A file holds the whole key (the policy, the versions that compiled it) beside the program, and is used only if the
//! key is the same byte for byte: the name is a hash, but nothing rests on it. An unusable cache is never an error.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, renameat};
use nix::sys::stat::{Mode, SFlag, fstat, mkdirat};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};

use crate::cache_file::{self, MAX_FILE};
use crate::{Compiled, Error, Policy, compile};

/// Files that a cache may hold. One more, and it is emptied: policies that are used come back.
const MAX_FILES: usize = 512;

/// Compiled policies of earlier runs.
#[derive(Debug)]
pub struct Cache {
    directory: Result<OwnedFd, Unusable>,
}

/// Why a cache is not used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unusable {
    /// The directory cannot be opened or made; or it is a symbolic link, or no directory.
    #[error("open: {0}")]
    Open(Errno),
    /// Somebody else's.
    #[error("owned by uid {0}")]
    Owner(u32),
    /// Others may enter or write it.
    #[error("mode {0:04o}, not 0700")]
    Mode(u32),
    /// Asked for none.
    #[error("switched off")]
    Off,
}

impl Cache {
    /// The cache in `directory`, which is made (mode 0700) where its parent exists. The parents are the caller's to trust.
    pub fn at(directory: &Path) -> Cache {
        Cache { directory: open_directory(directory) }
    }

    /// No cache: every policy is compiled.
    pub const fn off() -> Cache {
        Cache { directory: Err(Unusable::Off) }
    }

    /// Why nothing is kept, if nothing is.
    pub fn unusable(&self) -> Option<Unusable> {
        self.directory.as_ref().err().copied()
    }

    /// The compiled policy: from the cache, or compiled and kept.
    pub fn load_or_compile(&self, policy: &Policy) -> Result<Compiled, Error> {
        let Ok(directory) = &self.directory else { return compile(policy) };
        let Some(key) = cache_file::key(policy) else { return compile(policy) };
        let name = cache_file::name(&key);
        if let Some(compiled) = load(directory, &name).and_then(|bytes| cache_file::decode(&bytes, &key)) {
            return Ok(compiled);
        }
        let compiled = compile(policy)?;
        // What cannot be kept is compiled again next time.
        let _ = store(directory, &name, &cache_file::encode(&compiled, &key));
        Ok(compiled)
    }
}

fn open_directory(path: &Path) -> Result<OwnedFd, Unusable> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let directory = match open(path, flags, Mode::empty()) {
        Err(Errno::ENOENT) => {
            // Another process may be first; the open decides.
            let _ = mkdirat(nix::fcntl::AT_FDCWD, path, Mode::S_IRWXU);
            open(path, flags, Mode::empty())
        }
        other => other,
    };
    let directory = directory.map_err(Unusable::Open)?;
    let stat = fstat(&directory).map_err(Unusable::Open)?;
    if stat.st_uid != geteuid().as_raw() {
        return Err(Unusable::Owner(stat.st_uid));
    }
    let mode = stat.st_mode & 0o7777;
    if mode & 0o777 == 0o700 { Ok(directory) } else { Err(Unusable::Mode(mode)) }
}

/// The bytes of a regular file of the caller's.
fn load(directory: &OwnedFd, name: &str) -> Option<Vec<u8>> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let file = File::from(openat(directory, name, flags, Mode::empty()).ok()?);
    let stat = fstat(&file).ok()?;
    let regular = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFREG;
    let own = stat.st_uid == geteuid().as_raw() && stat.st_mode & 0o022 == 0;
    let size = usize::try_from(stat.st_size).ok().filter(|size| *size <= MAX_FILE)?;
    if !regular || !own {
        return None;
    }
    let mut bytes = Vec::with_capacity(size + 1);
    file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Writes a file beside the others and renames it into place: a reader sees all of it or none.
fn store(directory: &OwnedFd, name: &str, bytes: &[u8]) -> Result<(), Errno> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    make_room(directory)?;
    let temporary = format!("{name}.{}.{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut file = File::from(openat(directory, temporary.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
    let written = file.write_all(bytes).map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw));
    written.and_then(|()| renameat(directory, temporary.as_str(), directory, name)).inspect_err(|_| {
        let _ = unlinkat(directory, temporary.as_str(), UnlinkatFlags::NoRemoveDir);
    })
}

fn make_room(directory: &OwnedFd) -> Result<(), Errno> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut listing = Dir::openat(directory.as_fd(), ".", flags, Mode::empty())?;
    let entries = listing.iter().filter_map(Result::ok).map(|entry| entry.file_name().to_owned());
    let files: Vec<_> = entries.filter(|name| !matches!(name.to_bytes(), b"." | b"..")).collect();
    if files.len() >= MAX_FILES {
        for name in files {
            let _ = unlinkat(directory, name.as_c_str(), UnlinkatFlags::NoRemoveDir);
        }
    }
    Ok(())
}
