//! New limits for a container that has some: `update`.

use super::resources::Resources;
use super::{Cgroup, enforceable, needed_of_v2, request};
use crate::host::cgroup::{CgroupHost, Mode};
use crate::plan::{Note, Problems};
use oci_spec::runtime as oci;

/// What an update comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The cgroup as it will be: this goes into the state.
    pub cgroup: Cgroup,
    /// What is written now: the limits that were given, and those that have no meaning without one of them.
    pub changed: Resources,
}

/// Decides. What the request leaves out stays as it is; devices are never changed.
///
/// # Errors
/// What is wrong with the request, or cannot be enforced.
pub fn update(
    current: &Cgroup,
    asked: &oci::LinuxResources,
    host: &CgroupHost,
    rootless: bool,
    notes: &mut Vec<Note>,
) -> Result<Update, Problems> {
    let mut problems = Problems::default();
    let new = request::read(asked, &mut problems, notes);
    if asked.devices().as_ref().is_some_and(|devices| !devices.is_empty()) {
        notes.push(Note("linux.resources.devices: not changed by an update".to_owned()));
    }
    let mut cgroup = current.clone();
    merge(&mut cgroup.resources, &new);
    let changed = with_partners(&new, &cgroup.resources);
    if let (Some(group), Mode::Hybrid) = (&mut cgroup.v2, host.mode) {
        group.controllers = needed_of_v2(&cgroup.resources, host);
    }
    enforceable(&cgroup, host, rootless, &mut problems);
    problems.or(Update { cgroup, changed })
}

fn merge(old: &mut Resources, new: &Resources) {
    fn set<T: Clone>(old: &mut Option<T>, new: &Option<T>) {
        if new.is_some() {
            old.clone_from(new);
        }
    }
    // Memory without a limit has swap without one, unless the request says what else.
    if new.memory.limit == Some(-1) && new.memory.swap.is_none() {
        old.memory.swap = None;
    }
    set(&mut old.memory.limit, &new.memory.limit);
    set(&mut old.memory.reservation, &new.memory.reservation);
    set(&mut old.memory.swap, &new.memory.swap);
    set(&mut old.memory.swappiness, &new.memory.swappiness);
    old.memory.disable_oom_killer |= new.memory.disable_oom_killer;
    old.memory.check_before_update = new.memory.check_before_update;
    set(&mut old.cpu.shares, &new.cpu.shares);
    set(&mut old.cpu.quota, &new.cpu.quota);
    set(&mut old.cpu.period, &new.cpu.period);
    set(&mut old.cpu.burst, &new.cpu.burst);
    set(&mut old.cpu.realtime_runtime, &new.cpu.realtime_runtime);
    set(&mut old.cpu.realtime_period, &new.cpu.realtime_period);
    set(&mut old.cpu.idle, &new.cpu.idle);
    set(&mut old.cpu.cpus, &new.cpu.cpus);
    set(&mut old.cpu.mems, &new.cpu.mems);
    set(&mut old.pids, &new.pids);
    set(&mut old.block_io.weight, &new.block_io.weight);
    set(&mut old.block_io.leaf_weight, &new.block_io.leaf_weight);
    for device in &new.block_io.weight_device {
        match old.block_io.weight_device.iter_mut().find(|d| d.device == device.device) {
            Some(held) => {
                set(&mut held.weight, &device.weight);
                set(&mut held.leaf_weight, &device.leaf_weight);
            }
            None => old.block_io.weight_device.push(device.clone()),
        }
    }
    for throttle in &new.block_io.throttle {
        match old.block_io.throttle.iter_mut().find(|t| t.device == throttle.device && t.of == throttle.of) {
            Some(held) => held.rate = throttle.rate,
            None => old.block_io.throttle.push(throttle.clone()),
        }
    }
    old.hugepages.extend(new.hugepages.clone());
    old.rdma.extend(new.rdma.clone());
    set(&mut old.class_id, &new.class_id);
    old.priorities.extend(new.priorities.clone());
    old.unified.extend(new.unified.clone());
}

/// The new values, and the standing ones that are written in one breath with them: on v2 swap is what memory leaves of
/// the sum, and quota and period share a file.
fn with_partners(new: &Resources, merged: &Resources) -> Resources {
    let mut out = new.clone();
    if new.memory.limit.is_some() || new.memory.swap.is_some() {
        out.memory.limit = merged.memory.limit;
        out.memory.swap = merged.memory.swap;
    }
    if new.cpu.quota.is_some() || new.cpu.period.is_some() {
        out.cpu.quota = merged.cpu.quota;
        out.cpu.period = merged.cpu.period;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn resources(value: serde_json::Value) -> Resources {
        let asked: oci::LinuxResources = serde_json::from_value(value).unwrap();
        let mut problems = Problems::default();
        let resources = request::read(&asked, &mut problems, &mut Vec::new());
        assert!(problems.is_empty(), "{problems}");
        resources
    }

    #[test]
    fn what_is_left_out_stays() {
        let throttle = |rate| json!([{ "major": 8, "minor": 0, "rate": rate }]);
        let mut held = resources(json!({
            "memory": { "limit": 100, "swap": 150 }, "cpu": { "quota": 5000, "shares": 7 }, "pids": { "limit": 9 },
            "blockIO": { "throttleReadBpsDevice": throttle(1) }, "unified": { "memory.high": "1" },
        }));
        let new = resources(json!({
            "memory": { "limit": 120 }, "cpu": { "period": 20000 },
            "blockIO": { "throttleReadBpsDevice": throttle(2) }, "unified": { "memory.low": "2" },
        }));
        merge(&mut held, &new);
        assert_eq!((held.memory.limit, held.memory.swap, held.pids), (Some(120), Some(150), Some(9)));
        assert_eq!((held.cpu.quota, held.cpu.period, held.cpu.shares), (Some(5000), Some(20_000), Some(7)));
        assert_eq!(held.block_io.throttle.iter().map(|t| t.rate).collect::<Vec<_>>(), [2]);
        assert_eq!(held.unified.len(), 2);
        let written = with_partners(&new, &held);
        assert_eq!((written.memory.swap, written.cpu.quota, written.pids), (Some(150), Some(5000), None));
    }

    #[test]
    fn lifting_memory_lifts_swap() {
        let mut held = resources(json!({ "memory": { "limit": 100, "swap": 150 } }));
        merge(&mut held, &resources(json!({ "memory": { "limit": -1 } })));
        assert_eq!((held.memory.limit, held.memory.swap), (Some(-1), None));
    }
}
