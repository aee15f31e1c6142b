//! The ledger of what can be used up: which limits a container has and who asked for each, what was used, and which limit
//! ended the container or was in its way. `docs/limits.md` says it in words.

mod bounds;
mod usage;
mod verdict;

pub use bounds::{Bound, Unseen, bounds, hint};
pub use usage::Usage;
pub use verdict::{Told, Verdict};

use crate::container::State;
use crate::foreground::{Meter, Outcome};
use crate::network::Event;
use crate::plan::Plan;
use serde::Serialize;
use std::time::Duration;
use zviz_sys::wait::Exit;

/// Of [`Report`]. Fields are only added to it.
pub const SCHEMA_VERSION: u32 = 1;

/// How a container ended, and what it used.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Its id.
    pub container: String,
    /// What `run` ends with.
    pub status: u8,
    /// What the program called exit with; absent where a signal ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The signal that ended it: 9 at a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// The limit that ended it, and those that were in its way.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// What it used.
    pub usage: Usage,
    /// Every limit that it had.
    pub limits: Vec<Bound>,
    /// Connections and names that were refused, where that was to be known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Event>,
}

impl Report {
    /// Of a container that has ended, and whose cgroup is there still. `all`: what is only counted is read too.
    #[must_use]
    pub fn of(state: &State, outcome: Outcome, wall: Duration, meter: Option<Meter>, all: bool) -> Report {
        let usage = Usage::read(&state.plan.cgroup, all).with(wall, meter);
        Report::judged(state.id.as_str(), &state.plan, outcome, usage)
    }

    /// From what was seen. Pure.
    #[must_use]
    pub fn judged(id: &str, plan: &Plan, outcome: Outcome, usage: Usage) -> Report {
        let limits = bounds(plan);
        let exit = match outcome {
            Outcome::Ended(exit) => exit,
            Outcome::TimedOut | Outcome::Exceeded(_) => Exit::Signal(libc::SIGKILL),
        };
        let (code, signal) = match exit {
            Exit::Code(code) => (Some(code), None),
            Exit::Signal(signal) => (None, Some(signal)),
        };
        let verdict = Verdict::of(&limits, plan.profile.limits.output_truncated, outcome, &usage);
        let (container, status) = (id.to_owned(), outcome.status());
        Report {
            schema_version: SCHEMA_VERSION,
            container,
            status,
            code,
            signal,
            verdict,
            usage,
            limits,
            refused: Vec::new(),
        }
    }

    /// As a text that ends with a line.
    ///
    /// # Errors
    /// None of its fields is one that JSON cannot express.
    pub fn to_json(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

#[cfg(test)]
mod tests;
