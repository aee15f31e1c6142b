//! The way into a cgroup.

use super::{Error, dir, dir::Dir};
use crate::plan::cgroup::{Cgroup, Group};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// Descriptors by which a new process gets into a cgroup. All are close-on-exec.
#[derive(Debug)]
pub struct Entrance {
    v2: Option<OwnedFd>,
    v1: Vec<OwnedFd>,
    groups: Vec<Group>,
}

impl Entrance {
    /// Into none.
    pub(super) fn none() -> Self {
        Self { v2: None, v1: Vec::new(), groups: Vec::new() }
    }

    pub(super) fn open(cgroup: &Cgroup, unified: Option<Dir>) -> Result<Self, Error> {
        let mut v1 = Vec::with_capacity(cgroup.v1.len());
        for group in &cgroup.v1 {
            let dir = Dir::open(&group.dir())?;
            v1.push(dir.file("tasks", OFlag::O_WRONLY).map_err(|e| dir::call("open", &group.dir().join("tasks"), e))?);
        }
        let groups = cgroup.v1.iter().chain(cgroup.v2.as_ref().filter(|_| unified.is_some())).cloned().collect();
        Ok(Self { v2: unified.map(Dir::into_fd), v1, groups })
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
    pub(crate) fn take_v1_tasks(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.v1)
    }

    /// Moves a process with all its threads in from outside: slower, and for those that were not born inside.
    ///
    /// # Errors
    /// `ESRCH` where it is gone, `EACCES` where it may not be moved.
    pub fn add(&self, pid: u32) -> Result<(), Error> {
        let pid = pid.to_string();
        for group in &self.groups {
            let dir = Dir::open(&group.dir())?;
            let mut tries = 0;
            // EINVAL: the process is so new that the kernel has not finished it.
            while let Err(errno) = dir.write("cgroup.procs", &pid) {
                tries += 1;
                if errno != Errno::EINVAL || tries == 5 {
                    return Err(dir.refused("cgroup.procs", &pid, errno));
                }
                std::thread::sleep(Duration::from_millis(30));
            }
        }
        Ok(())
    }
}

/// Opens the way into the cgroup of a container that runs.
///
/// # Errors
/// Where one of its directories is gone.
pub fn enter(cgroup: &Cgroup) -> Result<Entrance, Error> {
    let unified = match &cgroup.v2 {
        Some(group) if cgroup.is_unified() => Some(Dir::open(&group.dir())?),
        Some(group) => Dir::open(&group.dir()).ok(),
        None => None,
    };
    Entrance::open(cgroup, unified)
}
