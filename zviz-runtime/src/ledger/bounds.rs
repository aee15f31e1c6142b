//! The limits of a plan: each with who asked for it and how it can be seen at work.

use crate::plan::{MountKind, Plan};
use crate::profile::Limits;
use nix::errno::Errno;
use serde::Serialize;
use std::fmt;

/// A limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bound {
    /// What it limits: the profile's key without `resources.`.
    pub limit: &'static str,
    /// How much.
    pub value: u64,
    /// Of what.
    pub unit: Unit,
    /// Who asked for it: a key of a profile, a flag, or a place in config.json.
    pub asked_by: String,
    /// Where that is written, where it is a profile's: file and line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Why it is not known whether it was reached; absent where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unseen: Unseen,
}

/// Why a limit cannot be seen at work.
pub type Unseen = Option<&'static str>;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Things.
    Count,
    /// Milliseconds.
    Milliseconds,
    /// Thousandths of a processor.
    Millicpus,
}

struct Named {
    limit: &'static str,
    unit: Unit,
    /// Of `run -- COMMAND`; empty where there is none.
    flag: &'static str,
    /// In config.json; empty where it has no word for it.
    spec: &'static str,
    of: fn(&Plan) -> Option<u64>,
    profile: fn(&Limits) -> Option<u64>,
    unseen: Unseen,
}

const TOLD_TO_THE_CALLER: Unseen = Some("the kernel tells nobody but the program");

/// In the order of docs/limits.md.
const LIMITS: &[Named] = &[
    Named {
        limit: "memory_max",
        unit: Unit::Bytes,
        flag: "--memory",
        spec: "linux.resources.memory.limit",
        of: |plan| positive(plan.cgroup.resources.memory.limit),
        profile: |limits| limits.memory,
        unseen: None,
    },
    Named {
        limit: "memory_swap_max",
        unit: Unit::Bytes,
        flag: "--memory",
        spec: "linux.resources.memory.swap",
        of: |plan| positive(plan.cgroup.resources.memory.swap),
        profile: |limits| limits.memory_and_swap,
        unseen: Some("what finds no swap is killed for memory_max"),
    },
    Named {
        limit: "tmpfs_max",
        unit: Unit::Bytes,
        flag: "",
        spec: "",
        of: |plan| plan.profile.limits.tmpfs,
        profile: |limits| limits.tmpfs,
        unseen: TOLD_TO_THE_CALLER,
    },
    Named {
        limit: "tmpfs_inodes_max",
        unit: Unit::Count,
        flag: "",
        spec: "",
        of: |plan| plan.profile.limits.tmpfs_inodes,
        profile: |limits| limits.tmpfs_inodes,
        unseen: TOLD_TO_THE_CALLER,
    },
    Named {
        limit: "pids_max",
        unit: Unit::Count,
        flag: "--pids",
        spec: "linux.resources.pids.limit",
        of: |plan| positive(plan.cgroup.resources.pids).or(rlimit(plan, libc::RLIMIT_NPROC)),
        profile: |limits| limits.pids,
        unseen: None,
    },
    Named {
        limit: "cpu_max",
        unit: Unit::Millicpus,
        flag: "--cpus",
        spec: "linux.resources.cpu.quota",
        of: |plan| {
            let cpu = &plan.cgroup.resources.cpu;
            positive(cpu.quota)?.saturating_mul(1000).checked_div(cpu.period.unwrap_or(100_000))
        },
        profile: |limits| limits.cpu.and_then(|(quota, period)| quota.saturating_mul(1000).checked_div(period)),
        unseen: Some("it slows down and ends nothing: see cpuThrottledUsec"),
    },
    Named {
        limit: "open_files",
        unit: Unit::Count,
        flag: "",
        spec: "process.rlimits (RLIMIT_NOFILE)",
        of: |plan| rlimit(plan, libc::RLIMIT_NOFILE),
        profile: |limits| limits.open_files,
        unseen: TOLD_TO_THE_CALLER,
    },
    Named {
        limit: "file_size",
        unit: Unit::Bytes,
        flag: "",
        spec: "process.rlimits (RLIMIT_FSIZE)",
        of: |plan| rlimit(plan, libc::RLIMIT_FSIZE),
        profile: |limits| limits.file_size,
        unseen: None,
    },
    Named {
        limit: "ptys_max",
        unit: Unit::Count,
        flag: "",
        spec: "",
        of: |plan| plan.profile.limits.ptys,
        profile: |limits| limits.ptys,
        unseen: TOLD_TO_THE_CALLER,
    },
    Named {
        limit: "output_max",
        unit: Unit::Bytes,
        flag: "",
        spec: "",
        of: |plan| plan.profile.limits.output,
        profile: |limits| limits.output,
        unseen: None,
    },
    Named {
        limit: "cpu_time",
        unit: Unit::Milliseconds,
        flag: "",
        spec: "process.rlimits (RLIMIT_CPU)",
        of: |plan| rlimit(plan, libc::RLIMIT_CPU).map(|seconds| seconds.saturating_mul(1000)),
        profile: |limits| limits.cpu_time.map(|seconds| seconds.saturating_mul(1000)),
        unseen: None,
    },
    Named {
        limit: "cpu_time_total",
        unit: Unit::Milliseconds,
        flag: "",
        spec: "",
        of: |plan| plan.profile.limits.cpu_total,
        profile: |limits| limits.cpu_total,
        unseen: None,
    },
    Named {
        limit: "wall_time",
        unit: Unit::Milliseconds,
        flag: "--timeout",
        spec: "annotations[zviz.io/timeout]",
        of: |plan| plan.profile.limits.wall_time,
        profile: |limits| limits.wall_time,
        unseen: None,
    },
    Named {
        limit: "core_dumps",
        unit: Unit::Bytes,
        flag: "",
        spec: "process.rlimits (RLIMIT_CORE)",
        of: |plan| rlimit(plan, libc::RLIMIT_CORE),
        profile: |limits| (limits.core_files == Some(false)).then_some(0),
        unseen: Some("a core file that is not written hinders nobody"),
    },
];

fn positive(limit: Option<i64>) -> Option<u64> {
    limit.and_then(|limit| u64::try_from(limit).ok()).filter(|limit| *limit > 0)
}

fn rlimit(plan: &Plan, resource: u32) -> Option<u64> {
    let found = plan.process.rlimits.iter().find(|limit| limit.resource == resource)?;
    (found.soft != u64::MAX).then_some(found.soft)
}

/// Every limit of a plan. A profile's is one that the plan has as it is written there, with its line.
#[must_use]
pub fn bounds(plan: &Plan) -> Vec<Bound> {
    let limits = &plan.profile.limits;
    // A sandbox of `run -- COMMAND` has a reaper, and no config.json.
    let flags = plan.process.reaper;
    let bound = |named: &Named| {
        let value = (named.of)(plan)?;
        let place = limits.places.get(named.limit).filter(|_| (named.profile)(limits) == Some(value)).cloned();
        let other = match (flags, named.flag) {
            (true, "") => "the default",
            (true, flag) => flag,
            (false, _) => named.spec,
        };
        let asked_by = if place.is_some() { format!("resources.{}", named.limit) } else { other.to_owned() };
        let uncounted = named.limit == "pids_max" && plan.cgroup.resources.pids.is_none();
        let unseen = if uncounted { TOLD_TO_THE_CALLER } else { named.unseen };
        Some(Bound { limit: named.limit, value, unit: named.unit, asked_by, place, unseen })
    };
    LIMITS.iter().filter_map(bound).collect()
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value;
        match self.unit {
            Unit::Bytes if value >= 1 << 20 && value.is_multiple_of(1 << 20) => write!(f, "{}M", value >> 20)?,
            Unit::Bytes => write!(f, "{value} bytes")?,
            Unit::Count => write!(f, "{value}")?,
            Unit::Milliseconds if value.is_multiple_of(1000) => write!(f, "{}s", value / 1000)?,
            Unit::Milliseconds => write!(f, "{value}ms")?,
            Unit::Millicpus => write!(f, "{}.{:03} processors", value / 1000, value % 1000)?,
        }
        match (self.asked_by.as_str(), &self.place) {
            ("", _) => Ok(()),
            (by, Some(place)) => write!(f, " ({by}, {place})"),
            (by, None) => write!(f, " ({by})"),
        }
    }
}

/// What an error of a start may come from: the limit that makes the kernel say so.
#[must_use]
pub fn hint(plan: &Plan, errno: Errno) -> Option<String> {
    let wanted: &[&str] = match errno {
        Errno::EAGAIN => &["pids_max"],
        Errno::EMFILE => &["open_files"],
        Errno::ENOMEM => &["memory_max"],
        Errno::EFBIG => &["file_size"],
        Errno::ENOSPC if in_memory(plan) => &["tmpfs_inodes_max", "tmpfs_max", "ptys_max"],
        _ => return None,
    };
    let all = bounds(plan);
    let found: Vec<String> = all
        .iter()
        .filter(|bound| wanted.contains(&bound.limit))
        .map(|bound| format!("{} {bound}", bound.limit))
        .collect();
    (!found.is_empty()).then(|| format!("{} may be too low to start with: raise it", found.join(" or ")))
}

fn in_memory(plan: &Plan) -> bool {
    plan.mounts.iter().any(|mount| match &mount.kind {
        MountKind::Filesystem(fs) => matches!(fs.fstype.as_str(), "tmpfs" | "devpts"),
        _ => false,
    })
}
