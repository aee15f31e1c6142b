//! Makes, enters, limits, freezes, kills and removes a container's cgroup, as its plan says.
//!
//! How a process gets in, on the way to `exec`:
//!
//! ```text
//! parent                                             init
//!   create() -> Created, or enter() for exec
//!   clone3(CLONE_INTO_CGROUP, entrance.v2()) ──────►   wait
//!   settle(pid), or admit(pid) for exec    ── Go ──►   write "0" to each of entrance.v1_tasks()
//!   state: the settled cgroup                          unshare(CLONE_NEWCGROUP), where the plan has one
//! ```
//!
//! Writing `0` into `tasks` moves the one thread that writes. It is twenty times faster than having the parent write a
//! pid into `cgroup.procs`, for which the kernel stops every fork and exit of the machine until an RCU grace period has
//! passed (`cgroup_threadgroup_rwsem`; 4 ms against 0.2 ms for nine hierarchies). The cgroup namespace comes after:
//! its root is where the process is when it is made, and clone3(2) makes it while the child still counts as its
//! parent's.

pub mod device_program;
mod devices;
mod dir;
mod entrance;
mod error;
mod freeze;
mod kill;
pub mod oom;
mod parts;
mod remove;
pub mod stats;
mod stats_v1;
mod stats_v2;
#[cfg(feature = "systemd")]
mod systemd;
#[cfg(feature = "systemd")]
mod unit;
mod update;
#[cfg(feature = "cgroup-v1")]
mod v1;
mod v2;

pub use entrance::{Entrance, admit, enter};
pub use error::Error;
pub use freeze::{freeze, frozen_file, is_frozen, thaw};
pub use kill::{kill, pids};
pub(crate) use oom::value;
pub use parts::{Seat, move_broker, seat};
pub use remove::remove;
pub use stats::{Stats, stats, time_file};
pub use update::update;

use crate::plan::cgroup::{Cgroup, Driver};
use std::path::PathBuf;

/// A cgroup that has been made.
#[derive(Debug)]
pub struct Created {
    /// The cgroup with all its places known: this goes into the container's state.
    pub cgroup: Cgroup,
    /// The way in.
    pub entrance: Entrance,
}

/// Has systemd make the cgroup around a process that waits, and fills in where that is. For the other drivers everything
/// is done already. If it fails, [`remove`] takes away what there is.
///
/// # Errors
/// Where systemd refuses, or a limit is refused.
#[cfg_attr(not(feature = "systemd"), expect(unused_variables, reason = "only systemd moves it"))]
pub fn settle(cgroup: &mut Cgroup, pid: u32) -> Result<(), Error> {
    match cgroup.driver.clone() {
        #[cfg(feature = "systemd")]
        Driver::Systemd(unit) => unit::start(&unit, cgroup, pid),
        #[cfg(not(feature = "systemd"))]
        Driver::Systemd(_) => Err(Error::LeftOut("systemd")),
        Driver::None | Driver::Cgroupfs => Ok(()),
    }
}

/// Makes the directories, sets the limits, and opens the way in. What it made is removed again if any of it is refused.
/// For systemd nothing happens yet: a scope cannot be without a process, so [`settle`] makes it.
///
/// # Errors
/// A directory that cannot be made or is in use, a limit that cannot be set.
pub fn create(planned: &Cgroup) -> Result<Created, Error> {
    let cgroup = planned.clone();
    match &cgroup.driver {
        Driver::None | Driver::Systemd(_) => {
            let entrance = Entrance::closed(&cgroup);
            return Ok(Created { cgroup, entrance });
        }
        Driver::Cgroupfs => {}
    }
    let mut made = Vec::new();
    match make(&cgroup, &mut made) {
        Ok(entrance) => Ok(Created { cgroup, entrance }),
        Err(error) => {
            // Deepest first. One that has got users meanwhile stays theirs.
            for dir in made.iter().rev() {
                let _ = std::fs::remove_dir(dir);
            }
            Err(error)
        }
    }
}

fn make(cgroup: &Cgroup, made: &mut Vec<PathBuf>) -> Result<Entrance, Error> {
    if !cfg!(feature = "cgroup-v1") && !cgroup.is_unified() {
        return Err(Error::LeftOut("cgroup v1"));
    }
    let unified = match &cgroup.v2 {
        Some(group) if cgroup.is_unified() => Some(v2::make(group, made)?),
        // Beside version 1 it only helps to kill and to freeze, and may not be ours to write; a limit that needs it
        // fails below.
        Some(group) => v2::make(group, made).ok(),
        None => None,
    };
    #[cfg(feature = "cgroup-v1")]
    v1::make(cgroup, made)?;
    let parts = match &unified {
        Some(_) => parts::make(cgroup, made)?,
        None => None,
    };
    furnish(cgroup, unified.as_ref(), parts.as_ref())?;
    Entrance::open(&cgroup.payload(), parts.map(|parts| parts.payload).or(unified))
}

/// Puts everything of the plan into force.
fn furnish(cgroup: &Cgroup, unified: Option<&dir::Dir>, parts: Option<&parts::Parts>) -> Result<(), Error> {
    limit(cgroup, unified)?;
    devices::set(cgroup, unified)?;
    if let Some(parts) = parts {
        parts.limit(cgroup)?;
    }
    match (parts.map(|parts| &parts.payload).or(unified), cgroup.owner) {
        // Version 1 is never given away: its files are not safe in other hands.
        (Some(dir), Some(uid)) if cgroup.is_unified() => v2::delegate(dir, uid),
        _ => Ok(()),
    }
}

/// Sets every limit of the plan.
fn limit(cgroup: &Cgroup, unified: Option<&dir::Dir>) -> Result<(), Error> {
    #[cfg(feature = "cgroup-v1")]
    v1::set(cgroup)?;
    let writes = cgroup.v2_writes_of_all();
    match (unified, &cgroup.v2) {
        (Some(dir), _) => v2::set(dir, &writes),
        (None, Some(group)) if !writes.is_empty() => v2::set(&dir::Dir::open(&group.dir())?, &writes),
        _ => Ok(()),
    }
}
