//! Stages on disk: `NAME/` with `stage.json`, `lock`, and `layers/` with what overlayfs wants, `upper` and `work`.

mod stage;

pub use stage::{Opened, Record, Stage};

use crate::{Error, place};
use stage::{RECORD, fill};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The folder that stages are kept in.
#[derive(Debug, Clone)]
pub struct Stages {
    folder: PathBuf,
}

/// A hold on a stage: nobody else uses it meanwhile. The kernel lets go of it with the process.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

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

    /// Holds a stage. What an application of it that was killed had begun is ended first.
    ///
    /// # Errors
    /// It is not there, or in use.
    pub fn lock(&self, name: &str) -> Result<Lock, Error> {
        let lock = self.hold(name)?;
        match self.open(name).and_then(|stage| if stage.is_settled() { Ok(()) } else { stage.opened()?.settle() }) {
            // There is no record yet, or no folder: nothing of ours is in it.
            Err(Error::Absent(_) | Error::Replaced(_)) => Ok(lock),
            other => other.map(|()| lock),
        }
    }

    fn hold(&self, name: &str) -> Result<Lock, Error> {
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
