//! Stops all processes of a cgroup where they are, and lets them go on.

use super::{Error, dir::Dir};
use crate::plan::cgroup::{Cgroup, Group};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How long processes may take to stop: one in the middle of a write to a dead disk may take for ever.
const PATIENCE: Duration = Duration::from_secs(10);

/// Freezes, and waits until all stand still. If they do not in time, they are let go again.
///
/// # Errors
/// Where there is no cgroup that could, or they do not stop.
pub fn freeze(cgroup: &Cgroup) -> Result<(), Error> {
    let result = match freezer(cgroup)? {
        Freezer::V2(dir) => freeze_v2(&dir),
        Freezer::V1(dir) => freeze_v1(&dir),
    };
    if result.is_err() {
        let _ = thaw(cgroup);
    }
    result
}

/// Lets them go on.
///
/// # Errors
/// Where there is no cgroup that could.
pub fn thaw(cgroup: &Cgroup) -> Result<(), Error> {
    let (dir, file, value) = match freezer(cgroup)? {
        Freezer::V2(dir) => (dir, "cgroup.freeze", "0"),
        Freezer::V1(dir) => (dir, "freezer.state", "THAWED"),
    };
    dir.write(file, value).map_err(|errno| dir.refused(file, value, errno))
}

/// Whether it is frozen, itself and not by an ancestor. A cgroup that is gone is not.
///
/// # Errors
/// Where that cannot be read.
pub fn is_frozen(cgroup: &Cgroup) -> Result<bool, Error> {
    let (dir, file, frozen) = match freezer(cgroup) {
        Ok(Freezer::V2(dir)) => (dir, "cgroup.freeze", "1"),
        Ok(Freezer::V1(dir)) => (dir, "freezer.self_freezing", "1"),
        Err(Error::None(_)) => return Ok(false),
        Err(error) if gone(&error) => return Ok(false),
        Err(error) => return Err(error),
    };
    match dir.read(file) {
        Ok(state) => Ok(state.trim() == frozen),
        Err(error) if gone(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A file that says so, if there is one: `1` in version 2, `FREEZING` or `FROZEN` in version 1.
pub fn frozen_file(cgroup: &Cgroup) -> Option<std::fs::File> {
    let (dir, file) = match freezer(cgroup).ok()? {
        Freezer::V2(dir) => (dir, "cgroup.freeze"),
        Freezer::V1(dir) => (dir, "freezer.state"),
    };
    dir.file(file, OFlag::O_RDONLY).ok().map(Into::into)
}

fn gone(error: &Error) -> bool {
    matches!(error.errno(), Some(libc::ENOENT | libc::ENODEV))
}

enum Freezer {
    V2(Dir),
    V1(Dir),
}

/// Version 2 freezes reliably, so it goes first on a hybrid host too; it can since Linux 5.2.
fn freezer(cgroup: &Cgroup) -> Result<Freezer, Error> {
    let cgroup = &*cgroup.payload();
    let v1 = cgroup.v1("freezer");
    if let Some(group) = &cgroup.v2 {
        match Dir::open(&group.dir()) {
            Ok(dir) if v1.is_none() || dir.file("cgroup.freeze", OFlag::O_RDONLY).is_ok() => {
                return Ok(Freezer::V2(dir));
            }
            Err(error) if v1.is_none() => return Err(error),
            _ => {}
        }
    }
    let dir = |group: &Group| Dir::open(&group.dir()).map(Freezer::V1);
    v1.map_or(Err(Error::None("frozen")), dir)
}

fn freeze_v2(dir: &Dir) -> Result<(), Error> {
    dir.write("cgroup.freeze", "1").map_err(|errno| dir.refused("cgroup.freeze", "1", errno))?;
    wait_for(dir, "frozen 1", PATIENCE)?.then_some(()).ok_or_else(|| late(dir))
}

fn late(dir: &Dir) -> Error {
    Error::NotFrozen { path: dir.path().into(), seconds: PATIENCE.as_secs() }
}

/// Waits for a line in `cgroup.events`, which wakes those that poll it when it changes. Whether it came in time.
pub fn wait_for(dir: &Dir, line: &str, patience: Duration) -> Result<bool, Error> {
    let until = Instant::now() + patience;
    // Opened before it is read: a change in between is not missed.
    let events = dir.file("cgroup.events", OFlag::O_RDONLY).map_err(|e| super::dir::call("open", dir.path(), e))?;
    loop {
        let mut text = [0u8; 256];
        let read = nix::sys::uio::pread(&events, &mut text, 0).map_err(|e| super::dir::call("read", dir.path(), e))?;
        if text[..read].split(|&b| b == b'\n').any(|l| l == line.as_bytes()) {
            return Ok(true);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(events.as_fd(), PollFlags::POLLPRI)], timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(super::dir::call("poll", dir.path(), errno)),
        }
    }
}

/// Version 1 loses the race with processes that fork; asking again, with a thaw now and then, wins it in practice
/// (opencontainers/runc#2774 has the measurements).
fn freeze_v1(dir: &Dir) -> Result<(), Error> {
    const FILE: &str = "freezer.state";
    let until = Instant::now() + PATIENCE;
    for round in 1u32.. {
        dir.write(FILE, "FROZEN").map_err(|errno| dir.refused(FILE, "FROZEN", errno))?;
        if round % 25 == 0 {
            std::thread::sleep(Duration::from_micros(10));
        }
        if dir.read(FILE)?.trim() == "FROZEN" {
            return Ok(());
        }
        if Instant::now() > until {
            break;
        }
        if round % 50 == 0 {
            dir.write(FILE, "THAWED").map_err(|errno| dir.refused(FILE, "THAWED", errno))?;
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    Err(late(dir))
}
