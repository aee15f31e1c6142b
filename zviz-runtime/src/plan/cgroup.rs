//! Decides which cgroup a container gets, and what it may use: layer D.
//!
//! What is planned here also goes into the container's state, so that every later command (kill, pause, update,
//! delete, events) finds the cgroup as it was made, whatever the host looks like by then.

pub mod devices;
mod enforceable;
pub mod mounts;
pub mod parts;
pub mod path;
mod request;
pub mod resources;
pub mod systemd;
pub mod update;
pub mod v1;
pub mod v2;

pub use resources::Resources;

use super::{Note, Problems};
use crate::host::cgroup::{CgroupHost, Mode};
use enforceable::{enforceable, needed_of_v2};
use oci_spec::runtime as oci;
use path::{Unit, Wanted};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A container's cgroup: its directories, its limits, its devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    /// Who makes it.
    pub driver: Driver,
    /// In the unified hierarchy. Absent for a unit of a user's manager until it is made, since only the manager
    /// knows its own place.
    pub v2: Option<Group>,
    /// In each hierarchy of version 1.
    pub v1: Vec<Group>,
    /// What it may use.
    pub resources: Resources,
    /// Which devices it may open; absent where the host cannot be asked to enforce that (no privilege).
    pub devices: Option<Vec<devices::Rule>>,
    /// Who owns the directory, where the container may make cgroups of its own (delegation): a uid of the host.
    pub owner: Option<u32>,
    /// Whether the container shares it with its broker: see [`parts`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub parted: bool,
}

/// Who makes the cgroup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// No one: the container stays where its maker is.
    None,
    /// We, with mkdir(2).
    Cgroupfs,
    /// systemd, asked over D-Bus.
    Systemd(Unit),
}

/// One directory in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Version 1: the controllers of the hierarchy. Version 2: those to enable for the container.
    pub controllers: Vec<String>,
    /// Where the hierarchy is mounted.
    pub mount: PathBuf,
    /// Below the mount; never empty, and without `..`.
    pub path: PathBuf,
}

impl Group {
    /// Its directory.
    pub fn dir(&self) -> PathBuf {
        self.mount.join(&self.path)
    }

    /// What of its path comes after the directory of a unit.
    pub fn below(&self, unit: &str) -> Option<String> {
        let after = self.path.iter().skip_while(|name| *name != unit).skip(1);
        Some(after.collect::<PathBuf>().to_str()?.to_owned())
    }

    fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|c| c == controller)
    }
}

impl Default for Cgroup {
    fn default() -> Self {
        Self::none()
    }
}

impl Cgroup {
    /// No cgroup at all.
    pub fn none() -> Self {
        let resources = Resources::default();
        Self { driver: Driver::None, v2: None, v1: Vec::new(), resources, devices: None, owner: None, parted: false }
    }

    /// The hierarchy of version 1 that has a controller.
    pub fn v1(&self, controller: &str) -> Option<&Group> {
        self.v1.iter().find(|group| group.has(controller))
    }

    /// Whether version 1 plays no part.
    pub fn is_unified(&self) -> bool {
        self.v1.is_empty()
    }

    /// Whether the processor time of all its processes is counted somewhere.
    pub fn counts_time(&self) -> bool {
        let later = matches!(&self.driver, Driver::Systemd(_));
        self.v1("cpuacct").is_some() || self.v2.is_some() || later
    }

    /// What to write into the files of the unified hierarchy: all that no hierarchy of version 1 enforces.
    pub fn v2_writes(&self) -> Vec<v2::Write> {
        let v1_name = |c: &str| if c == "io" { "blkio".to_owned() } else { c.to_owned() };
        let mut writes = v2::writes(&self.resources);
        writes.retain(|w| self.resources.unified.contains_key(&w.file) || self.v1(&v1_name(w.controller())).is_none());
        writes
    }

    /// What to set in the hierarchies of version 1.
    pub fn v1_settings(&self) -> Vec<v1::Setting> {
        let mut settings = v1::settings(&self.resources);
        settings.retain(|s| self.v1(s.controller()).is_some());
        settings
    }
}

/// Decides. `id` names a cgroup that the config leaves unnamed. `rootless`: we have no privilege over the host's
/// cgroups, so that a missing one is no fault where nothing was asked of it.
pub fn plan(
    linux: Option<&oci::Linux>,
    host: &CgroupHost,
    systemd_driver: bool,
    rootless: bool,
    id: &str,
    problems: &mut Problems,
    notes: &mut Vec<Note>,
) -> Cgroup {
    let asked = linux.and_then(|l| l.resources().as_ref());
    let cgroups_path = linux.and_then(|l| l.cgroups_path().as_deref());
    let resources = asked.map_or_else(Resources::default, |r| request::read(r, problems, notes));
    let rules = devices::plan(linux, problems);
    let mut cgroup = Cgroup { resources, ..Cgroup::none() };
    if !cfg!(feature = "cgroup-v1") && !host.v1.is_empty() {
        problems.add(
            "linux.resources",
            "the host has cgroup v1, and this build of zviz leaves that out (feature cgroup-v1)",
        );
        return cgroup;
    }
    if systemd_driver {
        by_systemd(&mut cgroup, cgroups_path, host, rootless, id, problems);
    } else {
        let named = cgroups_path.is_some_and(|p| !p.as_os_str().is_empty());
        by_hand(&mut cgroup, &path::wanted(cgroups_path, id, problems), named, host, rootless);
    }
    if let Some(group) = &mut cgroup.v2 {
        group.controllers = match host.mode {
            Mode::V2 => host.v2.iter().flat_map(|v2| v2.controllers.clone()).collect(),
            // Beside version 1 the unified hierarchy is for killing and freezing; more only where a limit needs it.
            _ => needed_of_v2(&cgroup.resources, host),
        };
    }
    enforceable(&cgroup, host, rootless, problems);
    if cgroup.v1("devices").is_some() {
        if let Err(what) = devices::exceptions(&rules) {
            problems.add("linux.resources.devices", what);
        }
    } else if cgroup.v2.is_none() && !rootless {
        problems.add("linux.resources.devices", "this host has no cgroup that could enforce device rules");
    }
    // Without privilege neither bpf(2) nor the devices hierarchy is ours; then no node can be made either, and one that
    // is bound keeps the host's permissions (runc and crun do the same).
    if !rootless {
        cgroup.devices = Some(rules);
    } else if asked.and_then(|r| r.devices().as_ref()).is_some_and(|d| d.iter().any(|rule| rule.allow())) {
        notes.push(Note(
            "linux.resources.devices: not enforced without privilege; no device node can be made".to_owned(),
        ));
    }
    if cgroup.driver == Driver::None {
        notes.push(Note(
            "cgroup: none, as no hierarchy may be written; the container shares that of its maker".to_owned(),
        ));
    }
    cgroup
}

fn by_hand(cgroup: &mut Cgroup, wanted: &Wanted, named: bool, host: &CgroupHost, rootless: bool) {
    // Without privilege a cgroup that was asked for by name must be made; one that was not is a best effort.
    let try_it = |writable: bool| writable || named || !rootless;
    if let Some(v2) = host.v2.as_ref().filter(|v2| try_it(v2.writable)) {
        let path = match (wanted, host.mode) {
            (Wanted::BelowMount(path), _) => path.clone(),
            // Beside version 1, as runc: our own cgroup there is whatever the init system chose.
            (Wanted::BelowOwn(path), Mode::Hybrid) => path.clone(),
            (Wanted::BelowOwn(path), _) => {
                let own = v2.own.strip_prefix(&v2.mount).unwrap_or(Path::new(""));
                own.parent().unwrap_or(Path::new("")).join(path)
            }
        };
        cgroup.v2 = Some(Group { controllers: Vec::new(), mount: v2.mount.clone(), path });
    }
    for hierarchy in host.v1.iter().filter(|h| try_it(h.writable)) {
        let path = match wanted {
            Wanted::BelowMount(path) => path.clone(),
            Wanted::BelowOwn(path) => hierarchy.own.strip_prefix(&hierarchy.mount).unwrap_or(Path::new("")).join(path),
        };
        cgroup.v1.push(Group { controllers: hierarchy.controllers.clone(), mount: hierarchy.mount.clone(), path });
    }
    if cgroup.v2.is_some() || !cgroup.v1.is_empty() {
        cgroup.driver = Driver::Cgroupfs;
    }
}

fn by_systemd(
    cgroup: &mut Cgroup,
    cgroups_path: Option<&Path>,
    host: &CgroupHost,
    rootless: bool,
    id: &str,
    problems: &mut Problems,
) {
    const OPTION: &str = "--systemd-cgroup";
    let unit = path::unit(cgroups_path, id, rootless, problems);
    if !cfg!(feature = "systemd") {
        problems.add(OPTION, "this build of zviz leaves systemd out (feature systemd)");
    } else if !host.systemd {
        problems.add(OPTION, "systemd does not run on this host");
    } else if rootless && host.mode != Mode::V2 {
        problems.add(OPTION, "a user's systemd manages no cgroup v1");
    }
    let path = path::expand_slice(&unit.slice).unwrap_or_default().join(&unit.name);
    if !unit.user {
        let group = |controllers: &[String], mount: &Path| Group {
            controllers: controllers.to_vec(),
            mount: mount.to_path_buf(),
            path: path.clone(),
        };
        cgroup.v2 = host.v2.as_ref().map(|v2| group(&[], &v2.mount));
        cgroup.v1 = host.v1.iter().map(|h| group(&h.controllers, &h.mount)).collect();
    }
    cgroup.driver = Driver::Systemd(unit);
}

#[cfg(test)]
mod tests;
