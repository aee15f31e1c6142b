//! Which parts of a policy can have given an answer, where no more of a call is known than its number: the kernel's records of
//! what a filter did tell no arguments.

use crate::{Action, Arch, Policy};

/// A part of a policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// The answer to other architectures.
    ForeignArch,
    /// The answer to x32's numbers.
    X32,
    /// A rule, by its place in the list.
    Rule(usize),
    /// A fallback, by its place in the list.
    Fallback(usize),
    /// The answer to what nothing else decides.
    Default,
}

impl Policy {
    /// Every answer that calls of a number can get, with the policy of [`within`](Policy::within) or this one, and the part of it,
    /// that gives it. One of them is what [`decide`](Policy::decide) says, whatever the arguments are.
    pub fn sources(&self, arch: Arch, nr: u32) -> Vec<(&Policy, Source, Action)> {
        let all = self.all();
        match self.numbered(arch, nr) {
            Err(Source::ForeignArch) => {
                all.into_iter().map(|policy| (policy, Source::ForeignArch, policy.foreign_arch)).collect()
            }
            Err(Source::X32) => all.into_iter().map(|policy| (policy, Source::X32, policy.x32)).collect(),
            Err(_) => all.into_iter().map(|policy| (policy, Source::Default, policy.default)).collect(),
            Ok(arch) => {
                let of =
                    |policy| Self::alone(policy, arch, nr).into_iter().map(move |(source, is)| (policy, source, is));
                all.into_iter().flat_map(of).collect()
            }
        }
    }

    fn alone(policy: &Policy, arch: Arch, nr: u32) -> Vec<(Source, Action)> {
        let is_it = |names: &[String]| Policy::is_named(names, arch, nr);
        let rules = || policy.rules.iter().enumerate().filter(|(_, rule)| is_it(&rule.names));
        let always = |action: Action| action != policy.default;
        let mut found: Vec<_> = rules()
            .filter(|(_, rule)| !rule.args.is_empty() || always(rule.action))
            .map(|(at, rule)| (Source::Rule(at), rule.action))
            .collect();
        let fallbacks = policy.fallbacks.iter().enumerate().filter(|(_, fallback)| is_it(&fallback.names));
        found.extend(fallbacks.map(|(at, fallback)| (Source::Fallback(at), fallback.action)));
        found.extend(policy.otherwise(arch, nr).into_iter().map(|action| (Source::Default, action)));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ENOSYS, EPERM, Op, Rule, default_policy};

    #[test]
    fn every_answer_has_a_source() {
        let mut strict = Policy::new(Action::KillProcess);
        strict.rules.push(Rule::new(["read", "write"], Action::Allow));
        strict.rules.push(Rule::new(["write"], Action::Trap).when(0, Op::Eq, 2));
        let within = default_policy().within(strict.clone());
        for policy in [default_policy(), strict, within] {
            for arch in [Arch::native(), Arch::X86, Arch::X32] {
                for nr in (0..500).chain([crate::X32_BIT, crate::X32_BIT + 1, u32::MAX]) {
                    let sources = policy.sources(arch, nr);
                    for args in [[0; 6], [1, 2, 3, 4, 5, 6], [2, 1 << 28, 0, 0, 0, 0], [u64::MAX; 6]] {
                        let answer = policy.decide(arch, nr, &args);
                        assert!(sources.iter().any(|(_, _, action)| *action == answer), "{arch} {nr}: {answer}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_rule_is_told_by_its_place() {
        let mut policy = Policy::new(EPERM);
        policy.architectures = vec![Arch::native()];
        policy.rules.push(Rule::new(["read"], Action::Allow));
        policy.rules.push(Rule::new(["sync", "getcpu"], Action::KillProcess));
        let number = |name| crate::number_of(name, Arch::native()).unwrap();
        let of =
            |nr| policy.sources(Arch::native(), nr).into_iter().map(|(_, source, is)| (source, is)).collect::<Vec<_>>();
        assert!(of(number("getcpu")).contains(&(Source::Rule(1), Action::KillProcess)));
        assert!(!of(number("read")).iter().any(|(_, action)| *action == Action::KillProcess));
        assert!(
            of(number("mount"))
                .iter()
                .all(|(source, action)| *source == Source::Default && [EPERM, ENOSYS].contains(action))
        );
        let foreign = policy.sources(Arch::S390x, 1);
        assert_eq!((foreign.len(), foreign[0].1), (1, Source::ForeignArch));
    }
}
