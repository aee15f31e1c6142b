//! What a packet filter holds a program to, where the network is one of the container's own.

use super::Profile;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use zviz_broker::policy::sockets::Sockets;
use zviz_network::policy::{Log, Policy};

/// The other form of what a profile says of the network: on the host's network, the broker holds programs to it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Packets {
    /// All must let a packet through. There is at least one.
    pub policies: Vec<Policy>,
    /// Whether a resolver of zviz's answers for names.
    #[serde(default)]
    pub resolver: bool,
    /// Whom it asks; none is whom the host asks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upstream: Vec<SocketAddr>,
    /// Whether names may be asked for at all: of the resolver, or of the container's nameservers, which are then let through
    /// although no rule names them.
    pub names: bool,
    /// Keys of the profile that nothing else can hold a program to: with any, the host's network will not do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// The broker's rules about sockets beside this.
    #[serde(default)]
    pub sockets: Option<Sockets>,
    /// Where each key of a rule is written.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub origins: BTreeMap<String, String>,
}

impl Packets {
    /// Whether connections are to be reported.
    #[must_use]
    pub fn logs(&self) -> bool {
        self.policies.iter().any(|policy| policy.log != Log::default())
    }

    /// Both: what goes through is what both let through.
    #[must_use]
    pub fn and(mut self, other: Packets) -> Packets {
        self.policies.extend(other.policies);
        self.names &= other.names;
        self.resolver |= other.resolver;
        if self.upstream.is_empty() {
            self.upstream = other.upstream;
        }
        let more = other.only.into_iter().filter(|key| !self.only.contains(key)).collect::<Vec<_>>();
        self.only.extend(more);
        for (key, origin) in other.origins {
            self.origins.entry(key).or_insert(origin);
        }
        if !self.names {
            // One of them lets nobody be asked.
            self.resolver = false;
            self.policies.iter_mut().for_each(|policy| policy.named.clear());
        }
        for policy in &mut self.policies {
            policy.resolver = self.resolver;
        }
        self
    }
}

impl Profile {
    /// The same where a packet filter holds the program to what is said of the network: nobody asks the broker about that.
    #[must_use]
    pub fn by_packets(self) -> Profile {
        let Some(packets) = &self.packets else { return self };
        let mut broker = self.broker.clone();
        broker.sockets = packets.sockets.clone();
        broker.origins.retain(|key, _| !key.starts_with("sockets."));
        Profile { broker, ..self }
    }
}
