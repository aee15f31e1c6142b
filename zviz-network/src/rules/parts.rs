//! Rules sorted by what they can be about. The kernel asks one after the other; a packet of TCP and IPv4 need not be held against
//! what is about others, and in a long list not against what is about addresses far from its own.

use super::expand::{TCP, family};
use super::{Action, Family, Match, Part, Rule};
use crate::address::Network;
use std::net::IpAddr;

/// Kinds of packets: a family, and TCP or all else.
const KINDS: [(Family, bool, &str); 4] = [
    (Family::V4, true, "tcp-ipv4"),
    (Family::V6, true, "tcp-ipv6"),
    (Family::V4, false, "ipv4"),
    (Family::V6, false, "ipv6"),
];

/// So many rules are asked as soon as others are led to.
const FEW: usize = 8;
/// Of this many, the jump would cost more than it saves.
const ASIDE: usize = 2;
/// How deep addresses are told apart. The kernel goes 16 deep, linux/netfilter/nf_tables.h: NFT_JUMP_STACK_SIZE.
const DEEPEST: u8 = 10;

/// Parts with the same rules, each in the same order, and what leads to them. What none of these rules decides goes on behind.
pub(super) fn sorted(rules: &[Rule], chain: &str) -> (Vec<Rule>, Vec<Part>) {
    let (mut leading, mut parts) = (Vec::new(), Vec::new());
    for (family, tcp, kind) in KINDS {
        let mut rules: Vec<Rule> = rules.iter().filter(|rule| concerns(rule, family, tcp)).cloned().collect();
        if tcp {
            rules.dedup_by(|next, before| is_reset(before, next));
        }
        if rules.is_empty() {
            continue;
        }
        // What is of TCP and comes back from its part comes by that of the others as well, where nothing fits it either.
        let protocol = tcp.then_some(Match::Protocol(TCP));
        let matches = [Match::Family(family)].into_iter().chain(protocol).collect();
        let name = format!("{chain}-{kind}");
        leading.push(to(name.clone(), matches));
        let mut inner = Vec::new();
        let rules = by_address(&rules, 0, DEEPEST, &name, &mut inner, true);
        parts.push(Part { name, rules });
        parts.extend(inner);
    }
    (leading, parts)
}

/// Leads to a part.
pub(super) fn to(part: String, matches: Vec<Match>) -> Rule {
    Rule { comment: Some(part.clone()), matches, actions: vec![Action::Jump(part)] }
}

/// The same rules, of destinations within a network of `from` bits. Those that are about all of it stay where they are: they
/// have an order with all others. `last` if nothing comes behind them.
fn by_address(rules: &[Rule], from: u8, deeper: u8, name: &str, parts: &mut Vec<Part>, last: bool) -> Vec<Rule> {
    let narrower = |rule: &Rule| destination(rule).is_some_and(|network| network.bits() > from);
    let runs: Vec<&[Rule]> = rules.chunk_by(|one, next| narrower(one) && narrower(next)).collect();
    let ends = runs.len();
    (1..).zip(runs).flat_map(|(at, run)| halved(run, deeper, name, parts, last && at == ends)).collect()
}

/// The same rules, told apart by the first bit in which their destinations differ. Each is about one half, and no packet is for
/// both, so the halves have no order.
fn halved(run: &[Rule], deeper: u8, name: &str, parts: &mut Vec<Part>, last: bool) -> Vec<Rule> {
    let networks: Vec<Network> = run.iter().filter_map(destination).collect();
    let (Some(first), Some(least)) = (networks.first(), networks.iter().map(Network::bits).min()) else {
        return run.to_vec();
    };
    let Some(deeper) = deeper.checked_sub(1).filter(|_| run.len() > FEW && networks.len() == run.len()) else {
        return run.to_vec();
    };
    let same = |network: &Network| (leading(network) ^ leading(first)).leading_zeros();
    let same = networks.iter().map(same).min().and_then(|same| u8::try_from(same).ok()).unwrap_or(u8::MAX);
    if same >= least {
        return by_address(run, least, deeper + 1, name, parts, last);
    }
    let is_upper = |(_, network): &(&Rule, &Network)| (leading(network) << same).leading_ones() > 0;
    let (upper, lower): (Vec<_>, Vec<_>) = run.iter().zip(&networks).partition(is_upper);
    let rules = |half: &[(&Rule, &Network)]| half.iter().map(|(rule, _)| (*rule).clone()).collect::<Vec<_>>();
    let half = |half: &[(&Rule, &Network)]| half.first().map(|(_, network)| network.widened(same + 1));
    // What is of this half has nothing to look for behind.
    let aside = |rules: Vec<Rule>, half: Network, parts: &mut Vec<Part>| {
        let part = format!("{name}-{}", parts.len() + 1);
        parts.push(Part { name: part.clone(), rules });
        let leads = if last { Action::Goto(part.clone()) } else { Action::Jump(part.clone()) };
        vec![Rule { actions: vec![leads], ..to(part, vec![Match::Destination(half)]) }]
    };
    let mut sorted = match half(&lower) {
        Some(network) if lower.len() > ASIDE => {
            let within = by_address(&rules(&lower), same + 1, deeper, name, parts, true);
            aside(within, network, parts)
        }
        _ => rules(&lower),
    };
    // Few rules need not be kept from what is not of the upper half: they fit none of it.
    let within = by_address(&rules(&upper), same + 1, deeper, name, parts, last);
    sorted.extend(match half(&upper) {
        Some(network) if within.len() > FEW => aside(within, network, parts),
        _ => within,
    });
    sorted
}

/// What a rule is about, if that is one network.
fn destination(rule: &Rule) -> Option<Network> {
    rule.matches.iter().find_map(|is| if let Match::Destination(network) = is { Some(*network) } else { None })
}

/// Whether all TCP that fits the second rule has been reset by the first.
fn is_reset(first: &Rule, second: &Rule) -> bool {
    first.actions.contains(&Action::Reset)
        && first.matches.split_last() == Some((&Match::Protocol(TCP), second.matches.as_slice()))
}

/// The bits of its address, from the uppermost on.
fn leading(network: &Network) -> u128 {
    match network.address() {
        IpAddr::V4(four) => u128::from(four.to_bits()) << 96,
        IpAddr::V6(six) => six.to_bits(),
    }
}

/// Whether a packet of this kind can fit it.
fn concerns(rule: &Rule, of: Family, tcp: bool) -> bool {
    rule.matches.iter().all(|is| match is {
        Match::Family(only) | Match::DestinationIn(_, only) => *only == of,
        Match::Destination(network) | Match::Source(network) => family(network) == of,
        Match::Protocol(number) => (*number == TCP) == tcp,
        _ => true,
    })
}

#[cfg(test)]
mod tests;
