//! Scheduling of CPU, I/O and memory, and the execution domain.

use super::input::{Findings, Input};
use super::process::{MemoryPolicy, Scheduler};
use oci_spec::runtime::{
    IOPriorityClass, LinuxPersonalityDomain, LinuxSchedulerFlag as Flag, LinuxSchedulerPolicy as Policy,
    MemoryPolicyFlagType as NodeFlag, MemoryPolicyModeType as Mode, Process,
};

/// No CPU and no NUMA node has a higher number: CONFIG_NR_CPUS and MAX_NUMNODES end far below.
const INDEX_MAX: u32 = 8191;

/// Every memory policy, by number. `<linux/mempolicy.h>`.
const MODES: [Mode; 7] = [
    Mode::MpolDefault,
    Mode::MpolPreferred,
    Mode::MpolBind,
    Mode::MpolInterleave,
    Mode::MpolLocal,
    Mode::MpolPreferredMany,
    Mode::MpolWeightedInterleave,
];

/// The flags of a memory policy, with their bits.
const NODE_FLAGS: [(NodeFlag, u32); 3] = [
    (NodeFlag::MpolFNumaBalancing, 1 << 13),
    (NodeFlag::MpolFRelativeNodes, 1 << 14),
    (NodeFlag::MpolFStaticNodes, 1 << 15),
];

/// The names of all memory policies and of their flags: what `features` reports.
pub fn memory_policy_names() -> (Vec<String>, Vec<String>) {
    (MODES.iter().map(Mode::to_string).collect(), NODE_FLAGS.iter().map(|(flag, _)| flag.to_string()).collect())
}

/// sched_setattr(2): which field belongs to which policy.
pub(super) fn scheduler(given: &Process, found: &mut Findings) -> Option<Scheduler> {
    let given = given.scheduler().as_ref()?;
    let policy = given.policy();
    let realtime = matches!(policy, Policy::SchedFifo | Policy::SchedRr);
    let deadline = matches!(policy, Policy::SchedDeadline);
    let (nice, priority) = (given.nice().unwrap_or(0), given.priority().unwrap_or(0));
    if !(-20..=19).contains(&nice) {
        found.problem("process.scheduler.nice", format!("must be -20 to 19, not {nice}"));
    }
    let highest = if realtime { 99 } else { 0 };
    let lowest = if realtime { 1 } else { 0 };
    if !(lowest..=highest).contains(&priority) {
        let what = if realtime { "must be 1 to 99" } else { "is for SCHED_FIFO and SCHED_RR only" };
        found.problem("process.scheduler.priority", what);
    }
    let (runtime, within, period) =
        (given.runtime().unwrap_or(0), given.deadline().unwrap_or(0), given.period().unwrap_or(0));
    for (value, field) in [(runtime, "runtime"), (within, "deadline"), (period, "period")] {
        if value != 0 && !deadline {
            found.problem(format!("process.scheduler.{field}"), "is for SCHED_DEADLINE only");
        }
    }
    // The kernel orders them so, and takes an absent period as the deadline. sched(7).
    if deadline && !(1..=within).contains(&runtime) {
        found.problem("process.scheduler.runtime", "must be at least 1 and at most deadline");
    }
    if deadline && period != 0 && within > period {
        found.problem("process.scheduler.deadline", "must be at most period");
    }
    if matches!(policy, Policy::SchedIso) {
        found.problem("process.scheduler.policy", "SCHED_ISO is reserved, no kernel has it");
    }
    Some(Scheduler {
        policy: policy_number(*policy),
        flags: given.flags().iter().flatten().fold(0, |flags, flag| flags | flag_bit(*flag)),
        nice,
        priority: u32::try_from(priority).unwrap_or(0),
        runtime,
        deadline: within,
        period,
    })
}

/// sched.h of Linux.
fn policy_number(policy: Policy) -> u32 {
    match policy {
        Policy::SchedOther => 0,
        Policy::SchedFifo => 1,
        Policy::SchedRr => 2,
        Policy::SchedBatch => 3,
        Policy::SchedIso => 4,
        Policy::SchedIdle => 5,
        Policy::SchedDeadline => 6,
    }
}

fn flag_bit(flag: Flag) -> u64 {
    match flag {
        Flag::SchedResetOnFork => 0x01,
        Flag::SchedFlagReclaim => 0x02,
        Flag::SchedFlagDLOverrun => 0x04,
        Flag::SchedFlagKeepPolicy => 0x08,
        Flag::SchedFlagKeepParams => 0x10,
        Flag::SchedFlagUtilClampMin => 0x20,
        Flag::SchedFlagUtilClampMax => 0x40,
    }
}

/// ioprio_set(2): the class in the upper three bits.
pub(super) fn io_priority(given: &Process, found: &mut Findings) -> Option<u16> {
    let given = given.io_priority().as_ref()?;
    let class: u16 = match given.class() {
        IOPriorityClass::IoprioClassRt => 1,
        IOPriorityClass::IoprioClassBe => 2,
        IOPriorityClass::IoprioClassIdle => 3,
    };
    match u16::try_from(given.priority()) {
        Ok(level) if level <= 7 => Some(class << 13 | level),
        _ => {
            found.problem("process.ioPriority.priority", format!("must be 0 to 7, not {}", given.priority()));
            None
        }
    }
}

/// The CPUs of one of the two fields of `execCPUAffinity`.
pub(super) fn affinity(given: &Process, field: &str, found: &mut Findings) -> Option<Vec<u32>> {
    let given = given.exec_cpu_affinity().as_ref()?;
    let text = if field == "initial" { given.initial() } else { given.cpu_affinity_final() };
    let text = text.as_deref().filter(|text| !text.is_empty())?;
    match list(text) {
        Ok(cpus) => Some(cpus),
        Err(what) => {
            found.problem(format!("process.execCPUAffinity.{field}"), what);
            None
        }
    }
}

/// A list such as `0-3,7`, sorted and without repeats. cpuset(7), "List format".
pub(super) fn list(text: &str) -> Result<Vec<u32>, String> {
    let mut numbers = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Ok(first), Ok(last)) = (first.trim().parse::<u32>(), last.trim().parse::<u32>()) else {
            return Err(format!("{part:?} is neither a number nor a range"));
        };
        if last > INDEX_MAX {
            return Err(format!("{last} is more than {INDEX_MAX}"));
        }
        if first > last {
            return Err(format!("the range {part:?} runs backwards"));
        }
        numbers.extend(first..=last);
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

/// personality(2).
pub(super) fn personality(input: Input, found: &mut Findings) -> Option<u32> {
    let given = input.linux()?.personality().as_ref()?;
    if given.flags().as_ref().is_some_and(|flags| !flags.is_empty()) {
        found.problem("linux.personality.flags", "no flag is defined by the specification");
    }
    Some(match given.domain() {
        LinuxPersonalityDomain::PerLinux => 0,
        LinuxPersonalityDomain::PerLinux32 => 8,
    })
}

/// set_mempolicy(2): which mode takes nodes.
pub(super) fn memory_policy(input: Input, found: &mut Findings) -> Option<MemoryPolicy> {
    let given = input.linux()?.memory_policy().as_ref()?;
    let nodes = match given.nodes().as_deref().filter(|nodes| !nodes.is_empty()).map(list) {
        None => Vec::new(),
        Some(Ok(nodes)) => nodes,
        Some(Err(what)) => {
            found.problem("linux.memoryPolicy.nodes", what);
            return None;
        }
    };
    let mode = given.mode();
    let none = matches!(mode, Mode::MpolDefault | Mode::MpolLocal);
    if none && !nodes.is_empty() {
        found.problem("linux.memoryPolicy.nodes", format!("{mode} takes no nodes"));
    }
    if !none && !matches!(mode, Mode::MpolPreferred) && nodes.is_empty() {
        found.problem("linux.memoryPolicy.nodes", format!("{mode} takes at least one node"));
    }
    let number = MODES.iter().position(|known| *known == mode).and_then(|number| u32::try_from(number).ok())?;
    let asked = |flag: &NodeFlag| given.flags().iter().flatten().any(|asked| asked == flag);
    let flags = NODE_FLAGS.iter().filter(|(flag, _)| asked(flag)).fold(0, |flags, (_, bit)| flags | bit);
    if flags & (3 << 14) == 3 << 14 {
        found.problem("linux.memoryPolicy.flags", "nodes are either static or relative");
    }
    Some(MemoryPolicy { mode: number | flags, nodes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        assert_eq!(list("0-2,7,1"), Ok(vec![0, 1, 2, 7]));
        for bad in ["", "a", "1-", "3-1", "0-4294967295", "1,,2"] {
            assert!(list(bad).is_err(), "{bad}");
        }
    }
}
