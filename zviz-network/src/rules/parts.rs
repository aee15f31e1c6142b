//! Rules sorted by what they can be about. The kernel asks one after the other; a packet of TCP and IPv4 need not be held against
//! what is about others.

use super::expand::{TCP, family};
use super::{Action, Family, Match, Part, Rule};

/// Kinds of packets: a family, and TCP or all else.
const KINDS: [(Family, bool, &str); 4] = [
    (Family::V4, true, "tcp-ipv4"),
    (Family::V6, true, "tcp-ipv6"),
    (Family::V4, false, "ipv4"),
    (Family::V6, false, "ipv6"),
];

/// Parts with the same rules, each in the same order, and what leads to them. What none of these rules decides goes on behind.
pub(super) fn sorted(rules: &[Rule], chain: &str) -> (Vec<Rule>, Vec<Part>) {
    let (mut leading, mut parts) = (Vec::new(), Vec::new());
    for (family, tcp, kind) in KINDS {
        let rules: Vec<Rule> = rules.iter().filter(|rule| concerns(rule, family, tcp)).cloned().collect();
        if rules.is_empty() {
            continue;
        }
        // What is of TCP and comes back from its part comes by that of the others as well, where nothing fits it either.
        let protocol = tcp.then_some(Match::Protocol(TCP));
        let matches = [Match::Family(family)].into_iter().chain(protocol).collect();
        leading.push(to(format!("{chain}-{kind}"), matches));
        parts.push(Part { name: format!("{chain}-{kind}"), rules });
    }
    (leading, parts)
}

/// Leads to a part.
pub(super) fn to(part: String, matches: Vec<Match>) -> Rule {
    Rule { comment: Some(part.clone()), matches, actions: vec![Action::Jump(part)] }
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
    use crate::rules::decide::{Packet, State, World, decide};
    use crate::rules::expand::{ICMP, ICMPV6, UDP, decided};
    use crate::rules::{Chain, Hook, Kind, Ruleset};

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
        let all = |rules, parts| {
            let chain =
                Chain { name: "c".into(), kind: Kind::Filter, hook: Hook::Output, priority: 0, drops: true, rules };
            Ruleset { table: "t".into(), sets: Vec::new(), chains: vec![chain], parts }
        };
        let (leading, parts) = sorted(&rules, "c");
        assert!(parts.iter().all(|part| part.rules.len() < rules.len()));
        let (flat, split) = (all(rules, Vec::new()), all(leading, parts));
        let world =
            World { sets: [("names".to_owned(), ["2001:db8::7".parse().unwrap()].into())].into(), ..World::default() };
        let mut fates = Vec::new();
        for destination in ["192.0.2.7", "192.0.2.8", "203.0.113.1", "2001:db8::7", "2001:470::1"] {
            for protocol in [TCP, UDP, ICMP, ICMPV6, 132] {
                for port in [None, Some(80), Some(81)] {
                    let packet = Packet {
                        from: None,
                        to: Some("eth0".into()),
                        source: "192.0.2.1".parse().unwrap(),
                        destination: destination.parse().unwrap(),
                        protocol,
                        port,
                        icmp: None,
                        state: State::New,
                        redirected: false,
                    };
                    let of = |ruleset| decide(ruleset, Hook::Output, &packet, &world);
                    assert_eq!(of(&split), of(&flat), "{packet:?}");
                    fates.push(of(&split).rule.unwrap_or_default());
                }
            }
        }
        assert!(["a", "b", "c", "d", "e", "f", "g", "h", ""].iter().all(|key| fates.iter().any(|fate| fate == key)));
    }
}
