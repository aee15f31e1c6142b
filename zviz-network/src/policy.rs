//! What a profile says of the network, in the order in which it counts.

use crate::address::{Network, Ports};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;

/// The networks of sandboxes at the bridge of a host, of either family.
pub const SANDBOXES: [&str; 2] = ["10.213.0.0/16", "fd7a:7669:7a00::/64"];

/// Guarded whatever a profile says. IANA's registries of special addresses (RFC 6890), but for those that only documents use,
/// and with the ways in which an IPv6 address carries an IPv4 one: `::/8` has `::ffff:0:0/96` and NAT64's `64:ff9b::/96`.
const ALWAYS: &[(&str, &str)] = &[
    ("0.0.0.0/8", "this network"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "carrier's private"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local and metadata"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "of protocols"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "benchmarks"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved and broadcast"),
    ("::/8", "loopback and IPv4 in IPv6"),
    ("2001::/32", "Teredo"),
    ("2002::/16", "6to4"),
    ("fc00::/7", "private"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
    (SANDBOXES[0], "other sandboxes"),
    (SANDBOXES[1], "other sandboxes"),
    ("ff00::/8", "multicast"),
];

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

/// A port of the container that is reached from outside: `-p 127.0.0.1:8080:80/tcp`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// At this address of the host alone; none is all of them, of either family.
    pub address: Option<IpAddr>,
    /// The port of the host.
    pub outside: u16,
    /// The port of the container.
    pub inside: u16,
    /// TCP or UDP.
    pub transport: Transport,
}

/// What has ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// Everything that is decided about packets of one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// What goes out. What refuses counts before what accepts, whatever the order.
    pub egress: Vec<Rule>,
    /// What goes out to a host that was reached by its name.
    pub named: Vec<Named>,
    /// What goes out and fits nothing.
    pub otherwise: Verdict,
    /// An address in one of these is let through only by a network of `egress` that lies within it: one that names it.
    pub guarded: Vec<Guarded>,
    /// Networks at the other end of the container's own links. Neighbours there are asked for by ICMPv6, without which IPv6
    /// is dead; link-local ones always are.
    #[serde(default)]
    pub links: Vec<Network>,
    /// Whether everything for port 53 goes to the resolver inside.
    pub resolver: bool,
    /// What comes in; none is everything.
    pub ingress: Option<Ingress>,
    /// Whether a program may make packets of TCP that no socket of TCP has sent: it has CAP_NET_RAW over the namespace.
    #[serde(default = "whether_unknown")]
    pub raw: bool,
    /// Limits.
    pub limits: Limits,
    /// Reports.
    pub log: Log,
}

impl Guarded {
    /// What is guarded whatever a profile says.
    #[must_use]
    pub fn always() -> Vec<Guarded> {
        let of = |(network, what): &(&str, &str)| {
            Some(Guarded { network: Network::try_from((*network).to_owned()).ok()?, what: (*what).to_owned() })
        };
        ALWAYS.iter().filter_map(of).collect()
    }
}

impl Policy {
    /// No rule, and what is always guarded.
    #[must_use]
    pub fn new(otherwise: Verdict) -> Policy {
        Policy {
            egress: Vec::new(),
            named: Vec::new(),
            otherwise,
            guarded: Guarded::always(),
            links: Vec::new(),
            resolver: false,
            ingress: None,
            raw: whether_unknown(),
            limits: Limits::default(),
            log: Log::default(),
        }
    }

    /// Whether the kernel has to keep connections for it: to count them, to turn questions for names round, to know what comes in
    /// from what was asked for, packets of TCP that belong to one from those that belong to none, or to tell of each once.
    #[must_use]
    pub fn is_tracked(&self) -> bool {
        self.raw
            || self.resolver
            || !self.named.is_empty()
            || self.ingress.is_some()
            || self.limits != Limits::default()
            || self.log.allowed
    }

    /// Lets published ports in, where not everything is.
    pub fn publish(&mut self, ports: &[Published]) {
        let Some(ingress) = &mut self.ingress else { return };
        for port in ports {
            let rule = Rule {
                key: format!("publish {port}"),
                verdict: Verdict::Accept,
                networks: Vec::new(),
                protocol: Some(port.transport.into()),
                ports: vec![Ports::one(port.inside)],
            };
            if !ingress.rules.contains(&rule) {
                ingress.rules.push(rule);
            }
        }
    }
}

/// Who does not know what a program may is careful.
fn whether_unknown() -> bool {
    true
}

impl From<Transport> for Protocol {
    fn from(transport: Transport) -> Protocol {
        match transport {
            Transport::Tcp => Protocol::Tcp,
            Transport::Udp => Protocol::Udp,
        }
    }
}

impl fmt::Display for Published {
    /// As it is written on a command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:")?,
            Some(IpAddr::V4(address)) => write!(f, "{address}:")?,
            None => {}
        }
        let transport = match self.transport {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        };
        write!(f, "{}:{}/{transport}", self.outside, self.inside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_always_guarded_is_well_written() {
        assert_eq!(Guarded::always().len(), ALWAYS.len());
    }
}
