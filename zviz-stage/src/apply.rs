//! Carries changes onto the host's folder, one file at a time, each as a whole or not at all.
//!
//! A file is written under a name of ours beside its place and then exchanged with what is there. Only after that is it
//! known for certain what was there: if it is not what was judged, the two are exchanged back. Who interrupts it is heard between two
//! files, so that no name of ours is left.

use crate::change::{Change, Did, Kind, Stamp};
use crate::interrupts::Interrupts;
use crate::judge::Judged;
use crate::{Error, Opened, at, escape};
use nix::errno::Errno;
use nix::fcntl::{OFlag, RenameFlags, renameat, renameat2};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, fchmod, fchmodat, mkdirat};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, linkat, symlinkat, unlinkat};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use zviz_sys::fd::ProcPath;

/// What a name of ours begins with, as long as a file is written.
pub const UNFINISHED: &str = ".zviz-apply-";
/// Bytes that are copied before it is asked whether to go on.
const AT_ONCE: u64 = 64 << 20;

impl Opened {
    /// Applies what is given, in this order, which is that of [`changes`](Self::changes). What must not be applied is not to
    /// be in it. Returns how many were.
    ///
    /// # Errors
    /// The first that cannot be applied. Those before it are.
    pub fn apply(&mut self, judged: &[Judged]) -> Result<usize, Error> {
        let mut folders = BTreeMap::new();
        let mut modes = Vec::new();
        let mut count = 0;
        let mut outcome = Ok(());
        let mut interrupts = Interrupts::held()?;
        for Judged { change, .. } in judged {
            outcome = interrupts.look();
            if outcome.is_err() {
                break;
            }
            let around = at::split(&change.path).0;
            if !folders.contains_key(around) {
                folders.insert(around.to_vec(), self.is_as_it_was(around));
            }
            outcome = self.one(change, &mut interrupts);
            if outcome.is_err() {
                break;
            }
            count += 1;
            if change.kind == Kind::Folder && change.did != Did::Deleted {
                modes.push(change);
            } else if change.did != Did::Deleted {
                self.seen(&change.path);
            }
        }
        // Last, and those within before those around: a folder may forbid its owner to write.
        for change in modes.iter().rev() {
            outcome = outcome.and(self.folder_mode(change));
        }
        // What its owner did to a folder is still to be told of, though our changes have come on top.
        for (folder, _) in folders.iter().filter(|(_, as_it_was)| **as_it_was) {
            self.seen(folder);
        }
        let kept = self.keep_record();
        outcome.and(kept).map(|()| count)
    }

    /// Whether nobody but us has changed a folder since the stage began. One that is not there yet will be ours.
    fn is_as_it_was(&self, path: &[u8]) -> bool {
        let Ok(folder) = at::open(&self.folder, path, OFlag::O_PATH | OFlag::O_DIRECTORY) else { return true };
        nix::sys::stat::fstat(&folder).is_ok_and(|stat| !self.changed_since(path, &Stamp::of(&stat)))
    }

    /// Notes how it is now, as ours.
    fn seen(&mut self, path: &[u8]) {
        if let Ok(file) = at::open(&self.folder, path, OFlag::O_PATH | OFlag::O_NOFOLLOW)
            && let Ok(stat) = nix::sys::stat::fstat(&file)
        {
            self.remember(path, Stamp::of(&stat));
        }
    }

    fn one(&self, change: &Change, interrupts: &mut Interrupts) -> Result<(), Error> {
        let path = escape::name(&change.path);
        let (around, name) = at::split(&change.path);
        let named = |source: io::Error| match source.raw_os_error() {
            // Its folder is gone, or a link by now.
            Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP | libc::EEXIST | libc::ENOTEMPTY | libc::ESTALE) => {
                Error::Raced(path.clone())
            }
            _ => Error::io(format!("apply {path}"), source),
        };
        let place = Place { dir: at::folder(&self.folder, around).map_err(named)?, name };
        let old_folder = change.host.as_ref().filter(|host| host.is_folder());
        match (change.did, change.kind) {
            (Did::Deleted, Kind::Folder) => place.remove_folder().map_err(named),
            (Did::Deleted, _) => place.remove(change.host.as_ref()).map_err(named),
            (Did::Permissions, Kind::Folder) => Ok(()),
            (Did::Permissions, _) => place.permissions(change).map_err(named),
            (Did::Replaced, Kind::Folder) => {
                place.remove(change.host.as_ref()).map_err(named)?;
                place.make_folder().map_err(named)
            }
            (_, Kind::Folder) => place.make_folder().map_err(named),
            (_, Kind::File | Kind::Link) => {
                if old_folder.is_some() {
                    place.remove_folder().map_err(named)?;
                }
                let host = change.host.as_ref().filter(|host| !host.is_folder());
                let fresh = match change.kind {
                    Kind::File => self.written(&place, change, host, interrupts)?,
                    _ => place.linked(change.target.as_deref().unwrap_or_default()).map_err(named)?,
                };
                let put = place.put(&fresh, host);
                if put.is_err() {
                    let _ = place.unlink(&fresh);
                }
                put.map_err(named)
            }
            // Judged to be refused; here for who did not ask.
            (_, Kind::Fifo | Kind::Socket | Kind::Device) => Err(named(io::ErrorKind::Unsupported.into())),
        }
    }

    /// The file's content under a name of ours.
    fn written(
        &self,
        place: &Place<'_>,
        change: &Change,
        host: Option<&Stamp>,
        interrupts: &mut Interrupts,
    ) -> Result<String, Error> {
        let path = escape::name(&change.path);
        let named = |source| Error::io(format!("apply {path}"), source);
        let mut from = at::file(&self.upper, &change.path).map_err(named)?;
        let (name, mut to) = place.fresh_file().map_err(named)?;
        let mut fill = || -> Result<(), Error> {
            while io::copy(&mut (&mut from).take(AT_ONCE), &mut to).map_err(named)? > 0 {
                interrupts.look()?;
            }
            if let Some(host) = host {
                let now = Stamp::of(&nix::sys::stat::fstat(&to).map_err(|errno| named(errno.into()))?);
                let (uid, gid) = host.owner;
                if now.owner != host.owner && fchown(&to, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))).is_err() {
                    return Err(Error::Owner { path: path.clone(), uid, gid });
                }
            }
            let mode = Mode::from_bits_truncate(change.permissions());
            fchmod(&to, mode).map_err(|errno| named(errno.into()))
        };
        let filled = fill();
        if filled.is_err() {
            let _ = place.unlink(&name);
        }
        filled.map(|()| name)
    }

    fn folder_mode(&self, change: &Change) -> Result<(), Error> {
        let path = escape::name(&change.path);
        let named = |source: io::Error| Error::io(format!("permissions of {path}"), source);
        let folder = at::open(&self.folder, &change.path, OFlag::O_PATH | OFlag::O_DIRECTORY).map_err(named)?;
        let stat = nix::sys::stat::fstat(&folder).map_err(|errno| named(errno.into()))?;
        if change.did == Did::Permissions && !change.host.as_ref().is_some_and(|host| host.same_file(&stat)) {
            return Err(Error::Raced(path));
        }
        // Set-id and sticky bits stay as they are on the host.
        let mode = Mode::from_bits_truncate(change.permissions() | stat.st_mode & 0o7000);
        chmod(&folder, mode).map_err(named)
    }
}

fn chmod(file: &OwnedFd, mode: Mode) -> io::Result<()> {
    let path = ProcPath::of(file.as_fd());
    Ok(fchmodat(nix::fcntl::AT_FDCWD, path.as_c_str(), mode, FchmodatFlags::FollowSymlink)?)
}

/// A name in a folder of the host.
struct Place<'a> {
    dir: OwnedFd,
    name: &'a [u8],
}

impl Place<'_> {
    fn os(&self) -> &OsStr {
        OsStr::from_bytes(self.name)
    }

    fn fresh_name() -> String {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        format!("{UNFINISHED}{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
    }

    fn fresh_file(&self) -> io::Result<(String, File)> {
        let name = Self::fresh_name();
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = nix::fcntl::openat(&self.dir, name.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
        Ok((name, File::from(file)))
    }

    fn linked(&self, target: &[u8]) -> io::Result<String> {
        let name = Self::fresh_name();
        symlinkat(OsStr::from_bytes(target), &self.dir, name.as_str())?;
        Ok(name)
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.dir, name, UnlinkatFlags::NoRemoveDir)?)
    }

    fn make_folder(&self) -> io::Result<()> {
        Ok(mkdirat(&self.dir, self.os(), Mode::S_IRWXU)?)
    }

    fn remove_folder(&self) -> io::Result<()> {
        Ok(unlinkat(&self.dir, self.os(), UnlinkatFlags::RemoveDir)?)
    }

    /// What is there, if it is what was judged.
    fn as_judged(&self, host: &Stamp) -> io::Result<FileStat> {
        let found = at::stat(&self.dir, self.name)?.filter(|stat| Stamp::of(stat) == *host);
        found.ok_or_else(raced)
    }

    /// Puts what is ready under `fresh` in its place.
    fn put(&self, fresh: &str, host: Option<&Stamp>) -> io::Result<()> {
        let Some(host) = host else { return self.put_new(fresh) };
        let before = self.as_judged(host)?;
        let exchange = || renameat2(&self.dir, fresh, &self.dir, self.os(), RenameFlags::RENAME_EXCHANGE);
        match exchange() {
            // Not every file system can; then the look before must do.
            Err(Errno::EINVAL | Errno::ENOSYS) => return Ok(renameat(&self.dir, fresh, &self.dir, self.os())?),
            other => other?,
        }
        if !is_unchanged(&before, at::stat(&self.dir, fresh.as_bytes())?.as_ref()) {
            exchange()?;
            return Err(raced());
        }
        self.unlink(fresh)
    }

    fn put_new(&self, fresh: &str) -> io::Result<()> {
        match renameat2(&self.dir, fresh, &self.dir, self.os(), RenameFlags::RENAME_NOREPLACE) {
            Err(Errno::EINVAL | Errno::ENOSYS) => {
                linkat(&self.dir, fresh, &self.dir, self.os(), nix::fcntl::AtFlags::empty())?;
                self.unlink(fresh)
            }
            other => Ok(other?),
        }
    }

    /// Takes it away under a name of ours first: what is removed then is what was looked at.
    fn remove(&self, host: Option<&Stamp>) -> io::Result<()> {
        let before = self.as_judged(host.ok_or_else(raced)?)?;
        let away = Self::fresh_name();
        match renameat2(&self.dir, self.os(), &self.dir, away.as_str(), RenameFlags::RENAME_NOREPLACE) {
            Err(Errno::EINVAL | Errno::ENOSYS) => {
                return Ok(unlinkat(&self.dir, self.os(), UnlinkatFlags::NoRemoveDir)?);
            }
            other => other?,
        }
        if !is_unchanged(&before, at::stat(&self.dir, away.as_bytes())?.as_ref()) {
            renameat2(&self.dir, away.as_str(), &self.dir, self.os(), RenameFlags::RENAME_NOREPLACE)?;
            return Err(raced());
        }
        self.unlink(&away)
    }

    fn permissions(&self, change: &Change) -> io::Result<()> {
        let host = change.host.as_ref().ok_or_else(raced)?;
        let file = at::open(&self.dir, self.name, OFlag::O_PATH | OFlag::O_NOFOLLOW)?;
        let stat = nix::sys::stat::fstat(&file)?;
        if Stamp::of(&stat) != *host {
            return Err(raced());
        }
        chmod(&file, Mode::from_bits_truncate(change.permissions()))
    }
}

fn raced() -> io::Error {
    Errno::ESTALE.into()
}

/// A rename gives a file another change time, and nothing else.
fn is_unchanged(before: &FileStat, now: Option<&FileStat>) -> bool {
    let key = |stat: &FileStat| {
        (
            stat.st_dev,
            stat.st_ino,
            stat.st_mode,
            stat.st_size,
            stat.st_mtime,
            stat.st_mtime_nsec,
            stat.st_uid,
            stat.st_gid,
        )
    };
    now.is_some_and(|now| key(before) == key(now))
}
