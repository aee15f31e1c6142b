//! What a probe is.

use crate::bait::Bait;
use crate::outcome::Outcome;

/// Probes of one layer.
#[derive(Debug)]
pub struct Group {
    /// For `--group`.
    pub name: &'static str,
    /// What the layer keeps apart.
    pub about: &'static str,
    /// In the order in which they are made.
    pub probes: &'static [Probe],
}

/// One attempt.
#[derive(Debug)]
pub struct Probe {
    /// Unique.
    pub name: &'static str,
    /// What is attempted.
    pub about: &'static str,
    /// Where the class is told of: a CVE, a man page, a document of the kernel.
    pub source: &'static str,
    /// Where it succeeds.
    pub control: Control,
    /// Made in a process of its own.
    pub attempt: fn(&Bait) -> Outcome,
}

/// Where an attempt is shown to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// As root with mount, network, IPC, UTS and cgroup namespaces of its own, so that the machine is not changed.
    Root,
    /// As root of the machine, with nothing between: the attempt changes nothing.
    Host,
    /// As an ordinary user of the machine, with nothing between.
    User,
    /// As an ordinary user who has made a user namespace, and in it the namespaces of `Root`: what a kernel lets anybody have.
    Namespaced,
    /// It would harm the machine, or needs what tests have not: in words.
    Impossible(&'static str),
}

/// A row of a table.
pub(crate) const fn probe(
    name: &'static str,
    about: &'static str,
    source: &'static str,
    control: Control,
    attempt: fn(&Bait) -> Outcome,
) -> Probe {
    Probe { name, about, source, control, attempt }
}
