//! Finds what a stage would change: the upper layer beside the folder. It costs what the layer holds, whatever the folder
//! does; a deleted folder costs what is in it.

use crate::at;
use crate::change::{Change, Did, Kind, Stamp};
use crate::{Error, Opened, escape};
use nix::sys::stat::FileStat;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};

/// A workload may make folders as deep as it likes; each costs two descriptors here.
pub(crate) const DEEPEST: usize = 200;
/// Nothing of what lies below on the host shows through.
pub(crate) const OPAQUE: &std::ffi::CStr = c"user.overlay.opaque";
/// Deleted, where no device can be made.
const WHITEOUT: &std::ffi::CStr = c"user.overlay.whiteout";
/// Copied up from the layer below.
const ORIGIN: &std::ffi::CStr = c"user.overlay.origin";

/// All changes, in the order in which they can be applied: folders before what is made in them, and after what is deleted
/// in them.
///
/// # Errors
/// What cannot be read.
pub(crate) fn scan(opened: &Opened) -> Result<Vec<Change>, Error> {
    let mut scan = Scan { changes: Vec::new() };
    scan.folder(b"", opened.upper.as_fd(), Some(opened.folder.as_fd()), false, 0)?;
    Ok(scan.changes)
}

/// Whether a name of the upper layer says that there is nothing.
pub(crate) fn is_whiteout(dir: impl AsFd, name: &[u8], stat: &FileStat) -> bool {
    match Kind::of(stat) {
        Kind::Device => stat.st_rdev == 0,
        Kind::File => stat.st_size == 0 && at::is_marked(dir, name, WHITEOUT),
        _ => false,
    }
}

struct Scan {
    changes: Vec<Change>,
}

/// A name in the stage, with what it is.
struct Upper<'a> {
    dir: BorrowedFd<'a>,
    name: &'a [u8],
    stat: &'a FileStat,
}

/// What the folder has under that name.
struct Lower<'a> {
    dir: Option<BorrowedFd<'a>>,
    stat: Option<FileStat>,
}

impl Scan {
    fn folder(
        &mut self,
        path: &[u8],
        upper: BorrowedFd<'_>,
        lower: Option<BorrowedFd<'_>>,
        opaque: bool,
        depth: usize,
    ) -> Result<(), Error> {
        if depth > DEEPEST {
            return Err(Error::Deep(escape::name(path)));
        }
        let read = |source| Error::io(format!("read {}", escape::name(path)), source);
        let names = at::names(upper).map_err(read)?;
        if let (true, Some(lower)) = (opaque, lower) {
            for name in at::names(lower).map_err(read)? {
                if names.binary_search(&name).is_err() {
                    self.deleted(&at::join(path, &name), lower, &name, depth)?;
                }
            }
        }
        for name in &names {
            let path = at::join(path, name);
            let look = |source| Error::io(format!("look at {}", escape::name(&path)), source);
            let Some(stat) = at::stat(upper, name).map_err(look)? else { continue };
            let there = match lower {
                Some(dir) => at::stat(dir, name).map_err(look)?,
                None => None,
            };
            if is_whiteout(upper, name, &stat) {
                if let Some(lower) = lower {
                    self.deleted(&path, lower, name, depth)?;
                }
                continue;
            }
            self.entry(&path, Upper { dir: upper, name, stat: &stat }, Lower { dir: lower, stat: there }, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, path: &[u8], upper: Upper<'_>, lower: Lower<'_>, depth: usize) -> Result<(), Error> {
        let read = |source| Error::io(format!("read {}", escape::name(path)), source);
        let kind = Kind::of(upper.stat);
        let there = lower.stat.as_ref().map(Kind::of);
        if there == Some(Kind::Folder)
            && kind != Kind::Folder
            && let Some(dir) = lower.dir
        {
            self.deleted_within(path, dir, upper.name, depth)?;
        }
        let did = match there {
            None => Some(Did::Made),
            Some(other) if other != kind => Some(Did::Replaced),
            Some(_) => differs(kind, &upper, &lower).map_err(read)?,
        };
        // One that cannot be entered says so where names in it are looked at.
        let inside = match kind {
            Kind::Folder => match at::folder(upper.dir, upper.name).and_then(|inside| {
                at::stat(&inside, b".")?;
                Ok(inside)
            }) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => None,
                other => Some(other.map_err(read)?),
            },
            _ => None,
        };
        let closed = kind == Kind::Folder && inside.is_none();
        let did = did.or(closed.then_some(Did::Permissions));
        if let Some(did) = did {
            let target = if kind == Kind::Link { Some(at::link(upper.dir, upper.name).map_err(read)?) } else { None };
            self.changes.push(Change {
                path: path.to_vec(),
                did,
                kind,
                mode: upper.stat.st_mode & 0o7777,
                size: u64::try_from(upper.stat.st_size).unwrap_or(0),
                host: lower.stat.as_ref().map(Stamp::of),
                target,
                copied: matches!(kind, Kind::File) && at::is_marked(upper.dir, upper.name, ORIGIN),
                closed,
            });
        }
        if let Some(inside) = inside {
            let opaque = at::is_marked(upper.dir, upper.name, OPAQUE);
            let below = match (there, lower.dir) {
                (Some(Kind::Folder), Some(dir)) => Some(at::folder(dir, upper.name).map_err(read)?),
                _ => None,
            };
            self.folder(path, inside.as_fd(), below.as_ref().map(AsFd::as_fd), opaque, depth + 1)?;
        }
        Ok(())
    }

    fn deleted(&mut self, path: &[u8], dir: BorrowedFd<'_>, name: &[u8], depth: usize) -> Result<(), Error> {
        let read = |source| Error::io(format!("read {}", escape::name(path)), source);
        let Some(stat) = at::stat(dir, name).map_err(read)? else { return Ok(()) };
        let kind = Kind::of(&stat);
        if kind == Kind::Folder {
            self.deleted_within(path, dir, name, depth)?;
        }
        self.changes.push(Change {
            path: path.to_vec(),
            did: Did::Deleted,
            kind,
            mode: stat.st_mode & 0o7777,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            host: Some(Stamp::of(&stat)),
            target: None,
            copied: false,
            closed: false,
        });
        Ok(())
    }

    fn deleted_within(&mut self, path: &[u8], dir: BorrowedFd<'_>, name: &[u8], depth: usize) -> Result<(), Error> {
        if depth > DEEPEST {
            return Err(Error::Deep(escape::name(path)));
        }
        let read = |source| Error::io(format!("read {}", escape::name(path)), source);
        let folder = at::folder(dir, name).map_err(read)?;
        for name in at::names(&folder).map_err(read)? {
            self.deleted(&at::join(path, &name), folder.as_fd(), &name, depth + 1)?;
        }
        Ok(())
    }
}

/// How two of one kind differ, if they do.
fn differs(kind: Kind, upper: &Upper<'_>, lower: &Lower<'_>) -> io::Result<Option<Did>> {
    let (Some(dir), Some(stat)) = (lower.dir, &lower.stat) else { return Ok(Some(Did::Made)) };
    let content = match kind {
        Kind::File => upper.stat.st_size != stat.st_size || !same_bytes(upper, dir)?,
        Kind::Link => at::link(upper.dir, upper.name)? != at::link(dir, upper.name)?,
        Kind::Device => upper.stat.st_rdev != stat.st_rdev,
        Kind::Folder | Kind::Fifo | Kind::Socket => false,
    };
    let bits = if kind == Kind::Folder { 0o777 } else { 0o7777 };
    // Set-id bits of folders are inherited, of users' groups for one; new ones are judged.
    let set = kind == Kind::Folder && upper.stat.st_mode & 0o6000 & !stat.st_mode != 0;
    let permissions = kind != Kind::Link && (upper.stat.st_mode ^ stat.st_mode) & bits != 0 || set;
    Ok(match (content, permissions) {
        (true, _) => Some(Did::Changed),
        (false, true) => Some(Did::Permissions),
        (false, false) => None,
    })
}

fn same_bytes(upper: &Upper<'_>, lower: BorrowedFd<'_>) -> io::Result<bool> {
    let mut files = (at::file(upper.dir, upper.name)?, at::file(lower, upper.name)?);
    let mut blocks = ([0; 1 << 14], [0; 1 << 14]);
    loop {
        let count = files.0.read(&mut blocks.0)?;
        if count == 0 {
            return Ok(files.1.read(&mut blocks.1)? == 0);
        }
        let (Some(mine), Some(other)) = (blocks.0.get(..count), blocks.1.get_mut(..count)) else { return Ok(false) };
        match files.1.read_exact(other) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            other => other?,
        }
        if mine != other {
            return Ok(false);
        }
    }
}
