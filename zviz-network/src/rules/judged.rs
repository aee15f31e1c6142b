//! What begins something, and goes to the outside: what the policy refuses, what it accepts, and the guarded blocks in between,
//! sorted by what they can be about.

use super::expand::{Way, decided, of, places};
use super::{Family, Match, Part, Rule, parts};
use crate::address::Network;
use crate::policy::{self, Guarded, Policy, Verdict};

/// The rules, and the parts that they lead to. `named` is the place of the policy's first name among all, `chain` where the rules
/// are. What none of them decides goes on behind.
pub(super) fn judged(policy: &Policy, named: usize, chain: &str) -> (Vec<Rule>, Vec<Part>) {
    let mut addressed = refused(policy);
    addressed.extend(accepted(policy));
    for (i, named) in (named..).zip(&policy.named) {
        let (four, six) = crate::names::sets(i);
        for (set, family) in [(four, Family::V4), (six, Family::V6)] {
            let at = Some((Match::DestinationIn(set, family), family));
            for matches in places(at, None, &named.ports) {
                addressed.extend(decided(&named.key, matches, Verdict::Accept, policy.log));
            }
        }
    }
    parts::sorted(&addressed, chain)
}

/// What the policy refuses outright.
fn refused(policy: &Policy) -> Vec<Rule> {
    let refusing = policy.egress.iter().filter(|rule| rule.verdict != Verdict::Accept);
    refusing
        .flat_map(|rule| each(rule).into_iter().flat_map(|network| of(rule, network, Way::Out, policy.log)))
        .collect()
}

/// What it accepts, with the guarded blocks in between. A block is about to be closed when what lies within it has been let
/// through; one inside of another is closed before, so that who names the outer one has not named the inner one.
fn accepted(policy: &Policy) -> Vec<Rule> {
    let mut guarded: Vec<&Guarded> = policy.guarded.iter().collect();
    guarded.sort_by_key(|block| (std::cmp::Reverse(block.network.bits()), block.network.address(), &block.what));
    guarded.dedup_by_key(|block| block.network);
    let accepting = || policy.egress.iter().filter(|rule| rule.verdict == Verdict::Accept);
    let mut rules = Vec::new();
    for block in &guarded {
        for rule in accepting() {
            let named = rule.networks.iter().filter(|network| smallest(&guarded, network) == Some(block.network));
            rules.extend(named.flat_map(|network| of(rule, Some(*network), Way::Out, policy.log)));
        }
        let key = format!("guarded: {}", block.what);
        rules.extend(decided(&key, vec![Way::Out.at(block.network)], Verdict::Refuse, policy.log));
    }
    for rule in accepting() {
        let others =
            each(rule).into_iter().filter(|network| network.is_none_or(|it| smallest(&guarded, &it).is_none()));
        rules.extend(others.flat_map(|network| of(rule, network, Way::Out, policy.log)));
    }
    rules
}

/// The narrowest block that a network lies within: they are in that order.
fn smallest(guarded: &[&Guarded], network: &Network) -> Option<Network> {
    guarded.iter().map(|block| block.network).find(|block| block.covers(network))
}

/// A rule's networks, or the one that is none: any.
pub(super) fn each(rule: &policy::Rule) -> Vec<Option<Network>> {
    if rule.networks.is_empty() { vec![None] } else { rule.networks.iter().copied().map(Some).collect() }
}
