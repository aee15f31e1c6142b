//! Socket addresses, as programs have them in memory.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// The longest address that the kernel takes: `struct sockaddr_storage`.
pub const LONGEST: usize = 128;

/// An address whose path is not looked up yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Raw {
    Inet(SocketAddr),
    /// As the program wrote it.
    Path(Vec<u8>),
    Abstract(Vec<u8>),
    Other(u16),
}

/// Reads one. None if it is too short for its family.
pub fn parse(bytes: &[u8]) -> Option<Raw> {
    let (family, rest) = bytes.split_first_chunk::<2>()?;
    let family = u16::from_ne_bytes(*family);
    match i32::from(family) {
        libc::AF_INET => {
            let (port, rest) = rest.split_first_chunk::<2>()?;
            let (address, _) = rest.split_first_chunk::<4>()?;
            Some(Raw::Inet(SocketAddr::from((Ipv4Addr::from(*address), u16::from_be_bytes(*port)))))
        }
        libc::AF_INET6 => {
            let (port, rest) = rest.split_first_chunk::<2>()?;
            let (_flow, rest) = rest.split_first_chunk::<4>()?;
            let (address, rest) = rest.split_first_chunk::<16>()?;
            let scope = rest.split_first_chunk::<4>().map_or(0, |(scope, _)| u32::from_ne_bytes(*scope));
            let port = u16::from_be_bytes(*port);
            Some(Raw::Inet(SocketAddrV6::new(Ipv6Addr::from(*address), port, 0, scope).into()))
        }
        libc::AF_UNIX => Some(match rest.split_first() {
            Some((0, name)) => Raw::Abstract(name.to_vec()),
            _ => Raw::Path(rest.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()),
        }),
        _ => Some(Raw::Other(family)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_family(family: i32, rest: &[u8]) -> Vec<u8> {
        [&u16::try_from(family).expect("a family").to_ne_bytes(), rest].concat()
    }

    #[test]
    fn addresses_are_read() {
        let inet = with_family(libc::AF_INET, &[0x1f, 0x90, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(parse(&inet), Some(Raw::Inet("127.0.0.1:8080".parse().expect("an address"))));
        assert_eq!(parse(&inet[..6]), None);
        assert_eq!(parse(&with_family(libc::AF_UNIX, b"/run/x\0junk")), Some(Raw::Path(b"/run/x".to_vec())));
        assert_eq!(parse(&with_family(libc::AF_UNIX, b"\0name")), Some(Raw::Abstract(b"name".to_vec())));
        assert_eq!(parse(&with_family(libc::AF_NETLINK, &[])), Some(Raw::Other(16)));
        assert_eq!(parse(&[1]), None);
    }
}
