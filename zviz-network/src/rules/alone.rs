//! What a container says to itself. The kernel keeps a conversation for half a minute and more, in memory that it counts to no
//! cgroup, and a program can begin some hundred thousand a second at the loopback device. So none is kept there, but of what is
//! given another address on its way: questions for names, and their answers. Of those only so many are.
//!
//! ```text
//! both ends are here     ─► not tracked, and accepted at lo
//! from a strange address ─► tracked, and dropped if it begins something: an answer to it would leave by another device
//! for port 53, answers   ─► tracked, and bounded: `names` and Docker turn them round
//! ```
//!
//! What is not tracked belongs to no conversation. An answer that goes elsewhere than to `lo` begins one, and is judged so.

use super::expand::{ICMP, ICMPV6, TCP, UDP, Way, decided, family};
use super::inside::{DNS, LOOPBACK};
use super::{Action, ENGINE, Family, GROUP, Match, RESOLVER, Rule, report};
use crate::address::{Network, Ports};
use crate::policy::{Guarded, Log, Policy, Verdict};

/// Before connection tracking, behind what puts fragments together. linux/netfilter_ipv4.h: NF_IP_PRI_RAW.
pub(super) const BEFORE: i32 = -300;

/// Errors about something that was sent: their addresses are turned back with those of what they are about, and none begins a
/// conversation. RFC 792, RFC 4443.
const UNREACHABLE: [(u8, u8); 2] = [(ICMP, 3), (ICMPV6, 1)];

/// The most conversations about names that are open at a time. One of UDP is so for half a minute, each question has one, and
/// the kernel walks through all of them for a new one.
const MOST: u32 = 16_384;
/// Those of TCP that are over are kept for two minutes, and not among these: so many begin in a second, and at once.
const OVER_TCP: (u32, u32) = (50, 500);

/// What is not tracked.
pub(super) fn untracked() -> Vec<Rule> {
    let kept = |comment: &str, matches| rule(comment, matches, Action::Accept);
    let mut rules = vec![kept("elsewhere", vec![Match::NotTo(LOOPBACK.into())])];
    for protocol in [UDP, TCP] {
        rules.push(kept("names", vec![Match::Protocol(protocol), Match::Port(Ports::one(DNS))]));
        for resolver in RESOLVER {
            let from = Match::FromPort(Ports::one(resolver.port()));
            rules.push(kept("resolver", vec![Match::Source(resolver.ip().into()), Match::Protocol(protocol), from]));
        }
    }
    rules.push(kept("engine", vec![Match::Source(ENGINE.into())]));
    let error = |(protocol, kind)| kept("errors", vec![Match::Protocol(protocol), Match::IcmpType(kind)]);
    rules.extend(UNREACHABLE.map(error));
    rules.push(kept("spoofed", vec![Match::Foreign]));
    rules.push(rule("alone", Vec::new(), Action::Untrack));
    rules
}

/// What of the rest is too much. Packets that begin something come by these, and what is dropped is not kept.
pub(super) fn bounds(log: Log) -> Vec<Rule> {
    let (per_second, burst) = OVER_TCP;
    let often = vec![Match::Protocol(TCP), Match::RateOver { per_second, burst }];
    let too = [("names: too often", often), ("names: too many", vec![Match::ConnectionsOver(MOST)])];
    // In one rule each: a second one, to report, would count again.
    too.map(|(key, matches)| {
        let reported = log.denied.then(|| Action::Report { group: GROUP, prefix: report::prefix(false, key) });
        let actions = [Action::Count].into_iter().chain(reported).chain([Action::Drop]).collect();
        Rule { comment: Some(key.to_owned()), matches, actions }
    })
    .into()
}

/// Guarded addresses of the loopback device, within 127.0.0.0/8: what listens there is not the container's own.
pub(super) fn apart(policy: &Policy) -> Vec<Rule> {
    let is_one =
        |network: &Network| network.address().is_loopback() && family(network) == Family::V4 && network.bits() > 8;
    let blocks = policy.guarded.iter().filter(|block| is_one(&block.network));
    let refused = |block: &Guarded| {
        decided(&format!("guarded: {}", block.what), vec![Way::Out.at(block.network)], Verdict::Refuse, policy.log)
    };
    blocks.flat_map(refused).collect()
}

fn rule(comment: &str, matches: Vec<Match>, action: Action) -> Rule {
    Rule { comment: Some(comment.to_owned()), matches, actions: vec![action] }
}
