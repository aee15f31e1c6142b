//! What a sandbox may use up.

use super::Sandbox;
use super::facts::{Facts, Limits};
use crate::plan::{Note, Problems};
use oci_spec::runtime::{
    LinuxCpuBuilder, LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResources, PosixRlimit, PosixRlimitBuilder,
    PosixRlimitType,
};

/// Processes and threads, where nothing is said.
pub const PIDS: u64 = 2048;
/// Open files of one process, at most.
pub const OPEN_FILES: u64 = 1 << 20;
/// Microseconds over which processor time is shared out: the kernel's own default.
const CPU_PERIOD: u64 = 100_000;

/// The limits of `linux.resources`: those asked for, and defaults where the cgroups of this caller carry them.
pub(super) fn resources(
    sandbox: &Sandbox,
    limits: &Limits,
    notes: &mut Vec<Note>,
    problems: &mut Problems,
) -> LinuxResources {
    let mut resources = LinuxResources::default();
    match sandbox.memory {
        Some(_) if !limits.memory => problems.add("--memory", missing("memory", limits)),
        Some(bytes) => set_memory(&mut resources, bytes, limits, notes),
        // The machine keeps an eighth, whatever runs in here.
        None if limits.memory && limits.memory_total > 0 => {
            set_memory(&mut resources, limits.memory_total - limits.memory_total / 8, limits, &mut Vec::new());
        }
        None => {}
    }
    if limits.pids {
        let pids = LinuxPidsBuilder::default().limit(signed(sandbox.pids.unwrap_or(PIDS)));
        resources.set_pids(pids.build().ok());
    } else if sandbox.pids.is_some() && !limits.nproc_of_namespace {
        problems.add("--pids", missing("the number of processes", limits));
    }
    match sandbox.cpus {
        Some(_) if !limits.cpu => problems.add("--cpus", missing("processor time", limits)),
        Some(thousandths) => {
            let quota = thousandths.saturating_mul(CPU_PERIOD) / 1000;
            // The kernel takes no quota below a millisecond.
            if quota < 1000 {
                problems.add("--cpus", "at least 0.01 of a processor");
            }
            resources.set_cpu(LinuxCpuBuilder::default().period(CPU_PERIOD).quota(signed(quota)).build().ok());
        }
        None => {}
    }
    resources
}

fn set_memory(resources: &mut LinuxResources, bytes: u64, limits: &Limits, notes: &mut Vec<Note>) {
    let mut memory = LinuxMemoryBuilder::default().limit(signed(bytes));
    if limits.swap {
        // In the specification, memory and swap together: no swap beside the memory.
        memory = memory.swap(signed(bytes));
    } else {
        notes.push(Note("memory is limited, swap is not: its accounting is not switched on here".into()));
    }
    resources.set_memory(memory.build().ok());
}

fn missing(what: &str, limits: &Limits) -> String {
    let end = if limits.remedy.is_empty() { String::new() } else { format!("; {}", limits.remedy) };
    format!("{what} cannot be limited by this caller's cgroups{end}")
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The limits of the process.
pub(super) fn rlimits(sandbox: &Sandbox, facts: &Facts) -> Vec<PosixRlimit> {
    let (soft, hard) = facts.open_files;
    let hard = hard.min(OPEN_FILES);
    let mut limits = vec![(PosixRlimitType::RlimitNofile, soft.min(hard), hard)];
    if sandbox.profile.limits.core_files != Some(true) {
        // A core file would hold the memory of a program that may have read what was shared with it.
        limits.push((PosixRlimitType::RlimitCore, 0, 0));
    }
    if !facts.limits.pids && facts.limits.nproc_of_namespace {
        let count = sandbox.pids.unwrap_or(PIDS);
        limits.push((PosixRlimitType::RlimitNproc, count, count));
    }
    let build = |(typ, soft, hard)| PosixRlimitBuilder::default().typ(typ).soft(soft).hard(hard).build().ok();
    limits.into_iter().filter_map(build).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Limits {
        Limits { memory: true, swap: true, pids: true, cpu: true, memory_total: 8 << 30, ..Limits::default() }
    }

    fn lowered(sandbox: &Sandbox, limits: &Limits) -> Result<LinuxResources, Problems> {
        let mut problems = Problems::default();
        let resources = resources(sandbox, limits, &mut Vec::new(), &mut problems);
        problems.or(resources)
    }

    #[test]
    fn defaults_where_cgroups_carry_them() {
        let resources = lowered(&Sandbox::new(["true"]), &all()).unwrap();
        assert_eq!(resources.memory().unwrap().limit(), Some(7 << 30));
        assert_eq!(resources.memory().unwrap().swap(), Some(7 << 30));
        assert_eq!(resources.pids().unwrap().limit(), 2048);
        assert!(resources.cpu().is_none());
        let none = lowered(&Sandbox::new(["true"]), &Limits::default()).unwrap();
        assert!(none.memory().is_none() && none.pids().is_none());
    }

    #[test]
    fn flags_are_limits() {
        let mut sandbox = Sandbox::new(["true"]);
        sandbox.memory(512 << 20).pids(100).millicpus(1500);
        let resources = lowered(&sandbox, &all()).unwrap();
        assert_eq!(resources.memory().unwrap().limit(), Some(512 << 20));
        assert_eq!(resources.pids().unwrap().limit(), 100);
        assert_eq!(resources.cpu().as_ref().unwrap().quota(), Some(150_000));
    }

    #[test]
    fn a_limit_that_cannot_be_had_is_a_problem() {
        let mut sandbox = Sandbox::new(["true"]);
        sandbox.memory(512 << 20).pids(100).millicpus(1);
        let limits = Limits { remedy: "delegate a cgroup".into(), ..Limits::default() };
        assert_eq!(
            lowered(&sandbox, &limits).unwrap_err().to_string(),
            "--memory: memory cannot be limited by this caller's cgroups; delegate a cgroup; \
             --pids: the number of processes cannot be limited by this caller's cgroups; delegate a cgroup; \
             --cpus: processor time cannot be limited by this caller's cgroups; delegate a cgroup"
        );
        assert_eq!(lowered(&sandbox, &all()).unwrap_err().to_string(), "--cpus: at least 0.01 of a processor");
    }

    #[test]
    fn rlimit_stands_in_for_the_pids_controller() {
        let mut facts = Facts { open_files: (1024, 1 << 30), ..Facts::default() };
        assert_eq!(rlimits(&Sandbox::new(["true"]), &facts).len(), 2);
        facts.limits.nproc_of_namespace = true;
        let limits = rlimits(Sandbox::new(["true"]).pids(9), &facts);
        assert_eq!((limits[0].soft(), limits[0].hard()), (1024, OPEN_FILES));
        assert_eq!(limits[2].hard(), 9);
    }
}
