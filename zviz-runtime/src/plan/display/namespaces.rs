//! The namespaces of a plan in words.

use super::words::{count, quoted};
use crate::plan::namespaces::{IdMap, Names, Namespace, Namespaces, Net, Time, User, Uts};
use std::fmt::{self, Formatter};

fn named(names: &Names) -> String {
    let word = |what: &str, name: &Option<String>| name.as_ref().map(|n| format!(", {what} {}", quoted(n)));
    [word("hostname", &names.hostname), word("domainname", &names.domainname)].into_iter().flatten().collect()
}

fn links(f: &mut Formatter<'_>, devices: &[(String, String)]) -> fmt::Result {
    devices.iter().try_for_each(|(outside, inside)| writeln!(f, "  link {outside} as {inside}"))
}

pub(super) fn namespaces(f: &mut Formatter<'_>, ns: &Namespaces) -> fmt::Result {
    let plain = |ns: &Namespace| match ns {
        Namespace::Host => "host".to_owned(),
        Namespace::Join(path) => format!("join {}", quoted(path)),
        Namespace::New => "new".to_owned(),
    };
    match &ns.user {
        User::Host => writeln!(f, "user: host")?,
        User::Join(path) => writeln!(f, "user: join {}", quoted(path))?,
        User::New { uids, gids, setgroups, by_helper } => {
            let groups = if *setgroups { "" } else { ", setgroups denied" };
            let helper = if *by_helper { ", maps by newuidmap and newgidmap" } else { "" };
            writeln!(f, "user: new{groups}{helper}")?;
            maps(f, "uid map", uids)?;
            maps(f, "gid map", gids)?;
        }
    }
    writeln!(f, "pid: {}", plain(&ns.pid))?;
    writeln!(f, "mount: {}", plain(&ns.mount))?;
    match &ns.uts {
        Uts::Host => writeln!(f, "uts: host")?,
        Uts::Join { path, names } => writeln!(f, "uts: join {}{}", quoted(path), named(names))?,
        Uts::New(names) => writeln!(f, "uts: new{}", named(names))?,
    }
    writeln!(f, "ipc: {}", plain(&ns.ipc))?;
    match &ns.net {
        Net::Host => writeln!(f, "net: host")?,
        Net::Join { path, devices } => {
            writeln!(f, "net: join {}", quoted(path))?;
            links(f, devices)?;
        }
        Net::New { devices } => {
            writeln!(f, "net: new")?;
            links(f, devices)?;
        }
    }
    writeln!(f, "cgroup namespace: {}", plain(&ns.cgroup))?;
    match &ns.time {
        Time::Host => writeln!(f, "time: host"),
        Time::Join(path) => writeln!(f, "time: join {}", quoted(path)),
        Time::New { offsets } => {
            writeln!(f, "time: new")?;
            offsets.iter().try_for_each(|(clock, s, ns)| writeln!(f, "  {clock} {s} s {ns} ns"))
        }
    }
}

fn maps(f: &mut Formatter<'_>, name: &str, lines: &[IdMap]) -> fmt::Result {
    lines
        .iter()
        .try_for_each(|m| writeln!(f, "  {name} {} -> {}, {}", m.inside, m.outside, count(m.count.into(), "id")))
}
