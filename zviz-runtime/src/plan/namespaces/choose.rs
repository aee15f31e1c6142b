//! Which namespaces are new, joined or the host's, from `linux.namespaces` and what hangs on them.

use super::{Names, Namespace, Namespaces, Net, Time, User, Uts};
use crate::plan::idmap;
use crate::plan::input::{Findings, Input};
use oci_spec::runtime::LinuxNamespaceType as Type;
use std::collections::BTreeMap;

/// utsname(2): 64 bytes and the NUL.
const NAME_MAX: usize = 64;
/// IFNAMSIZ, the NUL included.
const LINK_NAME_MAX: usize = 15;

/// Decides all eight.
pub(in crate::plan) fn plan(input: Input, found: &mut Findings) -> Namespaces {
    let mut asked: Vec<(Type, Namespace)> = Vec::with_capacity(8);
    let list = input.linux().and_then(|l| l.namespaces().as_deref()).unwrap_or_default();
    for (i, given) in list.iter().enumerate() {
        if asked.iter().any(|(typ, _)| *typ == given.typ()) {
            found.problem(format!("linux.namespaces[{i}].type"), format!("a second {} namespace", name(given.typ())));
            continue;
        }
        let path = given.path().as_deref().and_then(|p| p.to_str()).filter(|p| !p.is_empty());
        if path.is_some_and(|p| !p.starts_with('/')) {
            found.problem(format!("linux.namespaces[{i}].path"), "must be absolute");
        }
        asked.push((given.typ(), path.map_or(Namespace::New, |p| Namespace::Join(p.to_owned()))));
    }
    let of = |typ: Type| asked.iter().find(|(t, _)| *t == typ).map_or(Namespace::Host, |(_, ns)| ns.clone());
    let user = user(input, of(Type::User), found);
    if of(Type::Mount) == Namespace::Host && input.spec.oci.root().is_some() {
        without_mount_namespace(input, &user, found);
    }
    Namespaces {
        user,
        pid: of(Type::Pid),
        mount: of(Type::Mount),
        uts: uts(input, of(Type::Uts), found),
        ipc: of(Type::Ipc),
        net: net(input, of(Type::Network), found),
        cgroup: of(Type::Cgroup),
        time: time(input, of(Type::Time), found),
    }
}

/// The container's mounts are made on the host, below its root, which is entered by chroot(2); `delete` takes them away.
fn without_mount_namespace(input: Input, user: &User, found: &mut Findings) {
    if *user != User::Host {
        found.problem("linux.namespaces", "a user namespace needs a mount namespace: it may not mount on the host");
    }
    if input.linux().and_then(|l| l.rootfs_propagation().as_deref()).is_some_and(|word| !word.is_empty()) {
        found.problem("linux.rootfsPropagation", "needs a mount namespace: it would change the host's mounts");
    }
    if !input.request.pivot {
        found.problem("--no-pivot", "needs a mount namespace: without one the root is entered by chroot anyway");
    }
    found.note(
        "linux.namespaces",
        "no mount namespace: what has CAP_SYS_CHROOT can leave the root, and the mounts are seen on the host",
    );
}

/// Every type, as the specification spells it.
const NAMES: [(Type, &str); 8] = [
    (Type::Cgroup, "cgroup"),
    (Type::Ipc, "ipc"),
    (Type::Mount, "mount"),
    (Type::Network, "network"),
    (Type::Pid, "pid"),
    (Type::Time, "time"),
    (Type::User, "user"),
    (Type::Uts, "uts"),
];

/// The names, sorted: what `features` reports.
pub fn names() -> Vec<&'static str> {
    NAMES.iter().map(|(_, name)| *name).collect()
}

fn name(typ: Type) -> &'static str {
    NAMES.iter().find(|(known, _)| *known == typ).map_or("", |(_, name)| name)
}

fn user(input: Input, asked: Namespace, found: &mut Findings) -> User {
    let mapped = |list: Option<&Option<Vec<_>>>| list.and_then(Option::as_deref).is_some_and(|l| !l.is_empty());
    let uids = mapped(input.linux().map(|l| l.uid_mappings()));
    let gids = mapped(input.linux().map(|l| l.gid_mappings()));
    match asked {
        Namespace::New => idmap::user(input, found),
        Namespace::Join(path) => {
            if uids || gids {
                // containerd and CRI-O pass both; the namespace's own map is the one that holds.
                found.note("linux.uidMappings", "left out: the joined user namespace has its own map");
            }
            User::Join(path)
        }
        Namespace::Host => {
            for (given, place) in [(uids, "linux.uidMappings"), (gids, "linux.gidMappings")] {
                if given {
                    found.problem(place, "needs a user namespace");
                }
            }
            if input.host.rootless {
                found.problem("linux.namespaces", "needs a user namespace: we are not root");
            }
            User::Host
        }
    }
}

fn uts(input: Input, asked: Namespace, found: &mut Findings) -> Uts {
    let given = |name: &Option<String>, place: &str, found: &mut Findings| {
        let name = name.clone().filter(|name| !name.is_empty())?;
        if asked == Namespace::Host {
            found.problem(place, "needs a uts namespace");
        }
        if name.len() > NAME_MAX {
            found.problem(place, format!("{} bytes, of which the kernel takes {NAME_MAX}", name.len()));
        }
        Some(name)
    };
    let hostname = given(input.spec.oci.hostname(), "hostname", found);
    let domainname = given(input.spec.oci.domainname(), "domainname", found);
    let names = Names { hostname, domainname };
    match asked {
        Namespace::New => Uts::New(names),
        Namespace::Join(path) => Uts::Join { path, names },
        Namespace::Host => Uts::Host,
    }
}

fn net(input: Input, asked: Namespace, found: &mut Findings) -> Net {
    let asked = if input.request.own_network && asked != Namespace::New { Namespace::Host } else { asked };
    let mut devices: Vec<(String, String)> = Vec::new();
    let given: BTreeMap<_, _> = input.linux().and_then(|l| l.net_devices().as_ref()).into_iter().flatten().collect();
    for (outside, device) in given {
        let place = format!("linux.netDevices.{outside}");
        let inside = device.name().clone().filter(|n| !n.is_empty()).unwrap_or_else(|| outside.clone());
        if asked == Namespace::Host {
            found.problem(&place, "needs a network namespace");
        } else if input.host.rootless {
            found.problem(&place, "moving a network device needs root");
        }
        for (name, place) in [(outside, place.clone()), (&inside, format!("{place}.name"))] {
            if !is_link_name(name) {
                found.problem(place, format!("{name:?} is no name of a network device"));
                break;
            }
        }
        // `%d` is for the kernel to fill in, with a number that is free.
        if !inside.contains("%d") && devices.iter().any(|(_, taken)| *taken == inside) {
            found.problem(format!("{place}.name"), format!("a second device {inside:?}"));
        }
        devices.push((outside.clone(), inside));
    }
    match asked {
        Namespace::New => Net::New { devices },
        Namespace::Join(path) => Net::Join { path, devices },
        Namespace::Host => Net::Host,
    }
}

/// As dev_valid_name() of the kernel has it.
fn is_link_name(name: &str) -> bool {
    let fits = !name.is_empty() && name.len() <= LINK_NAME_MAX && name != "." && name != "..";
    fits && !name.contains(|c: char| c == '/' || c == ':' || c.is_ascii_whitespace())
}

fn time(input: Input, asked: Namespace, found: &mut Findings) -> Time {
    let mut offsets = Vec::new();
    let given: BTreeMap<_, _> = input.linux().and_then(|l| l.time_offsets().as_ref()).into_iter().flatten().collect();
    for (clock, offset) in given {
        let place = format!("linux.timeOffsets.{clock}");
        if asked != Namespace::New {
            found.problem(&place, "needs a new time namespace");
        }
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            found.problem(&place, format!("unknown clock {clock:?}"));
        }
        let nanoseconds = offset.nanosecs().unwrap_or(0);
        if nanoseconds >= 1_000_000_000 {
            found.problem(format!("{place}.nanosecs"), "must be less than a second");
        }
        offsets.push((clock.clone(), offset.secs().unwrap_or(0), nanoseconds));
    }
    offsets.sort();
    if asked != Namespace::Host && !input.host.time_namespaces {
        found.problem("linux.namespaces", "this kernel has no time namespaces (CONFIG_TIME_NS)");
    }
    match asked {
        Namespace::New => Time::New { offsets },
        Namespace::Join(path) => Time::Join(path),
        Namespace::Host => Time::Host,
    }
}
