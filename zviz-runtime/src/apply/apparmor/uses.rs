//! Which containers have which profile: notes in a folder of the machine's, since the kernel's profiles are the machine's too,
//! whatever the root of a store is.
//!
//! ```text
//! FOLDER/               the lock: flock(2) on the folder itself; root's alone
//! FOLDER/compiled/      what apparmor_parser has made
//! FOLDER/zviz-HASH/     a profile that was loaded
//! FOLDER/zviz-HASH/DEV-INODE -> PATH   a container by its directory in a store
//! ```

use super::Error;
use super::kernel::{self, Confined};
use crate::profile::apparmor::PREFIX;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

const FOLDER: &str = "/run/zviz/.apparmor";
const COMPILED: &str = "compiled";

/// The folder.
pub(super) struct Uses {
    path: PathBuf,
    directory: File,
}

impl Uses {
    /// Opens it; makes it if it is not there.
    pub(super) fn open() -> Result<Uses, Error> {
        Uses::at(Path::new(FOLDER))
    }

    fn at(path: &Path) -> Result<Uses, Error> {
        let failed = |what| move |source| Error::Folder { path: path.to_owned(), what, source };
        for made in [path.to_owned(), path.join(COMPILED)] {
            DirBuilder::new().recursive(true).mode(0o700).create(made).map_err(failed("make the folder"))?;
        }
        let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
        let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
        let directory = opened.map_err(failed("open"))?;
        let metadata = directory.metadata().map_err(failed("look at it"))?;
        if metadata.uid() != nix::unistd::geteuid().as_raw() || metadata.mode() & 0o077 != 0 {
            return Err(Error::Foreign(path.to_owned()));
        }
        Ok(Uses { path: path.to_owned(), directory })
    }

    /// Where compiled policies are kept.
    pub(super) fn compiled(&self) -> PathBuf {
        self.path.join(COMPILED)
    }

    /// Nobody else loads or unloads while it is held: a short time.
    pub(super) fn lock(&self) -> Result<Held<'_>, Error> {
        let locked = loop {
            match self.directory.lock() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        locked.map_err(self.failed("lock"))?;
        Ok(Held(self))
    }

    /// Notes that a container has a profile.
    pub(super) fn note(&self, name: &str, container: &File, path: &Path) -> Result<(), Error> {
        let folder = self.path.join(name);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(self.failed("make a folder for a profile"))?;
        let path = std::path::absolute(path).map_err(self.failed("find the container's directory"))?;
        match symlink(path, folder.join(self.note_of(container)?)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(self.failed("note the container")(error)),
            _ => Ok(()),
        }
    }

    /// Takes the note away.
    pub(super) fn forget(&self, name: &str, container: &File) -> Result<(), Error> {
        match fs::remove_file(self.path.join(name).join(self.note_of(container)?)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.failed("forget the container")(error)),
            _ => Ok(()),
        }
    }

    /// Unloads what no container has any more, nor any process. Whether something is to be unloaded as soon as a process has
    /// ended.
    ///
    /// # Errors
    /// The first; what comes after it is unloaded all the same.
    pub(super) fn sweep(&self) -> Result<bool, Error> {
        let (mut soon, mut wrong) = (false, None);
        for entry in fs::read_dir(&self.path).map_err(self.failed("list"))?.flatten() {
            let Some(name) = entry.file_name().to_str().filter(|name| is_ours(name)).map(str::to_owned) else {
                continue;
            };
            match self.unload(&name) {
                Ok(waits) => soon |= waits,
                Err(error) => wrong = wrong.or(Some(error)),
            }
        }
        wrong.map_or(Ok(soon), Err)
    }

    /// Unloads one that nobody has. Whether only a process stands in the way.
    fn unload(&self, name: &str) -> Result<bool, Error> {
        if self.used(name)? {
            return Ok(false);
        }
        match kernel::confined(name) {
            Confined::Somebody => return Ok(true),
            Confined::Unknown => return Ok(false),
            Confined::Nobody => {}
        }
        kernel::remove(name)?;
        fs::remove_dir(self.path.join(name)).map_err(self.failed("forget a profile"))?;
        Ok(false)
    }

    /// Whether a container has it. Notes of those that are not there any more are taken away.
    fn used(&self, name: &str) -> Result<bool, Error> {
        let mut used = false;
        for note in fs::read_dir(self.path.join(name)).map_err(self.failed("list"))?.flatten() {
            let there = fs::read_link(note.path())
                .and_then(fs::metadata)
                .is_ok_and(|container| container.is_dir() && note.file_name().to_str() == Some(&called(&container)));
            if there {
                used = true;
            } else {
                fs::remove_file(note.path()).map_err(self.failed("forget a container"))?;
            }
        }
        Ok(used)
    }

    fn note_of(&self, container: &File) -> Result<String, Error> {
        Ok(called(&container.metadata().map_err(self.failed("look at the container's directory"))?))
    }

    fn failed(&self, what: &'static str) -> impl Fn(io::Error) -> Error {
        let path = self.path.clone();
        move |source| Error::Folder { path: path.clone(), what, source }
    }
}

/// The lock, held.
pub(super) struct Held<'u>(&'u Uses);

impl Drop for Held<'_> {
    /// Not left to the last close: a child that is cloned meanwhile has the description too.
    fn drop(&mut self) {
        let _ = self.0.directory.unlock();
    }
}

/// A directory's name that is no other's as long as it is there.
fn called(metadata: &Metadata) -> String {
    format!("{}-{}", metadata.dev(), metadata.ino())
}

fn is_ours(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_of_containers_that_are_there() {
        let folder = tempfile::tempdir().unwrap();
        let uses = Uses::at(&folder.path().join("uses")).unwrap();
        let _held = uses.lock().unwrap();
        let container = folder.path().join("container");
        fs::create_dir(&container).unwrap();
        let directory = File::open(&container).unwrap();
        uses.note("zviz-1", &directory, &container).unwrap();
        uses.note("zviz-1", &directory, &container).unwrap();
        assert!(uses.used("zviz-1").unwrap());
        uses.forget("zviz-1", &directory).unwrap();
        assert!(!uses.used("zviz-1").unwrap());
        uses.note("zviz-1", &directory, &container).unwrap();
        // Another of the same name is another.
        fs::rename(&container, folder.path().join("old")).unwrap();
        fs::create_dir(&container).unwrap();
        assert!(!uses.used("zviz-1").unwrap());
        assert_eq!(fs::read_dir(folder.path().join("uses/zviz-1")).unwrap().count(), 0);
        uses.forget("zviz-1", &directory).unwrap();
    }

    #[test]
    fn a_folder_of_others_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("uses");
        DirBuilder::new().mode(0o755).create(&path).unwrap();
        assert!(matches!(Uses::at(&path), Err(Error::Foreign(_))));
        let link = folder.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(matches!(Uses::at(&link), Err(Error::Folder { .. })));
    }

    #[test]
    fn only_what_is_called_so_is_ours() {
        assert!(is_ours("zviz-0a"));
        for name in ["zviz-", "zviz-test", "compiled", "docker-default", "zviz-0/../x"] {
            assert!(!is_ours(name), "{name}");
        }
    }
}
