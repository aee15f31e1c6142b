//! What a container has used, of what its cgroup counts. What nobody counts is absent, and not 0.

use crate::apply::cgroup::{oom, stats, value};
use crate::foreground::Meter;
use crate::plan::cgroup::{Cgroup, Group};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde::Serialize;
use std::fs;
use std::time::Duration;

/// Counts of one container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// From its start to its end.
    pub wall_ms: u64,
    /// Processor time of its processes: of the cgroup, or else of those that were waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_usec: Option<u64>,
    /// How long it was held back by a limit of processor time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_throttled_usec: Option<u64>,
    /// The most memory at once; of version 2 from Linux 5.19.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_peak_bytes: Option<u64>,
    /// Processes that the kernel killed for want of memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_kills: Option<u64>,
    /// The most processes and threads at once; from Linux 6.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids_peak: Option<u64>,
    /// Forks that were refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids_refused: Option<u64>,
    /// Read from block devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_read_bytes: Option<u64>,
    /// Written to block devices, as far as it was charged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_written_bytes: Option<u64>,
    /// On standard output and error, where that is limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<u64>,
    /// Of these, what was thrown away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_dropped_bytes: Option<u64>,
}

impl Usage {
    /// Of a cgroup: what a verdict rests on, and with `all` the rest.
    #[must_use]
    pub fn read(cgroup: &Cgroup, all: bool) -> Usage {
        let memory = group(cgroup, "memory").is_some();
        let mut usage = Usage {
            oom_kills: memory.then(|| oom::kills(cgroup).ok()).flatten(),
            pids_refused: pids(cgroup, "pids.events", |text| value(text, "max")),
            ..Usage::default()
        };
        if all {
            usage.pids_peak = pids(cgroup, "pids.peak", |text| text.trim().parse().ok());
            usage.add(cgroup);
        }
        usage
    }

    fn add(&mut self, cgroup: &Cgroup) {
        // Of children that were waited for, and theirs: getrusage(2).
        self.cpu_usec = getrusage(UsageWho::RUSAGE_CHILDREN).ok().and_then(|usage| {
            let time = usage.user_time().num_microseconds().checked_add(usage.system_time().num_microseconds());
            u64::try_from(time?).ok()
        });
        let Ok(stats) = stats(cgroup) else { return };
        if cgroup.counts_time() {
            self.cpu_usec = Some(stats.cpu.usage.total / 1000);
        }
        if group(cgroup, "cpu").is_some() {
            self.cpu_throttled_usec = Some(stats.cpu.throttling.throttled_time / 1000);
        }
        self.memory_peak_bytes = Some(stats.memory.usage.max).filter(|most| *most > 0);
        if group(cgroup, "blkio").is_some() || group(cgroup, "io").is_some() {
            let all = &stats.blkio.io_service_bytes_recursive;
            let of = |op: &str| {
                let entries = all.iter().filter(|entry| entry.op.eq_ignore_ascii_case(op));
                entries.fold(0, |sum: u64, entry| sum.saturating_add(entry.value))
            };
            (self.io_read_bytes, self.io_written_bytes) = (Some(of("read")), Some(of("write")));
        }
    }

    /// With what the runtime has measured itself.
    #[must_use]
    pub fn with(self, wall: Duration, meter: Option<Meter>) -> Usage {
        Usage {
            wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
            output_bytes: meter.map(|meter| meter.seen()),
            output_dropped_bytes: meter.map(|meter| meter.dropped()),
            ..self
        }
    }
}

/// The hierarchy that has a controller.
fn group<'c>(cgroup: &'c Cgroup, controller: &str) -> Option<&'c Group> {
    let unified = cgroup.v2.as_ref().filter(|group| group.controllers.iter().any(|name| name == controller));
    cgroup.v1(controller).or(unified)
}

/// Of the whole and of the payload's part: before Linux 6.11 a refusal is counted where it forks, since then where the limit is.
fn pids(cgroup: &Cgroup, file: &str, number: impl Fn(&str) -> Option<u64>) -> Option<u64> {
    let payload = cgroup.payload();
    let groups = [group(cgroup, "pids"), group(&payload, "pids")];
    let read = |group: &Group| number(&fs::read_to_string(group.dir().join(file)).ok()?);
    groups.into_iter().flatten().filter_map(read).max()
}
