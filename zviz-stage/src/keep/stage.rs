//! One stage: its record, and its folder by descriptor.

use super::Lock;
use crate::change::{Change, Stamp};
use crate::{Error, at, journal, remove, scan};
use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(super) const RECORD: &str = "stage.json";

/// What is known of a stage beside its layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The folder that it is of, without links.
    pub folder: String,
    /// Its device and inode: another folder of that name is another folder.
    pub file: (u64, u64),
    /// When it was made, by the clock that file systems use: seconds and nanoseconds.
    pub began: (i64, i64),
    /// What was applied, and how it was then: changes since are somebody else's. By escaped path.
    #[serde(default)]
    pub applied: BTreeMap<String, Stamp>,
}

/// One stage.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Unique among those of one user.
    pub name: String,
    pub(crate) path: PathBuf,
    /// What it is of.
    pub record: Record,
}

/// A stage and its folder, by descriptor.
#[derive(Debug)]
pub struct Opened {
    /// Which.
    pub stage: Stage,
    pub(crate) folder: OwnedFd,
    pub(crate) upper: OwnedFd,
}

impl Stage {
    /// Where overlayfs has its layers.
    pub fn layers(&self) -> PathBuf {
        self.path.join("layers")
    }

    /// The folder on the host, if it is still the one that was staged.
    pub(super) fn folder(&self) -> Result<OwnedFd, Error> {
        let replaced = || Error::Replaced(self.record.folder.clone());
        let path = std::ffi::CString::new(self.record.folder.as_str()).map_err(|_| replaced())?;
        let plain = zviz_sys::path::open_plain(&path, libc::O_DIRECTORY).map_err(|_| replaced())?;
        let found = nix::sys::stat::fstat(&plain).map_err(|_| replaced())?;
        if (found.st_dev, found.st_ino) != self.record.file {
            return Err(replaced());
        }
        at::folder(&plain, b"").map_err(|source| Error::io(format!("open {}", self.record.folder), source))
    }

    /// Whether no application of it was killed.
    pub(super) fn is_settled(&self) -> bool {
        !journal::is_there(&self.path)
    }

    /// Opens it, to look at what it would change.
    ///
    /// # Errors
    /// Its folder is gone or another one.
    pub fn opened(self) -> Result<Opened, Error> {
        let folder = self.folder()?;
        let layers =
            File::open(self.layers()).map_err(|source| Error::io(format!("open the stage {}", self.name), source))?;
        let upper = at::open(&layers, b"upper", OFlag::O_RDONLY | OFlag::O_DIRECTORY)
            .map_err(|source| Error::io(format!("open the stage {}", self.name), source))?;
        Ok(Opened { stage: self, folder, upper })
    }

    /// Throws it away, whatever is in it. The lock is given up with it.
    ///
    /// # Errors
    /// What cannot be removed; what is left has no record and can be taken again.
    pub fn remove(self, lock: Lock) -> Result<(), Error> {
        let named = |source| Error::io(format!("remove the stage {}", self.name), source);
        // First, so that half a stage is none.
        fs::remove_file(self.path.join(RECORD)).map_err(named)?;
        let layers = self.layers();
        remove::tree(&layers).map_err(named)?;
        for rest in ["stage.json.new", journal::FILE, "lock"] {
            let _ = fs::remove_file(self.path.join(rest));
        }
        fs::remove_dir(&self.path).map_err(named)?;
        drop(lock);
        Ok(())
    }
}

impl Opened {
    /// What it would change.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn changes(&self) -> Result<Vec<Change>, Error> {
        scan::scan(self)
    }

    /// Whether a file of the host has changed since the stage began, by other hands than ours.
    pub(crate) fn changed_since(&self, path: &[u8], stamp: &Stamp) -> bool {
        let record = &self.stage.record;
        stamp.changed >= record.began && record.applied.get(&crate::escape::name(path)) != Some(stamp)
    }

    pub(crate) fn remember(&mut self, path: &[u8], stamp: Stamp) {
        self.stage.record.applied.insert(crate::escape::name(path), stamp);
    }

    pub(crate) fn keep_record(&self) -> Result<(), Error> {
        write(&self.stage.path, &self.stage.record)
            .map_err(|source| Error::io(format!("the record of the stage {}", self.stage.name), source))
    }
}

pub(super) fn fill(path: &Path, folder: &str) -> std::io::Result<()> {
    let found = fs::metadata(folder)?;
    let began = next_tick()?;
    let layers = path.join("layers");
    for name in ["", "upper", "work"] {
        match DirBuilder::new().mode(0o700).create(layers.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    // The layer's own permissions and owner are those that the folder is seen with inside.
    let upper = layers.join("upper");
    if nix::unistd::geteuid().is_root() {
        chown(&upper, Some(found.uid()), Some(found.gid()))?;
    }
    fs::set_permissions(&upper, Permissions::from_mode(found.mode() & 0o777))?;
    let record =
        Record { folder: folder.to_owned(), file: (found.dev(), found.ino()), began, applied: BTreeMap::new() };
    write(path, &record)
}

/// A time of the clock of file systems after everything until now: what was changed a moment ago has an earlier one, so that it
/// is not taken for a change of later. A file may have a time between two ticks (Linux 6.13), and a tick may come late.
fn next_tick() -> std::io::Result<(i64, i64)> {
    let mut now = exact();
    loop {
        std::thread::sleep(Duration::from_millis(1));
        let next = zviz_sys::time::of_files()?;
        if next > now {
            return Ok(next);
        }
        // Somebody may have put the clock back.
        now = now.min(exact());
    }
}

fn exact() -> (i64, i64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (i64::try_from(now.as_secs()).unwrap_or(i64::MAX), now.subsec_nanos().into())
}

fn write(path: &Path, record: &Record) -> std::io::Result<()> {
    let fresh = path.join("stage.json.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(&serde_json::to_vec_pretty(record)?)?;
    file.sync_all()?;
    fs::rename(fresh, path.join(RECORD))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// Among programs that keep the machine busy, since ticks come late then.
    #[test]
    fn what_was_changed_before_it_began_is_earlier() {
        let folder = tempfile::tempdir().unwrap();
        let changed = |path: &Path| fs::metadata(path).map(|found| (found.ctime(), found.ctime_nsec())).unwrap();
        let over = AtomicBool::new(false);
        let check = |round: u32| {
            let path = folder.path().join(round.to_string());
            fs::write(&path, "").unwrap();
            // A time that somebody has looked at is followed by an exact one.
            changed(&path);
            fs::write(&path, "x").unwrap();
            let (before, began) = (changed(&path), next_tick().unwrap());
            fs::write(&path, "y").unwrap();
            (before < began, changed(&path) >= began)
        };
        let found: Vec<_> = std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            let found = (0..400).map(check).collect();
            over.store(true, Ordering::Relaxed);
            found
        });
        assert_eq!(found, vec![(true, true); found.len()]);
    }
}
