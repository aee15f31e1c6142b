//! Stages on disk: `NAME/` with `stage.json`, `lock`, and `layers/` with what overlayfs wants, `upper` and `work`.

use crate::change::{Change, Stamp};
use crate::{Error, at, place, remove, scan};
use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

/// The folder that stages are kept in.
#[derive(Debug, Clone)]
pub struct Stages {
    folder: PathBuf,
}

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
    path: PathBuf,
    /// What it is of.
    pub record: Record,
}

/// A hold on a stage: nobody else uses it meanwhile. The kernel lets go of it with the process.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// A stage and its folder, by descriptor.
#[derive(Debug)]
pub struct Opened {
    /// Which.
    pub stage: Stage,
    pub(crate) folder: OwnedFd,
    pub(crate) upper: OwnedFd,
}

const RECORD: &str = "stage.json";

impl Stages {
    /// Those of the caller; `root` is one who is root of the machine. Nothing is made yet.
    ///
    /// # Errors
    /// There is no home folder.
    pub fn of_caller(root: bool) -> Result<Stages, Error> {
        let folder = place::of_caller(root)
            .ok_or_else(|| Error::Absent("of a user with neither $HOME nor $XDG_STATE_HOME".to_owned()))?;
        Ok(Stages { folder })
    }

    /// In a folder of one's own.
    pub fn below(folder: PathBuf) -> Stages {
        Stages { folder }
    }

    /// The name that a stage of `folder` gets where none is given.
    pub fn name_of(folder: &str) -> String {
        place::name_of(folder)
    }

    /// Where the layers of a stage are, whether it exists or not.
    ///
    /// # Errors
    /// The name is none.
    pub fn layers(&self, name: &str) -> Result<PathBuf, Error> {
        Ok(self.path(name)?.join("layers"))
    }

    /// The stage of that name, made if it is not there, for the folder, which is a path without links.
    ///
    /// # Errors
    /// It is of another folder, in use, or the folder cannot be staged.
    pub fn take(&self, name: &str, folder: &str) -> Result<(Stage, Lock), Error> {
        let path = self.path(name)?;
        // Before anything is made: that would be in the folder.
        self.apart(folder)?;
        place::make_private(&self.folder)?;
        self.apart(folder)?;
        if let Some(mounted) = place::mounted_below(folder) {
            return Err(Error::Mounted(mounted));
        }
        let named = |source| Error::io(format!("make the stage {name}"), source);
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(named(error)),
            _ => place::is_private(&path)?,
        }
        let lock = self.lock(name)?;
        if !path.join(RECORD).exists() {
            fill(&path, folder).map_err(named)?;
        }
        let stage = self.open(name)?;
        if stage.record.folder != folder {
            return Err(Error::Other { name: stage.name, folder: stage.record.folder });
        }
        drop(stage.folder()?);
        Ok((stage, lock))
    }

    /// Holds a stage.
    ///
    /// # Errors
    /// It is not there, or in use.
    pub fn lock(&self, name: &str) -> Result<Lock, Error> {
        let path = self.path(name)?.join("lock");
        let named = |source| Error::io(format!("lock the stage {name}"), source);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let file = match options.open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(Error::Absent(name.to_owned())),
            other => other.map_err(named)?,
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Busy(name.to_owned())),
            Err(TryLockError::Error(error)) => return Err(named(error)),
        }
        // Removed between the two calls: it is nobody's any more.
        if file.metadata().map_err(named)?.nlink() == 0 {
            Err(Error::Absent(name.to_owned()))
        } else {
            Ok(Lock { _file: file })
        }
    }

    /// The stage of that name.
    ///
    /// # Errors
    /// There is none, or its record cannot be read.
    pub fn open(&self, name: &str) -> Result<Stage, Error> {
        let path = self.path(name)?;
        let text = match fs::read(path.join(RECORD)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(Error::Absent(name.to_owned())),
            other => other.map_err(|source| Error::io(format!("the record of the stage {name}"), source))?,
        };
        place::is_private(&path)?;
        let record = serde_json::from_slice(&text).map_err(|source| Error::Record(name.to_owned(), source))?;
        Ok(Stage { name: name.to_owned(), path, record })
    }

    /// All stages, by name. One that cannot be read is an error in its place.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn list(&self) -> Result<Vec<Result<Stage, Error>>, Error> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(|source| Error::io(format!("read {}", self.folder.display()), source))?,
        };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|name| place::is_name(name)).collect();
        names.sort();
        // Between the two calls of `take` there is a folder without a record.
        Ok(names.iter().map(|name| self.open(name)).filter(|found| !matches!(found, Err(Error::Absent(_)))).collect())
    }

    /// The stage of a folder.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub fn of_folder(&self, folder: &str) -> Result<Stage, Error> {
        let mut found: Vec<Stage> =
            self.list()?.into_iter().flatten().filter(|stage| stage.record.folder == folder).collect();
        match found.len() {
            0 => Err(Error::NoneOf(folder.to_owned())),
            1 => Ok(found.remove(0)),
            _ => Err(Error::Several {
                folder: folder.to_owned(),
                names: found.into_iter().map(|stage| stage.name).collect(),
            }),
        }
    }

    fn path(&self, name: &str) -> Result<PathBuf, Error> {
        if place::is_name(name) { Ok(self.folder.join(name)) } else { Err(Error::Name(name.to_owned())) }
    }

    /// Neither may hold the other: the stage would stage itself.
    fn apart(&self, folder: &str) -> Result<(), Error> {
        let there = self.folder.ancestors().find_map(|around| Some((around, fs::canonicalize(around).ok()?)));
        let (around, found) = there.ok_or_else(|| Error::Open(self.folder.display().to_string()))?;
        let stages = found.join(self.folder.strip_prefix(around).unwrap_or(Path::new("")));
        if stages.starts_with(folder) || Path::new(folder).starts_with(&stages) {
            return Err(Error::Around { folder: folder.to_owned(), stages: stages.display().to_string() });
        }
        Ok(())
    }
}

fn fill(path: &Path, folder: &str) -> std::io::Result<()> {
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

/// The next time that the clock of file systems shows: what was changed a moment ago has an earlier one, so that it is not
/// taken for a change of later.
fn next_tick() -> std::io::Result<(i64, i64)> {
    let now = zviz_sys::time::of_files()?;
    loop {
        std::thread::sleep(std::time::Duration::from_millis(1));
        let next = zviz_sys::time::of_files()?;
        if next != now {
            return Ok(next);
        }
    }
}

fn write(path: &Path, record: &Record) -> std::io::Result<()> {
    let fresh = path.join("stage.json.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(&serde_json::to_vec_pretty(record)?)?;
    file.sync_all()?;
    fs::rename(fresh, path.join(RECORD))
}

impl Stage {
    /// Where overlayfs has its layers.
    pub fn layers(&self) -> PathBuf {
        self.path.join("layers")
    }

    /// The folder on the host, if it is still the one that was staged.
    fn folder(&self) -> Result<OwnedFd, Error> {
        let replaced = || Error::Replaced(self.record.folder.clone());
        let path = std::ffi::CString::new(self.record.folder.as_str()).map_err(|_| replaced())?;
        let plain = zviz_sys::path::open_plain(&path, libc::O_DIRECTORY).map_err(|_| replaced())?;
        let found = nix::sys::stat::fstat(&plain).map_err(|_| replaced())?;
        if (found.st_dev, found.st_ino) != self.record.file {
            return Err(replaced());
        }
        at::folder(&plain, b"").map_err(|source| Error::io(format!("open {}", self.record.folder), source))
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
        for rest in ["stage.json.new", "lock"] {
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
