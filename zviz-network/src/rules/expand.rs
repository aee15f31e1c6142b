//! One rule of a policy is several of nftables, which have one address, one protocol and one range of ports each.

use super::{Action, Family, GROUP, Match, Rule};
use crate::address::{Network, Ports};
use crate::policy::{self, Log, Protocol, Verdict};
use std::net::IpAddr;

/// IP protocol numbers.
pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMPV6: u8 = 58;

/// Reports of what is refused, in a second: each costs a message, and who is refused can try without end.
const REPORTS: (u32, u32) = (10, 50);

/// Whose addresses a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Out,
    In,
}

impl Way {
    pub(super) fn at(self, network: Network) -> Match {
        match (network.bits(), self) {
            (0, _) => Match::Family(family(&network)),
            (_, Way::Out) => Match::Destination(network),
            (_, Way::In) => Match::Source(network),
        }
    }
}

pub(super) fn family(network: &Network) -> Family {
    if network.address().is_ipv4() { Family::V4 } else { Family::V6 }
}

/// Every rule's matches for addresses that are matched so, or for any.
pub(super) fn places(at: Option<(Match, Family)>, protocol: Option<Protocol>, ports: &[Ports]) -> Vec<Vec<Match>> {
    let families = [(Family::V4, ICMP), (Family::V6, ICMPV6)];
    let start = || at.iter().map(|(place, _)| place.clone());
    let transports: &[u8] = match protocol {
        Some(Protocol::Tcp) => &[TCP],
        Some(Protocol::Udp) => &[UDP],
        None if !ports.is_empty() => &[TCP, UDP],
        None => return vec![start().collect()],
        // It has none.
        Some(Protocol::Icmp) if !ports.is_empty() => &[],
        Some(Protocol::Icmp) => {
            let fits = |family| at.as_ref().is_none_or(|(_, of)| *of == family);
            let with = |(family, number)| match &at {
                Some((place, _)) => vec![place.clone(), Match::Protocol(number)],
                None => vec![Match::Family(family), Match::Protocol(number)],
            };
            return families.into_iter().filter(|(family, _)| fits(*family)).map(with).collect();
        }
    };
    let mut found = Vec::new();
    for number in transports {
        if ports.is_empty() {
            found.push(start().chain([Match::Protocol(*number)]).collect());
        }
        for range in ports {
            found.push(start().chain([Match::Protocol(*number), Match::Port(*range)]).collect());
        }
    }
    found
}

/// A policy's rule at one of its networks, or at any address.
pub(super) fn of(rule: &policy::Rule, network: Option<Network>, way: Way, log: Log) -> Vec<Rule> {
    let at = network.map(|network| (way.at(network), family(&network)));
    let places = places(at, rule.protocol, &rule.ports);
    places.into_iter().flat_map(|matches| decided(&rule.key, matches, rule.verdict, log)).collect()
}

/// What belongs to a connection that was let through, and errors about it. What else is related is what a helper of the kernel
/// has read of in another connection (FTP, SIP, IRC), where a program writes what it likes: it is judged like all that begins.
pub(super) fn known() -> [Vec<Match>; 3] {
    let error = |number| vec![Match::Protocol(number), Match::Related];
    [vec![Match::Established], error(ICMP), error(ICMPV6)]
}

/// Rules of nftables for what fits these.
pub(super) fn decided(key: &str, matches: Vec<Match>, verdict: Verdict, log: Log) -> Vec<Rule> {
    let rule = |matches, actions| Rule { comment: Some(name(key)), matches, actions };
    let report = |accepted| Action::Report { group: GROUP, prefix: super::report::prefix(accepted, key) };
    if verdict == Verdict::Accept {
        let reported = log.allowed.then(|| report(true));
        return vec![rule(matches, [Action::Count].into_iter().chain(reported).chain([Action::Accept]).collect())];
    }
    let mut rules = Vec::new();
    if log.denied {
        let (per_second, burst) = REPORTS;
        let within = Match::RateWithin { per_second, burst };
        let matches = matches.iter().cloned().chain([within]).collect();
        rules.push(Rule { comment: None, matches, actions: vec![report(false)] });
    }
    let protocol = matches.iter().find_map(|is| if let Match::Protocol(number) = is { Some(*number) } else { None });
    if verdict == Verdict::Drop {
        rules.push(rule(matches, vec![Action::Count, Action::Drop]));
        return rules;
    }
    if protocol.is_none_or(|number| number == TCP) {
        let mut matches = matches.clone();
        if protocol.is_none() {
            matches.push(Match::Protocol(TCP));
        }
        rules.push(rule(matches, vec![Action::Count, Action::Reset]));
    }
    if protocol != Some(TCP) {
        rules.push(rule(matches, vec![Action::Count, Action::Reject]));
    }
    rules
}

/// What a counter may be called: what nft(8) can print between quotes, and the kernel keeps.
pub(super) fn name(key: &str) -> String {
    let plain = |c: &char| (c.is_ascii_graphic() || *c == ' ') && !matches!(c, '"' | '\\');
    key.chars().filter(plain).take(100).collect()
}

/// Of one address alone.
pub(super) fn family_of(address: IpAddr) -> Family {
    if address.is_ipv4() { Family::V4 } else { Family::V6 }
}
