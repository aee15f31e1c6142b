//! Rules that are sorted decide as they did before, and few of them are asked.

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
    for _ in 0..200 {
        let (mut rules, mut addresses) = (Vec::new(), Vec::new());
        for i in 0..next(120) {
            // Close together and far apart, nested, wide, and without an address.
            let bits = [0, 1, 4, 8, 9, 16, 24, 31, 32, 32, 32][usize::try_from(next(11)).unwrap()];
            let address = [0x0a00_0000, 0xc000_0200, 0xc633_6400][usize::try_from(next(3)).unwrap()] ^ next(1 << 10);
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

/// How many rules what is for this address is held against, if none of them decides about it.
fn asked(rules: &[Rule], parts: &[Part], address: IpAddr) -> usize {
    let mut count = 0;
    for rule in rules {
        count += 1;
        let part =
            rule.actions.iter().find_map(Action::leads_to).and_then(|to| parts.iter().find(|part| part.name == to));
        if let Some(part) = part.filter(|_| destination(rule).is_none_or(|network| network.contains(address))) {
            count += asked(&part.rules, parts, address);
            if matches!(rule.actions[..], [Action::Goto(_)]) {
                return count;
            }
        }
    }
    count
}

#[test]
fn what_is_far_from_a_long_list_is_held_against_little_of_it() {
    let whole = |bits: u32| Network::from(IpAddr::from(std::net::Ipv4Addr::from_bits(bits)));
    let near = |at: u32| (0..3).map(move |i| at + i);
    // A few hosts at the beginning of each half of what is left, and many at the end; and as many close together.
    let apart = (0..10).flat_map(|i| near(!(u32::MAX >> i))).chain((0..2000).map(|i| 0xffc0_0000 + i * 101));
    let together = (0..2000).map(|i| 0xc633_0000 + i * 31);
    for list in [apart.collect::<Vec<u32>>(), together.collect()] {
        let one = |bits| decided("a", vec![Match::Destination(whole(bits))], Verdict::Refuse, Log::default());
        let rules: Vec<Rule> = list.into_iter().flat_map(one).collect();
        // With something behind, as everybody else has to come to.
        for behind in [Vec::new(), decided("b", vec![Match::Family(Family::V4)], Verdict::Accept, Log::default())] {
            let (leading, parts) = sorted(&[&rules[..], &behind].concat(), "c");
            for address in ["8.8.8.8", "140.82.121.4", "199.1.1.1", "223.5.5.5"].map(|text| text.parse().unwrap()) {
                let count = asked(&leading, &parts, address);
                assert!(count < 40, "{address}: {count}");
            }
        }
    }
}
