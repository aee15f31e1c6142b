//! Limits with head room.

use super::needs::Needs;
use zviz_observe::Summary;

/// Twice what was used, as a power of two, so that two runs of a program come to the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes; none where no cgroup told.
    pub memory: Option<u64>,
    /// Processes and threads.
    pub pids: u64,
    /// Open files of a process.
    pub open_files: u64,
}

/// At least, whatever was used.
const MEMORY: u64 = 64 << 20;
const PIDS: u64 = 64;
const OPEN_FILES: u64 = 256;

fn room(used: u64, least: u64) -> u64 {
    used.saturating_mul(2).max(least).checked_next_power_of_two().unwrap_or(u64::MAX)
}

impl Limits {
    /// Of a run.
    #[must_use]
    pub fn of(needs: &Needs, summary: &Summary, memory_peak: Option<u64>) -> Limits {
        Limits {
            memory: memory_peak.map(|peak| room(peak.max(summary.most_memory), MEMORY)),
            pids: room(summary.most_tasks, PIDS),
            open_files: room(u64::try_from(needs.descriptors).unwrap_or(0), OPEN_FILES),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_head_room() {
        let summary = Summary { most_tasks: 40, most_memory: 1 << 20 };
        let limits = Limits::of(&Needs::default(), &summary, Some(100 << 20));
        assert_eq!(limits, Limits { memory: Some(256 << 20), pids: 128, open_files: 256 });
        assert_eq!(Limits::of(&Needs::default(), &summary, None).memory, None);
    }
}
