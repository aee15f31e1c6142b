//! The headers of a packet, which whoever sent it has written: each length is looked at before what it leads to. RFC 791,
//! RFC 8200.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IP protocols that begin with a port at either end: TCP, UDP, DCCP, SCTP, UDP-Lite.
const WITH_PORTS: [u8; 5] = [6, 17, 33, 132, 136];

/// ICMP and ICMPv6.
const ICMP: [u8; 2] = [1, 58];

/// Headers of IPv6 between its own and what it carries: options of hops, routing, options of the destination.
const OPTIONS: [u8; 3] = [0, 43, 60];

/// And those with lengths of their own: a fragment's, an authentication's.
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;

/// What is known of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Who sent it, as it says.
    pub source: IpAddr,
    /// Whom it is for.
    pub destination: IpAddr,
    /// What it carries: 6 TCP, 17 UDP, 1 ICMP, 58 ICMPv6.
    pub protocol: u8,
    /// Of the source and of the destination, where the protocol has them and the packet holds them.
    pub ports: Option<(u16, u16)>,
    /// Type and code of ICMP and ICMPv6, likewise.
    pub icmp: Option<(u8, u8)>,
    /// Its bytes, as it says itself.
    pub length: u32,
}

/// Reads the beginning of a packet; none if it is too short to have two addresses, or neither IPv4 nor IPv6.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<Packet> {
    match bytes.first()? >> 4 {
        4 => four(bytes),
        6 => six(bytes),
        _ => None,
    }
}

fn four(bytes: &[u8]) -> Option<Packet> {
    let header = bytes.first_chunk::<20>()?;
    let words = usize::from(header[0] & 0xf);
    let length = u16::from_be_bytes([header[2], header[3]]);
    // Only the first part of a packet has ports; offsets are of 13 bits.
    let first = u16::from_be_bytes([header[6], header[7]]) & 0x1fff == 0;
    let carried = bytes.get(words.max(5) * 4..).filter(|_| first);
    let protocol = header[9];
    Some(Packet {
        source: Ipv4Addr::new(header[12], header[13], header[14], header[15]).into(),
        destination: Ipv4Addr::new(header[16], header[17], header[18], header[19]).into(),
        protocol,
        ports: carried.and_then(|carried| ports(protocol, carried)),
        icmp: carried.and_then(|carried| icmp(protocol, carried)),
        length: length.into(),
    })
}

fn six(bytes: &[u8]) -> Option<Packet> {
    let header = bytes.first_chunk::<40>()?;
    let address = |at: usize| {
        let octets: [u8; 16] = header.get(at..at + 16)?.try_into().ok()?;
        Some(IpAddr::from(Ipv6Addr::from(octets)))
    };
    let length = u32::from(u16::from_be_bytes([header[4], header[5]])) + 40;
    let (protocol, carried) = behind_options(header[6], bytes.get(40..).unwrap_or_default());
    Some(Packet {
        source: address(8)?,
        destination: address(24)?,
        protocol,
        ports: carried.and_then(|carried| ports(protocol, carried)),
        icmp: carried.and_then(|carried| icmp(protocol, carried)),
        length,
    })
}

/// The protocol behind all options, and what it carries; no bytes where they are not all here, or of a later fragment.
fn behind_options(mut next: u8, mut rest: &[u8]) -> (u8, Option<&[u8]>) {
    // Each turn takes eight bytes at least, so it ends.
    loop {
        let counts = |by: usize, more: usize| rest.get(1).map(|count| (usize::from(*count) + more) * by);
        let length = match next {
            FRAGMENT => Some(8),
            AUTHENTICATION => counts(4, 2),
            _ if OPTIONS.contains(&next) => counts(8, 1),
            _ => return (next, Some(rest)),
        };
        let (Some(&kind), Some(behind)) = (rest.first(), length.and_then(|length| rest.get(length..))) else {
            return (next, None);
        };
        // Of an offset, 13 bits, that is not zero.
        let later = next == FRAGMENT && rest.get(2..4).is_none_or(|bytes| bytes[0] != 0 || bytes[1] & 0xf8 != 0);
        if later {
            return (kind, None);
        }
        (next, rest) = (kind, behind);
    }
}

fn ports(protocol: u8, carried: &[u8]) -> Option<(u16, u16)> {
    let &[a, b, c, d] = carried.first_chunk::<4>().filter(|_| WITH_PORTS.contains(&protocol))?;
    Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
}

fn icmp(protocol: u8, carried: &[u8]) -> Option<(u8, u8)> {
    let &[kind, code] = carried.first_chunk::<2>().filter(|_| ICMP.contains(&protocol))?;
    Some((kind, code))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fifteen bytes of zeroes and a last one.
    fn end(last: u8) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[15] = last;
        bytes
    }

    fn over_six(next: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&[0x60, 0, 0, 0][..], &length, &[next, 64], &end(1), &end(2), rest].concat()
    }

    fn over_four(words: u8, offset: u8, protocol: u8, rest: &[u8]) -> Vec<u8> {
        [&[0x40 | words, 0, 0, 60, 0, 0, 0, offset, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2], rest].concat()
    }

    #[test]
    fn ports_and_types_are_found() {
        let carried = [0, 80, 1, 187, 9, 9];
        for (bytes, protocol, ports, icmp) in [
            (over_four(5, 0, 6, &carried), 6, Some((80, 443)), None),
            (over_four(6, 0, 17, &[&[1, 1, 1, 1], &carried[..]].concat()), 17, Some((80, 443)), None),
            (over_four(5, 0, 1, &[8, 0]), 1, None, Some((8, 0))),
            // A later part, a header of fewer words than the least, too few bytes, a protocol with neither.
            (over_four(5, 1, 6, &carried), 6, None, None),
            (over_four(1, 0, 6, &carried), 6, Some((80, 443)), None),
            (over_four(15, 0, 6, &carried), 6, None, None),
            (over_four(5, 0, 6, &carried[..3]), 6, None, None),
            (over_four(5, 0, 47, &carried), 47, None, None),
        ] {
            let packet = read(&bytes).unwrap();
            assert_eq!((packet.protocol, packet.ports, packet.icmp), (protocol, ports, icmp), "{bytes:?}");
            assert_eq!((packet.source, packet.length), ("10.0.0.1".parse().unwrap(), 60));
            assert_eq!(packet.destination, "10.0.0.2".parse::<IpAddr>().unwrap());
        }
    }

    #[test]
    fn options_of_ipv6_are_passed_by() {
        let carried = [0, 80, 1, 187];
        let behind = |header: &[u8]| [header, &carried].concat();
        let options = [17, 0, 0, 0, 0, 0, 0, 0];
        for (next, rest, protocol, ports) in [
            (17, behind(&[]), 17, Some((80, 443))),
            (0, behind(&options), 17, Some((80, 443))),
            (60, behind(&[43, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0]), 17, Some((80, 443))),
            (51, behind(&[6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), 6, Some((80, 443))),
            (44, behind(&[6, 0, 0, 1, 0, 0, 0, 0]), 6, Some((80, 443))),
            (44, behind(&[6, 0, 0, 9, 0, 0, 0, 0]), 6, None),
            // Options that are longer than the packet, and those that lead to themselves.
            (0, behind(&[17, 255, 0, 0, 0, 0, 0, 0]), 0, None),
            (0, vec![0; 100], 0, None),
            (0, vec![], 0, None),
        ] {
            let packet = read(&over_six(next, &rest)).unwrap();
            assert_eq!((packet.protocol, packet.ports), (protocol, ports), "{next} {rest:?}");
            assert_eq!((packet.source, packet.destination), ("::1".parse().unwrap(), "::2".parse().unwrap()));
        }
        assert_eq!(read(&over_six(58, &[135, 0])).unwrap().icmp, Some((135, 0)));
    }

    #[test]
    fn what_is_no_packet_is_none() {
        for bytes in [&[][..], &[0x45; 19], &[0x60; 39], &[0x50; 60], &[0; 60]] {
            assert_eq!(read(bytes), None);
        }
    }
}
