//! What the bytes of an address mean, as the kernel's protocols read them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a call does with an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// connect(2).
    Connect,
    /// bind(2).
    Bind,
    /// sendto(2) and its relatives.
    Send,
}

/// An address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address<'a> {
    /// AF_INET, AF_INET6, and AF_UNSPEC where that is read as AF_INET.
    Internet(IpAddr, u16),
    /// AF_UNIX, the name of a file.
    Path(&'a [u8]),
    /// AF_UNIX, without the leading NUL.
    Abstract(&'a [u8]),
    /// AF_UNIX without a name: the kernel chooses one, or refuses.
    Unnamed,
    /// AF_NETLINK: what can be reached was decided when the socket was made.
    Netlink,
    /// None: connect(2) to AF_UNSPEC dissolves, and no bytes are no address.
    Nothing,
    /// Another family.
    Foreign,
    /// Fewer bytes than its family's have.
    Short,
}

/// sa_family_t.
const FAMILY: usize = 2;
/// `struct sockaddr_in`.
const INET: usize = 16;
/// `struct sockaddr_in6` without its scope (SIN6_LEN_RFC2133), which the kernel takes too.
const INET6: usize = 24;
/// `struct sockaddr_un`.
const UNIX: usize = 110;

/// Understands an address.
#[must_use]
pub fn parse(bytes: &[u8], way: Way) -> Address<'_> {
    let family = match bytes {
        [] => return Address::Nothing,
        [first, second, ..] => i32::from(u16::from_ne_bytes([*first, *second])),
        [_] => return Address::Short,
    };
    match family {
        // Only connect(2) takes AF_UNSPEC for nothing. UDP sends to it, and bind(2) binds it, as if it were AF_INET.
        libc::AF_UNSPEC if way == Way::Connect || bytes.len() < INET => Address::Nothing,
        libc::AF_UNSPEC | libc::AF_INET => match (bytes.get(2..4), bytes.get(4..8)) {
            (Some(port), Some(address)) if bytes.len() >= INET => {
                let address: [u8; 4] = address.try_into().unwrap_or_default();
                Address::Internet(Ipv4Addr::from(address).into(), number(port))
            }
            _ => Address::Short,
        },
        libc::AF_INET6 => match (bytes.get(2..4), bytes.get(8..INET6)) {
            (Some(port), Some(address)) => {
                let address: [u8; 16] = address.try_into().unwrap_or_default();
                Address::Internet(Ipv6Addr::from(address).into(), number(port))
            }
            _ => Address::Short,
        },
        libc::AF_UNIX => match bytes.get(FAMILY..) {
            None | Some([]) => Address::Unnamed,
            Some(_) if bytes.len() > UNIX => Address::Short,
            Some([0, name @ ..]) => Address::Abstract(name),
            Some(path) => Address::Path(path.split(|byte| *byte == 0).next().unwrap_or_default()),
        },
        libc::AF_NETLINK => Address::Netlink,
        _ => Address::Foreign,
    }
}

fn number(port: &[u8]) -> u16 {
    port.try_into().map_or(0, u16::from_be_bytes)
}

/// Says in the bytes what the kernel would do with a destination of all zeroes: it goes to this machine itself
/// (ip_route_output_key, tcp_v6_connect), and would go around a rule about 127.0.0.0/8.
pub fn name_loopback(bytes: &mut [u8], way: Way) {
    let Address::Internet(address, _) = parse(bytes, way) else { return };
    let last = match address {
        IpAddr::V4(four) if four.is_unspecified() => {
            if let Some(place) = bytes.get_mut(4..8) {
                place.copy_from_slice(&Ipv4Addr::LOCALHOST.octets());
            }
            return;
        }
        IpAddr::V6(six) if six.is_unspecified() => Ipv6Addr::LOCALHOST,
        IpAddr::V6(six) if six.to_ipv4_mapped() == Some(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.to_ipv6_mapped(),
        _ => return,
    };
    if let Some(place) = bytes.get_mut(8..INET6) {
        place.copy_from_slice(&last.octets());
    }
}

/// The same address, at another path.
#[must_use]
pub fn of_path(path: &[u8]) -> Vec<u8> {
    [&(libc::AF_UNIX as u16).to_ne_bytes(), path, &[0]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inet(family: i32, address: [u8; 4]) -> Vec<u8> {
        [&(family as u16).to_ne_bytes()[..], &[0, 80], &address, &[0; 8]].concat()
    }

    fn inet6(address: &str) -> Vec<u8> {
        let address: Ipv6Addr = address.parse().unwrap();
        [&(libc::AF_INET6 as u16).to_ne_bytes()[..], &[0, 80, 0, 0, 0, 0], &address.octets(), &[0; 4]].concat()
    }

    #[test]
    fn unspecified_is_ipv4_but_for_connect() {
        let bytes = inet(libc::AF_UNSPEC, [10, 0, 0, 1]);
        let four = Address::Internet("10.0.0.1".parse().unwrap(), 80);
        assert_eq!(parse(&bytes, Way::Connect), Address::Nothing);
        assert_eq!([parse(&bytes, Way::Send), parse(&bytes, Way::Bind)], [four; 2]);
        assert_eq!(parse(&bytes[..15], Way::Send), Address::Nothing);
        assert_eq!(parse(&inet(libc::AF_INET, [10, 0, 0, 1]), Way::Connect), four);
        assert_eq!(parse(&inet(libc::AF_INET, [10, 0, 0, 1])[..15], Way::Connect), Address::Short);
        assert_eq!(parse(&inet6("::2")[..24], Way::Connect), Address::Internet("::2".parse().unwrap(), 80));
        assert_eq!(parse(&inet6("::2")[..23], Way::Connect), Address::Short);
    }

    #[test]
    fn names_of_unix_sockets() {
        let unix = |name: &[u8]| [&(libc::AF_UNIX as u16).to_ne_bytes()[..], name].concat();
        assert_eq!(parse(&unix(b""), Way::Bind), Address::Unnamed);
        assert_eq!(parse(&unix(b"/a\0/b"), Way::Connect), Address::Path(b"/a"));
        assert_eq!(parse(&unix(&[b'x'; 108]), Way::Connect), Address::Path(&[b'x'; 108]));
        assert_eq!(parse(&unix(&[b'x'; 109]), Way::Connect), Address::Short);
        assert_eq!(parse(&unix(b"\0a\0"), Way::Connect), Address::Abstract(b"a\0"));
        assert_eq!(parse(&of_path(b"/a"), Way::Connect), Address::Path(b"/a"));
        assert_eq!([parse(&[], Way::Send), parse(&[1], Way::Send)], [Address::Nothing, Address::Short]);
        assert_eq!(parse(&[17, 0, 0, 0], Way::Send), Address::Foreign);
    }

    #[test]
    fn a_destination_of_zeroes_is_this_machine() {
        for (mut bytes, means) in [
            (inet(libc::AF_INET, [0; 4]), "127.0.0.1"),
            (inet6("::"), "::1"),
            (inet6("::ffff:0.0.0.0"), "::ffff:127.0.0.1"),
            (inet6("::3"), "::3"),
        ] {
            name_loopback(&mut bytes, Way::Connect);
            assert_eq!(parse(&bytes, Way::Connect), Address::Internet(means.parse().unwrap(), 80));
        }
    }
}
