//! Rules of nftables as data: what `zviz-net` gives the kernel, and what `zviz compile` writes. nft(8).

mod alone;
mod expand;
mod host;
mod inside;
mod judged;
mod known;
mod parts;
mod text;
mod untracked;

pub mod decide;

pub use host::{bridge, published};
pub use inside::{inside, report};
pub use known::Known;
pub use untracked::untracked;

use crate::address::{Network, Ports};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// One table of family `inet` with everything in it. It replaces a table of its name, in one transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruleset {
    /// Its name.
    pub table: String,
    /// Sets that are filled while the rules are in force.
    pub sets: Vec<Set>,
    /// Its chains.
    pub chains: Vec<Chain>,
    /// Rules that others lead to.
    #[serde(default)]
    pub parts: Vec<Part>,
}

impl Ruleset {
    /// All of its rules.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.chains.iter().flat_map(|chain| &chain.rules).chain(self.parts.iter().flat_map(|part| &part.rules))
    }

    /// The same, with reports that go to another group.
    #[must_use]
    pub fn reporting_to(&self, listened: u16) -> Ruleset {
        let mut rules = self.clone();
        let (chains, parts) = (rules.chains.iter_mut(), rules.parts.iter_mut());
        let all = chains.flat_map(|chain| &mut chain.rules).chain(parts.flat_map(|part| &mut part.rules));
        for action in all.flat_map(|rule| &mut rule.actions) {
            if let Action::Report { group, .. } = action {
                *group = listened;
            }
        }
        rules
    }
}

/// Rules that packets come to by [`Action::Jump`] and [`Action::Goto`] alone. What none of them decides goes on behind the last
/// jump.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its name, which no chain has.
    pub name: String,
    /// Its rules.
    pub rules: Vec<Rule>,
}

/// Addresses that come and go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// Of which family.
    pub family: Family,
    /// What is in it.
    pub holds: Holds,
    /// The most elements.
    pub size: u32,
}

/// What a set holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holds {
    /// Addresses that a program puts there, each for its time.
    Addresses,
    /// Addresses that [`Action::Note`] puts there, for so many seconds from the last time on, unless [`Action::Forget`] comes first.
    Noted(u32),
    /// Each with two ports, what [`Action::Remember`] puts there, for as many from the last packet on.
    Peers(u32),
}

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// A chain at a hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// What kind it is.
    pub kind: Kind,
    /// Where packets come by.
    pub hook: Hook,
    /// Its place among the chains of that hook: lower ones first.
    pub priority: i32,
    /// Whether packets that no rule decides are dropped.
    pub drops: bool,
    /// Its rules.
    pub rules: Vec<Rule>,
}

/// What a chain is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// To let through or not.
    Filter,
    /// To give other addresses.
    Nat,
}

/// Where in the network stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hook {
    /// Arriving.
    Prerouting,
    /// For a socket here.
    Input,
    /// Passing through.
    Forward,
    /// From a socket here.
    Output,
    /// Leaving.
    Postrouting,
}

/// All matches fit, then all actions happen in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// What the counter is called, as `stats` prints it: a key of the profile. At most 100 bytes.
    pub comment: Option<String>,
    /// What it is about.
    pub matches: Vec<Match>,
    /// What happens.
    pub actions: Vec<Action>,
}

/// What a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Match {
    /// It belongs to a connection that is known: `ct state established`.
    Established,
    /// It is about one, or begins one that a helper of the kernel has read of in another: `ct state related`.
    Related,
    /// It begins one: `ct state new`.
    New,
    /// It fits none and begins none: `ct state invalid`.
    Invalid,
    /// It arrives by this device.
    From(String),
    /// It does not arrive by this device.
    NotFrom(String),
    /// It leaves by this device.
    To(String),
    /// It leaves by another device.
    NotTo(String),
    /// Of this family.
    Family(Family),
    /// For one of these addresses.
    Destination(Network),
    /// From one of these addresses.
    Source(Network),
    /// For an address in a set of this ruleset, which is of this family.
    DestinationIn(String, Family),
    /// It answers what [`Action::Remember`] has put into a set of this ruleset. Comes after `Family` and `Protocol`.
    Answers(String),
    /// IP protocol, by its number: 1 ICMP, 6 TCP, 17 UDP, 58 ICMPv6.
    Protocol(u8),
    /// TCP or UDP, for one of these ports. Comes after `Protocol`.
    Port(Ports),
    /// TCP or UDP, from one of these ports. Comes after `Protocol`.
    FromPort(Ports),
    /// TCP that begins no connection: not SYN without ACK. Comes after `Protocol`.
    GoesOn,
    /// It goes where its socket is connected to: nothing in its header leads it elsewhere before. Of IPv4 it has no options, of IPv6
    /// no routing header. Comes after `Family`.
    Straight,
    /// ICMP or ICMPv6, of this type. Comes after `Protocol`.
    IcmpType(u8),
    /// Its connection was given another address: `ct status dnat`.
    Redirected,
    /// For an address of this network namespace itself: `fib daddr type local`.
    Local,
    /// For an address of somebody else: `fib daddr type != local`.
    Remote,
    /// From an address that is none of this network namespace: `fib saddr type != local`.
    Foreign,
    /// More than so many connections at a time are let through by this rule: `ct count over`.
    ConnectionsOver(u32),
    /// More often than so many times in a second, after as many at once: `limit rate over`.
    RateOver {
        /// In a second.
        per_second: u32,
        /// At once.
        burst: u32,
    },
    /// At most so many times in a second: `limit rate`.
    RateWithin {
        /// In a second.
        per_second: u32,
        /// At once.
        burst: u32,
    },
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Packets and bytes are counted.
    Count,
    /// A copy of its first bytes goes to who listens at a group. netfilter's nfnetlink_log.
    Report {
        /// The group.
        group: u16,
        /// Says which rule it was. At most 100 bytes.
        prefix: String,
    },
    /// Its source, and its two ports, are in a set of this ruleset for a while from now. Comes after `Family` and `Protocol`.
    Remember(String),
    /// Its destination, and its two ports, stay in such a set for a while from now. Comes after [`Match::Answers`].
    Renew(String),
    /// Its destination is in a set of this ruleset for a while from now; where that is full, this rule does no more. Comes after
    /// `Family`.
    Note(String),
    /// Neither its source nor its destination is in such a set from now on. Comes after `Family`.
    Forget(String),
    /// No conversation is kept of it, if none is yet: `notrack`. In a chain before connection tracking.
    Untrack,
    /// On its way, as far as this chain goes.
    Accept,
    /// To the rules of a part of this ruleset, and back if none of them decides.
    Jump(String),
    /// To the rules of a part, and not back to those behind this one: if none decides, back to where the last jump was, if there
    /// was one, and else to the end of the chain.
    Goto(String),
    /// Gone.
    Drop,
    /// Gone, and its sender is told by an ICMP message: administratively prohibited.
    Reject,
    /// Gone, and its sender is told by a TCP reset. Comes after `Protocol(6)`.
    Reset,
    /// For another address and port. Comes after `Family`, and `Protocol` where there is a port.
    Redirect {
        /// The address.
        to: IpAddr,
        /// The port; none is the one it has.
        port: Option<u16>,
    },
    /// From the address of the device that it leaves by.
    Masquerade,
}

impl Action {
    /// The part that it leads to.
    #[must_use]
    pub fn leads_to(&self) -> Option<&str> {
        match self {
            Action::Jump(part) | Action::Goto(part) => Some(part),
            _ => None,
        }
    }
}

/// Where the resolver inside answers, in every container: no other program listens at these, and port 53 stays free for one.
pub const RESOLVER: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(127, 200, 53, 53)), 53_053),
    SocketAddr::new(IpAddr::V6(std::net::Ipv6Addr::LOCALHOST), 53_053),
];

/// Where Docker answers for names in the networks that users define: in the container's namespace, from a port that anybody
/// can find, and on some hosts it asks others from outside of that.
pub const ENGINE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 11));

/// The nfnetlink_log group of a container's rules. Where others of its network namespace have it, the next that is free.
pub const GROUP: u16 = 53;

/// The table of a container's policy begins so, and goes on with its id's hash.
pub const TABLE_PREFIX: &str = "zviz-";

/// The table of all sandboxes at the bridge, in the namespace that has it.
pub const HOST_TABLE: &str = "zviz-host";

/// The table of a container's published ports begins so, in the same namespace.
pub const PUBLISHED_PREFIX: &str = "zviz-p-";
