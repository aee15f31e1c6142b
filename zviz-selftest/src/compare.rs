//! The same attempts in several sandboxes, side by side.

use crate::outcome::{Answer, Outcome};
use crate::probe::{Control, Group, Probe};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;

/// What came of the attempts in one sandbox.
#[derive(Debug)]
pub struct Column {
    /// The sandbox.
    pub name: String,
    /// What it was asked for.
    pub about: String,
    /// The answers, or why there are none.
    pub answers: Result<Vec<Answer>, String>,
}

/// How many attempts of a group did what they should not be able to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// They succeeded.
    pub succeeded: usize,
    /// They gave no answer.
    pub unknown: usize,
    /// There was nothing to attempt.
    pub not_applicable: usize,
}

/// All columns.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// How many attempts were made in each.
    pub probes: usize,
    /// In each sandbox, by group.
    pub counts: BTreeMap<String, BTreeMap<&'static str, Count>>,
    /// In each sandbox, the attempts that succeeded.
    pub succeeded: BTreeMap<String, Vec<String>>,
    /// Sandboxes that this host does not have, and why.
    pub missing: BTreeMap<String, String>,
    #[serde(skip)]
    order: Vec<(String, String)>,
    #[serde(skip)]
    groups: Vec<(&'static str, usize)>,
}

/// Whether an attempt may be made in a sandbox that nobody answers for: not where it would harm the machine if it
/// succeeded, and not where it would prove nothing.
#[must_use]
pub fn is_fair(probe: &Probe) -> bool {
    !matches!(probe.control, Control::Impossible(_))
}

impl Comparison {
    /// Of these groups.
    #[must_use]
    pub fn of(groups: &[Group], columns: Vec<Column>) -> Comparison {
        let fair = |group: &Group| group.probes.iter().filter(|probe| is_fair(probe)).count();
        let mut made = Comparison {
            probes: groups.iter().map(fair).sum(),
            counts: BTreeMap::new(),
            succeeded: BTreeMap::new(),
            missing: BTreeMap::new(),
            order: Vec::new(),
            groups: groups.iter().map(|group| (group.name, fair(group))).collect(),
        };
        for Column { name, about, answers } in columns {
            match answers {
                Ok(answers) => {
                    made.counts.insert(
                        name.clone(),
                        groups.iter().map(|group| (group.name, count(group, &answers))).collect(),
                    );
                    let open = answers.into_iter().filter(|answer| matches!(answer.outcome, Outcome::Succeeded(_)));
                    made.succeeded.insert(name.clone(), open.map(|answer| answer.probe).collect());
                    made.order.push((name, about));
                }
                Err(why) => drop(made.missing.insert(name, why)),
            }
        }
        made
    }

    /// A row a group, a column a sandbox, and what each sandbox was asked for.
    #[must_use]
    pub fn table(&self) -> String {
        // Writing to a string does not fail.
        let mut text = format!("attempts that succeed{:7}", "");
        for (name, _) in &self.order {
            let _ = write!(text, "  {name:>12}");
        }
        let mut sums = BTreeMap::new();
        for (group, all) in &self.groups {
            let _ = write!(text, "\n{:28}", format!("{group} ({all})"));
            for (name, _) in &self.order {
                let count = self.counts.get(name).and_then(|groups| groups.get(group)).copied().unwrap_or_default();
                let _ = write!(text, "  {:>12}", cell(count));
                let sum: &mut Count = sums.entry(name).or_default();
                sum.succeeded += count.succeeded;
                sum.unknown += count.unknown;
            }
        }
        let _ = write!(text, "\n{:28}", format!("all ({})", self.probes));
        for (name, _) in &self.order {
            let _ = write!(text, "  {:>12}", cell(sums.get(name).copied().unwrap_or_default()));
        }
        text.push_str("\n\n");
        for (name, about) in &self.order {
            let _ = writeln!(text, "{name}: {about}");
        }
        for (name, why) in &self.missing {
            let _ = writeln!(text, "{name}: not compared: {why}");
        }
        if sums.values().any(|sum| sum.unknown > 0) {
            text.push_str("A number after + counts attempts that gave no answer.\n");
        }
        text
    }
}

fn cell(count: Count) -> String {
    match count.unknown {
        0 => count.succeeded.to_string(),
        unknown => format!("{}+{unknown}", count.succeeded),
    }
}

fn count(group: &Group, answers: &[Answer]) -> Count {
    let mut sum = Count::default();
    for answer in answers.iter().filter(|answer| group.probes.iter().any(|probe| probe.name == answer.probe)) {
        match answer.outcome {
            Outcome::Succeeded(_) => sum.succeeded += 1,
            Outcome::Unknown(_) => sum.unknown += 1,
            Outcome::NotApplicable(_) => sum.not_applicable += 1,
            Outcome::Blocked(_) => {}
        }
    }
    sum
}
