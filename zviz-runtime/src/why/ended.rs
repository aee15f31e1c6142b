//! Limits that end a run, and that no call is answered by.

use super::change::{Change, Risk};
use super::limits::more;
use super::{Denial, Layer, Scene};
use crate::foreground::{Limit, Outcome};
use std::time::Duration;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// By itself, or by whom.
    pub outcome: Outcome,
    /// Processes that the kernel ended for want of memory.
    pub memory_kills: u64,
    /// The time that a flag gave it.
    pub timeout: Option<Duration>,
}

/// The limits that it met.
#[must_use]
pub fn ended(scene: &Scene<'_>, ending: &Ending) -> Vec<Denial> {
    let (limits, rules) = (&scene.plan.profile.limits, scene.rules);
    let mut denials = Vec::new();
    let mut met = |cause: &str, result: &str, what: String, key: &str, change: Option<Change>| {
        let denial = Denial::new(Layer::Limits, cause).what(what).rule(rules.key(key)).changes(change);
        denials.push(Denial { result: result.to_owned(), ..denial });
    };
    if ending.memory_kills > 0 {
        let limit = scene.plan.cgroup.resources.memory.limit.and_then(|limit| u64::try_from(limit).ok());
        let what = match limit {
            Some(limit) => {
                format!("{} processes were ended, since {limit} bytes of memory were used", ending.memory_kills)
            }
            None => format!("{} processes were ended for want of memory", ending.memory_kills),
        };
        let own = limits.memory.filter(|own| limit.is_none_or(|limit| *own <= limit));
        let why = "it is memory of the host";
        let change = limit.map(|limit| more("--memory", "memory_max", own, limit, why));
        met("memory", "SIGKILL", what, "resources.memory_max", change);
    }
    match ending.outcome {
        Outcome::TimedOut => {
            let given = ending.timeout.and_then(|time| u64::try_from(time.as_millis()).ok());
            // A plan has the shorter of the flag's and the profile's.
            let written = given.is_none() || limits.places.contains_key("wall_time");
            let own = limits.wall_time.filter(|own| written && given.is_none_or(|given| *own <= given));
            let why = "it may go on for so long";
            let change = match (own, given) {
                (Some(own), _) => {
                    Some(Change::yaml(format!("resources: {{wall_time: {}ms}}", own.saturating_mul(2)), Risk::Low, why))
                }
                (None, Some(given)) => {
                    Some(Change::flag("--timeout", format!("{}ms", given.saturating_mul(2)), Risk::Low, why))
                }
                (None, None) => None,
            };
            met("wall-time", "SIGKILL", "its time was up".into(), "resources.wall_time", change);
        }
        Outcome::Exceeded(Limit::CpuTime) => {
            let yaml = |most: u64| format!("resources: {{cpu_time_total: {}ms}}", most.saturating_mul(2));
            let why = "all together may compute for so long";
            let change = limits.cpu_total.map(|most| Change::yaml(yaml(most), Risk::Low, why));
            let what = "its processor time was used up".to_owned();
            met("cpu-time-total", "SIGKILL", what, "resources.cpu_time_total", change);
        }
        Outcome::Exceeded(Limit::Output) => {
            let yaml = |most: u64| format!("resources: {{output_max: {}}}", most.saturating_mul(2));
            let why = "whoever reads its output gets so much of it";
            let change = limits.output.map(|most| Change::yaml(yaml(most), Risk::Low, why));
            let what = "it wrote more output than it may".to_owned();
            met("output", "SIGKILL", what, "resources.output_max", change);
        }
        Outcome::Ended(_) => {}
    }
    denials
}
