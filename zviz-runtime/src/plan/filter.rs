//! The seccomp filter: the section of the spec as a policy, checked against what init has yet to do under it.

use super::Seccomp;
use super::input::{Findings, Input};
use crate::host::Host;
use oci_spec::runtime as oci;
use std::sync::Arc;
use zviz_seccomp::{Action, Arch, Compare, Flags, Policy, Rule, Variant, policy_with};

/// MAX_ERRNO of the kernel: a larger one would be taken for a result.
const ERRNO_MAX: u16 = 4095;

/// What init does after the filter is loaded, whatever the plan: reports, waits for `start`, runs the payload.
const INIT_NEEDS: &[&str] = &["write", "read", "execve", "exit_group"];

/// What it does in addition where loading the filter takes a right that goes only then.
const INIT_NEEDS_EARLY: &[&str] = &["capset"];

/// Decides the filter: the spec's, the profile's, or the one within the other.
pub(super) fn plan(input: Input, no_new_privs: bool, found: &mut Findings) -> Option<Seccomp> {
    let own = of_spec(input, found);
    let default = of_profile(input, found);
    let seccomp = match (own, default) {
        (Some(own), Some(default)) => {
            if own.listener_path.is_some() && default.notifies() {
                // A process can have one listener.
                let why = format!("the profile {} has a broker, which needs the listener", input.profile.name);
                found.problem("linux.seccomp.listenerPath", why);
            }
            let mut policy = Arc::unwrap_or_clone(own.policy).within(default);
            policy.flags.wait_killable_recv |= policy.within.iter().any(|outer| outer.flags.wait_killable_recv);
            Seccomp { policy: Arc::new(policy), program: None, ..own }
        }
        (Some(own), None) => own,
        (None, Some(policy)) => {
            let program = input.profile.program.clone();
            Seccomp { policy: Arc::new(policy), listener_path: None, listener_metadata: None, program }
        }
        (None, None) => return None,
    };
    lets_init_finish(&seccomp.policy, no_new_privs, found);
    Some(seccomp)
}

/// The default policy, with the calls that the profile's broker answers.
fn of_profile(input: Input, found: &mut Findings) -> Option<Policy> {
    let profile = input.profile;
    if !profile.seccomp {
        if !profile.broker.is_empty() {
            found.problem(format!("profile {}", profile.name), "a broker needs the seccomp filter that calls it");
        }
        return None;
    }
    for fault in profile.broker.faults() {
        found.problem(format!("profile {}: broker.{}", profile.name, fault.place), fault.why);
    }
    if profile.broker.bpf_devices && !may_load_programs(input.host) {
        let why = "takes CAP_BPF and CAP_NET_ADMIN over the host, which only root of the machine has";
        found.problem(format!("profile {}: broker.bpf_devices", profile.name), why);
    }
    let variant = Variant { in_place: input.request.in_place.is_some(), ..profile.variant() };
    match policy_with(&variant) {
        Ok(policy) => Some(policy),
        Err(error) => {
            found.problem(format!("profile {}", profile.name), error.to_string());
            None
        }
    }
}

/// CAP_BPF and CAP_NET_ADMIN, linux/capability.h; in a user namespace they are worth nothing to bpf(2).
fn may_load_programs(host: &Host) -> bool {
    const BOTH: u64 = 1 << 39 | 1 << 12;
    !host.user_namespace && host.capabilities & BOTH == BOTH
}

fn of_spec(input: Input, found: &mut Findings) -> Option<Seccomp> {
    let given = input.linux()?.seccomp().as_ref()?;
    let mut policy = Policy::new(default_action(given, found));
    for (i, arch) in given.architectures().iter().flatten().enumerate() {
        match architecture(*arch) {
            Some(arch) => policy.architectures.push(arch),
            None => {
                found.problem(format!("linux.seccomp.architectures[{i}]"), format!("unknown architecture \"{arch}\""))
            }
        }
    }
    for (i, given) in given.syscalls().iter().flatten().enumerate() {
        policy.rules.extend(rule(given, &format!("linux.seccomp.syscalls[{i}]"), found));
    }
    policy.flags = flags(input, given, policy.notifies(), found);
    let listener_path = listener(given, &policy, found);
    Some(Seccomp {
        policy: Arc::new(policy),
        listener_path,
        listener_metadata: given.listener_metadata().clone().filter(|m| !m.is_empty()),
        program: None,
    })
}

fn default_action(given: &oci::LinuxSeccomp, found: &mut Findings) -> Action {
    let name = given.default_action().to_string();
    action(&name, given.default_errno_ret(), "linux.seccomp.defaultErrnoRet", found)
}

/// config-linux.md: an errno for an action that has none is an error.
fn action(name: &str, data: Option<u32>, place: &str, found: &mut Findings) -> Action {
    let data = data.map(|data| {
        let max = if name == "SCMP_ACT_TRACE" { u16::MAX } else { ERRNO_MAX };
        u16::try_from(data).ok().filter(|data| *data <= max).unwrap_or_else(|| {
            found.problem(place, format!("must be at most {max}, not {data}"));
            0
        })
    });
    if data.is_some() && !matches!(name, "SCMP_ACT_ERRNO" | "SCMP_ACT_TRACE") {
        found.problem(place, format!("{name} returns no errno"));
    }
    Action::from_oci(name, data).unwrap_or_else(|| {
        found.problem(place, format!("unknown action {name:?}"));
        Action::KillProcess
    })
}

fn architecture(given: oci::Arch) -> Option<Arch> {
    match given {
        oci::Arch::ScmpArchNative => Some(Arch::native()),
        other => other.to_string().parse().ok(),
    }
}

fn rule(given: &oci::LinuxSyscall, at: &str, found: &mut Findings) -> Option<Rule> {
    if given.names().is_empty() {
        found.problem(format!("{at}.names"), "must name a system call");
        return None;
    }
    for (i, name) in given.names().iter().enumerate() {
        if name.is_empty() {
            found.problem(format!("{at}.names[{i}]"), "is empty");
        }
    }
    let action = action(&given.action().to_string(), given.errno_ret(), &format!("{at}.errnoRet"), found);
    let mut rule = Rule::new(given.names().iter().map(String::as_str), action);
    for (i, arg) in given.args().iter().flatten().enumerate() {
        let Some(index) = u8::try_from(arg.index()).ok().filter(|index| *index <= 5) else {
            found.problem(format!("{at}.args[{i}].index"), format!("must be 0 to 5, not {}", arg.index()));
            continue;
        };
        match Compare::from_oci(index, &arg.op().to_string(), arg.value(), arg.value_two().unwrap_or(0)) {
            Some(compare) => rule.args.push(compare),
            None => found.problem(format!("{at}.args[{i}].op"), format!("unknown operator {:?}", arg.op().to_string())),
        }
    }
    Some(rule)
}

/// Absent flags are not the same as none: runc then turns the mitigation of speculative stores off, which costs dear and
/// which the kernel itself no longer applies to filtered processes (Linux 5.16).
fn flags(input: Input, given: &oci::LinuxSeccomp, notifies: bool, found: &mut Findings) -> Flags {
    let mut flags = Flags::default();
    let Some(names) = given.flags() else {
        flags.spec_allow = true;
        return flags;
    };
    for (i, name) in names.iter().enumerate() {
        let place = format!("linux.seccomp.flags[{i}]");
        if !flags.set(&name.to_string()) {
            found.problem(&place, format!("unknown flag {:?}", name.to_string()));
        }
    }
    // Init has one thread: there is nothing to synchronise, and with a listener the kernel takes the flag for a fault.
    flags.tsync = false;
    if flags.wait_killable_recv && !notifies {
        found.note("linux.seccomp.flags", "WAIT_KILLABLE_RECV left out: no rule notifies");
        flags.wait_killable_recv = false;
    }
    let (major, minor) = (input.host.kernel.major, input.host.kernel.minor);
    if flags.wait_killable_recv && (major, minor) < (5, 19) {
        found.problem("linux.seccomp.flags", format!("WAIT_KILLABLE_RECV needs Linux 5.19, this is {major}.{minor}"));
    }
    flags
}

/// Where the notifications go. Without anyone to answer them the payload would hang at the first.
fn listener(given: &oci::LinuxSeccomp, policy: &Policy, found: &mut Findings) -> Option<String> {
    let path = given.listener_path().as_deref().and_then(|path| path.to_str()).filter(|path| !path.is_empty());
    if policy.default == Action::Notify {
        found.problem(
            "linux.seccomp.defaultAction",
            "SCMP_ACT_NOTIFY would ask about the calls that hand the listener over",
        );
    }
    match path {
        None if policy.notifies() => found.problem("linux.seccomp.listenerPath", "is required by SCMP_ACT_NOTIFY"),
        None if given.listener_metadata().as_ref().is_some_and(|m| !m.is_empty()) => {
            found.problem("linux.seccomp.listenerMetadata", "needs a listenerPath");
        }
        Some(path) if !path.starts_with('/') => found.problem("linux.seccomp.listenerPath", "must be absolute"),
        Some(_) if !policy.notifies() => found.note("linux.seccomp.listenerPath", "no rule notifies: not used"),
        _ => {}
    }
    path.filter(|_| policy.notifies()).map(str::to_owned)
}

/// A filter that stops init itself is refused here, where its place can be named, rather than by a dead process.
pub(super) fn lets_init_finish(policy: &Policy, no_new_privs: bool, found: &mut Findings) {
    if policy.default == Action::Notify {
        return;
    }
    // It must pass this policy and those that it stays within.
    let all: Vec<&Policy> = std::iter::once(policy).chain(&policy.within).collect();
    let stopped = |name: &&str| {
        let mut answers = all.iter().flat_map(|policy| answers(policy, name));
        answers.find(|action| !passes(*action, name))
    };
    let refused = refusals(INIT_NEEDS, stopped);
    if !refused.is_empty() {
        found.problem("linux.seccomp", format!("init could not start the payload: {refused}"));
        return;
    }
    let refused = if no_new_privs { String::new() } else { refusals(INIT_NEEDS_EARLY, stopped) };
    if !refused.is_empty() {
        let why = "without noNewPrivileges init gives up CAP_SYS_ADMIN only after the filter is loaded:";
        found.problem("linux.seccomp", format!("{why} {refused}"));
    }
}

/// `read gets errno EPERM, write gets kill_thread`.
fn refusals(names: &[&str], refusal: impl Fn(&&str) -> Option<Action>) -> String {
    let refused = names.iter().filter_map(|name| refusal(name).map(|action| format!("{name} gets {action}")));
    refused.collect::<Vec<_>>().join(", ")
}

fn passes(action: Action, name: &str) -> bool {
    match action {
        Action::Allow | Action::Log => true,
        // The listener reaches its owner by write(2): asked about that one, it would wait for itself (crun #1002).
        Action::Notify => name != "write",
        _ => false,
    }
}

/// Every answer that a call can get from this policy alone, by its arguments.
fn answers(policy: &Policy, name: &str) -> Vec<Action> {
    let named = |names: &[String]| names.iter().any(|known| known == name);
    let rules: Vec<&Rule> = policy.rules.iter().filter(|rule| named(&rule.names)).collect();
    if let Some(always) = rules.iter().find(|rule| rule.args.is_empty() && rule.action != policy.default) {
        return vec![always.action];
    }
    let mut answers: Vec<Action> = rules.iter().map(|rule| rule.action).collect();
    let fallback = policy.fallbacks.iter().find(|fallback| named(&fallback.names));
    answers.push(fallback.map_or(policy.default, |fallback| fallback.action));
    answers
}
