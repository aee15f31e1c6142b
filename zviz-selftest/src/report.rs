//! What the answers come to, as a table and as JSON.

use crate::allowed::{reason, without_namespaces};
use crate::outcome::{Answer, Outcome};
use crate::probe::{Control, Group};
use serde::Serialize;
use std::fmt::Write;
use zviz_runtime::plan::Backend;
use zviz_runtime::profile::Profile;

/// What is said of one probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It failed, as it should; a control: it worked, as it should.
    Blocked,
    /// It succeeded, and the profile says that it may.
    Allowed,
    /// It succeeded.
    Open,
    /// There was nothing to attempt.
    NotApplicable,
    /// No answer.
    Unknown,
    /// A control: the attempt works where nothing keeps it from working.
    Works,
    /// A control that this host cannot run, or that would harm it.
    NoControl,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Its group's name.
    pub group: &'static str,
    /// Its own.
    pub probe: &'static str,
    /// In one word.
    pub verdict: Verdict,
    /// How it failed, or why it may succeed.
    pub how: String,
    /// What was attempted.
    pub about: &'static str,
    /// Where it is told of.
    pub source: &'static str,
}

/// All lines, and how many of each kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The profile's name, or what else the lines are about.
    pub profile: String,
    /// How many were made.
    pub probes: usize,
    /// How many failed, or of a control worked.
    pub as_expected: usize,
    /// How many the profile allows.
    pub allowed: usize,
    /// How many succeeded, or gave no answer: none, or the sandbox is not tight.
    pub wrong: usize,
    /// How many say nothing, here.
    pub not_applicable: usize,
    /// In the order of the groups.
    pub lines: Vec<Line>,
}

impl Report {
    /// Of attempts under a profile.
    #[must_use]
    pub fn of(profile: &Profile, backend: Backend, groups: &[Group], answers: &[Answer]) -> Report {
        Report::new(profile.name.clone(), groups, answers, |probe, outcome| match outcome {
            Outcome::Blocked(how) => (Verdict::Blocked, how),
            Outcome::NotApplicable(why) => (Verdict::NotApplicable, why),
            Outcome::Succeeded(how) => {
                match reason(profile, probe.name).or_else(|| without_namespaces(backend, probe.name)) {
                    Some(why) => (Verdict::Allowed, why),
                    None => (Verdict::Open, how),
                }
            }
            Outcome::Unknown(why) => (Verdict::Unknown, why),
        })
    }

    /// Of controls.
    #[must_use]
    pub fn of_controls(groups: &[Group], answers: &[Answer]) -> Report {
        Report::new("controls".into(), groups, answers, |probe, outcome| match (probe.control, outcome) {
            (Control::Impossible(why), _) => (Verdict::NoControl, why.to_owned()),
            (_, Outcome::Succeeded(how)) => (Verdict::Works, how),
            (_, Outcome::Blocked(how)) => (Verdict::NoControl, format!("does not work on this host either: {how}")),
            (_, Outcome::NotApplicable(why)) => (Verdict::NoControl, why),
            (_, Outcome::Unknown(why)) => (Verdict::Unknown, why),
        })
    }

    fn new(
        profile: String,
        groups: &[Group],
        answers: &[Answer],
        judge: impl Fn(&crate::Probe, Outcome) -> (Verdict, String),
    ) -> Report {
        let mut lines = Vec::new();
        for group in groups {
            for probe in group.probes {
                let Some(answer) = answers.iter().find(|answer| answer.probe == probe.name) else { continue };
                let (verdict, how) = judge(probe, answer.outcome.clone());
                let (about, source) = (probe.about, probe.source);
                lines.push(Line { group: group.name, probe: probe.name, verdict, how, about, source });
            }
        }
        let count = |wanted: &[Verdict]| lines.iter().filter(|line| wanted.contains(&line.verdict)).count();
        Report {
            profile,
            probes: lines.len(),
            as_expected: count(&[Verdict::Blocked, Verdict::Works]),
            allowed: count(&[Verdict::Allowed]),
            wrong: count(&[Verdict::Open, Verdict::Unknown]),
            not_applicable: count(&[Verdict::NotApplicable, Verdict::NoControl]),
            lines,
        }
    }

    /// Whether every probe failed, or may succeed.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.wrong == 0 && self.probes > 0
    }

    /// A line for each probe, and the sum.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        let mut group = "";
        for line in &self.lines {
            if line.group != group {
                group = line.group;
                // Writing to a string does not fail.
                let _ = writeln!(text, "{group}");
            }
            let _ = writeln!(text, "  {:11} {:28} {}", word(line.verdict), line.probe, line.how);
            if matches!(line.verdict, Verdict::Open | Verdict::Unknown) {
                let _ = writeln!(text, "              {} ({})", line.about, line.source);
            }
        }
        let Report { profile, probes, as_expected, allowed, wrong, not_applicable, .. } = self;
        let _ = if profile == "controls" {
            writeln!(
                text,
                "controls: {probes} probes, {as_expected} work, {not_applicable} have no control here, {wrong} wrong"
            )
        } else {
            writeln!(
                text,
                "{profile}: {probes} probes, {as_expected} blocked, {allowed} allowed by the profile, {not_applicable} not applicable, {wrong} open"
            )
        };
        text
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Blocked => "blocked",
        Verdict::Allowed => "allowed",
        Verdict::Open => "OPEN",
        Verdict::NotApplicable => "n/a",
        Verdict::Unknown => "UNKNOWN",
        Verdict::Works => "works",
        Verdict::NoControl => "no control",
    }
}
