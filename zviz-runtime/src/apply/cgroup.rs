//! Makes, enters, limits, freezes, kills and removes a container's cgroup, as its plan says.
//!
//! How a process gets in, on the way to `exec`:
//!
//! ```text
//! parent                                             init
//!   create() -> Created
//!   clone3(CLONE_INTO_CGROUP, entrance.v2()) ──────►   write "0" to each of entrance.v1_tasks()
//!   entrance.add(pid), for systemd                      unshare(CLONE_NEWCGROUP), where the plan has one
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
mod remove;
#[cfg(feature = "cgroup-v1")]
mod v1;
mod v2;

pub use entrance::{Entrance, enter};
pub use error::Error;
pub use freeze::{freeze, is_frozen, thaw};
pub use kill::{kill, pids};
pub use remove::remove;

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

/// Makes the directories, sets the limits, and opens the way in. What it made is removed again if any of it is refused.
/// For systemd nothing happens yet: a scope cannot be without a process, so [`Entrance::add`] makes it.
///
/// # Errors
/// A directory that cannot be made or is in use, a limit that cannot be set.
pub fn create(planned: &Cgroup) -> Result<Created, Error> {
    let cgroup = planned.clone();
    match &cgroup.driver {
        Driver::None => return Ok(Created { cgroup, entrance: Entrance::none() }),
        Driver::Systemd(_) => return Err(Error::NoSystemd),
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
    let unified = match &cgroup.v2 {
        Some(group) if cgroup.is_unified() => Some(v2::make(group, made)?),
        // Beside version 1 it only helps to kill and to freeze, and may not be ours to write; a limit that needs it
        // fails below.
        Some(group) => v2::make(group, made).ok(),
        None => None,
    };
    #[cfg(feature = "cgroup-v1")]
    v1::make(cgroup, made)?;
    limit(cgroup, unified.as_ref())?;
    devices::set(cgroup, unified.as_ref())?;
    Entrance::open(cgroup, unified)
}

/// Sets every limit of the plan.
fn limit(cgroup: &Cgroup, unified: Option<&dir::Dir>) -> Result<(), Error> {
    #[cfg(feature = "cgroup-v1")]
    v1::set(cgroup)?;
    let writes = cgroup.v2_writes();
    match (unified, &cgroup.v2) {
        (Some(dir), _) => v2::set(dir, &writes),
        (None, Some(group)) if !writes.is_empty() => v2::set(&dir::Dir::open(&group.dir())?, &writes),
        _ => Ok(()),
    }
}
