//! Rules in the namespace that sandboxes are bridged from: those of a bridge, and those of one container's published ports.

use super::expand::{ICMPV6, TCP, UDP, family, family_of, known};
use super::{Action, Chain, HOST_TABLE, Hook, Kind, Match, Rule, Ruleset};
use crate::address::{Network, Ports};
use crate::policy::{Published, Transport};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const DNAT: i32 = -100;
const SNAT: i32 = 100;
const FILTER: i32 = 0;
/// ICMPv6 that the host must answer: routers and neighbours, RFC 4861.
const NEIGHBOURS: [u8; 3] = [133, 135, 136];

/// Rules of all sandboxes at a bridge that have addresses in these networks: they go out by the host's addresses, reach neither
/// each other nor the host, and are reached by the host, and by others where a port is published.
#[must_use]
pub fn bridge(bridge: &str, networks: &[Network]) -> Ruleset {
    let from = || Match::From(bridge.to_owned());
    let to = || Match::To(bridge.to_owned());
    let mut forward = vec![rule("between sandboxes", vec![from(), to()], vec![Action::Count, Action::Drop])];
    forward.extend(
        networks.iter().map(|network| rule("out", vec![from(), Match::Source(*network)], vec![Action::Accept])),
    );
    // With an address of somebody else it would leave without being given the host's.
    forward.push(rule("spoofed", vec![from()], vec![Action::Count, Action::Drop]));
    let answers = |at: &dyn Fn() -> Match| {
        known().map(|matches| rule("answers", [at()].into_iter().chain(matches).collect(), vec![Action::Accept]))
    };
    forward.extend(answers(&to));
    forward.push(rule("published", vec![to(), Match::Redirected], vec![Action::Accept]));
    forward.push(rule("not published", vec![to()], vec![Action::Count, Action::Drop]));
    let mut input: Vec<Rule> = NEIGHBOURS
        .iter()
        .map(|kind| {
            let matches = vec![from(), Match::Protocol(ICMPV6), Match::IcmpType(*kind)];
            rule("neighbours", matches, vec![Action::Accept])
        })
        .collect();
    input.extend(answers(&from));
    input.push(rule("to the host", vec![from()], vec![Action::Count, Action::Drop]));
    let mut leaving: Vec<Rule> = networks
        .iter()
        .map(|network| {
            let matches = vec![Match::Source(*network), Match::NotTo(bridge.to_owned())];
            rule("out", matches, vec![Action::Masquerade])
        })
        .collect();
    // A program of the host that speaks to a published port of 127.0.0.1: nobody could answer that address.
    let own = Network::try_from("127.0.0.0/8".to_owned()).ok().map(Match::Source);
    leaving.extend(own.map(|own| rule("from the host", vec![own, to()], vec![Action::Masquerade])));
    Ruleset {
        table: HOST_TABLE.to_owned(),
        sets: Vec::new(),
        parts: Vec::new(),
        chains: vec![
            chain("forward", Kind::Filter, Hook::Forward, FILTER, forward),
            chain("input", Kind::Filter, Hook::Input, FILTER, input),
            chain("leaving", Kind::Nat, Hook::Postrouting, SNAT, leaving),
        ],
    }
}

/// Rules of the published ports of a container with these addresses. The host's own programs reach them at any of its
/// addresses, too; sandboxes of the bridge do not.
#[must_use]
pub fn published(table: &str, bridge: &str, container: (Ipv4Addr, Ipv6Addr), ports: &[Published]) -> Ruleset {
    let mut arriving = Vec::new();
    for port in ports {
        for to in [IpAddr::V4(container.0), IpAddr::V6(container.1)] {
            let at = match port.address.map(Network::from) {
                Some(at) if family(&at) != family_of(to) => continue,
                Some(at) => Match::Destination(at),
                None => Match::Family(family_of(to)),
            };
            let number = match port.transport {
                Transport::Tcp => TCP,
                Transport::Udp => UDP,
            };
            let outside = Match::Port(Ports::one(port.outside));
            let matches = vec![at, Match::Local, Match::Protocol(number), outside];
            let redirect = Action::Redirect { to, port: Some(port.inside) };
            arriving.push(rule(&port.to_string(), matches, vec![Action::Count, redirect]));
        }
    }
    // A connection to ::1 is from there, and nothing leaves a device with that address: it is refused at once, as without this.
    let loopback = Match::Destination(IpAddr::V6(Ipv6Addr::LOCALHOST).into());
    let own = [rule("loopback", vec![loopback], vec![Action::Accept])].into_iter().chain(arriving.clone()).collect();
    for rule in &mut arriving {
        rule.matches.insert(0, Match::NotFrom(bridge.to_owned()));
    }
    Ruleset {
        table: table.to_owned(),
        sets: Vec::new(),
        parts: Vec::new(),
        chains: vec![
            chain("arriving", Kind::Nat, Hook::Prerouting, DNAT, arriving),
            chain("own", Kind::Nat, Hook::Output, DNAT, own),
        ],
    }
}

fn rule(comment: &str, matches: Vec<Match>, actions: Vec<Action>) -> Rule {
    Rule { comment: Some(comment.to_owned()), matches, actions }
}

/// Nothing that no rule is about is any business of these.
fn chain(name: &str, kind: Kind, hook: Hook, priority: i32, rules: Vec<Rule>) -> Chain {
    Chain { name: name.to_owned(), kind, hook, priority, drops: false, rules }
}
