//! Addresses that no answer may lead to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use zviz_network::address::Network;

/// Whether an answer with this address is one that would lead a program back into this host or the networks around it:
/// rebinding. An IPv6 address that stands for an IPv4 one is judged as that, too.
pub(crate) fn guarded(address: IpAddr, networks: &[Network]) -> bool {
    let within = |address: IpAddr| networks.iter().any(|network| network.contains(address));
    match address {
        IpAddr::V4(four) => never(four) || within(address),
        // A mapped address is never in the DNS for a good reason: RFC 4038, section 4.2, has it made by the sockets' layer.
        IpAddr::V6(six) if six.to_ipv4_mapped().is_some() => true,
        IpAddr::V6(six) if six.is_unspecified() || six.is_loopback() || six.is_multicast() => true,
        IpAddr::V6(six) => {
            within(address) || stands_for(six).into_iter().flatten().any(|four| never(four) || within(four.into()))
        }
    }
}

/// Addresses that no host has for others.
fn never(four: Ipv4Addr) -> bool {
    four.is_unspecified() || four.is_loopback() || four.is_multicast() || four.is_broadcast()
}

/// The IPv4 addresses that are reached by way of an IPv6 one: NAT64 (RFC 6052), 6to4 (RFC 3056), Teredo's server and client
/// (RFC 4380, the latter inverted), and the old form `::a.b.c.d` (RFC 4291, section 2.5.5.1).
fn stands_for(six: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let [a, b, c, d, e, f, g, h] = six.segments();
    let four = |high: u16, low: u16| Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match (a, b) {
        (0x64, 0xff9b) => [four(g, h), None],
        (0x2002, _) => [four(b, c), None],
        (0x2001, 0) => [four(c, d), four(!g, !h)],
        (0, 0) if [c, d, e, f] == [0; 4] => [four(g, h), None],
        _ => [None, None],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_in_every_spelling() {
        let networks: Vec<Network> = ["10.0.0.0/8", "169.254.0.0/16", "fc00::/7", "203.0.113.0/24"]
            .map(|text| text.to_owned().try_into().unwrap())
            .to_vec();
        for (text, is) in [
            ("10.1.2.3", true),
            ("169.254.169.254", true),
            ("203.0.113.9", true),
            ("93.184.216.34", false),
            ("127.0.0.1", true),
            ("0.0.0.0", true),
            ("255.255.255.255", true),
            ("224.0.0.251", true),
            ("::1", true),
            ("::", true),
            ("ff02::fb", true),
            ("fd00::1", true),
            ("2606:4700::1", false),
            ("::ffff:10.1.2.3", true),
            ("::ffff:93.184.216.34", true),
            ("64:ff9b::10.1.2.3", true),
            ("64:ff9b::93.184.216.34", false),
            ("64:ff9b:1::10.1.2.3", true),
            ("2002:a01:203::1", true),
            ("2002:5db8:d822::1", false),
            ("2001:0:a01:203::1", true),
            ("2001:0:5db8:d822:0:0:f5fe:fdfc", true),
            ("::10.1.2.3", true),
            ("::127.0.0.1", true),
        ] {
            assert_eq!(guarded(text.parse().unwrap(), &networks), is, "{text}");
        }
        assert!(!guarded("10.1.2.3".parse().unwrap(), &[]));
    }
}
