//! A name in a folder of the host: what is there is replaced or taken away only if it is what was judged.
//!
//! ```text
//! a file without a name ─link─► a name of ours ─exchange─► its place; then what was there is looked at, under our name
//!                       └─────────────link────────────────► its place, where nothing is
//! ```
//!
//! Before a name of ours is made it is written down, with how to know what will be under it. So the last step can be made by who
//! comes later, too: [`Place::end`] is the same for both. It removes what we have made and what was judged, and nothing else.

use crate::at;
use crate::change::{Change, Stamp};
use crate::journal::{Beside, Journal, Line, Made, State};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, RenameFlags, renameat, renameat2};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, fchmodat, fstat, mkdirat};
use nix::unistd::{UnlinkatFlags, linkat, symlinkat, unlinkat};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use zviz_sys::fd::ProcPath;

/// What a name of ours begins with.
pub const UNFINISHED: &str = ".zviz-apply-";

/// A name in a folder of the host.
pub(crate) struct Place<'a> {
    pub dir: OwnedFd,
    pub path: &'a [u8],
    pub name: &'a [u8],
}

/// A file that is being written.
pub(crate) struct Fresh {
    pub file: File,
    /// Where the file system makes none without a name.
    name: Option<String>,
}

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Nothing of ours is there.
    Clean,
    /// Nor then, but what was there was another file, and is again.
    Restored,
    /// What is under our name is neither ours nor what was judged.
    Left,
}

impl Place<'_> {
    fn os(&self) -> &OsStr {
        OsStr::from_bytes(self.name)
    }

    /// Nobody can have made it who has not read the journal.
    fn fresh_name() -> io::Result<String> {
        let mut bytes = [0; 16];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(format!("{UNFINISHED}{:032x}", u128::from_ne_bytes(bytes)))
    }

    fn note(&self, journal: &mut Journal, name: &str, made: Made, host: Option<&FileStat>) -> io::Result<Beside> {
        let beside = Beside { path: self.path.to_vec(), name: name.to_owned(), made, host: host.map(State::of) };
        journal.note(&Line::Beside(beside.clone()))?;
        Ok(beside)
    }

    /// An empty file that is to be filled, in this folder.
    pub(crate) fn fresh(&self, journal: &mut Journal) -> io::Result<Fresh> {
        let owner = Mode::S_IRUSR | Mode::S_IWUSR;
        let nameless = OFlag::O_WRONLY | OFlag::O_TMPFILE | OFlag::O_CLOEXEC;
        // Who may not make one may not make one with a name either, and is told so there.
        if let Ok(file) = nix::fcntl::openat(&self.dir, ".", nameless, owner) {
            return Ok(Fresh { file: File::from(file), name: None });
        }
        let name = Self::fresh_name()?;
        self.note(journal, &name, Made::Empty, None)?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = File::from(nix::fcntl::openat(&self.dir, name.as_str(), flags, owner)?);
        let stat = fstat(&file)?;
        self.note(journal, &name, Made::Begun(stat.st_dev, stat.st_ino), None)?;
        Ok(Fresh { file, name: Some(name) })
    }

    /// Puts a file in its place: where `host` is, or where nothing is.
    pub(crate) fn put(&self, fresh: &Fresh, host: Option<&Stamp>, journal: &mut Journal) -> io::Result<()> {
        let before = host.map(|host| self.as_judged(host)).transpose()?;
        if fresh.name.is_none() && before.is_none() {
            return self.link(&fresh.file, self.os());
        }
        let name = fresh.name.clone().map_or_else(Self::fresh_name, Ok)?;
        let made = Made::Whole(State::of(&fstat(&fresh.file)?));
        let beside = self.note(journal, &name, made, before.as_ref())?;
        if fresh.name.is_none() {
            self.link(&fresh.file, OsStr::new(&name))?;
        }
        self.replace(&beside)
    }

    /// The same of a symbolic link.
    pub(crate) fn put_link(&self, target: &[u8], host: Option<&Stamp>, journal: &mut Journal) -> io::Result<()> {
        let Some(host) = host else { return Ok(symlinkat(OsStr::from_bytes(target), &self.dir, self.os())?) };
        let before = self.as_judged(host)?;
        let name = Self::fresh_name()?;
        let beside = self.note(journal, &name, Made::Link(target.to_vec()), Some(&before))?;
        symlinkat(OsStr::from_bytes(target), &self.dir, name.as_str())?;
        self.replace(&beside)
    }

    /// Gives a file without a name one; whoever has it open may.
    fn link(&self, file: &File, name: &OsStr) -> io::Result<()> {
        let path = ProcPath::of(file.as_fd());
        let flags = AtFlags::AT_SYMLINK_FOLLOW;
        Ok(linkat(nix::fcntl::AT_FDCWD, path.as_c_str(), &self.dir, name, flags)?)
    }

    fn replace(&self, beside: &Beside) -> io::Result<()> {
        let name = beside.name.as_str();
        let flags = match beside.host {
            Some(_) => RenameFlags::RENAME_EXCHANGE,
            None => RenameFlags::RENAME_NOREPLACE,
        };
        match renameat2(&self.dir, name, &self.dir, self.os(), flags) {
            // Not every file system can; then the look before must do.
            Err(Errno::EINVAL | Errno::ENOSYS) if beside.host.is_some() => {
                return Ok(renameat(&self.dir, name, &self.dir, self.os())?);
            }
            Err(Errno::EINVAL | Errno::ENOSYS) => {
                linkat(&self.dir, name, &self.dir, self.os(), AtFlags::empty())?;
            }
            other => other?,
        }
        self.ended(beside)
    }

    /// Takes it away under a name of ours first: what is removed then is what was looked at.
    pub(crate) fn remove(&self, host: Option<&Stamp>, journal: &mut Journal) -> io::Result<()> {
        let before = self.as_judged(host.ok_or_else(raced)?)?;
        let name = Self::fresh_name()?;
        let beside = self.note(journal, &name, Made::Nothing, Some(&before))?;
        match renameat2(&self.dir, self.os(), &self.dir, name.as_str(), RenameFlags::RENAME_NOREPLACE) {
            Err(Errno::EINVAL | Errno::ENOSYS) => {
                return Ok(unlinkat(&self.dir, self.os(), UnlinkatFlags::NoRemoveDir)?);
            }
            other => other?,
        }
        self.ended(&beside)
    }

    fn ended(&self, beside: &Beside) -> io::Result<()> {
        match self.end(beside)? {
            Ended::Clean => Ok(()),
            Ended::Restored | Ended::Left => Err(raced()),
        }
    }

    /// Ends what was begun, wherever it stopped.
    pub(crate) fn end(&self, beside: &Beside) -> io::Result<Ended> {
        let name = beside.name.as_bytes();
        let is_made = |name: &[u8], stat: &FileStat| beside.made.is(self.dir.as_fd(), name, stat);
        let unlink =
            || -> io::Result<()> { Ok(unlinkat(&self.dir, OsStr::from_bytes(name), UnlinkatFlags::NoRemoveDir)?) };
        let Some(there) = at::stat(&self.dir, name)? else { return Ok(Ended::Clean) };
        if beside.host.as_ref() == Some(&State::of(&there)) || is_made(name, &there)? {
            unlink()?;
            return Ok(Ended::Clean);
        }
        if beside.host.is_none() {
            return Ok(Ended::Left);
        }
        // Another file was there than the one that was judged, a moment later.
        let (name, flags) = match at::stat(&self.dir, self.name)? {
            Some(stat) if is_made(self.name, &stat)? => (beside.name.as_str(), RenameFlags::RENAME_EXCHANGE),
            Some(_) => return Ok(Ended::Left),
            None => (beside.name.as_str(), RenameFlags::RENAME_NOREPLACE),
        };
        renameat2(&self.dir, name, &self.dir, self.os(), flags)?;
        match at::stat(&self.dir, name.as_bytes())? {
            None => Ok(Ended::Restored),
            Some(stat) if is_made(name.as_bytes(), &stat)? => unlink().map(|()| Ended::Restored),
            Some(_) => Ok(Ended::Left),
        }
    }

    pub(crate) fn make_folder(&self) -> io::Result<()> {
        Ok(mkdirat(&self.dir, self.os(), Mode::S_IRWXU)?)
    }

    pub(crate) fn remove_folder(&self) -> io::Result<()> {
        Ok(unlinkat(&self.dir, self.os(), UnlinkatFlags::RemoveDir)?)
    }

    /// What is there, if it is what was judged.
    fn as_judged(&self, host: &Stamp) -> io::Result<FileStat> {
        let found = at::stat(&self.dir, self.name)?.filter(|stat| Stamp::of(stat) == *host);
        found.ok_or_else(raced)
    }

    pub(crate) fn permissions(&self, change: &Change) -> io::Result<()> {
        let host = change.host.as_ref().ok_or_else(raced)?;
        let file = at::open(&self.dir, self.name, OFlag::O_PATH | OFlag::O_NOFOLLOW)?;
        if Stamp::of(&fstat(&file)?) != *host {
            return Err(raced());
        }
        chmod(&file, Mode::from_bits_truncate(change.permissions()))
    }
}

pub(crate) fn chmod(file: &OwnedFd, mode: Mode) -> io::Result<()> {
    let path = ProcPath::of(file.as_fd());
    Ok(fchmodat(nix::fcntl::AT_FDCWD, path.as_c_str(), mode, FchmodatFlags::FollowSymlink)?)
}

fn raced() -> io::Error {
    Errno::ESTALE.into()
}
