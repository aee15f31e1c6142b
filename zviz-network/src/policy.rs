//! What a profile says of the network, in the order in which it counts.

use crate::address::{Network, Ports};
use serde::{Deserialize, Serialize};

/// What becomes of a packet that begins something new. What belongs to a connection that was let through goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It goes on its way.
    Accept,
    /// Its sender is told at once that it may not: TCP by a reset, all else by an ICMP message.
    Refuse,
    /// It is gone.
    Drop,
}

/// Which protocol above IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP to IPv4 addresses, ICMPv6 to IPv6 ones.
    Icmp,
}

/// One rule about addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The key of the profile that it stands for, with its place in a list: `network.egress.allow[0]`. It names the counter.
    pub key: String,
    /// What becomes of what fits.
    pub verdict: Verdict,
    /// Any of these addresses; none is every address.
    pub networks: Vec<Network>,
    /// Only this; none is every protocol, and TCP or UDP beside ports.
    pub protocol: Option<Protocol>,
    /// Any of these ports; none is every port.
    pub ports: Vec<Ports>,
}

/// Hosts that may be reached by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The key of the profile: `network.allow_domains[0]`.
    pub key: String,
    /// In lower case, without the last dot: `crates.io`.
    pub name: String,
    /// Whether it is all names below `name`, and not `name` itself: `*.example.org`.
    pub below: bool,
    /// Any of these ports, TCP and UDP; none is every port.
    pub ports: Vec<Ports>,
}

/// Addresses that a rule which does not name them never reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guarded {
    /// The addresses.
    pub network: Network,
    /// What they are: `link-local and metadata`, `this host`, `other sandboxes`.
    pub what: String,
}

/// Who may reach in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingress {
    /// In this order; what none fits is dropped.
    pub rules: Vec<Rule>,
}

/// Limits of what is let through.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The most connections at a time.
    pub connections: Option<u32>,
    /// The most new connections in a second.
    pub connections_per_second: Option<u32>,
}

/// What is reported of connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// Those that are refused or dropped.
    pub denied: bool,
    /// Those that are let through.
    pub allowed: bool,
}

/// Everything that is decided about packets of one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// What goes out, in this order; the first that fits decides.
    pub egress: Vec<Rule>,
    /// What goes out to a host that was reached by its name.
    pub named: Vec<Named>,
    /// What goes out and fits nothing.
    pub otherwise: Verdict,
    /// Let through only by a rule of `egress` each of whose networks lies within one of these.
    pub guarded: Vec<Guarded>,
    /// Whether everything for port 53 goes to the resolver inside.
    pub resolver: bool,
    /// What comes in; none is everything.
    pub ingress: Option<Ingress>,
    /// Limits.
    pub limits: Limits,
    /// Reports.
    pub log: Log,
}
