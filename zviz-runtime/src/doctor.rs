//! What this machine offers to zviz and what it lacks, layer by layer, with the command that would help.
//!
//! [`probe`] looks, by trying where a try tells more than a setting does; [`examine`] judges what was seen, and looks at
//! nothing else.

mod containment;
mod filtering;
mod forbidden;
mod integration;
mod network;
mod objects;
pub mod probe;
mod resources;
mod trial;

pub use forbidden::{Forbidden, forbidden};
pub use probe::{Seen, probe};

use serde::Serialize;
use std::fmt;

/// The kinds of enforcement, as docs/architecture.md has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// A: namespaces, ids, mounts.
    Containment,
    /// B: system calls.
    Filtering,
    /// C: Landlock, AppArmor, SELinux.
    Objects,
    /// D: cgroups.
    Resources,
    /// E: network.
    Network,
    /// Container engines that could use zviz.
    Integration,
}

impl Layer {
    fn title(self) -> &'static str {
        match self {
            Layer::Containment => "A  containment",
            Layer::Filtering => "B  system calls",
            Layer::Objects => "C  files and objects",
            Layer::Resources => "D  resources",
            Layer::Network => "E  network",
            Layer::Integration => "   container engines",
        }
    }
}

/// How a thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It is there.
    Ok,
    /// It is not there, and zviz does with less.
    Lacks,
    /// It is not there, and nothing runs without it.
    Fails,
    /// Worth knowing.
    Info,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Where it belongs.
    pub layer: Layer,
    /// What was looked at.
    pub subject: &'static str,
    /// How it stands.
    pub status: Status,
    /// What was seen.
    pub seen: String,
    /// What would help: a command or a setting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether `zviz run -- CMD` works for this caller.
    pub works: bool,
    /// Whether it works without namespaces (`--backend landlock`), where it does not with them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without_namespaces: Option<bool>,
    /// The kernel's release.
    pub kernel: String,
    /// Who asked: the effective user id.
    pub uid: u32,
    /// By layer.
    pub findings: Vec<Finding>,
}

/// Judges what was seen.
pub fn examine(seen: &Seen) -> Report {
    let mut findings = Vec::new();
    containment::examine(seen, &mut findings);
    filtering::examine(seen, &mut findings);
    objects::examine(seen, &mut findings);
    resources::examine(seen, &mut findings);
    network::examine(seen, &mut findings);
    integration::examine(seen, &mut findings);
    let works = match &seen.run {
        Some(run) => run.is_ok(),
        None => !findings.iter().any(|finding| finding.status == Status::Fails),
    };
    let without_namespaces = seen.without_namespaces.as_ref().map(Result::is_ok);
    Report { works, without_namespaces, kernel: seen.release.clone(), uid: seen.host.euid, findings }
}

/// Collects findings of one layer.
struct Chapter<'a> {
    layer: Layer,
    findings: &'a mut Vec<Finding>,
}

impl Chapter<'_> {
    fn add(&mut self, subject: &'static str, status: Status, seen: impl Into<String>, remedy: Option<String>) {
        self.findings.push(Finding { layer: self.layer, subject, status, seen: seen.into(), remedy });
    }

    fn ok(&mut self, subject: &'static str, seen: impl Into<String>) {
        self.add(subject, Status::Ok, seen, None);
    }

    fn info(&mut self, subject: &'static str, seen: impl Into<String>) {
        self.add(subject, Status::Info, seen, None);
    }

    fn lacks(&mut self, subject: &'static str, seen: impl Into<String>, remedy: impl Into<String>) {
        self.add(subject, Status::Lacks, seen, Some(remedy.into()).filter(|remedy| !remedy.is_empty()));
    }

    fn fails(&mut self, subject: &'static str, seen: impl Into<String>, remedy: impl Into<String>) {
        self.add(subject, Status::Fails, seen, Some(remedy.into()).filter(|remedy| !remedy.is_empty()));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Linux {}, as user {}", self.kernel, self.uid)?;
        let mut layer = None;
        for finding in &self.findings {
            if layer != Some(finding.layer) {
                layer = Some(finding.layer);
                writeln!(f, "\n{}", finding.layer.title())?;
            }
            let mark = match finding.status {
                Status::Ok => "ok",
                Status::Lacks => "lacks",
                Status::Fails => "FAILS",
                Status::Info => "-",
            };
            writeln!(f, "   {mark:<6} {}: {}", finding.subject, finding.seen)?;
            if let Some(remedy) = &finding.remedy {
                writeln!(f, "          help: {remedy}")?;
            }
        }
        let end = match (self.works, self.without_namespaces) {
            (true, _) => "works here.",
            (false, Some(true)) => "does not work here; zviz run --backend landlock works, and keeps less.",
            (false, _) => "does not work here.",
        };
        writeln!(f, "\nzviz run {end}")
    }
}

#[cfg(test)]
mod tests;
