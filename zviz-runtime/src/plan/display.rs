//! A plan in words: what `zviz plan` prints, and what golden cases compare.
//!
//! One line a decision, in the order of the layers; what is absent is left out, except where its absence is the decision.

mod cgroup;
mod words;

use super::mounts::{IdmapSource, Mount, MountKind, Propagation, PropagationKind};
use super::namespaces::{IdMap, Names, Namespace, Namespaces, Net, Time, User, Uts};
use super::network::{Link, Network};
use super::{
    Backend, Capabilities, Device, DeviceKind, Hooks, Landlock, LandlockRights, Plan, Process, Rootfs, Seccomp,
};
use crate::profile::Profile;
use cgroup::cgroup;
use std::fmt::{self, Display, Formatter, Write};
use words::{attributes, count, ids, list, mode, quoted, rlimit};
use zviz_seccomp::Policy;

impl Display for Plan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.backend == Backend::Landlock {
            writeln!(f, "backend: landlock")?;
        }
        namespaces(f, &self.namespaces)?;
        match &self.rootfs {
            Some(rootfs) => root(f, rootfs)?,
            None if self.backend == Backend::Landlock => writeln!(f, "root: the host's")?,
            None => writeln!(f, "root: of the joined mount namespace")?,
        }
        self.mounts.iter().try_for_each(|m| mount(f, m))?;
        self.devices.iter().try_for_each(|d| device(f, d))?;
        self.symlinks.iter().try_for_each(|(link, to)| writeln!(f, "link {} -> {}", quoted(link), quoted(to)))?;
        self.masked_paths.iter().try_for_each(|path| writeln!(f, "masked {}", quoted(path)))?;
        self.readonly_paths.iter().try_for_each(|path| writeln!(f, "read-only {}", quoted(path)))?;
        self.sysctl.iter().try_for_each(|(name, value)| writeln!(f, "sysctl {name} = {}", quoted(value)))?;
        if let Some(network) = &self.network {
            packets(f, network)?;
        }
        cgroup(f, &self.cgroup)?;
        if self.profile != Profile::none() {
            writeln!(f, "profile: {}", quoted(&self.profile.name))?;
        }
        process(f, &self.process)?;
        if let Some(policy) = &self.apparmor {
            writeln!(f, "apparmor policy, loaded for it:")?;
            policy.text.lines().try_for_each(|line| writeln!(f, "  {line}"))?;
        }
        match &self.seccomp {
            Some(filter) => seccomp(f, filter)?,
            None => writeln!(f, "seccomp: none")?,
        }
        match &self.landlock {
            Some(ruleset) => landlock(f, ruleset)?,
            None => writeln!(f, "landlock: none")?,
        }
        hooks(f, &self.hooks)?;
        self.annotations.iter().try_for_each(|(k, v)| writeln!(f, "annotation {} = {}", quoted(k), quoted(v)))?;
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))
    }
}

/// Rules by their keys: what each means is `zviz compile`'s to print.
fn packets(f: &mut Formatter<'_>, network: &Network) -> fmt::Result {
    match &network.link {
        Link::None => writeln!(f, "network: rules")?,
        Link::Bridge(_) => writeln!(f, "network: at the bridge, rules")?,
        Link::Pasta(_) => writeln!(f, "network: by pasta, rules")?,
    }
    for policy in &network.policies {
        let (rules, names) = (policy.egress.iter().map(|rule| &rule.key), policy.named.iter().map(|named| &named.key));
        rules.chain(names).try_for_each(|key| writeln!(f, "  {key}"))?;
        writeln!(f, "  otherwise {}", format!("{:?}", policy.otherwise).to_lowercase())?;
        if let Some(ingress) = &policy.ingress {
            ingress.rules.iter().try_for_each(|rule| writeln!(f, "  {}", rule.key))?;
            writeln!(f, "  nobody else comes in")?;
        }
    }
    if network.resolver.is_some() {
        writeln!(f, "  names are asked for by a resolver inside")?;
    }
    if network.events { writeln!(f, "  connections are reported") } else { Ok(()) }
}

fn named(names: &Names) -> String {
    let word = |what: &str, name: &Option<String>| name.as_ref().map(|n| format!(", {what} {}", quoted(n)));
    [word("hostname", &names.hostname), word("domainname", &names.domainname)].into_iter().flatten().collect()
}

fn links(f: &mut Formatter<'_>, devices: &[(String, String)]) -> fmt::Result {
    devices.iter().try_for_each(|(outside, inside)| writeln!(f, "  link {outside} as {inside}"))
}

fn namespaces(f: &mut Formatter<'_>, ns: &Namespaces) -> fmt::Result {
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

fn root(f: &mut Formatter<'_>, root: &Rootfs) -> fmt::Result {
    let path = if root.path.is_empty() { "fresh tmpfs".into() } else { quoted(&root.path) };
    write!(f, "root: {path}, {}", if root.readonly { "read-only" } else { "writable" })?;
    if let Some(p) = root.propagation {
        write!(f, ", {}", propagation(p))?;
    }
    if !root.pivot {
        f.write_str(", by chroot")?;
    }
    if let Some(label) = &root.mount_label {
        write!(f, ", label {}", quoted(label))?;
    }
    writeln!(f)
}

fn propagation(p: Propagation) -> String {
    let kind = match p.kind {
        PropagationKind::Shared => "shared",
        PropagationKind::Slave => "slave",
        PropagationKind::Private => "private",
        PropagationKind::Unbindable => "unbindable",
    };
    format!("{}{kind}", if p.recursive { "r" } else { "" })
}

fn mount(f: &mut Formatter<'_>, m: &Mount) -> fmt::Result {
    let place = quoted(&m.destination);
    match &m.kind {
        MountKind::Bind(bind) => {
            write!(f, "mount {place}: {} of {}", if bind.recursive { "rbind" } else { "bind" }, quoted(&bind.source))?;
            if bind.nofollow {
                f.write_str(", source not followed")?;
            }
            if let Some(source) = &bind.idmap {
                f.write_str(&idmap(source))?;
            }
        }
        MountKind::Filesystem(fs) => {
            write!(f, "mount {place}: {}", quoted(&fs.fstype))?;
            if let Some(source) = fs.source.as_ref().filter(|source| **source != fs.fstype) {
                write!(f, " of {}", quoted(source))?;
            }
            for (key, value) in &fs.options {
                match value {
                    Some(value) => write!(f, ", {}", quoted(&format!("{key}={value}")))?,
                    None => write!(f, ", {}", quoted(key))?,
                }
            }
            if fs.copy_up {
                f.write_str(", with a copy of what is there")?;
            }
        }
        MountKind::Overlay => write!(f, "mount {place}: overlay of the two before")?,
        MountKind::Remount => write!(f, "mount {place}: changed")?,
        MountKind::Symlink { target } => write!(f, "mount {place}: link to {}", quoted(target))?,
        MountKind::Directory { mode: bits } => write!(f, "mount {place}: directory, mode {}", mode(*bits))?,
    }
    f.write_str(&attributes(m.attributes, "", matches!(m.kind, MountKind::Filesystem(_))))?;
    f.write_str(&attributes(m.recursive, "r", false))?;
    if m.late_readonly {
        f.write_str(", ro at last")?;
    }
    m.propagation.iter().try_for_each(|p| write!(f, ", {}", propagation(*p)))?;
    writeln!(f)
}

fn idmap(source: &IdmapSource) -> String {
    let word = |recursive: bool| if recursive { "ridmap" } else { "idmap" };
    match source {
        IdmapSource::Container { recursive, best_effort } => {
            format!(", {} as the container{}", word(*recursive), if *best_effort { " where it can be" } else { "" })
        }
        IdmapSource::Own { uids, gids, recursive } => {
            let lines = |lines: &[IdMap]| list(lines.iter().map(|m| format!("{}:{}:{}", m.inside, m.outside, m.count)));
            format!(", {} uids {} gids {}", word(*recursive), lines(uids), lines(gids))
        }
    }
}

fn device(f: &mut Formatter<'_>, d: &Device) -> fmt::Result {
    let kind = match d.kind {
        DeviceKind::Char => "char",
        DeviceKind::Block => "block",
        DeviceKind::Fifo => "fifo",
    };
    write!(f, "device {}: {kind}", quoted(&d.path))?;
    if d.kind != DeviceKind::Fifo {
        write!(f, " {}:{}", d.major, d.minor)?;
    }
    if d.bind {
        return writeln!(f, ", bound");
    }
    writeln!(f, ", mode {}, owner {}:{}", mode(d.mode), d.uid, d.gid)
}

fn process(f: &mut Formatter<'_>, p: &Process) -> fmt::Result {
    if p.args.is_empty() {
        return writeln!(f, "process: none");
    }
    writeln!(f, "run: {}", p.args.iter().map(|a| quoted(a)).collect::<Vec<_>>().join(" "))?;
    writeln!(f, "cwd: {}", quoted(&p.cwd))?;
    p.env.iter().try_for_each(|entry| writeln!(f, "env {}", quoted(entry)))?;
    if p.find_home {
        writeln!(f, "env HOME as in the container's /etc/passwd")?;
    }
    if p.terminal {
        let size = p.console_size.map_or(String::new(), |(rows, columns)| format!(", {rows} rows, {columns} columns"));
        writeln!(f, "terminal: yes{size}")?;
    }
    let groups = p.credentials.groups.as_ref().map_or("as they are".into(), |groups| ids(groups));
    writeln!(f, "as: uid {}, gid {}, groups {groups}", p.credentials.uid, p.credentials.gid)?;
    if let Some(umask) = p.umask {
        writeln!(f, "umask: {}", mode(umask))?;
    }
    capabilities(f, p.capabilities)?;
    writeln!(f, "no new privileges: {}", if p.no_new_privs { "yes" } else { "no" })?;
    p.rlimits.iter().try_for_each(|limit| writeln!(f, "{}", rlimit(limit)))?;
    scheduling(f, p)?;
    let labels = [("apparmor", &p.apparmor_profile), ("selinux", &p.selinux_label)];
    for (name, label) in labels {
        label.iter().try_for_each(|label| writeln!(f, "{name}: {}", quoted(label)))?;
    }
    if p.reaper {
        writeln!(f, "reaper: yes")?;
    }
    writeln!(f, "session keyring: {}", if p.new_keyring { "new" } else { "the caller's" })
}

fn scheduling(f: &mut Formatter<'_>, p: &Process) -> fmt::Result {
    if let Some(score) = p.oom_score_adj {
        writeln!(f, "oom score: {score}")?;
    }
    if let Some(s) = p.scheduler {
        writeln!(
            f,
            "scheduler: policy {}, flags {:#x}, nice {}, priority {}, runtime {} ns, deadline {} ns, period {} ns",
            s.policy, s.flags, s.nice, s.priority, s.runtime, s.deadline, s.period
        )?;
    }
    if let Some(priority) = p.io_priority {
        writeln!(f, "io priority: class {}, level {}", priority >> 13, priority & 0x1fff)?;
    }
    for (cpus, when) in [(&p.initial_affinity, "until exec"), (&p.final_affinity, "from exec on")] {
        cpus.iter().try_for_each(|cpus| writeln!(f, "cpus {when}: {}", ids(cpus)))?;
    }
    if let Some(domain) = p.personality {
        writeln!(f, "personality: {domain:#x}")?;
    }
    if let Some(policy) = &p.memory_policy {
        writeln!(f, "memory policy: mode {:#x}, nodes {}", policy.mode, ids(&policy.nodes))?;
    }
    Ok(())
}

fn capabilities(f: &mut Formatter<'_>, c: Capabilities) -> fmt::Result {
    let sets = [
        ("bounding", c.bounding),
        ("effective", c.effective),
        ("permitted", c.permitted),
        ("inheritable", c.inheritable),
        ("ambient", c.ambient),
    ];
    if sets.iter().all(|(_, mask)| *mask == 0) {
        return writeln!(f, "capabilities: none");
    }
    for (name, mask) in sets {
        let names = super::capabilities::names(mask);
        writeln!(f, "capabilities {name}: {}", if names.is_empty() { "none".into() } else { names.join(" ") })?;
    }
    Ok(())
}

fn seccomp(f: &mut Formatter<'_>, s: &Seccomp) -> fmt::Result {
    policy(f, &s.policy)?;
    s.policy.within.iter().try_for_each(|outer| policy(f, outer))?;
    if let Some(path) = &s.listener_path {
        writeln!(f, "  listener to {}", quoted(path))?;
    }
    s.listener_metadata.iter().try_for_each(|text| writeln!(f, "  with {}", quoted(text)))
}

fn policy(f: &mut Formatter<'_>, p: &Policy) -> fmt::Result {
    writeln!(f, "seccomp: default {}, foreign architectures {}, x32 {}", p.default, p.foreign_arch, p.x32)?;
    writeln!(f, "  architectures: {}", list(p.known_architectures().iter().map(ToString::to_string)))?;
    let flags = [
        (p.flags.tsync, "tsync"),
        (p.flags.log, "log"),
        (p.flags.spec_allow, "spec_allow"),
        (p.flags.wait_killable_recv, "wait_killable_recv"),
    ];
    writeln!(f, "  flags: {}", list(flags.iter().filter(|(on, _)| *on).map(|(_, name)| (*name).to_owned())))?;
    for rule in &p.rules {
        let mut conditions = String::new();
        for c in &rule.args {
            write!(conditions, " if arg{} {:?} {:#x}", c.index, c.op, c.value)?;
        }
        writeln!(f, "  {}{conditions}: {}", rule.action, rule.names.join(" "))?;
    }
    for fallback in &p.fallbacks {
        writeln!(f, "  {} otherwise: {}", fallback.action, fallback.names.join(" "))?;
    }
    Ok(())
}

fn landlock(f: &mut Formatter<'_>, l: &Landlock) -> fmt::Result {
    writeln!(f, "landlock: abi {}{}", l.abi, if l.scoped { ", sockets and signals kept inside" } else { "" })?;
    for rule in &l.rules {
        let rights = match rule.rights {
            LandlockRights::Read => "read",
            LandlockRights::ReadExecute => "read and execute",
            LandlockRights::ReadWrite => "everything but execute",
            LandlockRights::Full => "everything",
        };
        let truncate = if rule.truncate { ", and cut what the mount lets nobody cut" } else { "" };
        let optional = if rule.optional { ", if it is there" } else { "" };
        writeln!(f, "  {}: {rights}{truncate}{optional}", quoted(&rule.path))?;
    }
    for (what, ports) in [("bound", &l.bind), ("connected to", &l.connect)] {
        if let Some(ports) = ports {
            writeln!(f, "  tcp ports that may be {what}: {}", list(ports.iter().map(u16::to_string)))?;
        }
    }
    Ok(())
}

fn hooks(f: &mut Formatter<'_>, hooks: &Hooks) -> fmt::Result {
    let kinds = [
        ("prestart", &hooks.prestart),
        ("createRuntime", &hooks.create_runtime),
        ("createContainer", &hooks.create_container),
        ("startContainer", &hooks.start_container),
        ("poststart", &hooks.poststart),
        ("poststop", &hooks.poststop),
    ];
    for (kind, hook) in kinds.iter().flat_map(|(kind, list)| list.iter().map(move |hook| (kind, hook))) {
        write!(f, "hook {kind}: {}", quoted(&hook.path))?;
        if hook.args.len() > 1 {
            write!(f, " {}", hook.args[1..].iter().map(|a| quoted(a)).collect::<Vec<_>>().join(" "))?;
        }
        if let Some(seconds) = hook.timeout {
            write!(f, ", at most {seconds} s")?;
        }
        writeln!(f)?;
        hook.env.iter().try_for_each(|entry| writeln!(f, "  env {}", quoted(entry)))?;
    }
    Ok(())
}
