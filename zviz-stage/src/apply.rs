//! Carries changes onto the host's folder, one file at a time, each as a whole or not at all.
//!
//! Who interrupts it is heard between two files. Who kills it leaves a journal, by which the next who holds the stage ends what
//! was begun ([`Opened::settle`]); an application that was not killed ends with the same step.

use crate::beside::{Ended, Fresh, Place, chmod};
use crate::change::{Change, Did, Kind, Stamp};
use crate::interrupts::Interrupts;
use crate::journal::{self, Beside, Journal, Line};
use crate::judge::Judged;
use crate::{Error, Opened, at, escape};
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, fchmod, fstat};
use nix::unistd::{Gid, Uid, fchown};
use std::collections::BTreeSet;
use std::io::{self, Read};

pub use crate::beside::UNFINISHED;

/// Bytes that are copied before it is asked whether to go on.
const AT_ONCE: u64 = 64 << 20;

/// An application that goes on.
struct Work {
    journal: Journal,
    interrupts: Interrupts,
}

impl Opened {
    /// Applies what is given, in this order, which is that of [`changes`](Self::changes). What must not be applied is not to
    /// be in it. Returns how many were.
    ///
    /// # Errors
    /// The first that cannot be applied. Those before it are.
    pub fn apply(&mut self, judged: &[Judged]) -> Result<usize, Error> {
        self.settle()?;
        let mut work = Work { interrupts: Interrupts::held()?, journal: Journal::begin(&self.stage.path)? };
        let outcome = self.all(judged, &mut work);
        match (outcome, self.settle()) {
            (_, Err(left @ Error::Left { .. })) => Err(left),
            (Ok(count), settled) => settled.map(|()| count),
            (failed, _) => failed,
        }
    }

    fn all(&self, judged: &[Judged], work: &mut Work) -> Result<usize, Error> {
        let mut folders = BTreeSet::new();
        let mut modes = Vec::new();
        let mut count = 0;
        let mut outcome = Ok(());
        for Judged { change, .. } in judged {
            let around = at::split(&change.path).0;
            outcome = work.interrupts.look();
            // What its owner did to a folder is still to be told of, though our changes have come on top.
            if outcome.is_ok() && folders.insert(around) && self.is_as_it_was(around) {
                outcome = note(work, &Line::Folder(around.to_vec()));
            }
            outcome = outcome.and_then(|()| self.one(change, work));
            if outcome.is_err() {
                break;
            }
            count += 1;
            if change.kind == Kind::Folder && change.did != Did::Deleted {
                modes.push(change);
            } else if change.did != Did::Deleted {
                outcome = self.done(&change.path, work);
            }
        }
        // Last, and those within before those around: a folder may forbid its owner to write.
        for change in modes.iter().rev() {
            outcome = outcome.and(self.folder_mode(change).and_then(|()| self.done(&change.path, work)));
        }
        outcome.map(|()| count)
    }

    /// Whether nobody but us has changed a folder since the stage began. One that is not there yet will be ours.
    fn is_as_it_was(&self, path: &[u8]) -> bool {
        let Ok(folder) = at::open(&self.folder, path, OFlag::O_PATH | OFlag::O_DIRECTORY) else { return true };
        fstat(&folder).is_ok_and(|stat| !self.changed_since(path, &Stamp::of(&stat)))
    }

    fn stamp(&self, path: &[u8]) -> Option<Stamp> {
        let file = at::open(&self.folder, path, OFlag::O_PATH | OFlag::O_NOFOLLOW).ok()?;
        fstat(&file).ok().map(|stat| Stamp::of(&stat))
    }

    /// Notes how it is now, as ours.
    fn done(&self, path: &[u8], work: &mut Work) -> Result<(), Error> {
        self.stamp(path).map_or(Ok(()), |stamp| note(work, &Line::Done(path.to_vec(), stamp)))
    }

    /// Ends what an application has begun, and remembers what it has done.
    pub(crate) fn settle(&mut self) -> Result<(), Error> {
        let Some(lines) = journal::read(&self.stage.path)? else { return Ok(()) };
        let begun = lines.iter().rev().find_map(|line| match line {
            Line::Beside(beside) => Some(beside),
            _ => None,
        });
        // Before folders are looked at, which it changes.
        let ended = begun.map_or(Ok(()), |beside| self.end(beside));
        for line in &lines {
            match line {
                Line::Done(path, stamp) => self.remember(path, stamp.clone()),
                Line::Folder(path) => {
                    if let Some(stamp) = self.stamp(path) {
                        self.remember(path, stamp);
                    }
                }
                Line::Beside(_) => {}
            }
        }
        self.keep_record()?;
        ended?;
        journal::end(&self.stage.path)
    }

    fn end(&self, beside: &Beside) -> Result<(), Error> {
        let (around, name) = at::split(&beside.path);
        let shown = || escape::name(&at::join(around, beside.name.as_bytes()));
        let named = |source| Error::io(format!("remove {}", shown()), source);
        let dir = match at::folder(&self.folder, around) {
            // It is gone, or a link by now, and what was in it with it.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)) => {
                return Ok(());
            }
            other => other.map_err(named)?,
        };
        match (Place { dir, path: &beside.path, name }).end(beside).map_err(named)? {
            Ended::Left => Err(Error::Left { name: shown(), path: escape::name(&beside.path) }),
            Ended::Clean | Ended::Restored => Ok(()),
        }
    }

    fn one(&self, change: &Change, work: &mut Work) -> Result<(), Error> {
        let path = escape::name(&change.path);
        let (around, name) = at::split(&change.path);
        let named = |source: io::Error| match source.raw_os_error() {
            // Its folder is gone, or a link by now.
            Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP | libc::EEXIST | libc::ENOTEMPTY | libc::ESTALE) => {
                Error::Raced(path.clone())
            }
            _ => Error::io(format!("apply {path}"), source),
        };
        let dir = at::folder(&self.folder, around).map_err(named)?;
        let place = Place { dir, path: &change.path, name };
        let host = change.host.as_ref();
        match (change.did, change.kind) {
            (Did::Deleted, Kind::Folder) => place.remove_folder().map_err(named),
            (Did::Deleted, _) => place.remove(host, &mut work.journal).map_err(named),
            (Did::Permissions, Kind::Folder) => Ok(()),
            (Did::Permissions, _) => place.permissions(change).map_err(named),
            (Did::Replaced, Kind::Folder) => {
                place.remove(host, &mut work.journal).map_err(named)?;
                place.make_folder().map_err(named)
            }
            (_, Kind::Folder) => place.make_folder().map_err(named),
            (_, Kind::File | Kind::Link) => {
                if host.is_some_and(Stamp::is_folder) {
                    place.remove_folder().map_err(named)?;
                }
                let host = host.filter(|host| !host.is_folder());
                if change.kind == Kind::Link {
                    let target = change.target.as_deref().unwrap_or_default();
                    return place.put_link(target, host, &mut work.journal).map_err(named);
                }
                let fresh = self.written(&place, change, host, work)?;
                place.put(&fresh, host, &mut work.journal).map_err(named)
            }
            // Judged to be refused; here for who did not ask.
            (_, Kind::Fifo | Kind::Socket | Kind::Device) => Err(named(io::ErrorKind::Unsupported.into())),
        }
    }

    /// The file's content, not in its place yet.
    fn written(
        &self,
        place: &Place<'_>,
        change: &Change,
        host: Option<&Stamp>,
        work: &mut Work,
    ) -> Result<Fresh, Error> {
        let path = escape::name(&change.path);
        let named = |source| Error::io(format!("apply {path}"), source);
        let mut from = at::file(&self.upper, &change.path).map_err(named)?;
        let mut fresh = place.fresh(&mut work.journal).map_err(named)?;
        while io::copy(&mut (&mut from).take(AT_ONCE), &mut fresh.file).map_err(named)? > 0 {
            work.interrupts.look()?;
        }
        if let Some(host) = host {
            let now = Stamp::of(&fstat(&fresh.file).map_err(|errno| named(errno.into()))?);
            let (uid, gid) = host.owner;
            let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
            if now.owner != host.owner && fchown(&fresh.file, owner.0, owner.1).is_err() {
                return Err(Error::Owner { path, uid, gid });
            }
        }
        let mode = Mode::from_bits_truncate(change.permissions());
        fchmod(&fresh.file, mode).map_err(|errno| named(errno.into()))?;
        Ok(fresh)
    }

    fn folder_mode(&self, change: &Change) -> Result<(), Error> {
        let path = escape::name(&change.path);
        let named = |source: io::Error| Error::io(format!("permissions of {path}"), source);
        let folder = at::open(&self.folder, &change.path, OFlag::O_PATH | OFlag::O_DIRECTORY).map_err(named)?;
        let stat = fstat(&folder).map_err(|errno| named(errno.into()))?;
        if change.did == Did::Permissions && !change.host.as_ref().is_some_and(|host| host.same_file(&stat)) {
            return Err(Error::Raced(path));
        }
        // Set-id and sticky bits stay as they are on the host.
        let mode = Mode::from_bits_truncate(change.permissions() | stat.st_mode & 0o7000);
        chmod(&folder, mode).map_err(named)
    }
}

fn note(work: &mut Work, line: &Line) -> Result<(), Error> {
    work.journal.note(line).map_err(|source| Error::io("write down what is applied", source))
}
