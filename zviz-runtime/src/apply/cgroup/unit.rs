//! A cgroup that systemd makes: the unit first, around a process, then what systemd has no property for.

use super::systemd::Manager;
use super::{Error, dir::Dir, v2};
use crate::plan::cgroup::path::{Unit, expand_slice};
use crate::plan::cgroup::{Cgroup, Group, systemd};
use std::path::Path;

/// Starts the unit around the process, and fills in where a user's manager has put it.
///
/// # Errors
/// Where systemd refuses, or a limit is.
pub fn start(unit: &Unit, cgroup: &mut Cgroup, pid: u32) -> Result<(), Error> {
    let manager = Manager::connect(unit)?;
    manager.start(&systemd::start(unit, cgroup, manager.version()), pid)?;
    if unit.user {
        // The hierarchy is the only one there is, or the plan had a problem.
        let own = manager.control_group()?;
        let path = own.join(expand_slice(&unit.slice).unwrap_or_default()).join(&unit.name);
        let mount = Path::new(crate::host::cgroup::ROOT).to_path_buf();
        let controllers = super::dir::Dir::open(&mount)?.read("cgroup.controllers")?;
        let controllers = controllers.split_ascii_whitespace().map(str::to_owned).collect();
        cgroup.v2 = Some(Group { controllers, mount, path });
    }
    join(unit, cgroup, pid)?;
    let unified = match &cgroup.v2 {
        Some(group) => Some(Dir::open(&group.dir())?),
        None => None,
    };
    let parts = super::parts::divide(cgroup, pid)?;
    super::furnish(cgroup, unified.as_ref(), parts.as_ref())
}

/// Hierarchies and controllers that systemd does not look after. A slice has no processes of its own making.
fn join(unit: &Unit, cgroup: &Cgroup, pid: u32) -> Result<(), Error> {
    if let Some(group) = &cgroup.v2 {
        v2::enable(group)?;
        if unit.is_slice() {
            super::entrance::put(group, pid)?;
        }
    }
    #[cfg(feature = "cgroup-v1")]
    for group in cgroup.v1.iter().filter(|g| unit.is_slice() || g.controllers != ["name=systemd"]) {
        super::v1::make_one(group, &mut Vec::new())?;
        super::entrance::put(group, pid)?;
    }
    Ok(())
}
