//! The policy: which system calls get which answer.
//!
//! How rules of one call combine (runc's results, made independent of the order in a list where runc's depend on it):
//! 1. The first rule without conditions speaks for the whole call, unless its action is the default action, in which
//!    case it says nothing. Rules with conditions on the same call are then [shadowed](Policy::shadowed_names).
//! 2. Otherwise, of the rules whose conditions hold, the strictest action.
//! 3. Otherwise the call's fallback, if the policy has one.
//! 4. Otherwise ENOSYS for a number above all that the policy names ([`Policy::knows_future`]), else the default.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{Action, Arch, Compare, Op};

/// A whole filter.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Policy {
    /// For every call that no rule decides.
    pub default: Action,
    /// For a call of an architecture that is not in the list. runc: kill_thread.
    pub foreign_arch: Action,
    /// For a call in x32's numbering on x86-64 where x32 is not in the list. runc: kill_thread.
    pub x32: Action,
    /// What the filter knows; the native architecture is always added.
    pub architectures: Vec<Arch>,
    /// What is decided, by name.
    pub rules: Vec<Rule>,
    /// What a call gets that has rules with conditions of which none holds.
    pub fallbacks: Vec<Fallback>,
    /// How the filter is loaded.
    pub flags: Flags,
    /// Policies that this one stays within: the strictest answer of all of them holds, this one's among equals. An
    /// architecture is known if all know it. Their flags do not count.
    #[serde(default)]
    pub within: Vec<Policy>,
}

/// One action for some calls under conditions.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Rule {
    /// System calls by name, the same on every architecture.
    pub names: Vec<String>,
    /// The answer.
    pub action: Action,
    /// All must hold. Where two are about one argument each of the list stands alone and any of them suffices: so does
    /// runc, because libseccomp takes one comparison for an argument.
    pub args: Vec<Compare>,
}

/// The action of a call whose rules have conditions, none of which holds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Fallback {
    /// System calls by name.
    pub names: Vec<String>,
    /// The answer.
    pub action: Action,
}

/// SECCOMP_FILTER_FLAG_*, seccomp(2).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Flags {
    /// Every thread of the process gets the filter.
    pub tsync: bool,
    /// Answers other than allow are logged.
    pub log: bool,
    /// No speculative store bypass mitigation.
    pub spec_allow: bool,
    /// A thread whose call the supervisor has received is woken by fatal signals alone.
    pub wait_killable_recv: bool,
}

const FLAG_NAMES: [&str; 4] = [
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

impl Flags {
    /// Sets the flag of an OCI name; false when there is none of that name.
    pub fn set(&mut self, name: &str) -> bool {
        let field = match FLAG_NAMES.iter().position(|known| *known == name) {
            Some(0) => &mut self.tsync,
            Some(1) => &mut self.log,
            Some(2) => &mut self.spec_allow,
            Some(3) => &mut self.wait_killable_recv,
            _ => return false,
        };
        *field = true;
        true
    }

    /// Every OCI name, for `features`.
    pub fn oci_names() -> impl Iterator<Item = &'static str> {
        FLAG_NAMES.into_iter()
    }
}

impl Rule {
    /// A rule without conditions.
    pub fn new<S: Into<String>>(names: impl IntoIterator<Item = S>, action: Action) -> Rule {
        Rule { names: names.into_iter().map(Into::into).collect(), action, args: Vec::new() }
    }

    /// The same rule under one more condition.
    #[must_use]
    pub fn when(mut self, index: u8, op: Op, value: u64) -> Rule {
        self.args.push(Compare { index, op, value });
        self
    }

    /// The conditions, as alternatives of which each is a list that must hold.
    pub(crate) fn alternatives(&self) -> Vec<&[Compare]> {
        let repeated = (0..6).any(|index| self.args.iter().filter(|compare| compare.index == index).count() > 1);
        if repeated { self.args.chunks(1).collect() } else { vec![&self.args] }
    }
}

impl Policy {
    /// A policy of the native architecture that answers every call alike.
    pub fn new(default: Action) -> Policy {
        Policy {
            default,
            foreign_arch: Action::KillThread,
            x32: Action::KillThread,
            architectures: Vec::new(),
            rules: Vec::new(),
            fallbacks: Vec::new(),
            flags: Flags::default(),
            within: Vec::new(),
        }
    }

    /// This policy, staying within another: one program, and nothing that either refuses.
    #[must_use]
    pub fn within(mut self, other: Policy) -> Policy {
        self.within.push(other);
        self
    }

    /// This policy and all that it stays within.
    pub(crate) fn all(&self) -> Vec<&Policy> {
        std::iter::once(self).chain(self.within.iter().flat_map(Policy::all)).collect()
    }

    /// Every name in the rules of this policy alone.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let fallbacks = self.fallbacks.iter().flat_map(|fallback| &fallback.names);
        self.rules.iter().flat_map(|rule| &rule.names).chain(fallbacks).map(String::as_str)
    }

    /// The architectures with the native one, each once, in the order of the list; x32 only beside x86-64.
    pub fn known_architectures(&self) -> Vec<Arch> {
        let mut archs = Vec::new();
        for arch in std::iter::once(Arch::native()).chain(self.architectures.iter().copied()) {
            if !archs.contains(&arch) {
                archs.push(arch);
            }
        }
        if !archs.contains(&Arch::X86_64) {
            archs.retain(|arch| *arch != Arch::X32);
        }
        archs
    }

    /// Names that no architecture has: newer than this version, or misspelt. Their rules do nothing; runc skips them too,
    /// since engines' lists name calls that are newer than the libraries they meet.
    pub fn unknown_names(&self) -> Vec<String> {
        let all = self.all();
        let names: BTreeSet<&str> = all.iter().flat_map(|policy| policy.names()).collect();
        let unknown = names.into_iter().filter(|name| crate::syscalls::resolve(name, Arch::native()).is_none());
        unknown.map(str::to_owned).collect()
    }

    /// Names with conditions that a rule without conditions overrides.
    pub fn shadowed_names(&self) -> Vec<String> {
        let mut names = BTreeSet::new();
        for policy in self.all() {
            let decided = policy.rules.iter().filter(|rule| rule.args.is_empty() && rule.action != policy.default);
            let decided: BTreeSet<&String> = decided.flat_map(|rule| &rule.names).collect();
            let conditional = policy.rules.iter().filter(|rule| !rule.args.is_empty()).flat_map(|rule| &rule.names);
            names.extend(conditional.filter(|name| decided.contains(name)).cloned());
        }
        names.into_iter().collect()
    }

    /// Whether some call is answered by a supervisor: the filter is then loaded with a listener (NEW_LISTENER).
    pub fn notifies(&self) -> bool {
        let rules = self.rules.iter().map(|rule| rule.action);
        let fallbacks = self.fallbacks.iter().map(|fallback| fallback.action);
        [self.default, self.foreign_arch, self.x32]
            .into_iter()
            .chain(rules)
            .chain(fallbacks)
            .any(|action| action == Action::Notify)
            || self.within.iter().any(Policy::notifies)
    }

    /// Whether calls newer than the policy get ENOSYS, which programs take as "this kernel does not have it", rather than the
    /// default, which they take for a fault (runc's rule: unless the default lets calls through).
    pub fn knows_future(&self) -> bool {
        !self.default.lets_through() && self.default != crate::ENOSYS
    }
}
