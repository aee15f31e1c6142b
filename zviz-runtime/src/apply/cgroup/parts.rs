//! The two parts of a cgroup that a container shares with its broker. What is in which: `plan::cgroup::parts`.

use super::{Error, dir, dir::Dir, entrance, freeze, kill, v2};
use crate::plan::cgroup::parts::MEMORY;
use crate::plan::cgroup::{Cgroup, Driver, Group};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

/// How long a broker may take to see that its container has ended.
const PATIENCE: Duration = Duration::from_secs(1);

/// Both directories of the unified hierarchy.
pub(super) struct Parts {
    pub payload: Dir,
    broker: Dir,
}

/// The groups of both in the unified hierarchy.
fn groups(cgroup: &Cgroup) -> Option<(Group, Group)> {
    cgroup.payload().v2.clone().zip(cgroup.broker()?.v2)
}

/// Makes both, where the plan has them.
///
/// # Errors
/// Where one cannot be made or is in use.
pub(super) fn make(cgroup: &Cgroup, made: &mut Vec<PathBuf>) -> Result<Option<Parts>, Error> {
    let Some((payload, broker)) = groups(cgroup) else { return Ok(None) };
    Ok(Some(Parts { payload: v2::make(&payload, made)?, broker: v2::make(&broker, made)? }))
}

/// Makes both in a cgroup that has a process, which goes to its part.
#[cfg(feature = "systemd")]
pub(super) fn divide(cgroup: &Cgroup, pid: u32) -> Result<Option<Parts>, Error> {
    let Some((payload, broker)) = groups(cgroup) else { return Ok(None) };
    for group in [&payload, &broker] {
        dir::make(&group.mount, &group.dir(), &mut Vec::new())?;
    }
    entrance::put(&payload, pid)?;
    // Not before: with a process in their parent those below it become cgroups of threads. cgroups(7), "no internal processes".
    v2::enable(&payload)?;
    Ok(Some(Parts { payload: Dir::open(&payload.dir())?, broker: Dir::open(&broker.dir())? }))
}

impl Parts {
    /// Sets what each may use.
    pub(super) fn limit(&self, cgroup: &Cgroup) -> Result<(), Error> {
        v2::set(&self.payload, &cgroup.v2_writes_of_payload())?;
        let bytes = MEMORY.to_string();
        match self.broker.write("memory.max", &bytes) {
            // Without the controller there its processes limit themselves.
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(self.broker.refused("memory.max", &bytes, errno)),
        }
    }
}

/// The limits of a container that runs are others now.
pub(super) fn update(changed: &Cgroup) -> Result<(), Error> {
    let writes = changed.v2_writes_of_payload();
    match &changed.payload().v2 {
        Some(group) if changed.parted && !writes.is_empty() => {
            v2::enable(group)?;
            v2::set(&Dir::open(&group.dir())?, &writes)
        }
        _ => Ok(()),
    }
}

/// The way in for a broker.
#[derive(Debug)]
pub struct Seat {
    /// The directory in the unified hierarchy, for CLONE_INTO_CGROUP.
    pub v2: Option<OwnedFd>,
    /// The `tasks` files of version 1, as [`Entrance::v1_tasks`](super::Entrance::v1_tasks).
    pub tasks: Vec<OwnedFd>,
    /// It is for [`move_broker`], once the cgroup is there.
    pub later: bool,
}

/// Opens the way in for a broker, where it is charged to the container. `is_made`: the container runs.
///
/// # Errors
/// Where one of the directories is gone.
pub fn seat(cgroup: &Cgroup, is_made: bool) -> Result<Option<Seat>, Error> {
    let Some(broker) = cgroup.broker() else { return Ok(None) };
    let waits = !is_made && matches!(broker.driver, Driver::Systemd(_));
    if waits || entrance::by_user_manager(&broker) {
        return Ok(Some(Seat { v2: None, tasks: Vec::new(), later: true }));
    }
    let v2 = match &broker.v2 {
        Some(group) if cgroup.is_unified() => Some(Dir::open(&group.dir())?),
        // Beside version 1 it need not have been made.
        Some(group) => Dir::open(&group.dir()).ok(),
        None => None,
    };
    let tasks = broker.v1.iter().map(|group| {
        let tasks = group.dir().join("tasks");
        let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        open(&tasks, flags, Mode::empty()).map_err(|errno| dir::call("open", &tasks, errno))
    });
    Ok(Some(Seat { v2: v2.map(Dir::into_fd), tasks: tasks.collect::<Result<_, _>>()?, later: false }))
}

/// Moves a broker that waits for it.
///
/// # Errors
/// Where it may not be moved.
pub fn move_broker(cgroup: &Cgroup, pid: u32) -> Result<(), Error> {
    let Some(broker) = cgroup.broker() else { return Ok(()) };
    #[cfg(feature = "systemd")]
    if entrance::by_user_manager(&broker) {
        return entrance::Entrance::closed(&broker).add(pid);
    }
    broker.v1.iter().chain(&broker.v2).try_for_each(|group| entrance::put(group, pid))
}

/// Sees to it that no broker is left: its container has ended, and so does it, or is ended.
pub(super) fn end_broker(cgroup: &Cgroup) {
    let Some(broker) = cgroup.broker() else { return };
    if let Some(dir) = broker.v2.as_ref().and_then(|group| Dir::open(&group.dir()).ok()) {
        if !freeze::wait_for(&dir, "populated 0", PATIENCE).unwrap_or(true) {
            let _ = kill::kill(&broker, Signal::SIGKILL);
        }
        return;
    }
    // Whoever is left in a hierarchy of version 1 is of the broker.
    let left = || broker.v1.first().and_then(|group| kill::pids_below(&group.dir()).ok()).unwrap_or_default();
    let until = std::time::Instant::now() + PATIENCE;
    while !left().is_empty() {
        if std::time::Instant::now() > until {
            let _ = left().into_iter().try_for_each(|pid| kill::signal_one(pid, Signal::SIGKILL));
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
