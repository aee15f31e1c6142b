//! The way into a cgroup.

use super::{Error, dir, dir::Dir};
use crate::plan::cgroup::{Cgroup, Driver, Group};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// Descriptors by which a new process gets into a cgroup. All are close-on-exec.
#[derive(Debug)]
pub struct Entrance {
    v2: Option<OwnedFd>,
    v1: Vec<OwnedFd>,
    cgroup: Cgroup,
}

impl Entrance {
    /// Into a cgroup to which no descriptor leads: there is none, or systemd holds the door.
    pub(super) fn closed(cgroup: &Cgroup) -> Self {
        Self { v2: None, v1: Vec::new(), cgroup: cgroup.clone() }
    }

    pub(super) fn open(cgroup: &Cgroup, unified: Option<Dir>) -> Result<Self, Error> {
        let mut v1 = Vec::with_capacity(cgroup.v1.len());
        for group in &cgroup.v1 {
            let tasks = group.dir().join("tasks");
            let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
            v1.push(open(&tasks, flags, Mode::empty()).map_err(|e| dir::call("open", &tasks, e))?);
        }
        Ok(Self { v2: unified.map(Dir::into_fd), v1, cgroup: cgroup.clone() })
    }

    /// The directory in the unified hierarchy, for CLONE_INTO_CGROUP.
    pub fn v2(&self) -> Option<BorrowedFd<'_>> {
        self.v2.as_ref().map(AsFd::as_fd)
    }

    /// The `tasks` files of version 1. A process with one thread that writes `0` into each is in, whatever its user
    /// namespace: the kernel goes by who opened them.
    pub fn v1_tasks(&self) -> &[OwnedFd] {
        &self.v1
    }

    /// The same, for init alone to keep.
    pub fn take_v1_tasks(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.v1)
    }

    /// Moves a process with all its threads in from outside: slower, and for those that were not born inside.
    ///
    /// # Errors
    /// `ESRCH` where it is gone, `EACCES` where it may not be moved.
    pub fn add(&self, pid: u32) -> Result<(), Error> {
        #[cfg(feature = "systemd")]
        if let Driver::Systemd(unit) = &self.cgroup.driver
            && unit.user
        {
            let part = self.cgroup.v2.as_ref().and_then(|group| group.below(&unit.name));
            return super::systemd::Manager::connect(unit)?.attach(pid, &part.unwrap_or_default());
        }
        self.cgroup.v1.iter().chain(self.cgroup.v2.as_ref().filter(|_| self.v2.is_some())).try_for_each(|g| put(g, pid))
    }
}

/// Moves a process into one directory.
pub(super) fn put(group: &Group, pid: u32) -> Result<(), Error> {
    let dir = Dir::open(&group.dir())?;
    let pid = pid.to_string();
    let mut tries = 0;
    // EINVAL: the process is so new that the kernel has not finished it.
    while let Err(errno) = dir.write("cgroup.procs", &pid) {
        tries += 1;
        if errno != Errno::EINVAL || tries == 5 {
            return Err(dir.refused("cgroup.procs", &pid, errno));
        }
        std::thread::sleep(Duration::from_millis(30));
    }
    Ok(())
}

/// Opens the way into the cgroup of a container that runs. Where a user's systemd has made it, nothing opens, and
/// [`admit`] is the way.
///
/// A container may have made cgroups of its own and given them controllers; then its own takes no more processes
/// (cgroups(7), "no internal processes"), and a new one goes where its `init` is.
///
/// # Errors
/// Where one of its directories is gone.
pub fn enter(cgroup: &Cgroup, init: Option<u32>) -> Result<Entrance, Error> {
    if by_user_manager(cgroup) {
        return Ok(Entrance::closed(cgroup));
    }
    let mut cgroup = cgroup.payload().into_owned();
    let unified = match &mut cgroup.v2 {
        Some(group) if cgroup.v1.is_empty() => {
            let dir = Dir::open(&group.dir())?;
            let is_full = dir.read("cgroup.subtree_control").is_ok_and(|enabled| !enabled.trim().is_empty());
            match init.filter(|_| is_full).and_then(|pid| own_path(group, pid)) {
                Some(path) => {
                    group.path = path;
                    Some(Dir::open(&group.dir())?)
                }
                None => Some(dir),
            }
        }
        Some(group) => Dir::open(&group.dir()).ok(),
        None => None,
    };
    Entrance::open(&cgroup, unified)
}

/// Brings a process in that waits, where [`Entrance`] has no descriptors to do so: between our session and a user's
/// manager stands a cgroup of root's, over which we may move no one, so the manager must.
///
/// # Errors
/// Where it refuses.
pub fn admit(cgroup: &Cgroup, pid: u32) -> Result<(), Error> {
    if by_user_manager(cgroup) { Entrance::closed(&cgroup.payload()).add(pid) } else { Ok(()) }
}

pub(super) fn by_user_manager(cgroup: &Cgroup) -> bool {
    matches!(&cgroup.driver, Driver::Systemd(unit) if unit.user)
}

/// Where a process is in the unified hierarchy, if that is within the group.
fn own_path(group: &Group, pid: u32) -> Option<PathBuf> {
    let lines = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let path = lines.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let path = Path::new(path);
    let inside = path.starts_with(&group.path) && path.components().all(|c| matches!(c, Component::Normal(_)));
    inside.then(|| path.to_path_buf())
}
