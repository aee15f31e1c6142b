//! Takes a cgroup away.

use super::{Error, dir, dir::Dir, freeze};
use crate::plan::cgroup::path::Unit;
use crate::plan::cgroup::{Cgroup, Driver};
use nix::errno::Errno;
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

fn rmdir(path: &Path) -> Result<(), Errno> {
    match nix::unistd::unlinkat(nix::fcntl::AT_FDCWD, path, nix::unistd::UnlinkatFlags::RemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn remove_dir(path: &Path, unified: bool, until: Instant) -> Result<(), Errno> {
    if rmdir(path).is_ok() {
        return Ok(());
    }
    // EROFS comes also for a directory that is not there.
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        _ => {}
    }
    for child in dir::children(path).unwrap_or_default() {
        remove_dir(&child, unified, until)?;
    }
    let mut pause = Duration::from_millis(1);
    loop {
        match rmdir(path) {
            Err(Errno::EBUSY) => {}
            done => return done,
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Errno::EBUSY);
        }
        // The kernel says when the last process of the unified hierarchy has gone; elsewhere we ask now and then.
        match Dir::open(path).ok().filter(|_| unified).map(|dir| freeze::wait_for(&dir, "populated 0", left)) {
            Some(Ok(true)) if rmdir(path).is_ok() => return Ok(()),
            _ => std::thread::sleep(pause.min(left)),
        }
        pause *= 2;
    }
}
