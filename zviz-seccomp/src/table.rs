//! A policy by number: for one architecture, what is decided for each call that it names.

use std::collections::{BTreeMap, BTreeSet};

use crate::decision::Decision;
use crate::syscalls;
use crate::{Action, Arch, Compare, ENOSYS, Op, Policy};

/// The calls of an architecture.
pub struct Table {
    pub arch: Arch,
    /// What is decided for the calls that a policy names.
    pub calls: BTreeMap<u32, Decision>,
    /// Numbers above this are newer than the policies, and what they get.
    pub newer: Option<(u32, Action)>,
}

#[derive(Default)]
struct Draft {
    always: Option<Action>,
    arms: Vec<(Vec<Compare>, Action)>,
    fallback: Option<Action>,
}

impl Draft {
    fn rule(&mut self, policy: &Policy, rule: &crate::Rule) {
        if !rule.args.is_empty() {
            self.arms.extend(rule.alternatives().into_iter().map(|compares| (compares.to_vec(), rule.action)));
        } else if rule.action != policy.default && self.always.is_none() {
            self.always = Some(rule.action);
        }
    }

    /// The strictest answer that the call can get; `None` where the policy says nothing of it.
    fn strictest(&self, default: Action) -> Option<Action> {
        let arms = self.arms.iter().map(|(_, action)| *action).reduce(Action::stricter);
        let arms = arms.map(|arms| arms.stricter(self.fallback.unwrap_or(default)));
        self.always.or(arms).or(self.fallback)
    }

    fn finish(mut self, default: Action) -> Option<Decision> {
        if let Some(always) = self.always {
            return Some(Decision::Answer(always));
        }
        if self.arms.is_empty() {
            return self.fallback.map(Decision::Answer);
        }
        // Of several that hold the strictest is wanted, and the first is taken. The sort is stable.
        self.arms.sort_by_key(|(_, action)| action.rank());
        let arms = self.arms.into_iter().map(|(compares, action)| (compares, Decision::Answer(action)));
        Some(Decision::Arms(arms.collect(), Box::new(Decision::Answer(self.fallback.unwrap_or(default)))))
    }
}

impl Table {
    /// Sorts policies' rules by number. Of all that the policies decide the strictest holds.
    pub fn new(policies: &[&Policy], arch: Arch) -> Table {
        let lasts: Vec<Option<u32>> = policies.iter().map(|policy| policy.last_number(arch)).collect();
        let unnamed = |number: u32| {
            let each = policies.iter().zip(&lasts).map(move |(policy, last)| match last {
                Some(last) if number > *last && policy.knows_future() => ENOSYS,
                _ => policy.default,
            });
            each.collect::<Vec<Action>>()
        };
        let strictest = |answers: Vec<Action>| answers.into_iter().reduce(Action::stricter).unwrap_or(Action::Allow);
        let tables: Vec<BTreeMap<u32, Decision>> = policies.iter().map(|policy| of_one(policy, arch)).collect();
        let decide = |number: u32| {
            let each = tables.iter().zip(unnamed(number));
            let mut each = each.map(|(table, answer)| table.get(&number).cloned().unwrap_or(Decision::Answer(answer)));
            let first = each.next().unwrap_or(Decision::Answer(Action::Allow));
            (number, each.fold(first, |all, next| all.and(&next)))
        };
        // Numbers that are newer than one policy and older than another differ from the default as named ones do.
        let (first, last) = (lasts.iter().flatten().min(), lasts.iter().flatten().max().copied());
        let between = first.zip(last).map_or(0..0, |(first, last)| first + 1..last + 1);
        let named = tables.iter().flat_map(|table| table.keys().copied());
        let calls = named.chain(between).collect::<BTreeSet<u32>>().into_iter().map(decide).collect();
        let (newer, default) = (strictest(unnamed(u32::MAX)), strictest(policies.iter().map(|p| p.default).collect()));
        Table { arch, calls, newer: last.map(|last| (last, newer)).filter(|_| newer != default) }
    }
}

fn of_one(policy: &Policy, arch: Arch) -> BTreeMap<u32, Decision> {
    let mut direct: BTreeMap<u32, Draft> = BTreeMap::new();
    let mut through: BTreeMap<(u32, u32), Draft> = BTreeMap::new();
    for rule in &policy.rules {
        for found in rule.names.iter().filter_map(|name| syscalls::resolve(name, arch)) {
            if let Some(number) = found.direct {
                direct.entry(number).or_default().rule(policy, rule);
            }
            if let Some(operation) = found.through {
                through.entry(operation).or_default().rule(policy, rule);
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
    // Through socketcall and ipc a call's own arguments lie behind a pointer: the strictest answer they could give.
    for ((number, operation), draft) in through {
        if let Some(action) = draft.strictest(policy.default) {
            let first = Compare { index: 0, op: Op::MaskedEq(u64::from(u32::MAX)), value: u64::from(operation) };
            direct.entry(number).or_default().arms.push((vec![first], action));
        }
    }
    // s390's number 0 stands for any call whose number the kernel does not know.
    if policy.knows_future() && matches!(arch, Arch::S390 | Arch::S390x) {
        direct.entry(0).or_default().fallback.get_or_insert(ENOSYS);
    }
    direct.into_iter().filter_map(|(number, draft)| Some((number, draft.finish(policy.default)?))).collect()
}
