//! Who may be spoken to, in one word of a profile: `10.0.0.0/8`, `tcp/10.0.0.1:5432`, `[fd00::/8]:8000-8099`, `icmp/::/0`.

use super::{Network, Ports};
use crate::policy::Protocol;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Addresses, and what there is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Peers {
    /// The addresses.
    pub network: Network,
    /// Only this; none is every protocol, and TCP or UDP beside ports.
    pub protocol: Option<Protocol>,
    /// Only these; none is every port. ICMP has none.
    pub ports: Option<Ports>,
}

impl Peers {
    /// Whether it is about addresses alone.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.protocol.is_none() && self.ports.is_none()
    }

    /// Whether all that another is about is its own, too.
    #[must_use]
    pub fn covers(&self, other: &Peers) -> bool {
        let ports = |mine: Ports| {
            other.ports.is_some_and(|theirs| mine.first() <= theirs.first() && theirs.last() <= mine.last())
        };
        self.network.covers(&other.network)
            && self.protocol.is_none_or(|mine| other.protocol == Some(mine))
            && self.ports.is_none_or(ports)
    }

    /// What both are about, if there is anything.
    #[must_use]
    pub fn common(&self, other: &Peers) -> Option<Peers> {
        let network = match (self.network.covers(&other.network), other.network.covers(&self.network)) {
            (true, _) => other.network,
            (_, true) => self.network,
            _ => return None,
        };
        let protocol = match (self.protocol, other.protocol) {
            (Some(one), Some(other)) if one != other => return None,
            (one, other) => one.or(other),
        };
        let ports = match (self.ports, other.ports) {
            (Some(one), Some(other)) => {
                Some(Ports::between(one.first().max(other.first()), one.last().min(other.last()))?)
            }
            (one, other) => one.or(other),
        };
        let silent = protocol == Some(Protocol::Icmp) && ports.is_some();
        (!silent).then_some(Peers { network, protocol, ports })
    }
}

impl TryFrom<String> for Peers {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (protocol, rest) = match text.split_once('/') {
            Some(("tcp", rest)) => (Some(Protocol::Tcp), rest),
            Some(("udp", rest)) => (Some(Protocol::Udp), rest),
            Some(("icmp", rest)) => (Some(Protocol::Icmp), rest),
            _ => (None, text.as_str()),
        };
        let (network, ports) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((network, "")) => (network, None),
            Some((network, after)) => {
                let ports =
                    after.strip_prefix(':').ok_or_else(|| format!("{text:?}: :PORT is missing behind the bracket"))?;
                (network, Some(ports))
            }
            // With more than one colon it is IPv6, whose ports stand behind a bracket.
            None if rest.matches(':').count() == 1 => {
                rest.split_once(':').map_or((rest, None), |(network, ports)| (network, Some(ports)))
            }
            None => (rest, None),
        };
        let network = Network::try_from(network.to_owned())?;
        let ports = ports.map(|ports| Ports::try_from(ports.to_owned())).transpose()?;
        if ports.is_some_and(|ports| ports.first() == 0) {
            return Err(format!("{text:?}: there is no port 0"));
        }
        if protocol == Some(Protocol::Icmp) && ports.is_some() {
            return Err(format!("{text:?}: ICMP has no ports"));
        }
        Ok(Peers { network, protocol, ports })
    }
}

impl fmt::Display for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol {
            Some(Protocol::Tcp) => write!(f, "tcp/")?,
            Some(Protocol::Udp) => write!(f, "udp/")?,
            Some(Protocol::Icmp) => write!(f, "icmp/")?,
            None => {}
        }
        match (self.ports, self.network.address().is_ipv6()) {
            (None, _) => write!(f, "{}", self.network),
            (Some(ports), true) => write!(f, "[{}]:{}", self.network, String::from(ports)),
            (Some(ports), false) => write!(f, "{}:{}", self.network, String::from(ports)),
        }
    }
}

impl From<Peers> for String {
    fn from(peers: Peers) -> String {
        peers.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Peers, String> {
        text.to_owned().try_into()
    }

    #[test]
    fn what_is_read_is_written_again() {
        for (text, written) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.0.0.0/8:443", "10.0.0.0/8:443"),
            ("10.0.0.0/8:8000-8099", "10.0.0.0/8:8000-8099"),
            ("[fd00::/8]:443", "[fd00::/8]:443"),
            ("[fd00::/8]", "fd00::/8"),
            ("fd00::1", "fd00::1/128"),
            ("tcp/10.0.0.1:5432", "tcp/10.0.0.1/32:5432"),
            ("udp/[::]:53", "udp/[::/128]:53"),
            ("icmp/10.0.0.0/8", "icmp/10.0.0.0/8"),
            ("icmp/::/0", "icmp/::/0"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ] {
            let peers = read(text).unwrap();
            assert_eq!(peers.to_string(), written);
            assert_eq!(read(written).unwrap(), peers);
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for text in [
            "",
            "tcp/",
            "sctp/10.0.0.0/8",
            "10.0.0.0/8:",
            "10.0.0.0/8:0",
            "10.0.0.0/8:80-",
            "[fd00::/8",
            "[fd00::/8]443",
            "[fd00::/8]:",
            "icmp/10.0.0.0/8:80",
            "10.0.0.1/8:80",
            "TCP/10.0.0.1",
            "fd00::/8:443:1",
            "10.0.0.0/8:99999",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn common_is_what_both_are_about() {
        for (one, other, both) in [
            ("10.0.0.0/8", "10.1.0.0/16:443", Some("10.1.0.0/16:443")),
            ("tcp/10.0.0.0/8", "0.0.0.0/0:1-100", Some("tcp/10.0.0.0/8:1-100")),
            ("tcp/10.0.0.0/8", "udp/10.0.0.0/8", None),
            ("10.0.0.0/8:1-10", "10.0.0.0/8:10-20", Some("10.0.0.0/8:10")),
            ("10.0.0.0/8:1-9", "10.0.0.0/8:10-20", None),
            ("icmp/10.0.0.0/8", "10.0.0.0/8:80", None),
            ("10.0.0.0/8", "11.0.0.0/8", None),
            ("0.0.0.0/0", "::/0", None),
        ] {
            let (one, other) = (read(one).unwrap(), read(other).unwrap());
            assert_eq!(one.common(&other).map(|both| both.to_string()).as_deref(), both);
            assert_eq!(other.common(&one), one.common(&other));
            if let Some(both) = one.common(&other) {
                assert!(one.covers(&both) && other.covers(&both));
            }
        }
        assert!(!read("tcp/10.0.0.0/8").unwrap().covers(&read("10.0.0.0/8").unwrap()));
        assert!(!read("10.0.0.0/8:1-9").unwrap().covers(&read("10.0.0.0/8").unwrap()));
    }
}
