//! A cgroup in words: where it is, and what is written there.

use super::words::{list, quoted};
use crate::plan::cgroup::{Cgroup, Driver, Group};
use std::fmt::{self, Formatter};

pub(super) fn cgroup(f: &mut Formatter<'_>, c: &Cgroup) -> fmt::Result {
    match &c.driver {
        Driver::None => writeln!(f, "cgroup: the caller's")?,
        Driver::Cgroupfs => writeln!(f, "cgroup: by cgroupfs")?,
        Driver::Systemd(unit) => {
            let whose = if unit.user { " of the user's manager" } else { "" };
            writeln!(f, "cgroup: by systemd{whose}, {} in {}", quoted(&unit.name), quoted(&unit.slice))?;
        }
    }
    if c.parted {
        writeln!(f, "  shared with the broker, each in a part of its own")?;
    }
    c.v2.iter().try_for_each(|g| group(f, "v2", g))?;
    c.v1.iter().try_for_each(|g| group(f, "v1", g))?;
    if let Some(uid) = c.owner {
        writeln!(f, "  owner {uid} of the host")?;
    }
    c.v2_writes().iter().try_for_each(|w| writeln!(f, "  {} = {}", w.file, quoted(&w.value)))?;
    c.v1_settings().iter().try_for_each(|s| writeln!(f, "  v1 {}: {s:?}", s.controller()))?;
    match &c.devices {
        Some(rules) => rules.iter().try_for_each(|rule| writeln!(f, "  devices {rule}")),
        None => writeln!(f, "  devices not restricted"),
    }
}

fn group(f: &mut Formatter<'_>, version: &str, g: &Group) -> fmt::Result {
    let dir = g.dir();
    writeln!(f, "  {version} {}: {}", quoted(&dir.to_string_lossy()), list(g.controllers.iter().cloned()))
}
