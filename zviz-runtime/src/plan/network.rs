//! The network of a container, decided: its link, the rules for its packets, who answers for names.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use zviz_network::policy::Policy;

/// What is made in a network namespace beside a loopback device.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// The way out.
    #[serde(default)]
    pub link: Link,
    /// What may go out and come in: all of them must let it through.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<Policy>,
    /// Who answers for names inside; none: whoever the container asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolver: Option<Resolver>,
    /// Whether connections are reported while it runs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub events: bool,
}

/// The way out of a network namespace that zviz makes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    /// None, or one that others make: hooks, who made the namespace that is joined.
    #[default]
    None,
    /// A pair of devices to a bridge of the host.
    Bridge(Bridge),
    /// A network stack of a process of the caller's. pasta(1)
    Pasta(Pasta),
}

/// A pair of devices to a bridge of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bridge {}

/// A network stack of a process of the caller's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pasta {}

/// Who answers for names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolver {
    /// Who is asked; none: those that the host asks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upstream: Vec<SocketAddr>,
}

impl Network {
    /// Whether there is nothing to be made.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Network::default()
    }

    /// Whether the helper stays as long as the container does.
    #[must_use]
    pub fn is_tended(&self) -> bool {
        self.resolver.is_some() || self.events
    }
}
