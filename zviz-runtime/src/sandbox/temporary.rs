//! The private folder of a sandbox that has no mounts: made for it, and removed with it.
//!
//! A record of each lies beside the containers, locked by the process that made it. What a killed one has left is removed by the next
//! that comes by: the kernel drops the lock whatever becomes of the holder.

use nix::fcntl::OFlag;
use nix::sys::stat::fstat;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What its name begins with.
const PREFIX: &str = "zviz-tmp-";
/// Of a record: the longest path that the kernel takes.
const LONGEST: u64 = 4096;

/// A path that nobody can guess, in the caller's folder for such things.
///
/// # Errors
/// If there are no random numbers.
pub(super) fn name() -> io::Result<PathBuf> {
    let given = std::env::var_os("TMPDIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let folder =
        given.and_then(|path| path.canonicalize().ok()).filter(|path| path.is_dir() && path.to_str().is_some());
    let mut bytes = [0u8; 8];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(folder.unwrap_or_else(|| "/tmp".into()).join(format!("{PREFIX}{:016x}", u64::from_ne_bytes(bytes))))
}

/// One, until it is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    record: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes it, for the caller alone. Before, removes what others have left.
    ///
    /// # Errors
    /// If it is there already, or cannot be made.
    pub fn make(records: &Path, path: &Path) -> io::Result<Folder> {
        match DirBuilder::new().recursive(true).mode(0o700).create(records) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        sweep(records);
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let (record, mut lock) = record(records, Path::new(name))?;
        // Before the folder is there: whoever dies in between leaves a record of nothing.
        lock.write_all(path.as_os_str().as_encoded_bytes())?;
        let folder = Folder { path: path.to_owned(), record, _lock: lock };
        DirBuilder::new().mode(0o700).create(path)?;
        Ok(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // The record stays where the folder does, for the next who comes by.
        if zviz_stage::remove::tree(&self.path).is_ok() {
            let _ = fs::remove_file(&self.record);
        }
    }
}

/// A new record, locked. One that was swept away between its making and the lock is made again.
fn record(records: &Path, name: &Path) -> io::Result<(PathBuf, File)> {
    let path = records.join(name);
    for _ in 0..8 {
        let flags = OFlag::O_NOFOLLOW.bits();
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).custom_flags(flags).open(&path)?;
        if file.try_lock().is_ok() && fstat(&file)?.st_nlink > 0 {
            return Ok((path, file));
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

/// Removes the folders whose makers are gone.
fn sweep(records: &Path) {
    for found in fs::read_dir(records).into_iter().flatten().flatten() {
        let Ok(file) = OpenOptions::new().read(true).custom_flags(OFlag::O_NOFOLLOW.bits()).open(found.path()) else {
            continue;
        };
        if file.try_lock().is_err() {
            continue;
        }
        let mut text = String::new();
        let read = (&file).take(LONGEST).read_to_string(&mut text).is_ok();
        let path = Path::new(&text);
        let ours = path.is_absolute() && path.file_name() == Some(&*found.file_name()) && text.contains(PREFIX);
        if read && (text.is_empty() || ours && zviz_stage::remove::tree(path).is_ok()) {
            let _ = fs::remove_file(found.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_go_with_their_makers() {
        let scratch = tempfile::tempdir().unwrap();
        let records = scratch.path().join("records");
        let place = |name: &str| scratch.path().join(name);
        let first = Folder::make(&records, &place("zviz-tmp-1")).unwrap();
        assert!(Folder::make(&records, &place("zviz-tmp-1")).is_err());
        fs::write(place("zviz-tmp-1").join("file"), "").unwrap();
        let second = Folder::make(&records, &place("zviz-tmp-2")).unwrap();
        assert!(place("zviz-tmp-1").exists(), "it is in use");
        drop(first);
        assert!(!place("zviz-tmp-1").exists() && place("zviz-tmp-2").exists());
        // As if it had been killed.
        let Folder { path, record, _lock } = &second;
        let (path, record) = (path.clone(), record.clone());
        _lock.unlock().unwrap();
        assert!(path.exists() && record.exists());
        drop(Folder::make(&records, &place("zviz-tmp-3")).unwrap());
        assert!(!path.exists() && !record.exists());
        drop(second);
        assert_eq!(fs::read_dir(&records).unwrap().count(), 0);
    }

    #[test]
    fn only_folders_of_ours_are_swept() {
        let scratch = tempfile::tempdir().unwrap();
        let records = scratch.path().join("records");
        fs::create_dir(&records).unwrap();
        let other = scratch.path().join("other");
        fs::create_dir(&other).unwrap();
        fs::write(records.join("zviz-tmp-4"), other.to_str().unwrap()).unwrap();
        sweep(&records);
        assert!(other.exists() && records.join("zviz-tmp-4").exists());
    }
}
