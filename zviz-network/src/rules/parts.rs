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
    let mut sorted = match lower.first().map(|(_, network)| network.widened(same + 1)) {
        Some(network) if lower.len() > ASIDE => {
            let within = by_address(&rules(&lower), same + 1, deeper, name, parts, true);
            let part = format!("{name}-{}", parts.len() + 1);
            parts.push(Part { name: part.clone(), rules: within });
            // What is of the lower half has nothing to look for behind.
            let leads = if last { Action::Goto(part.clone()) } else { Action::Jump(part.clone()) };
            vec![Rule { actions: vec![leads], ..to(part, vec![Match::Destination(network)]) }]
        }
        _ => rules(&lower),
    };
    // Nor is it asked here whether all else is of the upper half: none of these rules fits anything that is not.
    sorted.extend(by_address(&rules(&upper), same + 1, deeper, name, parts, last));
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
mod tests {
    use super::*;
    use crate::address::{Network, Ports};
    use crate::policy::{Log, Verdict};
    use crate::rules::decide::{Packet, State, Tcp, World, decide};
    use crate::rules::expand::{ICMP, ICMPV6, UDP, decided};
    use crate::rules::{Chain, Hook, Kind, Ruleset};

    fn ruleset(rules: Vec<Rule>, parts: Vec<Part>) -> Ruleset {
        let (name, kind, hook) = ("c".into(), Kind::Filter, Hook::Output);
        let chain = Chain { name, kind, hook, priority: 0, drops: true, rules };
        Ruleset { table: "t".into(), sets: Vec::new(), chains: vec![chain], parts }
    }

    fn packet(destination: IpAddr, protocol: u8, port: Option<u16>) -> Packet {
        Packet {
            from: None,
            to: Some("eth0".into()),
            source: "192.0.2.1".parse().unwrap(),
            destination,
            protocol,
            port,
            from_port: None,
            icmp: None,
            tcp: Tcp::Begins,
            state: State::New,
            redirected: false,
        }
    }

    #[test]
    fn parts_decide_as_all_rules_one_after_the_other() {
        let to = |text: &str| Match::Destination(Network::try_from(text.to_owned()).unwrap());
        let log = Log { denied: true, allowed: true };
        let port = || Match::Port(Ports::one(80));
        let rules: Vec<Rule> = [
            ("a", vec![to("192.0.2.7"), Match::Protocol(TCP), port()], Verdict::Accept),
            ("b", vec![to("192.0.2.0/24")], Verdict::Refuse),
            ("c", vec![Match::Protocol(UDP), port()], Verdict::Drop),
            ("d", vec![to("2001:db8::/32"), Match::Protocol(TCP)], Verdict::Refuse),
            ("e", vec![Match::DestinationIn("names".into(), Family::V6)], Verdict::Accept),
            ("f", vec![Match::Family(Family::V4), Match::Protocol(ICMP)], Verdict::Accept),
            ("g", vec![Match::Protocol(TCP)], Verdict::Accept),
            ("h", vec![Match::Family(Family::V6)], Verdict::Refuse),
        ]
        .into_iter()
        .flat_map(|(key, matches, verdict)| decided(key, matches, verdict, log))
        .collect();
        let (leading, parts) = sorted(&rules, "c");
        assert!(parts.iter().all(|part| part.rules.len() < rules.len()));
        let (flat, split) = (ruleset(rules, Vec::new()), ruleset(leading, parts));
        let world =
            World { sets: [("names".to_owned(), ["2001:db8::7".parse().unwrap()].into())].into(), ..World::default() };
        let mut fates = Vec::new();
        for destination in ["192.0.2.7", "192.0.2.8", "203.0.113.1", "2001:db8::7", "2001:470::1"] {
            for protocol in [TCP, UDP, ICMP, ICMPV6, 132] {
                for port in [None, Some(80), Some(81)] {
                    let packet = packet(destination.parse().unwrap(), protocol, port);
                    let of = |ruleset| decide(ruleset, Hook::Output, &packet, &world);
                    assert_eq!(of(&split), of(&flat), "{packet:?}");
                    fates.push(of(&split).rule.unwrap_or_default());
                }
            }
        }
        assert!(["a", "b", "c", "d", "e", "f", "g", "h", ""].iter().all(|key| fates.iter().any(|fate| fate == key)));
    }

    /// How many rules a packet is held against, at most.
    fn longest(rules: &[Rule], parts: &[Part]) -> usize {
        let led = |rule: &Rule| {
            let part = rule.actions.iter().find_map(Action::leads_to);
            part.and_then(|to| parts.iter().find(|part| part.name == to)).map_or(0, |part| longest(&part.rules, parts))
        };
        let to_the_end = |(at, rule): (usize, &Rule)| {
            let behind = if matches!(rule.actions[..], [Action::Goto(_)]) { at + 1 } else { rules.len() };
            behind + led(rule)
        };
        rules.iter().enumerate().map(to_the_end).max().unwrap_or(0)
    }

    #[test]
    fn long_lists_are_told_apart_by_address_and_decide_the_same() {
        let mut seed = 7u64;
        let mut next = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for _ in 0..40 {
            let (mut rules, mut addresses) = (Vec::new(), Vec::new());
            for i in 0..next(120) {
                // Close together and far apart, nested, wide, and without an address.
                let bits = [0, 1, 4, 8, 9, 16, 24, 31, 32, 32, 32][usize::try_from(next(11)).unwrap()];
                let address =
                    [0x0a00_0000, 0xc000_0200, 0xc633_6400][usize::try_from(next(3)).unwrap()] ^ next(1 << 10);
                let address = address ^ if next(3) == 0 { next(1 << 32) } else { 0 };
                let four: IpAddr = std::net::Ipv4Addr::from_bits(u32::try_from(address).unwrap()).into();
                let six: IpAddr = std::net::Ipv6Addr::from_bits(u128::from(address) << 90).into();
                let whole = Network::from(if next(2) == 0 { four } else { six });
                addresses.push(whole.address());
                let at = Match::Destination(whole.widened(bits));
                let at = if next(30) == 0 { Match::Family(Family::V4) } else { at };
                let protocol =
                    [Match::Protocol(TCP), Match::Protocol(UDP)].into_iter().nth(usize::try_from(next(3)).unwrap());
                let verdict = [Verdict::Accept, Verdict::Refuse, Verdict::Drop][usize::try_from(next(3)).unwrap()];
                let log = Log { denied: next(2) == 0, allowed: false };
                rules.extend(decided(&i.to_string(), [at].into_iter().chain(protocol).collect(), verdict, log));
            }
            let (leading, parts) = sorted(&rules, "c");
            let (flat, split) = (ruleset(rules, Vec::new()), ruleset(leading, parts));
            for address in addresses {
                for protocol in [TCP, UDP, ICMP] {
                    let packet = packet(address, protocol, Some(80));
                    let of = |ruleset| decide(ruleset, Hook::Output, &packet, &World::default());
                    assert_eq!(of(&split), of(&flat), "{packet:?}");
                }
            }
        }
        let one = |i: u32| {
            let address: IpAddr = std::net::Ipv4Addr::from_bits(0xc633_0000 + i * 7).into();
            decided("a", vec![Match::Destination(address.into())], Verdict::Accept, Log::default())
        };
        let rules: Vec<Rule> = (0..2000).flat_map(one).collect();
        let (leading, parts) = sorted(&rules, "c");
        assert!(longest(&leading, &parts) < 40, "{}", longest(&leading, &parts));
        let mut names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), parts.len());
    }
}
