//! Whether a change may be applied.

use crate::change::{Change, Did, Kind, Stamp};
use crate::places::Places;
use crate::{Error, Opened, at, escape};
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

const CHANGED: &str = "was changed on the host since the stage began";

/// A change, and what stands against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// What it is about.
    pub change: Change,
    /// Why it is never applied.
    pub refused: Option<&'static str>,
    /// What the host's owner did meanwhile.
    pub conflict: Option<&'static str>,
    /// Why it hands trust onward.
    pub trust: Option<&'static str>,
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

impl Opened {
    /// Judges all changes.
    ///
    /// # Errors
    /// What cannot be looked at.
    pub fn judge(&self, changes: Vec<Change>) -> Result<Vec<Judged>, Error> {
        let mut places = Places::of(self)?;
        changes.into_iter().map(|change| self.judged(change, &mut places)).collect()
    }

    fn judged(&self, change: Change, places: &mut Places<'_>) -> Result<Judged, Error> {
        let named = |source| Error::io(format!("look at {}", escape::name(&change.path)), source);
        let refused = self.refused(&change).map_err(named)?;
        let conflict = self.conflict(&change).map_err(named)?;
        // A folder by itself says nothing; the files in it do, and who may put others there.
        let silent = change.kind == Kind::Folder && change.did != Did::Permissions;
        let trust = if silent { None } else { places.trust(&change.path) };
        Ok(Judged { change, refused, conflict, trust })
    }

    fn refused(&self, change: &Change) -> io::Result<Option<&'static str>> {
        if change.did == Did::Deleted {
            return Ok(None);
        }
        // A file is replaced by one that its owner has to be given.
        let kept = |host: &Stamp| host.is_folder() || is_root() || host.owner.0 == nix::unistd::geteuid().as_raw();
        if change.did != Did::Permissions && !change.host.as_ref().is_none_or(kept) {
            return Ok(Some("belongs to another user on the host, which could not be kept"));
        }
        Ok(match change.kind {
            Kind::Device => Some("is a device"),
            Kind::Fifo => Some("is a FIFO"),
            Kind::Socket => Some("is a socket"),
            Kind::File if change.mode & 0o6000 != 0 => Some("runs with the rights of its owner or group (set-id bits)"),
            Kind::Folder if change.closed => Some("cannot be looked into: the stage took your right to"),
            Kind::Folder if change.mode & 0o4000 != 0 => Some("has the set-user-id bit"),
            Kind::Folder if change.mode & 0o2000 != 0 && !self.inherits(change)? => Some("has the set-group-id bit"),
            Kind::Link => self.leads_out(change)?,
            Kind::File if !self.is_readable(&change.path) => Some("cannot be read: the stage took your right to"),
            Kind::File | Kind::Folder => None,
        })
    }

    fn is_readable(&self, path: &[u8]) -> bool {
        !at::file(&self.upper, path).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    }

    /// A folder in a folder with the set-group-id bit gets it from there.
    fn inherits(&self, change: &Change) -> io::Result<bool> {
        if let Some(host) = change.host.as_ref().filter(|_| change.did == Did::Permissions) {
            return Ok(host.mode & 0o2000 != 0);
        }
        Ok(self.nearest(&change.path)?.is_some_and(|(_, stamp)| stamp.mode & 0o2000 != 0))
    }

    /// The innermost folder around a path that is there on the host.
    fn nearest(&self, path: &[u8]) -> io::Result<Option<(Vec<u8>, Stamp)>> {
        let mut around = path;
        loop {
            around = at::split(around).0;
            match at::open(&self.folder, around, OFlag::O_PATH | OFlag::O_DIRECTORY) {
                Ok(folder) => {
                    let stat = nix::sys::stat::fstat(&folder).map_err(io::Error::from)?;
                    return Ok(Some((around.to_vec(), Stamp::of(&stat))));
                }
                Err(_) if !around.is_empty() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// A link may go up only at its beginning: then it goes up through folders, which are where they are, and not through
    /// other links. What it passes on its way down is the host's, or another link of the stage that is judged by itself.
    fn leads_out(&self, change: &Change) -> io::Result<Option<&'static str>> {
        const OUT: Option<&str> = Some("is a link that leads out of the folder");
        let target = change.target.as_deref().unwrap_or_default();
        if target.starts_with(b"/") || target.is_empty() {
            return Ok(Some("is a link with an absolute target"));
        }
        let parent = at::split(&change.path).0;
        let depth = if parent.is_empty() { 0 } else { parent.split(|b| *b == b'/').count() };
        let mut ups = 0;
        let mut down = false;
        for name in target.split(|b| *b == b'/') {
            match name {
                b"" | b"." => {}
                b".." if down => return Ok(OUT),
                b".." => ups += 1,
                _ => down = true,
            }
        }
        if ups > depth {
            return Ok(OUT);
        }
        // The host's own links on the way are followed by the kernel, which says where they leave.
        let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_BENEATH);
        let path = at::join(parent, target);
        loop {
            match openat2(&self.folder, OsStr::from_bytes(&path), how) {
                // Anybody's rename raced with a `..`.
                Err(nix::Error::EAGAIN | nix::Error::EINTR) => {}
                Err(nix::Error::EXDEV) => return Ok(OUT),
                _ => return Ok(None),
            }
        }
    }

    fn is_empty(&self, path: &[u8]) -> io::Result<bool> {
        Ok(at::names(at::folder(&self.folder, path)?)?.is_empty())
    }

    fn conflict(&self, change: &Change) -> io::Result<Option<&'static str>> {
        match &change.host {
            Some(host) if host.is_folder() => {
                // What is in a folder is judged by itself, and the folder's own time changes with every name in it: only an empty
                // one that goes has nothing else to tell of it.
                let goes = change.did == Did::Deleted || change.kind != Kind::Folder;
                let told = goes && self.changed_since(&change.path, host) && self.is_empty(&change.path)?;
                Ok(told.then_some(CHANGED))
            }
            Some(host) if self.changed_since(&change.path, host) => Ok(Some(CHANGED)),
            Some(_) => Ok(None),
            None if change.copied => {
                let gone = self.nearest(&change.path)?.is_some_and(|(path, stamp)| self.changed_since(&path, &stamp));
                Ok(gone.then_some("was removed on the host since the stage began"))
            }
            None => Ok(None),
        }
    }
}
