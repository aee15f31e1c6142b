//! What the payload may not do, for another program of the image that is run in its place: a startContainer hook.

use super::landlock::{self, PreparedLandlock};
use super::process::{self, PreparedProcess};
use crate::failure::Failure;
use crate::plan::Plan;
use crate::prepare::{self, Filter};
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use zviz_seccomp::Cache;
use zviz_sys::seccomp;

/// Identity, rights, filter and Landlock of a payload.
pub(crate) struct Confinement {
    process: PreparedProcess,
    filter: Option<Filter>,
    landlock: Option<PreparedLandlock>,
}

/// Makes everything that `take` needs.
pub(crate) fn prepare(plan: &Plan, cache: &Cache, last_capability: u32) -> Result<Confinement, prepare::Error> {
    let mut filter = plan.seccomp.as_ref().map(|s| prepare::filter(s, cache)).transpose()?;
    if let Some(filter) = &mut filter {
        // No agent listens to a hook: what the filter would ask it about is refused (ENOSYS).
        filter.flags &= !(seccomp::flag::NEW_LISTENER | seccomp::flag::WAIT_KILLABLE_RECV);
    }
    Ok(Confinement {
        process: process::prepare(&plan.process, &BTreeMap::new(), last_capability)?,
        filter,
        landlock: plan.landlock.as_ref().map(landlock::prepare).transpose()?,
    })
}

impl Confinement {
    /// Gives up what the payload does not have. In a child, inside the container: allocates nothing.
    pub(crate) fn take(&self) -> Result<(), Errno> {
        self.steps().map_err(|failure| failure.errno)
    }

    fn steps(&self) -> Result<(), Failure> {
        if let Some(landlock) = &self.landlock {
            landlock.add_rules(process::open_root()?.as_fd())?;
        }
        self.process.limit()?;
        self.process.become_user()?;
        if let Some(landlock) = &self.landlock {
            landlock.restrict()?;
        }
        if let Some(filter) = &self.filter {
            filter.load()?;
        }
        self.process.give_up_spare_right()
    }
}
