//! Ranges of internet addresses and of ports, as a profile writes them. What is wrong with one is said where the profile is
//! read, so that none that is wrong exists.

mod peers;

pub use peers::Peers;

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses with a common prefix: `10.0.0.0/8`, `fd00::/8`, or one address alone. One that is IPv4 in the clothes of
/// IPv6 (`::ffff:0:0/96`) is IPv4: no rule can be gone around by the other spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// Ports from the first to the last: `443`, `8000-8100`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ports {
    first: u16,
    last: u16,
}

/// How many bits of an IPv6 address say that the rest is an IPv4 one.
const MAPPED: u8 = 96;

impl Network {
    /// Its first address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// How many bits its addresses have in common.
    #[must_use]
    pub fn bits(&self) -> u8 {
        self.bits
    }

    /// The one of fewer bits that it lies in; itself, if it has no more than these.
    #[must_use]
    pub fn widened(&self, bits: u8) -> Network {
        let bits = bits.min(self.bits);
        let address = match self.address {
            IpAddr::V4(four) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(four.to_bits() & mask))
            }
            IpAddr::V6(six) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() & mask))
            }
        };
        Network { address, bits }
    }

    /// Whether all addresses of another are its own, too.
    #[must_use]
    pub fn covers(&self, other: &Network) -> bool {
        self.bits <= other.bits && self.contains(other.address)
    }

    /// Whether an address is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                network.to_bits() == address.to_bits() & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                network.to_bits() == address.to_bits() & mask
            }
            _ => false,
        }
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (address, bits) = text.split_once('/').map_or((text.as_str(), None), |(a, b)| (a, Some(b)));
        let given: IpAddr = address.parse().map_err(|_| format!("{text:?} is no address, and no address/bits"))?;
        let most = if given.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            // Only digits: parse would take a sign.
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => {
                bits.parse().ok().filter(|bits| *bits <= most).ok_or(format!("{text:?}: at most {most} bits"))?
            }
            Some(_) => return Err(format!("{text:?}: at most {most} bits")),
        };
        let network = match given {
            IpAddr::V6(six) if six.to_ipv4_mapped().is_some() && bits >= MAPPED => {
                Network { address: given.to_canonical(), bits: bits - MAPPED }
            }
            _ => Network { address: given, bits },
        };
        // A mapped address compares as IPv4, which `contains` would never say of a wider network of IPv6.
        let whole = match network.address {
            IpAddr::V4(four) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(network.bits)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(four.to_bits() & mask))
            }
            IpAddr::V6(six) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(network.bits)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() & mask))
            }
        };
        if whole != network.address {
            return Err(format!("{text:?} has bits behind its prefix: is {whole}/{} meant?", network.bits));
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Network {
        let address = address.to_canonical();
        Network { address, bits: if address.is_ipv4() { 32 } else { 128 } }
    }
}

impl From<Network> for String {
    fn from(network: Network) -> String {
        network.to_string()
    }
}

impl Ports {
    /// One port.
    #[must_use]
    pub fn one(port: u16) -> Ports {
        Ports { first: port, last: port }
    }

    /// From the first to the last; none if the first is above it.
    #[must_use]
    pub fn between(first: u16, last: u16) -> Option<Ports> {
        (first <= last).then_some(Ports { first, last })
    }

    /// The first of them.
    #[must_use]
    pub fn first(&self) -> u16 {
        self.first
    }

    /// The last of them.
    #[must_use]
    pub fn last(&self) -> u16 {
        self.last
    }

    /// Whether a port is one of them.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }
}

impl TryFrom<String> for Ports {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((&text, &text));
        let port = |digits: &str| {
            let digits = Some(digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
            digits.and_then(|digits| digits.parse().ok()).ok_or(format!("{text:?} is no port, and no first-last"))
        };
        let (first, last) = (port(first)?, port(last)?);
        if first > last {
            return Err(format!("{text:?}: the first port is above the last"));
        }
        Ok(Ports { first, last })
    }
}

impl From<Ports> for String {
    fn from(ports: Ports) -> String {
        if ports.first == ports.last { ports.first.to_string() } else { format!("{}-{}", ports.first, ports.last) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Result<Network, String> {
        text.to_owned().try_into()
    }

    #[test]
    fn a_network_contains_its_addresses_in_either_spelling() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.1.2", "11.0.0.0"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::ffff:11.1.2.3"),
            ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
            ("0.0.0.0/0", "::ffff:1.2.3.4", "::1"),
            ("::/0", "2001:db8::1", "1.2.3.4"),
            ("::/0", "::2", "::ffff:1.2.3.4"),
            ("::ffff:10.0.0.0/104", "10.9.9.9", "11.0.0.1"),
            ("fd00::/8", "fdff::1", "fe00::1"),
            ("::1", "::1", "::2"),
        ] {
            let network = network(text).unwrap();
            assert!(network.contains(inside.parse().unwrap()), "{text} {inside}");
            assert!(!network.contains(outside.parse().unwrap()), "{text} {outside}");
        }
    }

    #[test]
    fn a_network_covers_its_parts() {
        for (wide, part, covers) in [
            ("10.0.0.0/8", "10.1.0.0/16", true),
            ("10.0.0.0/8", "10.0.0.0/8", true),
            ("10.1.0.0/16", "10.0.0.0/8", false),
            ("0.0.0.0/0", "::/0", false),
            ("::/0", "fd00::/8", true),
            ("10.0.0.0/8", "::ffff:10.2.0.0/112", true),
        ] {
            assert_eq!(network(wide).unwrap().covers(&network(part).unwrap()), covers, "{wide} {part}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for text in
            ["", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/", "10.0.0", "::/129", "fd00::1/8", "a.b"]
        {
            assert!(network(text).is_err(), "{text}");
        }
        for text in ["", "-", "1-", "2-1", "65536", "+1", "1-2-3", "http"] {
            assert!(Ports::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_read_is_written_again() {
        for text in ["\"10.0.0.0/8\"", "\"::/0\"", "\"fd00::/8\"", "\"0.0.0.0/0\""] {
            let network: Network = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&network).unwrap(), text);
        }
        for text in ["\"0-65535\"", "\"443\""] {
            let ports: Ports = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&ports).unwrap(), text);
        }
        assert!(serde_json::from_str::<Ports>("443").is_err());
    }
}
