//! Kernel parameters: only those that a namespace of the container's own keeps from the host.

use super::input::{Findings, Input};
use super::namespaces::{Namespace, Namespaces, Net, User, Uts};
use std::collections::BTreeMap;

/// Parameters of the ipc namespace beside `fs.mqueue.*`. ipc_namespaces(7).
const IPC: &[&str] = &[
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shm_rmid_forced",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
];

/// Decides the parameters, in dotted form.
pub(super) fn plan(input: Input, namespaces: &Namespaces, found: &mut Findings) -> BTreeMap<String, String> {
    let mut sysctl = BTreeMap::new();
    let given = input.linux().and_then(|l| l.sysctl().as_ref());
    let mut given: Vec<(&String, &String)> = given.into_iter().flatten().collect();
    given.sort();
    for (key, value) in given {
        let place = format!("linux.sysctl.{key}");
        let name = dotted(key);
        if !is_name(&name) {
            found.problem(place, "is no name of a kernel parameter");
        } else if let Some(why) = refuse(&name, namespaces) {
            found.problem(place, why);
        } else if sysctl.insert(name, value.clone()).is_some() {
            found.problem(place, "is given twice, with dots and with slashes");
        }
    }
    sysctl
}

/// Names may be written with slashes, for names of network devices with a dot in them. sysctl(8).
fn dotted(key: &str) -> String {
    match key.find(['.', '/']) {
        Some(at) if key.as_bytes()[at] == b'/' => key
            .chars()
            .map(|c| match c {
                '/' => '.',
                '.' => '/',
                c => c,
            })
            .collect(),
        _ => key.to_owned(),
    }
}

/// A name that cannot leave /proc/sys and holds no character that other tools read as syntax (CVE-2022-0811).
fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/' | '@' | ':');
    // A slash stands for a dot within one part: a part of dots alone would be `.` or `..`.
    name.split('.').all(|part| !part.is_empty() && part.chars().all(plain) && part.chars().any(|c| c != '/'))
        && !name.contains("//")
}

fn refuse(name: &str, namespaces: &Namespaces) -> Option<String> {
    let needs = |which: &str| Some(format!("needs a {which} namespace of its own"));
    if IPC.contains(&name) || name.starts_with("fs.mqueue.") {
        return if namespaces.ipc == Namespace::Host { needs("ipc") } else { None };
    }
    if name.starts_with("net.") {
        return if namespaces.net == Net::Host { needs("network") } else { None };
    }
    if name.starts_with("user.") {
        return if namespaces.user == User::Host { needs("user") } else { None };
    }
    match name {
        "kernel.domainname" => {
            if namespaces.uts == Uts::Host {
                needs("uts")
            } else {
                None
            }
        }
        "kernel.hostname" => Some("use the field hostname".into()),
        _ => Some("belongs to the whole machine, not to a namespace".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_slashes() {
        assert_eq!(dotted("net/ipv4/conf/eno2.100/rp_filter"), "net.ipv4.conf.eno2/100.rp_filter");
        assert_eq!(dotted("net.ipv4.conf.eno2/100.rp_filter"), "net.ipv4.conf.eno2/100.rp_filter");
    }

    #[test]
    fn names_that_lead_elsewhere() {
        for name in ["", ".", "net..x", "net.ipv4.//", "net.a+b", "net.a=b", "net.a b", "net.//.x", "net./"] {
            assert!(!is_name(name), "{name}");
        }
        for name in ["net.ipv4.ip_forward", "net.ipv4.conf.eth0/1.forwarding", "kernel.shm_rmid_forced"] {
            assert!(is_name(name), "{name}");
        }
    }
}
