//! Which limit ended a container, and which were in its way: from how it ended and what was counted. Pure.

use super::bounds::Bound;
use super::usage::Usage;
use crate::foreground::{Limit, Outcome};
use serde::Serialize;
use std::fmt;

/// What limits did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// The limit that ended it; null if none did.
    pub ended_by: Option<Told>,
    /// Limits that were in its way, and did not end it.
    pub hindered_by: Vec<Told>,
}

/// A limit, and what it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// Which.
    #[serde(flatten)]
    pub bound: Bound,
    /// What it did, in words.
    pub what: String,
}

impl Verdict {
    pub(super) fn of(bounds: &[Bound], truncated: bool, outcome: Outcome, usage: &Usage) -> Verdict {
        let mut verdict = Verdict::default();
        let told = |limit: &str, what: String| {
            let bound = bounds.iter().find(|bound| bound.limit == limit)?.clone();
            Some(Told { bound, what })
        };
        let some = |count: Option<u64>| count.filter(|count| *count > 0);
        let killed = |signal: i32| matches!(outcome, Outcome::Ended(exit) if i32::from(exit.status()) == 128 + signal);
        verdict.ended_by = match outcome {
            Outcome::TimedOut => told("wall_time", "its time was up".to_owned()),
            Outcome::Exceeded(Limit::CpuTime) => told("cpu_time_total", "its processor time was used up".to_owned()),
            Outcome::Exceeded(Limit::Output) => told("output_max", "it wrote more than that".to_owned()),
            Outcome::Ended(_) if killed(libc::SIGXCPU) => {
                told("cpu_time", "a process used so much processor time (SIGXCPU)".to_owned())
            }
            Outcome::Ended(_) if killed(libc::SIGXFSZ) => {
                told("file_size", "a file would have become larger (SIGXFSZ)".to_owned())
            }
            Outcome::Ended(_) => None,
        };
        if let Some(kills) = some(usage.oom_kills) {
            let what = format!("the kernel killed {} for want of memory", count(kills, "process", "processes"));
            let memory = told("memory_max", what);
            match verdict.ended_by {
                None if killed(libc::SIGKILL) => verdict.ended_by = memory,
                _ => verdict.hindered_by.extend(memory),
            }
        }
        if let Some(refused) = some(usage.pids_refused) {
            let what =
                format!("{} refused", count(refused, "new process or thread was", "new processes or threads were"));
            verdict.hindered_by.extend(told("pids_max", what));
        }
        if let Some(dropped) = some(usage.output_dropped_bytes).filter(|_| truncated) {
            let what = format!("{} thrown away", count(dropped, "byte of output was", "bytes of output were"));
            verdict.hindered_by.extend(told("output_max", what));
        }
        verdict
    }

    /// For a reader, each in a line.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let ended = self.ended_by.iter().map(|told| format!("ended by a limit: {told}"));
        ended.chain(self.hindered_by.iter().map(|told| format!("a limit was in the way: {told}")))
    }
}

fn count(number: u64, one: &str, more: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { more })
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.bound.limit, self.bound, self.what)
    }
}
