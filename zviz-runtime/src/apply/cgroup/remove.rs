//! Takes a cgroup away.

use super::{Error, dir, dir::Dir, freeze, parts};
use crate::plan::cgroup::path::Unit;
use crate::plan::cgroup::{Cgroup, Driver};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::ffi::{CStr, OsStr};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the last process may take to be gone from its cgroup after it was killed.
const PATIENCE: Duration = Duration::from_secs(1);

/// Removes every directory of the cgroup, those that the container made below first. A directory that is gone is fine.
/// Processes must be dead, or be dying, by now.
///
/// # Errors
/// All that could not be removed, each with the reason.
pub fn remove(cgroup: &Cgroup) -> Result<(), Error> {
    parts::end_broker(cgroup);
    let until = Instant::now() + PATIENCE;
    let mut left = Vec::new();
    if let Driver::Systemd(unit) = &cgroup.driver
        && let Err(error) = stop(unit)
    {
        let source = std::error::Error::source(&error).map_or(String::new(), |source| format!(": {source}"));
        left.push(format!("{}: {error}{source}", unit.name));
    }
    let groups = cgroup.v1.iter().map(|group| (group, false)).chain(cgroup.v2.iter().map(|group| (group, true)));
    for (group, unified) in groups {
        if let Err(errno) = remove_dir(&group.dir(), unified, until) {
            left.push(format!("{}: {}", group.dir().display(), errno.desc()));
        }
    }
    if left.is_empty() { Ok(()) } else { Err(Error::Left { left }) }
}

#[cfg(feature = "systemd")]
fn stop(unit: &Unit) -> Result<(), Error> {
    super::systemd::Manager::connect(unit)?.stop()
}

#[cfg(not(feature = "systemd"))]
fn stop(_: &Unit) -> Result<(), Error> {
    Err(Error::LeftOut("systemd"))
}

fn rmdir(at: BorrowedFd<'_>, name: &Path) -> Result<(), Errno> {
    match unlinkat(at, name, UnlinkatFlags::RemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn remove_dir(path: &Path, unified: bool, until: Instant) -> Result<(), Errno> {
    if rmdir(AT_FDCWD, path).is_ok() {
        return Ok(());
    }
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    match open(path, flags, Mode::empty()) {
        // Where the mount is read-only, the kernel says so also of what is not there.
        Err(Errno::ENOENT) => return Ok(()),
        Err(errno) => return Err(errno),
        Ok(top) => dir::walk(top, &mut Removal { unified, until })?,
    }
    patiently(AT_FDCWD, path, unified, until)
}

struct Removal {
    unified: bool,
    until: Instant,
}

impl dir::Visit for Removal {
    fn enter(&mut self, _: BorrowedFd<'_>) -> Result<(), Errno> {
        Ok(())
    }

    fn leave(&mut self, parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
        patiently(parent, Path::new(OsStr::from_bytes(name.to_bytes())), self.unified, self.until)
    }
}

/// Removes one directory, and waits for processes that are on their way out of it.
fn patiently(at: BorrowedFd<'_>, name: &Path, unified: bool, until: Instant) -> Result<(), Errno> {
    let mut pause = Duration::from_millis(1);
    loop {
        match rmdir(at, name) {
            Err(Errno::EBUSY) => {}
            done => return done,
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Errno::EBUSY);
        }
        // The kernel says when the last process of the unified hierarchy has gone; elsewhere we ask now and then.
        match Dir::open_at(at, name).ok().filter(|_| unified).map(|dir| freeze::wait_for(&dir, "populated 0", left)) {
            Some(Ok(true)) if rmdir(at, name).is_ok() => return Ok(()),
            _ => std::thread::sleep(pause.min(left)),
        }
        pause *= 2;
    }
}
