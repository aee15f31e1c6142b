//! The rules of one container, in its own network namespace.
//!
//! ```text
//! alone    what is said at lo from an own address is no conversation, but for names: see `alone.rs`
//! output   not what others listen on at lo ─► established, neighbours ─► from an own address ─► lo ─► the resolver
//!          ─► not invalid ─► limits ─► what is refused
//!          ─► for each guarded block, the narrowest first: what names it, then no more of it
//!          ─► what is accepted ─► hosts by name ─► otherwise
//! input    lo, established, neighbours ─► not invalid ─► what the policy says ─► dropped
//! forward  dropped
//! names    port 53 of any address is the resolver's
//! ```
//!
//! From the refusals to the hosts by name, rules are sorted to parts by family and TCP: see `parts.rs`.
//!
//! Of several policies, each has its chains `output` and `input`, one after the other: a packet must get through them all.
//! What goes to `lo` from an own address passes `output` before the policy's rules but only after `names`. A raw socket's packets pass like all others;
//! those of a packet socket pass no chain, so the planner refuses the capability for it. Fragments are put together before
//! (connection tracking does), and one that keeps out of that is invalid.

use super::expand::{ICMPV6, TCP, UDP, Way, decided, family, family_of, known, name, of};
use super::judged::{each, judged};
use super::{Action, Chain, Family, Holds, Hook, Kind, Match, Part, RESOLVER, Rule, Ruleset, Set, alone, parts};
use crate::address::Network;
use crate::policy::{Log, Policy, SANDBOXES, Verdict};

/// The most addresses of one entry of `allow_domains` and family at a time. The kernel makes room for as many at once.
const MOST: u32 = 2048;
/// Before the chains of nat that others make: Docker's own resolver has one.
const BEFORE_NAT: i32 = -101;
pub(super) const FILTER: i32 = 0;
pub(super) const DNS: u16 = 53;
pub(super) const LOOPBACK: &str = "lo";
/// Types of ICMPv6, RFC 4861 and 3810: asking for routers and neighbours, answering, and which groups are listened to. Replies
/// to those that come in are no part of a connection, since none of these is tracked.
const ASKED: &[u8] = &[133, 135, 136, 131, 132, 143];
const TOLD: &[u8] = &[134, 135, 136, 130];
/// What is no address beyond the link, as destination: its own addresses and groups, and who is at the bridge.
const LINK: [&str; 3] = ["fe80::/10", "ff02::/16", SANDBOXES[1]];
const LINK_LOCAL: &str = "fe80::/10";

/// What a packet's report begins with.
pub mod report {
    use super::name;

    const ACCEPTED: &str = "accept ";
    const REFUSED: &str = "refuse ";

    /// What a report of a rule of this key begins with.
    #[must_use]
    pub fn prefix(accepted: bool, key: &str) -> String {
        format!("{}{}", if accepted { ACCEPTED } else { REFUSED }, name(key))
    }

    /// Whether it was let through, and the rule's key.
    #[must_use]
    pub fn read(prefix: &str) -> Option<(bool, &str)> {
        let of = |start, accepted| prefix.strip_prefix(start).map(|key| (accepted, key));
        of(ACCEPTED, true).or_else(|| of(REFUSED, false))
    }
}

/// The rules of policies, all of which must let a packet through. The same policies give the same rules.
#[must_use]
pub fn inside(policies: &[Policy], table: &str) -> Ruleset {
    let (mut chains, mut sets, mut parts) = (Vec::new(), Vec::new(), Vec::new());
    let resolver = policies.iter().any(|policy| policy.resolver);
    // One that is there to count changes nothing.
    let bounding = policies.iter().position(|policy| !policy.guarded.is_empty());
    if bounding.is_some() {
        chains.push(Chain {
            priority: alone::BEFORE,
            drops: false,
            ..chain("alone", Hook::Output, alone::untracked())
        });
    }
    if resolver {
        chains.push(Chain {
            kind: Kind::Nat,
            priority: BEFORE_NAT,
            drops: false,
            ..chain("names", Hook::Output, names())
        });
    }
    for (policy, at) in policies.iter().zip(0u16..) {
        let (named, priority) = (sets.len() / 2, FILTER + i32::from(at));
        let of = |name| numbered(name, at);
        for i in 0..policy.named.len() {
            let (four, six) = crate::names::sets(named + i);
            let set = |name, family| Set { name, family, holds: Holds::Addresses, size: MOST };
            sets.extend([set(four, Family::V4), set(six, Family::V6)]);
        }
        let bounds = bounding == Some(usize::from(at));
        let (rules, with) = output(policy, resolver, (at == 0, bounds), named, &of("output"));
        chains.push(Chain { priority, ..chain(&of("output"), Hook::Output, rules) });
        parts.extend(with);
        if let Some(rules) = input(policy, at == 0) {
            chains.push(Chain { priority, ..chain(&of("input"), Hook::Input, rules) });
        }
    }
    chains.push(forward());
    Ruleset { table: table.to_owned(), sets, chains, parts }
}

/// What the chains of one policy are called: the first one's have no number.
pub(super) fn numbered(name: &str, at: u16) -> String {
    if at == 0 { name.to_owned() } else { format!("{name}{at}") }
}

/// Nobody's packets pass through a container.
pub(super) fn forward() -> Chain {
    chain("forward", Hook::Forward, decided("forward", Vec::new(), Verdict::Drop, Log::default()))
}

pub(super) fn chain(name: &str, hook: Hook, rules: Vec<Rule>) -> Chain {
    Chain { name: name.to_owned(), kind: Kind::Filter, hook, priority: FILTER, drops: true, rules }
}

fn names() -> Vec<Rule> {
    let mut rules = Vec::new();
    for resolver in RESOLVER {
        for protocol in [UDP, TCP] {
            let family = Match::Family(family_of(resolver.ip()));
            let matches = vec![family, Match::Protocol(protocol), Match::Port(crate::address::Ports::one(DNS))];
            let to = Action::Redirect { to: resolver.ip(), port: Some(resolver.port()) };
            rules.push(Rule { comment: Some("names".into()), matches, actions: vec![Action::Count, to] });
        }
    }
    rules
}

/// What comes by several chains is counted in the first, and bounded in one. With it, the parts that it leads to.
fn output(
    policy: &Policy,
    resolver: bool,
    (first, bounds): (bool, bool),
    named: usize,
    chain: &str,
) -> (Vec<Rule>, Vec<Part>) {
    let log = policy.log;
    let plain = |comment: &str, matches| {
        if first { decided(comment, matches, Verdict::Accept, Log::default()) } else { vec![quiet(comment, matches)] }
    };
    let mut rules = alone::apart(policy);
    rules.push(quiet("loopback", vec![Match::To(LOOPBACK.into()), Match::Established]));
    rules.extend(known().into_iter().flat_map(|matches| plain("established", matches)));
    let about = Part { name: format!("{chain}-neighbours"), rules: neighbours(policy) };
    rules.push(parts::to(about.name.clone(), vec![Match::Family(Family::V6), Match::Protocol(ICMPV6)]));
    // Any program may send IPv6 from an address that is not its own (IPV6_FREEBIND), and the answer would go there: to the host,
    // to another sandbox, as part of a connection that was let through. The resolver would answer it, too. And what asks at `lo`
    // under a stranger's address has an answer that goes out, to the stranger, as part of that conversation. There, a reset by
    // which the kernel refuses a connection comes from the stranger as well, but begins nothing.
    let loopback = Match::To(LOOPBACK.into());
    let mut aside = vec![about];
    if !policy.guarded.is_empty() {
        rules.extend(decided("spoofed", vec![loopback.clone(), Match::New, Match::Foreign], Verdict::Drop, log));
    }
    let bounded = bounds.then(|| format!("{chain}-names"));
    if let Some(part) = &bounded {
        aside.push(Part { name: part.clone(), rules: alone::bounds(log) });
        rules.push(parts::to(part.clone(), vec![loopback.clone(), Match::New]));
    }
    rules.push(quiet("loopback", vec![loopback]));
    if !policy.guarded.is_empty() {
        rules.extend(decided("spoofed", vec![Match::Foreign], Verdict::Drop, log));
    }
    if resolver {
        // A packet that `names` has turned round still leaves by the device that it was for.
        for resolver in RESOLVER {
            let new = || vec![Match::Destination(resolver.ip().into()), Match::New];
            rules.extend(bounded.iter().map(|part| parts::to(part.clone(), new())));
            for protocol in [UDP, TCP] {
                let port = Match::Port(crate::address::Ports::one(resolver.port()));
                let at = Match::Destination(resolver.ip().into());
                rules.extend(plain("resolver", vec![at, Match::Protocol(protocol), port]));
            }
        }
    }
    rules.extend(decided("invalid", vec![Match::Invalid], Verdict::Drop, log));
    rules.extend(limits(policy));
    let (leading, mut sorted) = judged(policy, named, chain);
    rules.extend(leading);
    rules.extend(decided("otherwise", Vec::new(), policy.otherwise, log));
    aside.append(&mut sorted);
    (rules, aside)
}

/// Asking for neighbours of the container's own links, from no address as well.
pub(super) fn neighbours(policy: &Policy) -> Vec<Rule> {
    let mut rules = Vec::new();
    let links = LINK.iter().filter_map(|text| Network::try_from((*text).to_owned()).ok());
    for link in links.chain(policy.links.iter().filter(|link| family(link) == Family::V6).copied()) {
        for kind in ASKED {
            let matches = vec![Way::Out.at(link), Match::Protocol(ICMPV6), Match::IcmpType(*kind)];
            rules.push(quiet("neighbours", matches));
        }
    }
    rules
}

/// Counted once for all protocols, so there is one rule each: TCP is told by ICMP, too. What is too fast is dropped without a
/// word, since TCP then tries again by itself.
fn limits(policy: &Policy) -> Vec<Rule> {
    let mut rules = Vec::new();
    let reported = |key: &str| {
        policy.log.denied.then(|| Action::Report { group: super::GROUP, prefix: report::prefix(false, key) })
    };
    let mut limit = |key: &str, over: Match, what: Action| {
        let actions = [Action::Count].into_iter().chain(reported(key)).chain([what]).collect();
        rules.push(Rule { comment: Some(key.to_owned()), matches: vec![Match::New, over], actions });
    };
    if let Some(most) = policy.limits.connections_per_second {
        limit("network.connections_rate", Match::RateOver { per_second: most, burst: most }, Action::Drop);
    }
    if let Some(most) = policy.limits.connections {
        limit("network.connections_max", Match::ConnectionsOver(most), Action::Reject);
    }
    rules
}

fn input(policy: &Policy, first: bool) -> Option<Vec<Rule>> {
    let ingress = policy.ingress.as_ref()?;
    let mut rules = vec![quiet("loopback", vec![Match::From(LOOPBACK.into())])];
    for matches in known() {
        match first {
            true => rules.extend(decided("ingress established", matches, Verdict::Accept, Log::default())),
            false => rules.push(quiet("ingress established", matches)),
        }
    }
    let local = Network::try_from(LINK_LOCAL.to_owned()).ok().map(Match::Source);
    for kind in TOLD {
        // Neighbours ask from any address of theirs; routers and who asks for groups only from the link's.
        let from = local.clone().filter(|_| matches!(kind, 134 | 130));
        let matches = from.into_iter().chain([Match::Protocol(ICMPV6), Match::IcmpType(*kind)]).collect();
        rules.push(quiet("ingress neighbours", matches));
    }
    rules.extend(decided("ingress invalid", vec![Match::Invalid], Verdict::Drop, policy.log));
    for rule in &ingress.rules {
        rules.extend(each(rule).into_iter().flat_map(|network| of(rule, network, Way::In, policy.log)));
    }
    rules.extend(decided("ingress otherwise", Vec::new(), Verdict::Drop, policy.log));
    Some(rules)
}

/// Accepted, and worth no counter.
pub(super) fn quiet(comment: &str, matches: Vec<Match>) -> Rule {
    Rule { comment: Some(comment.to_owned()), matches, actions: vec![Action::Accept] }
}
