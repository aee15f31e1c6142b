//! The filter: what it answers, which words of the profile it comes from, and which other words would let the call through.

use super::change::{Change, How, Risk};
use super::scene::{arch, errno, name, object};
use super::{Denial, Layer, Origin, Scene, capabilities, socket};
use crate::plan::Backend;
use crate::profile::Profile;
use zviz_observe::Call;
use zviz_profile::calls::expand;
use zviz_profile::ioctls::COMMANDS;
use zviz_seccomp::{Action, CATEGORIES, Category, Choice, Socket, Variant, policy_with};

/// What became of a call at the filter.
pub(super) enum Answer {
    /// The filter refused it.
    Denied(Box<Denial>),
    /// It asked the broker.
    Asks,
    /// It let it go on.
    Passes,
}

/// Groups of which a member is worth more to whoever breaks out than to most programs.
const GRAVE: &[&str] = &[
    "@bpf",
    "@clock",
    "@handles",
    "@kernel-log",
    "@kexec",
    "@modules",
    "@mount",
    "@perf",
    "@ports",
    "@reboot",
    "@setns",
    "@swap",
    "@userfault",
    "@watch-all",
    "@io-uring",
    "@quota",
];
/// What callers try, and do without.
const EXPECTED: &[&str] = &["clone3", "io_uring_setup", "sched_setattr", "set_mempolicy", "get_mempolicy", "mbind"];
/// Calls that only sandboxes inside make.
const NESTED: &[&str] = &["clone", "mount", "pivot_root", "setns", "umount2", "unshare"];

/// Asks it.
pub(super) fn ask(scene: &Scene<'_>, call: &Call) -> Answer {
    let denied = match scene.answer(call) {
        Some(Action::Notify) => return Answer::Asks,
        Some(Action::Errno(number)) => errno(call).is_some_and(|errno| errno as i32 == i32::from(number)),
        Some(Action::KillProcess | Action::KillThread | Action::Trap) => call.result == Call::KILLED,
        _ => false,
    };
    if !denied {
        return Answer::Passes;
    }
    Answer::Denied(Box::new(explain(scene, call)))
}

fn explain(scene: &Scene<'_>, call: &Call) -> Denial {
    let told = |denial: Denial, detail: &str| {
        let object = if detail.is_empty() { object(call) } else { detail.as_bytes().to_vec() };
        scene.told(denial, call, object)
    };
    let Some(arch) = arch(call).filter(|arch| *arch == zviz_seccomp::Arch::native()) else {
        let what = "calls of another architecture than the machine's own are refused";
        return told(Denial::new(Layer::Seccomp, "foreign").what(what), "");
    };
    let call_name = name(call);
    let own = &scene.plan.profile;
    let decide = |profile: &Profile| {
        let nr = u32::try_from(call.number).ok()?;
        let variant = Variant { in_place: scene.plan.backend == Backend::Landlock, ..profile.variant() };
        Some(policy_with(&variant).ok()?.decide(arch, nr, &call.args))
    };
    let passes = |profile: &Profile| matches!(decide(profile), Some(Action::Allow | Action::Log | Action::Notify));
    let (cause, rule, what) = cause(scene, &call_name, call);
    let mut denial = told(Denial::new(Layer::Seccomp, cause).rule(rule).what(what), &detail(&call_name, call));
    let known = EXPECTED.contains(&call_name.as_str()) || call_name == "openat2" && own.calls.no_set_id;
    denial.expected = known || socket::is_multipath(&call_name, call);
    let in_place = scene.plan.backend == Backend::Landlock;
    if passes(own) {
        denial.what = match in_place {
            true => format!("{call_name} is refused without namespaces (--backend landlock)"),
            false => format!("{call_name} is refused by the container's own filter (linux.seccomp of its config.json)"),
        };
        return denial;
    }
    if denial.expected {
        return denial;
    }
    let rights = capabilities::needed(&call_name);
    let candidates = candidates(scene, &call_name, call, denial.rule.as_ref());
    let allowing = candidates.into_iter().filter(|(profile, _)| passes(profile)).map(|(_, change)| change);
    let Some(rights) = rights else { return denial.changes(allowing) };
    match capabilities::beside(scene, &rights) {
        Ok(None) => denial.changes(allowing),
        Ok(Some(yaml)) => denial.changes(allowing.filter_map(|change| with_rights(change, &yaml, rights.name))),
        Err(why) => {
            denial.what = format!("{}; it needs {} besides, {why}", denial.what, rights.name);
            denial
        }
    }
}

fn group(call: &str) -> Option<&'static Category> {
    CATEGORIES.iter().find(|group| group.calls.contains(&call))
}

fn risk(call: &str) -> Risk {
    match group(call).map(|group| group.name) {
        Some(name) if GRAVE.contains(&name) => Risk::High,
        _ if Choice { allow: vec![call.to_owned()], ..Choice::default() }.beyond_default().is_empty() => Risk::Low,
        _ => Risk::Medium,
    }
}

/// How it is denied, by which line, and in words.
fn cause(scene: &Scene<'_>, name: &str, call: &Call) -> (&'static str, Option<Origin>, String) {
    let choice = &scene.plan.profile.calls;
    let about = group(name).map_or(String::new(), |group| format!(" ({})", group.about));
    if choice.deny.iter().any(|denied| denied == name) {
        let rule = scene.rules.item("syscalls.deny", |value| expand(value).contains(&name));
        return ("deny", rule, format!("the profile denies {name}"));
    }
    if choice.listed_only && !choice.allow.iter().any(|allowed| allowed == name) {
        return (
            "unlisted",
            scene.rules.key("syscalls.allow"),
            format!("{name} is not among the calls that the profile allows"),
        );
    }
    if name == "ioctl" && choice.ioctls.is_some() {
        let what = format!("{} is not among the driver calls that the profile allows", detail(name, call));
        return ("unlisted", scene.rules.key("ioctl.allowlists"), what);
    }
    if matches!(name, "socket" | "socketpair") && choice.sockets.is_some() {
        let kind = socket::asked(call).map(socket::word);
        let denied = kind.and_then(|kind| scene.rules.item("network.sockets.deny", |value| value == kind));
        let rule = denied.or_else(|| scene.rules.key("network.sockets.allow"));
        let what = match scene.plan.backend {
            Backend::Landlock if rule.is_none() => {
                "there are no such sockets without namespaces (--backend landlock)".into()
            }
            _ => format!("the profile has no sockets of this kind: {}", detail(name, call)),
        };
        return ("unlisted", rule, what);
    }
    if choice.no_set_id && sets_id(scene, call) {
        let rule = scene.rules.key("filesystem.set_id_bits");
        return ("mode", rule, "the profile lets no file have a set-user-ID or set-group-ID bit".to_owned());
    }
    if choice.files_only && name == "memfd_create" {
        let what = "a file in memory could be executed, and is in none of the folders that the profile lists";
        return ("memory", scene.rules.key("filesystem.executable"), what.to_owned());
    }
    match name {
        "clone" | "unshare" => ("namespaces", None, format!("new namespaces are for sandboxes inside (nested){about}")),
        "socket" | "socketpair" => {
            ("default", None, format!("no profile has such sockets by default: {}", detail(name, call)))
        }
        "ioctl" | "prctl" | "setsockopt" => {
            ("default", None, format!("{} is refused by default{about}", detail(name, call)))
        }
        _ => ("default", None, format!("{name} is refused by default{about}")),
    }
}

/// Whether it is for a mode that a call is refused.
fn sets_id(scene: &Scene<'_>, call: &Call) -> bool {
    let mut free = scene.plan.profile.clone();
    free.calls.no_set_id = false;
    let decide = |profile: &Profile| {
        Some(policy_with(&profile.variant()).ok()?.decide(arch(call)?, u32::try_from(call.number).ok()?, &call.args))
    };
    decide(&free) != decide(&scene.plan.profile)
}

/// What of a call's registers decided.
fn detail(name: &str, call: &Call) -> String {
    match name {
        "ioctl" => {
            let command = call.args[1] as u32;
            let known = COMMANDS.iter().find(|(_, number)| *number == command);
            known.map_or_else(|| format!("{command:#x}"), |(name, _)| (*name).to_owned())
        }
        "socket" | "socketpair" => socket::told(call),
        "clone" | "unshare" => format!("flags {:#x}", call.args[0]),
        "prctl" | "personality" => format!("{:#x}", call.args[0]),
        "setsockopt" => format!("level {} option {}", call.args[1] as i32, call.args[2] as i32),
        _ => String::new(),
    }
}

/// Profiles that say otherwise, and what makes this one such a profile.
fn candidates(scene: &Scene<'_>, name: &str, call: &Call, rule: Option<&Origin>) -> Vec<(Profile, Change)> {
    let own = &scene.plan.profile;
    let mut found = Vec::new();
    let mut with = |edit: &dyn Fn(&mut Profile), change: Change| {
        let mut profile = own.clone();
        edit(&mut profile);
        found.push((profile, change));
    };
    let about = group(name).map_or("", |group| group.about);
    if let Some(rule) = rule.filter(|rule| rule.key.starts_with("syscalls.deny")) {
        let others: Vec<String> =
            expand(&rule.value).into_iter().filter(|call| *call != name).map(str::to_owned).collect();
        let how = How::Instead { rule: rule.clone(), with: if rule.value == name { Vec::new() } else { others } };
        let why = format!("allows {name}: {about}");
        with(&|profile| profile.calls.deny.retain(|denied| denied != name), Change { how, risk: risk(name), why });
        return found;
    }
    if scene.plan.backend == Backend::Landlock {
        // What it has no namespaces for no profile brings back. Sockets of the internet come with the host's network.
        let internet = matches!(socket::asked(call), Some(Socket::Tcp | Socket::Udp)) && name == "socket";
        let kinds = own.calls.sockets.as_deref().unwrap_or_default();
        let has_network = kinds.iter().any(|kind| matches!(kind, Socket::Tcp | Socket::Udp | Socket::Netlink));
        if internet && !has_network && scene.rules.key("network.sockets").is_none() {
            let why = "all of the host's network, with everything that listens on it";
            let edit = |profile: &mut Profile| profile.calls.sockets = Some(vec![Socket::Tcp, Socket::Udp]);
            with(&edit, Change::flag("--net", "host", Risk::High, why));
        }
        return found;
    }
    let sandboxes =
        "lets programs inside make sandboxes of their own: the kernel's code for namespaces is in their reach";
    if NESTED.contains(&name) && !own.nested {
        let nested = |profile: &mut Profile| {
            profile.nested = true;
            profile.broker.mounts.get_or_insert_default();
        };
        let change = match own.name.as_str() {
            "default" => Change::flag("--profile", "nested", Risk::Medium, sandboxes),
            _ => {
                let yaml = "nested: true\nsyscalls: {broker: [mount, umount2, pivot_root]}";
                Change::yaml(yaml, Risk::Medium, sandboxes)
            }
        };
        with(&nested, change);
    }
    let allow = |profile: &mut Profile| profile.calls.allow.push(name.to_owned());
    with(&allow, Change::yaml(format!("syscalls: {{allow: [{name}]}}"), risk(name), format!("allows {name}: {about}")));
    if own.calls.no_set_id {
        let why = "files get set-user-ID and set-group-ID bits, which count outside where their folder is shared";
        let change = Change::yaml("filesystem: {set_id_bits: true}", Risk::Medium, why);
        with(&|profile| profile.calls.no_set_id = false, change);
    }
    if name == "ioctl" {
        let command = call.args[1] as u32;
        let change = Change::yaml(
            format!("ioctl: {{allowlists: [{{commands: [\"{command:#x}\"]}}]}}"),
            Risk::Low,
            "allows this driver call, of any descriptor",
        );
        with(&|profile| profile.calls.ioctls.get_or_insert_default().push(command), change);
    }
    if let Some(kind) = socket::asked(call).filter(|_| matches!(name, "socket" | "socketpair")) {
        let denied = rule.filter(|rule| rule.key.starts_with("network.sockets.deny"));
        let risk = if kind == Socket::Unix { Risk::Low } else { Risk::Medium };
        let why = format!("lets programs make sockets of this kind: {}", socket::word(kind));
        let change = match denied {
            Some(rule) => Change::without(rule.clone(), risk, why),
            None => Change::yaml(socket::yaml(kind, scene.rules), risk, why),
        };
        with(&|profile| profile.calls.sockets.get_or_insert_with(socket::default).push(kind), change);
    }
    found
}

/// A change together with the right that a call needs besides.
fn with_rights(change: Change, rights: &str, name: &str) -> Option<Change> {
    let why = format!("{}; with {name} besides", change.why);
    let yaml = match change.how {
        How::Yaml(yaml) => format!("{yaml}\n{rights}"),
        How::Flag(flag) if flag == ["--profile", "nested"] => {
            format!("nested: true\nsyscalls: {{broker: [mount, umount2, pivot_root]}}\n{rights}")
        }
        How::Flag(_) | How::Instead { .. } | How::Policy { .. } => return None,
    };
    Some(Change { how: How::Yaml(yaml), risk: change.risk.max(Risk::High), why })
}
