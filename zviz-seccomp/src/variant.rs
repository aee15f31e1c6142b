//! Variants of the default policy: calls that a supervisor answers, and sandboxes inside the sandbox.
//!
//! They are built, and not laid over the default: of two policies the stricter answer holds, and an errno is stricter than a
//! question to the supervisor.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::choice::Choice;
use crate::default::{INT, default_policy};
use crate::never_notified::{nearest, why_never};
use crate::{Action, CATEGORIES, ENOSYS, EPERM, Error, Fallback, Op, Policy, Rule};

/// What is changed of the default policy.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Variant {
    /// System calls, by name, that the supervisor answers. A call that the default policy decides whole is asked about
    /// whole. Of one that it decides by argument, what registers refuse stays refused, and `mknod` and `mknodat` are asked
    /// about the [`SAFE_NODES`] only: what they allow without a device needs nobody's help. `sendto` is asked about with an
    /// address only: without one it is send(2).
    pub notify: Vec<String>,
    /// `open` and `openat` that only read are not asked about: their flags are in a register.
    pub reads_unasked: bool,
    /// `mknod` and `mknodat` are asked about whatever they make, where they are asked about at all.
    pub nodes_asked: bool,
    /// Containers and sandboxes inside: new namespaces, and mounts by way of the supervisor.
    pub nested: bool,
    /// What a profile says of system calls.
    pub choice: Choice,
    /// No namespace is around the program: what would reach other processes, or make them another user's, is refused.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub in_place: bool,
}

/// The calls that a supervisor can make for another process, or refuse, from what it has read once. It answers others by
/// their registers alone.
#[rustfmt::skip]
pub const NOTIFIABLE: &[&str] = &[
    "bind", "bpf", "chmod", "connect", "creat", "fchmod", "fchmodat", "fchmodat2", "link", "linkat", "mkdir", "mkdirat", "mknod",
    "mknodat", "mount", "open", "openat", "openat2", "pivot_root", "rename", "renameat", "renameat2", "rmdir", "sendmmsg",
    "sendmsg", "sendto", "symlink", "symlinkat", "sysinfo", "truncate", "umount2", "uname", "unlink", "unlinkat",
];

/// Character devices that give nothing away, by name, major and minor number: Documentation/admin-guide/devices.txt.
pub const SAFE_NODES: &[(&str, u32, u32)] = &[
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
    ("console", 5, 1),
];

/// What `nested` gives.
#[rustfmt::skip]
const NESTED: &[(Action, &[&str])] = &[
    // clone's flags have no room for CLONE_NEWTIME, whose bit is the signal's. setns is not held to a type of namespace: podman
    // joins its own by setns(fd, 0), and those that can be reached are the container's.
    (Action::Allow, &["clone", "setdomainname", "sethostname", "setns", "unshare"]),
    (Action::Notify, &["mount", "pivot_root", "umount2"]),
    // Callers fall back to mount(2), which is one call to check instead of seven.
    (ENOSYS, &[
        "fsconfig", "fsmount", "fsopen", "fspick", "mount_setattr", "move_mount", "open_tree", "open_tree_attr",
    ]),
    // A mount by way of the supervisor is judged by its caller's ids and capabilities: a ruleset of the caller's own, which would
    // forbid it to mount at all, is not known to whoever mounts. So nobody may think that it has one.
    (ENOSYS, &["landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self"]),
    // runc and crun go on without a session keyring when there are no keys, and stop at any other errno.
    (ENOSYS, &["add_key", "keyctl", "request_key"]),
];

/// Calls that open files for their callers.
const OPENS: &[&str] = &["creat", "open", "openat", "openat2"];

/// Names of files are those in the container's root: whoever had another would have other names for the same files.
const ONE_ROOT: &(Action, &[&str]) = &(EPERM, &["chroot"]);

/// Whoever opens files for a caller is not held by the caller's own ruleset: nobody may think that it has one.
const NO_LANDLOCK: &(Action, &[&str]) =
    &(ENOSYS, &["landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self"]);

/// The default policy with changes. One that asks a supervisor is loaded with WAIT_KILLABLE_RECV.
///
/// # Errors
/// A name in `notify` that is no system call of x86-64 or AArch64, or of one that must not be asked about.
pub fn policy_with(variant: &Variant) -> Result<Policy, Error> {
    for name in variant.choice.allow.iter().chain(&variant.choice.deny) {
        if !CATEGORIES.iter().any(|category| category.calls.contains(&name.as_str())) {
            return Err(Error::UnknownCall { name: name.clone(), nearest: nearest(name) });
        }
    }
    for name in &variant.notify {
        if let Some(why) = why_never(name) {
            return Err(Error::NeverNotified { name: name.clone(), why });
        }
        if !CATEGORIES.iter().any(|category| category.calls.contains(&name.as_str())) {
            return Err(Error::UnknownCall { name: name.clone(), nearest: nearest(name) });
        }
    }
    let mut policy = default_policy();
    if variant.nested {
        for (action, names) in NESTED {
            names.iter().for_each(|name| drop(take(&mut policy, name)));
            policy.rules.push(Rule::new(names.iter().copied(), *action));
        }
    }
    for name in variant.notify.iter().collect::<BTreeSet<_>>() {
        match variant.reads_unasked {
            true if name == "open" => writes(&mut policy, name, 1),
            true if name == "openat" => writes(&mut policy, name, 2),
            _ => notify(&mut policy, name, variant.nodes_asked),
        }
    }
    if !variant.nested && variant.notify.iter().any(|name| OPENS.contains(&name.as_str())) {
        for (action, names) in [NO_LANDLOCK, ONE_ROOT] {
            names.iter().for_each(|name| drop(take(&mut policy, name)));
            policy.rules.push(Rule::new(names.iter().copied(), *action));
        }
    }
    variant.choice.apply(&mut policy);
    if variant.in_place {
        crate::in_place::apply(&mut policy);
    }
    policy.flags.wait_killable_recv = policy.notifies();
    Ok(policy)
}

/// All that a policy says of one call.
pub(crate) struct Said {
    rules: Vec<Rule>,
    fallback: Option<Action>,
}

/// Takes a call out of a policy.
pub(crate) fn take(policy: &mut Policy, name: &str) -> Said {
    let mut said = Said { rules: Vec::new(), fallback: None };
    for rule in &mut policy.rules {
        if remove(&mut rule.names, name) {
            said.rules.push(Rule { names: vec![name.to_owned()], ..rule.clone() });
        }
    }
    for fallback in &mut policy.fallbacks {
        if remove(&mut fallback.names, name) {
            said.fallback = said.fallback.or(Some(fallback.action));
        }
    }
    policy.rules.retain(|rule| !rule.names.is_empty());
    policy.fallbacks.retain(|fallback| !fallback.names.is_empty());
    said
}

fn remove(names: &mut Vec<String>, name: &str) -> bool {
    let before = names.len();
    names.retain(|known| known != name);
    names.len() < before
}

fn notify(policy: &mut Policy, name: &str, nodes_asked: bool) {
    if let Some(mode) = ["mknod", "mknodat"].iter().zip(1..).find_map(|(node, mode)| (*node == name).then_some(mode)) {
        policy.rules.extend(SAFE_NODES.iter().map(|(_, major, minor)| {
            let device = u64::from(major << 8 | minor);
            let node = Rule::new([name], Action::Notify).when(mode, Op::MaskedEq(0o170000), 0o020000);
            node.when(mode + 1, INT, device)
        }));
        if !nodes_asked {
            return;
        }
    }
    if name == "sendto" {
        // Without an address it sends on a connection, which was decided about when it was made: send(2) is this.
        take(policy, name);
        policy.rules.push(Rule::new([name], Action::Allow).when(4, Op::Eq, 0));
        policy.rules.push(Rule::new([name], Action::Notify).when(4, Op::Ne, 0));
        return;
    }
    let asked = |action: Action| if action == Action::Allow { Action::Notify } else { action };
    let said = take(policy, name);
    let by_argument = said.rules.iter().any(|rule| !rule.args.is_empty());
    if !by_argument {
        policy.rules.push(Rule::new([name], Action::Notify));
        return;
    }
    policy.rules.extend(said.rules.into_iter().map(|rule| Rule { action: asked(rule.action), ..rule }));
    policy
        .fallbacks
        .extend(said.fallback.map(|action| Fallback { names: vec![name.to_owned()], action: asked(action) }));
}

/// Asks about an opening that writes, makes or truncates.
fn writes(policy: &mut Policy, name: &str, flags: u8) {
    const WRITES: u64 = (libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC) as u64;
    take(policy, name);
    policy.rules.push(Rule::new([name], Action::Allow).when(flags, Op::MaskedEq(WRITES), 0));
    policy.fallbacks.push(Fallback { names: vec![name.to_owned()], action: Action::Notify });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::category;

    #[test]
    fn nested_decides_every_call_that_mounts() {
        let decided: Vec<&str> = NESTED.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        for call in category("@mount").unwrap().calls.iter().chain(category("@keyring").unwrap().calls) {
            assert!(decided.contains(call), "{call}");
        }
        assert!(decided.iter().all(|name| CATEGORIES.iter().any(|category| category.calls.contains(name))));
    }

    #[test]
    fn openings_that_only_read_need_not_be_asked_about() {
        let notify = ["open", "openat", "openat2", "creat"].map(str::to_owned).to_vec();
        let policy = policy_with(&Variant { notify, reads_unasked: true, ..Variant::default() }).unwrap();
        assert!(policy.flags.wait_killable_recv);
        let program = crate::compile(&policy).unwrap().program;
        let answer = |name: &str, args: [u64; 6]| {
            let number = crate::number_of(name, crate::Arch::native()).unwrap();
            let decided = policy.decide(crate::Arch::native(), number, &args);
            assert_eq!(program.eval(&crate::SeccompData::new(crate::Arch::native(), number, args)), decided);
            decided
        };
        let flags = |flags: libc::c_int| answer("openat", [0, 0, u64::from(flags.cast_unsigned()), 0, 0, 0]);
        for reads in [libc::O_RDONLY, libc::O_DIRECTORY | libc::O_CLOEXEC, libc::O_PATH | libc::O_NOFOLLOW] {
            assert_eq!(flags(reads), Action::Allow, "{reads:o}");
        }
        for more in [libc::O_WRONLY, libc::O_RDWR, libc::O_ACCMODE, libc::O_CREAT, libc::O_TRUNC, libc::O_TMPFILE | 1] {
            assert_eq!(flags(more), Action::Notify, "{more:o}");
        }
        assert_eq!([answer("openat2", [0; 6]), answer("creat", [0; 6])], [Action::Notify; 2]);
    }

    #[test]
    fn what_can_be_notified_may_be() {
        for name in NOTIFIABLE {
            assert!(policy_with(&Variant { notify: vec![(*name).to_owned()], ..Variant::default() }).is_ok(), "{name}");
        }
        assert!(NOTIFIABLE.is_sorted());
    }
}
