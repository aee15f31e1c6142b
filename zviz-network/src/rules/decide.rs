//! What rules do to a packet, without a kernel: for tests, and to say why.

use super::expand::TCP;
use super::{Action, Chain, Family, Hook, Kind, Match, Rule, Ruleset};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// How deep jumps may lead. linux/netfilter/nf_tables.h: NFT_JUMP_STACK_SIZE.
const DEEPEST: u8 = 16;

/// A packet as rules see it, put together from its fragments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The device that it arrived by.
    pub from: Option<String>,
    /// The device that it leaves by.
    pub to: Option<String>,
    /// Its source.
    pub source: IpAddr,
    /// Its destination.
    pub destination: IpAddr,
    /// Its protocol above IP, behind all extension headers.
    pub protocol: u8,
    /// Its destination's port, of TCP and UDP.
    pub port: Option<u16>,
    /// Its source's port, of TCP and UDP.
    pub from_port: Option<u16>,
    /// Its type, of ICMP and ICMPv6.
    pub icmp: Option<u8>,
    /// What its flags say, of TCP.
    pub tcp: Tcp,
    /// What is known of its connection.
    pub state: State,
    /// Whether the connection was given another destination.
    pub redirected: bool,
}

/// What the flags of a packet say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tcp {
    /// It begins a connection: SYN without ACK. So does what is not TCP.
    Begins,
    /// It belongs to a connection, or to none.
    GoesOn,
    /// That, and by way of another address, which stands in the place of its destination.
    Led,
}

/// What connection tracking knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It begins one, or was never answered.
    New,
    /// It belongs to one, or is an error about one.
    Established,
    /// It fits none.
    Invalid,
    /// Neighbour discovery and the like, and what rules have taken out of it.
    Untracked,
}

/// What rules know beside the packet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct World {
    /// The addresses in each set.
    pub sets: BTreeMap<String, BTreeSet<IpAddr>>,
    /// What has come lately by rules that remember it, in each set: an address, its port, and the port here.
    pub remembered: BTreeMap<String, BTreeSet<(IpAddr, u16, u16)>>,
    /// Addresses of the namespace itself. Without any they are not known, and none is another's.
    pub own: BTreeSet<IpAddr>,
    /// Connections that are open, this one among them.
    pub connections: u32,
    /// How many have begun in this second, this one among them.
    pub begun: u32,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It goes on.
    Accepted,
    /// Nobody hears of it.
    Dropped,
    /// Its sender is told.
    Refused,
}

/// What becomes of a packet, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What becomes of it.
    pub fate: Fate,
    /// The comment of the rule that decided in the last chain; none is the chain's policy, or that there is no chain.
    pub rule: Option<String>,
    /// As it is afterwards.
    pub packet: Packet,
}

/// What a ruleset's chains at a hook do to a packet.
#[must_use]
pub fn decide(ruleset: &Ruleset, hook: Hook, packet: &Packet, world: &World) -> Decision {
    let mut chains: Vec<&Chain> = ruleset.chains.iter().filter(|chain| chain.hook == hook).collect();
    chains.sort_by_key(|chain| chain.priority);
    let mut decision = Decision { fate: Fate::Accepted, rule: None, packet: packet.clone() };
    for chain in chains {
        // Only the first packet of a connection asks what becomes of its addresses.
        if chain.kind == Kind::Nat && decision.packet.state != State::New {
            continue;
        }
        let policy = if chain.drops { Fate::Dropped } else { Fate::Accepted };
        let ends = first(ruleset, &chain.rules, &decision.packet, world, DEEPEST);
        let (rule, end) = ends.unwrap_or((None, End::Fate(policy)));
        decision.rule = rule;
        match end {
            End::Fate(Fate::Accepted) => {}
            End::Fate(fate) => return Decision { fate, ..decision },
            End::Untracked => decision.packet.state = State::Untracked,
            End::Redirected(to, port) => {
                decision.packet.destination = to;
                decision.packet.port = port.or(decision.packet.port);
                decision.packet.redirected = true;
            }
        }
    }
    decision
}

enum End {
    Fate(Fate),
    Untracked,
    Redirected(IpAddr, Option<u16>),
}

/// The first of these rules that decides, and what.
fn first(
    ruleset: &Ruleset,
    rules: &[Rule],
    packet: &Packet,
    world: &World,
    deeper: u8,
) -> Option<(Option<String>, End)> {
    let led = |to: &str| match (ruleset.parts.iter().find(|part| part.name == to), deeper.checked_sub(1)) {
        (Some(part), Some(deeper)) => first(ruleset, &part.rules, packet, world, deeper),
        // The kernel takes no such rules.
        _ => Some((None, End::Fate(Fate::Dropped))),
    };
    for rule in rules.iter().filter(|rule| rule.matches.iter().all(|is| fits(is, packet, world))) {
        let to = rule.actions.iter().find(|action| action.leads_to().is_some());
        let decided = match to {
            Some(Action::Goto(part)) => return led(part),
            Some(action) => action.leads_to().and_then(led),
            None => end(rule).map(|end| (rule.comment.clone(), end)),
        };
        if decided.is_some() {
            return decided;
        }
    }
    None
}

fn end(rule: &Rule) -> Option<End> {
    rule.actions.iter().find_map(|action| match action {
        Action::Count | Action::Report { .. } | Action::Jump(_) | Action::Goto(_) => None,
        Action::Remember(_) | Action::Renew(_) | Action::Note(_) | Action::Forget(_) => None,
        Action::Untrack => Some(End::Untracked),
        Action::Accept | Action::Masquerade => Some(End::Fate(Fate::Accepted)),
        Action::Drop => Some(End::Fate(Fate::Dropped)),
        Action::Reject | Action::Reset => Some(End::Fate(Fate::Refused)),
        Action::Redirect { to, port } => Some(End::Redirected(*to, *port)),
    })
}

fn fits(is: &Match, packet: &Packet, world: &World) -> bool {
    let family = if packet.destination.is_ipv4() { Family::V4 } else { Family::V6 };
    match is {
        Match::Established => packet.state == State::Established,
        // An error about a connection is as established as that is.
        Match::Related => false,
        Match::New => packet.state == State::New,
        Match::Invalid => packet.state == State::Invalid,
        Match::From(device) => packet.from.as_ref() == Some(device),
        Match::NotFrom(device) => packet.from.as_ref() != Some(device),
        Match::To(device) => packet.to.as_ref() == Some(device),
        Match::NotTo(device) => packet.to.as_ref() != Some(device),
        Match::Family(of) => *of == family,
        Match::Destination(network) => on_the_wire(network, packet.destination),
        Match::Source(network) => on_the_wire(network, packet.source),
        Match::DestinationIn(set, of) => {
            *of == family && world.sets.get(set).is_some_and(|set| set.contains(&packet.destination))
        }
        Match::Answers(set) => packet.port.zip(packet.from_port).is_some_and(|(port, from)| {
            world.remembered.get(set).is_some_and(|set| set.contains(&(packet.destination, port, from)))
        }),
        Match::Protocol(number) => packet.protocol == *number,
        Match::Port(ports) => packet.port.is_some_and(|port| ports.contains(port)),
        Match::FromPort(ports) => packet.from_port.is_some_and(|port| ports.contains(port)),
        Match::GoesOn => packet.protocol == TCP && packet.tcp != Tcp::Begins,
        Match::Straight => packet.tcp != Tcp::Led,
        Match::IcmpType(kind) => packet.icmp == Some(*kind),
        Match::Redirected => packet.redirected,
        Match::Local => is_own(packet.destination, world),
        Match::Remote => !is_own(packet.destination, world),
        Match::Foreign => !world.own.is_empty() && !packet.source.is_loopback() && !world.own.contains(&packet.source),
        Match::ConnectionsOver(most) => world.connections > *most,
        Match::RateOver { burst, .. } => world.begun > *burst,
        Match::RateWithin { burst, .. } => world.begun <= *burst,
    }
}

fn is_own(address: IpAddr, world: &World) -> bool {
    address.is_loopback() || world.own.contains(&address)
}

/// A packet of IPv6 is one, whatever its address says: the kernel compares bytes.
fn on_the_wire(network: &crate::address::Network, address: IpAddr) -> bool {
    match address {
        IpAddr::V6(six) if six.to_ipv4_mapped().is_some() => {
            // Only the widest networks of IPv6 have such addresses, and these begin with zeros.
            network.address().is_ipv6() && network.address().is_unspecified() && network.bits() <= 80
        }
        _ => network.contains(address),
    }
}
