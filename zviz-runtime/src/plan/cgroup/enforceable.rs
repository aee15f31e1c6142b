//! Which controllers a host has for what was asked.

use super::{Cgroup, Driver, Resources, v2};
use crate::host::cgroup::{CgroupHost, Mode};
use crate::plan::Problems;

/// The controllers that a container needs in the unified hierarchy beside those of version 1.
pub(super) fn needed_of_v2(resources: &Resources, host: &CgroupHost) -> Vec<String> {
    let v1 = |name: &str| host.v1.iter().any(|h| h.controllers.iter().any(|c| c == name));
    let limits = resources.needs().into_iter().filter(|(_, name, _)| !v1(name)).filter_map(|(_, _, name)| name);
    let files = resources.unified.keys().filter_map(|file| file.split_once('.')).map(|(controller, _)| controller);
    let mut names: Vec<String> = limits.chain(files).filter(|&n| n != "cgroup").map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

/// Whether each thing asked for has a controller here, and is a thing that this controller's version knows.
pub(super) fn enforceable(cgroup: &Cgroup, host: &CgroupHost, rootless: bool, problems: &mut Problems) {
    let Resources { memory, cpu, block_io, .. } = &cgroup.resources;
    let user_unit = matches!(&cgroup.driver, Driver::Systemd(unit) if unit.user);
    let unified = |name: &str| {
        let there = host.v2.as_ref().is_some_and(|v2| v2.controllers.iter().any(|c| c == name));
        there && (cgroup.v2.is_some() || user_unit)
    };
    for (place, v1, v2) in cgroup.resources.needs() {
        if cgroup.v1(v1).is_none() && !v2.is_some_and(unified) {
            let why = if cgroup.driver == Driver::None && rootless && host.mode != Mode::None {
                "; no cgroup may be written without privilege: use systemd's driver, or a scope with Delegate=yes"
                    .to_owned()
            } else {
                String::new()
            };
            problems.add(
                format!("linux.resources.{place}"),
                format!("this host has no {} controller to enforce it{why}", v2.unwrap_or(v1)),
            );
        }
    }
    for file in cgroup.resources.unified.keys() {
        let controller = file.split_once('.').map_or("", |(controller, _)| controller);
        // Its name is at fault, which has been said.
        if controller.is_empty() {
            continue;
        }
        if !(unified(controller) || controller == "cgroup" && (cgroup.v2.is_some() || user_unit)) {
            problems.add(
                format!("linux.resources.unified[{file:?}]"),
                format!("this host has no {controller} controller of cgroup v2"),
            );
        }
    }
    let mut only_v1 = |controller: &str, asked: bool, place: &str| {
        if asked && cgroup.v1(controller).is_none() {
            problems.add(format!("linux.resources.{place}"), "cgroup v2 has no such limit");
        }
    };
    only_v1("memory", memory.swappiness.is_some(), "memory.swappiness");
    only_v1("memory", memory.disable_oom_killer, "memory.disableOOMKiller");
    only_v1("cpu", cpu.realtime_runtime.is_some(), "cpu.realtimeRuntime");
    only_v1("cpu", cpu.realtime_period.is_some(), "cpu.realtimePeriod");
    let leaf = block_io.leaf_weight.is_some() || block_io.weight_device.iter().any(|d| d.leaf_weight.is_some());
    only_v1("blkio", leaf, "blockIO.leafWeight");
    if let Err(what) = v2::swap(memory) {
        problems.add("linux.resources.memory.swap", what);
    }
    if cgroup.v1("cpu").is_some() && cpu.shares.is_some_and(|s| !(2..=262_144).contains(&s)) {
        problems.add("linux.resources.cpu.shares", "must be between 2 and 262144");
    }
}
