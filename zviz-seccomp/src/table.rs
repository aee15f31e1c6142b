//! A policy by number: for one architecture, what is decided for each call that it names.

use std::collections::BTreeMap;

use crate::syscalls;
use crate::{Action, Arch, Compare, ENOSYS, Op, Policy};

/// The calls of an architecture.
pub struct Table {
    pub arch: Arch,
    pub calls: BTreeMap<u32, Call>,
    /// Numbers above this are newer than the policy.
    pub last: Option<u32>,
}

/// What is decided for a call.
#[derive(Clone, PartialEq, Debug)]
pub enum Call {
    /// The same for all arguments, and libseccomp knows the name.
    Library,
    /// The same for all arguments.
    Always(Action),
    /// The first arm whose comparisons all hold, else the last action.
    Arms(Vec<(Vec<Compare>, Action)>, Action),
}

#[derive(Default)]
struct Draft {
    always: Option<(Action, bool)>,
    arms: Vec<(Vec<Compare>, Action)>,
    fallback: Option<Action>,
}

impl Draft {
    fn rule(&mut self, policy: &Policy, rule: &crate::Rule, in_library: bool) {
        if !rule.args.is_empty() {
            self.arms.extend(rule.alternatives().into_iter().map(|compares| (compares.to_vec(), rule.action)));
        } else if rule.action != policy.default && self.always.is_none() {
            self.always = Some((rule.action, in_library));
        }
    }

    /// The strictest answer that the call can get; `None` where the policy says nothing of it.
    fn strictest(&self, default: Action) -> Option<Action> {
        if let Some((always, _)) = self.always {
            return Some(always);
        }
        let arms = self.arms.iter().map(|(_, action)| *action).reduce(Action::stricter);
        arms.map(|arms| arms.stricter(self.fallback.unwrap_or(default))).or(self.fallback)
    }

    fn finish(mut self, default: Action) -> Option<Call> {
        Some(match (self.always, self.arms.is_empty()) {
            (Some((_, true)), _) => Call::Library,
            (Some((action, false)), _) => Call::Always(action),
            (None, true) => Call::Always(self.fallback?),
            (None, false) => {
                // Of several that hold the strictest is wanted, and the first is taken. The sort is stable.
                self.arms.sort_by_key(|(_, action)| action.rank());
                Call::Arms(self.arms, self.fallback.unwrap_or(default))
            }
        })
    }
}

impl Table {
    /// Sorts a policy's rules by number.
    pub fn new(policy: &Policy, arch: Arch) -> Table {
        let mut direct: BTreeMap<u32, Draft> = BTreeMap::new();
        let mut through: BTreeMap<(u32, u32), Draft> = BTreeMap::new();
        for rule in &policy.rules {
            for found in rule.names.iter().filter_map(|name| syscalls::resolve(name, arch)) {
                if let Some(number) = found.direct {
                    direct.entry(number).or_default().rule(policy, rule, found.in_library);
                }
                if let Some(operation) = found.through {
                    through.entry(operation).or_default().rule(policy, rule, found.in_library);
                }
            }
        }
        for fallback in &policy.fallbacks {
            for found in fallback.names.iter().filter_map(|name| syscalls::resolve(name, arch)) {
                if let Some(number) = found.direct {
                    direct.entry(number).or_default().fallback.get_or_insert(fallback.action);
                }
                if let Some(operation) = found.through {
                    through.entry(operation).or_default().fallback.get_or_insert(fallback.action);
                }
            }
        }
        let last = direct.keys().copied().chain(through.keys().map(|(number, _)| *number)).max();
        for ((number, operation), draft) in through {
            if let Some(action) = draft.strictest(policy.default) {
                let first = Compare { index: 0, op: Op::MaskedEq(u64::from(u32::MAX)), value: u64::from(operation) };
                direct.entry(number).or_default().arms.push((vec![first], action));
            }
        }
        if policy.knows_future() && matches!(arch, Arch::S390 | Arch::S390x) {
            direct.entry(0).or_default().fallback.get_or_insert(ENOSYS);
        }
        let calls = direct.into_iter().filter_map(|(number, draft)| Some((number, draft.finish(policy.default)?)));
        Table { arch, calls: calls.collect(), last: last.filter(|last| *last != 0 && policy.knows_future()) }
    }

    /// The calls that libseccomp is not given, or cannot be.
    pub fn own(&self) -> impl Iterator<Item = (u32, &Call)> {
        self.calls.iter().filter(|(_, call)| **call != Call::Library).map(|(number, call)| (*number, call))
    }
}
