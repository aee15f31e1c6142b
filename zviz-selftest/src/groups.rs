//! The corpus.

mod calls;
mod devices;
mod files;
mod inherited;
mod mediated;
mod namespaces;
mod network;
mod processes;
mod resources;

use crate::probe::{Group, Probe};

/// Every group, in the order in which they are printed.
pub const GROUPS: &[Group] = &[
    Group { name: "namespaces", about: "namespaces, mounts and capabilities", probes: namespaces::PROBES },
    Group { name: "calls", about: "system calls that most programs never make", probes: calls::PROBES },
    Group { name: "files", about: "files of the host, and what files can carry", probes: files::PROBES },
    Group { name: "devices", about: "devices, and what drivers are asked", probes: devices::PROBES },
    Group {
        name: "processes",
        about: "processes outside, and what proc and sys tell and take",
        probes: processes::PROBES,
    },
    Group { name: "network", about: "sockets, interfaces, and whom they reach", probes: network::PROBES },
    Group { name: "resources", about: "what a machine has only so much of", probes: resources::PROBES },
    Group { name: "broker", about: "mounts, nodes and rights by way of a broker", probes: mediated::PROBES },
    Group { name: "inherited", about: "descriptors and the environment of the caller", probes: inherited::PROBES },
];

/// A probe by name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Probe> {
    GROUPS.iter().flat_map(|group| group.probes).find(|probe| probe.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_everything_has_a_source() {
        let all = || GROUPS.iter().flat_map(|group| group.probes);
        let names: BTreeSet<&str> = all().map(|probe| probe.name).collect();
        assert_eq!(names.len(), all().count());
        for probe in all() {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(probe.name.chars().all(plain) && probe.name.len() <= 28, "{}", probe.name);
            let told = ["CVE-", "(2)", "(4)", "(5)", "(7)", "(8)", "Documentation/"];
            assert!(told.iter().any(|form| probe.source.contains(form)), "{}: {}", probe.name, probe.source);
        }
    }
}
