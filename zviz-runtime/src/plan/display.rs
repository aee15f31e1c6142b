//! A plan in words: what `zviz plan` prints, and what golden cases compare.
//!
//! One line a decision, in the order of the layers; what is absent is left out, except where its absence is the decision.

mod cgroup;
mod mounts;
mod namespaces;
mod process;
mod words;

use super::network::{Link, Network};
use super::{Backend, Hooks, Landlock, LandlockRights, Plan, Seccomp};
use crate::profile::Profile;
use cgroup::cgroup;
use mounts::{device, mount, root};
use namespaces::namespaces;
use process::process;
use std::fmt::{self, Display, Formatter, Write};
use words::{list, quoted};
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
    let scoped = if l.scoped { ", sockets and signals kept inside" } else { "" };
    let recorded = if l.recorded { ", what is denied is recorded" } else { "" };
    writeln!(f, "landlock: abi {}{scoped}{recorded}", l.abi)?;
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
