//! The rules of one container without connection tracking. Where it is at work, each packet passes it several times, each
//! connection is looked for, made and kept for two minutes after its end, in memory of no cgroup: about a tenth of what a short
//! connection takes. Whoever has no raw socket sends nothing but what the kernel makes for his sockets, and that is known without:
//!
//! ```text
//! output   TCP that goes on (all but SYN without ACK) ─► accepted: its beginning was let out, or in; but not by another way
//!          ─► TCP by itself, and all else: not what others listen on at lo ─► neighbours ─► from an own address ─► lo
//!          ─► what the kernel answers (echoes, errors) ─► UDP to who has sent some lately, back to his port from the one he sent it to
//!          ─► as with tracking: what is refused, guarded, accepted ─► otherwise
//! came     UDP from outside for an own address is remembered, for a bounded number of peers
//! forward  dropped
//! ```
//!
//! With whom TCP goes on is looked up once in a while instead of for each packet.
//!
//! UDP that a program begins is judged packet by packet; its answers come in, since everything does. Nothing of this minds whether
//! somebody else in the namespace has connections tracked, so it stays in force when others come later.

use super::expand::{ICMP, ICMPV6, TCP, UDP, decided};
use super::inside::{self, FILTER, LOOPBACK, chain, neighbours, quiet};
use super::judged::judged;
use super::{Action, Chain, Family, Holds, Hook, Match, Part, Rule, Ruleset, Set, alone, parts};
use crate::policy::{Log, Policy, Verdict};

/// Peers by UDP that are remembered, of each family: as many as an IPv4 address has ports.
const PEERS: u32 = 65_536;
/// For so many seconds after the last datagram, from or to them: as long as connection tracking has UDP that is answered once.
/// linux/net/netfilter/nf_conntrack_proto_udp.c.
const LATELY: u32 = 30;
/// By these names.
const SETS: [(&str, Family); 2] = [("peers_ipv4", Family::V4), ("peers_ipv6", Family::V6)];
/// So many addresses are known for a moment to be no own ones, of each family. All others are looked up.
const REMOTE: u32 = 4096;
/// For so many seconds, or until a connection begins at lo from there or to there, so that it has become an own one.
const MOMENT: u32 = 5;
const ELSEWHERE: [(&str, Family); 2] = [("remote_ipv4", Family::V4), ("remote_ipv6", Family::V6)];
/// What the kernel says by itself: echo and timestamp replies, unreachable, too big, time exceeded, parameter problem. No socket
/// but a raw one sends these. RFC 792, RFC 4443.
const ANSWERS: [(Family, u8, &[u8]); 2] =
    [(Family::V4, ICMP, &[0, 14, 3, 11, 12]), (Family::V6, ICMPV6, &[129, 1, 2, 3, 4])];
/// Behind all policies.
const LAST: i32 = FILTER + 1000;

/// The rules of policies, all of which must let a packet through; none if one of them needs connections tracked.
#[must_use]
pub fn untracked(policies: &[Policy], table: &str) -> Option<Ruleset> {
    // One that is there to count changes nothing.
    if policies.iter().any(Policy::is_tracked) || policies.iter().all(|policy| policy.guarded.is_empty()) {
        return None;
    }
    let (mut chains, mut parts) = (Vec::new(), Vec::new());
    for (policy, at) in policies.iter().zip(0u16..) {
        let name = inside::numbered("output", at);
        let (rules, with) = output(policy, at == 0, &name);
        chains.push(Chain { priority: FILTER + i32::from(at), ..chain(&name, Hook::Output, rules) });
        parts.extend(with);
    }
    let came = Part { name: "came-udp".to_owned(), rules: came() };
    let udp = parts::to(came.name.clone(), vec![Match::Protocol(UDP)]);
    chains.push(Chain { priority: LAST, drops: false, ..chain("came", Hook::Input, vec![udp]) });
    parts.push(came);
    chains.push(inside::forward());
    let set = |(name, family): (&str, _), holds, size| Set { name: name.to_owned(), family, holds, size };
    let peers = SETS.map(|of| set(of, Holds::Peers(LATELY), PEERS));
    let remote = ELSEWHERE.map(|of| set(of, Holds::Noted(MOMENT), REMOTE));
    Some(Ruleset { table: table.to_owned(), sets: peers.into_iter().chain(remote).collect(), chains, parts })
}

fn output(policy: &Policy, first: bool, chain: &str) -> (Vec<Rule>, Vec<Part>) {
    let part = |name: &str, rules| Part { name: format!("{chain}-{name}"), rules };
    let about = part("neighbours", neighbours(policy));
    let home = part("lo", at_home(policy));
    let led = |part: &Part, matches: &[Match]| vec![parts::to(part.name.clone(), matches.to_vec())];
    let to_home = led(&home, &[Match::To(LOOPBACK.into())]);
    let (four, six, looked_up) = goes_on(first);
    let goes_on = part("goes-on", [six, to_home.clone(), looked_up].concat());
    let (leading, sorted) = judged(policy, 0, chain);
    let (of_tcp, of_others): (Vec<Rule>, Vec<Rule>) =
        leading.into_iter().partition(|rule| rule.matches.contains(&Match::Protocol(TCP)));

    let otherwise = |matches| decided("otherwise", matches, policy.otherwise, policy.log);
    let to_goes_on = led(&goes_on, &[Match::Protocol(TCP), Match::GoesOn]);
    let ends = otherwise(vec![Match::Protocol(TCP)]);
    let tcp = part("tcp", [to_goes_on, to_home.clone(), spoofed(policy), of_tcp, ends].concat());

    let to_tcp = led(&tcp, &[Match::Protocol(TCP)]);
    let to_neighbours = led(&about, &[Match::Family(Family::V6), Match::Protocol(ICMPV6)]);
    let mut rules = [four, to_tcp, to_neighbours, to_home, spoofed(policy), answers(first), of_others].concat();
    rules.extend(otherwise(Vec::new()).into_iter().filter(|rule| !rule.matches.contains(&Match::Protocol(TCP))));
    (rules, [tcp, home, goes_on, about].into_iter().chain(sorted).collect())
}

/// What is said at lo, from an own address. A reset by which the kernel refuses a connection comes from the stranger.
fn at_home(policy: &Policy) -> Vec<Rule> {
    let mut rules = alone::apart(policy);
    rules.push(quiet("loopback", vec![Match::Protocol(TCP), Match::GoesOn]));
    rules.extend(spoofed(policy));
    // An address may have become an own one a moment ago.
    rules.extend(ELSEWHERE.map(|(set, family)| Rule {
        comment: Some("own".to_owned()),
        matches: vec![Match::Family(family), Match::Protocol(TCP)],
        actions: vec![Action::Forget(set.to_owned())],
    }));
    rules.push(quiet("loopback", Vec::new()));
    rules
}

/// What begins under a stranger's address has an answer that would go out to him. A policy that is there to count refuses nothing.
fn spoofed(policy: &Policy) -> Vec<Rule> {
    if policy.guarded.is_empty() {
        return Vec::new();
    }
    decided("spoofed", vec![Match::Foreign], Verdict::Drop, policy.log)
}

/// What belongs to something that was let through. The first policy counts it.
fn known(matches: Vec<Match>, first: bool) -> Vec<Rule> {
    if first {
        return decided("established", matches, Verdict::Accept, Log::default());
    }
    vec![quiet("established", matches)]
}

/// TCP that goes on: by IPv4 with who is known to be somebody else, by IPv6, and with who has to be looked up. The latter two are
/// for where it is known to go on. The socket of a connection can be given a source route (IP_OPTIONS, IPV6_RTHDR), so that its
/// packets go to somebody else first, or another device (SO_BINDTODEVICE), by which what was said at lo goes out. Both are judged.
fn goes_on(first: bool) -> (Vec<Rule>, Vec<Rule>, Vec<Rule>) {
    let of = |family| vec![Match::Family(family), Match::Protocol(TCP), Match::Straight];
    let noted =
        |(set, family): (&str, Family)| [of(family), vec![Match::DestinationIn(set.to_owned(), family)]].concat();
    let mut four = noted(ELSEWHERE[0]);
    four.insert(2, Match::GoesOn);
    let looked_up = ELSEWHERE.into_iter().flat_map(|(set, family)| {
        let elsewhere = known([of(family), vec![Match::Remote]].concat(), first);
        let mut notes = elsewhere.clone();
        notes.iter_mut().for_each(|rule| rule.actions.insert(0, Action::Note(set.to_owned())));
        // The second where there is no room to note it.
        [notes, elsewhere].concat()
    });
    (known(four, first), known(noted(ELSEWHERE[1]), first), looked_up.collect())
}

/// What the kernel says by itself, and UDP to who has sent some in.
fn answers(first: bool) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (family, protocol, kinds) in ANSWERS {
        for kind in kinds {
            // An answer goes back by the way that the question says it has come, which for IPv6 nobody looks at.
            let straight = (family == Family::V4).then_some(Match::Straight);
            let is = [Match::Family(family), Match::Protocol(protocol), Match::IcmpType(*kind)];
            rules.extend(known(is.into_iter().chain(straight).collect(), first));
        }
    }
    for (set, family) in SETS {
        // Who goes on answering, a stream that was asked for once, is not cut off.
        let from = vec![Match::Family(family), Match::Protocol(UDP), Match::Answers(set.to_owned())];
        let mut answers = known(from, first);
        answers.iter_mut().for_each(|rule| rule.actions.insert(0, Action::Renew(set.to_owned())));
        rules.extend(answers);
    }
    rules
}

/// Who calls a group, or everybody at the link, has asked nobody for an answer: the host does, of names and of services.
fn came() -> Vec<Rule> {
    let rule = |(set, family): (&str, Family)| Rule {
        comment: Some("peers".to_owned()),
        matches: vec![Match::NotFrom(LOOPBACK.into()), Match::Family(family), Match::Protocol(UDP), Match::Local],
        actions: vec![Action::Remember(set.to_owned())],
    };
    SETS.map(rule).into()
}
