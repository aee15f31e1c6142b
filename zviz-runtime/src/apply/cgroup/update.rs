//! Changes the limits of a container that runs.

use super::{Error, dir::Dir};
use crate::plan::cgroup::update::Update;
use crate::plan::cgroup::{Cgroup, Driver};

/// Writes what changes.
///
/// # Errors
/// A limit that is refused, or is below what is in use where the request wants that checked.
pub fn update(update: &Update) -> Result<(), Error> {
    let changed = Cgroup { resources: update.changed.clone(), ..update.cgroup.clone() };
    if changed.resources.memory.check_before_update {
        fits(&changed)?;
    }
    #[cfg(feature = "systemd")]
    if let Driver::Systemd(unit) = &changed.driver {
        let manager = super::systemd::Manager::connect(unit)?;
        manager.set(&crate::plan::cgroup::systemd::limits(&changed, manager.version()))?;
    }
    #[cfg(not(feature = "systemd"))]
    if let Driver::Systemd(_) = &changed.driver {
        return Err(Error::LeftOut("systemd"));
    }
    let unified = match &changed.v2 {
        Some(group) if !changed.v2_writes().is_empty() => {
            super::v2::enable(group)?;
            Some(Dir::open(&group.dir())?)
        }
        _ => None,
    };
    super::limit(&changed, unified.as_ref())?;
    super::parts::update(&changed)
}

/// Whether the new limits are above what is used now.
fn fits(cgroup: &Cgroup) -> Result<(), Error> {
    let group = cgroup.v1("memory").map(|g| (g, "memory.usage_in_bytes"));
    let Some((group, file)) = group.or(cgroup.v2.as_ref().map(|g| (g, "memory.current"))) else { return Ok(()) };
    let memory = &cgroup.resources.memory;
    let dir = Dir::open(&group.dir())?;
    let usage: u64 = dir.read(file)?.trim().parse().unwrap_or(0);
    for limit in [memory.limit, memory.swap].into_iter().flatten().filter_map(|l| u64::try_from(l).ok()) {
        if limit <= usage {
            return Err(Error::MemoryInUse { path: dir.path().into(), limit, usage });
        }
    }
    Ok(())
}
