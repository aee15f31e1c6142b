//! What the network helper is asked and answers: `zviz-net`, which alone speaks to the kernel about links, addresses and rules.
//!
//! The helper's standard input is a stream socket. Each message is its length (4 bytes, little-endian, at most [`MOST`]) and so
//! much JSON. Descriptors travel with the first message, in the order of its [`Up::descriptors`] or as the request says; a
//! network namespace that comes with another request may be followed by the user namespace that it belongs to, which the helper
//! enters first, as with [`Descriptor::User`]. A helper that stays goes on after the end of the socket that it has answered to.

use crate::address::Network;
use crate::rules::Ruleset;
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// The most bytes of one message.
pub const MOST: usize = 4 << 20;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Make a container's network. Boxed: it is much larger than the others.
    Up(Box<Up>),
    /// Take away what is left of one outside of the container's namespace, or in a namespace that stays.
    Down(Down),
    /// Counters of a table. With it comes the network namespace.
    Counters {
        /// The table.
        table: String,
    },
    /// Tables and links of zviz's own in the helper's own namespace, for `gc`.
    Sweep,
}

/// A container's network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Up {
    /// The container's id, for events.
    pub container: String,
    /// Which descriptors come with it, in this order.
    pub descriptors: Vec<Descriptor>,
    /// The link to make, if any.
    pub bridge: Option<Bridge>,
    /// The container's own rules, in its namespace.
    pub inside: Option<Ruleset>,
    /// The same without connection tracking, instead, where nobody else has rules in that namespace.
    #[serde(default)]
    pub untracked: Option<Ruleset>,
    /// Who answers for names, inside. The helper stays until the container has ended.
    pub resolver: Option<Resolver>,
    /// Whether the namespace was there before the container, with flows that nobody has judged.
    #[serde(default)]
    pub joined: bool,
    /// Whether connections are reported as lines of JSON to [`Descriptor::Events`]. The helper stays.
    pub events: bool,
    /// The most bytes of that, if it is the first file of a record: what it holds is moved on to [`Descriptor::Older`] then.
    #[serde(default)]
    pub record: Option<u64>,
}

/// What a descriptor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Descriptor {
    /// The container's network namespace.
    Network,
    /// The user namespace that it belongs to, which the helper enters first where it has no rights over it otherwise.
    User,
    /// A pidfd: the helper ends when that process has.
    Process,
    /// Where events go.
    Events,
    /// An older file of the record that they go to. There are several, the youngest first.
    Older,
}

/// A pair of devices between the container and a bridge of this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bridge {
    /// The bridge, made where it is not there: `zviz0`.
    pub name: String,
    /// Its addresses with their prefixes.
    pub gateway: (Ipv4Addr, Ipv6Addr),
    /// Prefix lengths.
    pub prefix: (u8, u8),
    /// The container's addresses.
    pub address: (Ipv4Addr, Ipv6Addr),
    /// The device on the host's side. At most 15 bytes.
    pub outside: String,
    /// The device on the container's side: `eth0`.
    pub inside: String,
    /// Bytes of a packet; none is the bridge's.
    pub mtu: Option<u32>,
    /// Rules of all containers at this bridge, in the host's namespace.
    pub host: Ruleset,
    /// Rules of this container's published ports, in the host's namespace.
    pub published: Option<Ruleset>,
}

/// Who answers for names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolver {
    /// Who is asked, from outside of the container.
    pub upstream: Vec<SocketAddr>,
    /// Names that are asked for; none is every name. Each with the sets that its addresses are written to.
    pub names: Option<Vec<Zone>>,
    /// Networks that an answer never leads into.
    pub guarded: Vec<Network>,
}

/// Names, and where their addresses are written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// The key of the profile, as events name it: `network.allow_domains[0]`.
    pub key: String,
    /// In lower case, without the last dot.
    pub name: String,
    /// All names below it, and not itself.
    pub below: bool,
    /// Sets of IPv4 and IPv6 addresses of the container's ruleset.
    pub sets: (String, String),
}

/// What is left of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Down {
    /// Tables to remove from the helper's own namespace.
    pub tables: Vec<String>,
    /// Links to remove there.
    pub links: Vec<String>,
    /// A table to remove from the network namespace that comes with the request.
    pub inside: Option<String>,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// It is done.
    Done,
    /// It is not, and nothing of it is left.
    Fault {
        /// What could not be done, and why.
        what: String,
    },
    /// As asked.
    Counters(Vec<Counter>),
    /// As asked.
    Swept {
        /// Names of tables.
        tables: Vec<String>,
        /// Names of links.
        links: Vec<String>,
    },
}

/// What one rule has let through or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// The rule's comment.
    pub rule: String,
    /// Packets. Of a rule about new connections: connections.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Writes one message.
///
/// # Errors
/// Of the socket, or a message of more than [`MOST`] bytes.
pub fn send<T: Serialize>(mut to: impl Write, message: &T) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= MOST);
    let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a message of more than 4 MiB"))?;
    let mut whole = length.to_le_bytes().to_vec();
    whole.extend(body);
    to.write_all(&whole)
}

/// Reads one message.
///
/// # Errors
/// Of the socket, its end, or what is no such message.
pub fn receive<T: for<'a> Deserialize<'a>>(mut from: impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > MOST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message of more than 4 MiB"));
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    serde_json::from_slice(&body).map_err(Into::into)
}
