//! Ports of the host that are published: whether they are free, and kept so.
//!
//! Packets for a port that is published from the bridge never reach a socket of the host. One is bound there all the same, as
//! long as the sandbox runs: neither another sandbox nor a program of the host can then have the port without being told.

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, SockaddrIn6, SockaddrLike, bind, listen, setsockopt, socket, sockopt,
};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, OwnedFd};
use zviz_network::policy::{Published, Transport};

/// A port cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("-p {port}: {why}")]
pub struct Taken {
    /// As it was asked for.
    pub port: String,
    /// Who has it, or what else is in the way.
    pub why: String,
}

/// Takes the ports, and keeps them until what comes back is dropped.
///
/// # Errors
/// The first that cannot be had.
pub(super) fn hold(ports: &[Published]) -> Result<Vec<OwnedFd>, Taken> {
    let mut held = Vec::new();
    for port in ports {
        held.extend(each(port, |at| bound(port.transport, at, false))?);
    }
    Ok(held)
}

/// Whether another program of the caller's could listen at the ports.
///
/// # Errors
/// The first where it could not.
pub(super) fn free(ports: &[Published]) -> Result<(), Taken> {
    for port in ports {
        each(port, |at| bound(port.transport, at, true))?;
    }
    Ok(())
}

fn each(port: &Published, open: impl Fn(SocketAddr) -> Result<OwnedFd, Errno>) -> Result<Vec<OwnedFd>, Taken> {
    let everywhere = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    let addresses = port.address.map_or(everywhere.to_vec(), |address| vec![address]);
    let mut held = Vec::new();
    for address in addresses {
        match open(SocketAddr::new(address, port.outside)) {
            Ok(socket) => held.push(socket),
            // A host without IPv6.
            Err(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL) if port.address.is_none() => {}
            Err(errno) => return Err(Taken { port: port.to_string(), why: why(port, errno) }),
        }
    }
    Ok(held)
}

/// A socket with this address. `listens`: for a moment, whatever connections of a former one are still ending there.
fn bound(transport: Transport, at: SocketAddr, listens: bool) -> Result<OwnedFd, Errno> {
    let family = if at.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let kind = if transport == Transport::Tcp { SockType::Stream } else { SockType::Datagram };
    let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?;
    let is_tcp = transport == Transport::Tcp;
    if is_tcp && listens {
        setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    }
    let address: Box<dyn SockaddrLike> = match at {
        SocketAddr::V4(at) => Box::new(SockaddrIn::from(SocketAddrV4::new(*at.ip(), at.port()))),
        SocketAddr::V6(at) => {
            setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
            Box::new(SockaddrIn6::from(SocketAddrV6::new(*at.ip(), at.port(), 0, 0)))
        }
    };
    bind(socket.as_raw_fd(), &*address)?;
    if is_tcp && listens {
        listen(&socket, nix::sys::socket::Backlog::new(1)?)?;
    }
    Ok(socket)
}

fn why(port: &Published, errno: Errno) -> String {
    match errno {
        Errno::EADDRINUSE => match holder(port) {
            Some(name) => format!("port {} of this host is in use by {name}", port.outside),
            None => format!(
                "port {} of this host is in use, or connections of one who had it are still ending (a minute at most)",
                port.outside
            ),
        },
        Errno::EACCES => {
            let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
            let first = first.trim();
            format!("ports below {first} are root's (net.ipv4.ip_unprivileged_port_start): take a higher one")
        }
        Errno::EADDRNOTAVAIL => "this host has no such address".into(),
        other => format!("port {} of this host: {}", port.outside, other.desc().to_lowercase()),
    }
}

/// Who has a port, as far as the caller may see it: looked for only to be said.
fn holder(port: &Published) -> Option<String> {
    let files = match port.transport {
        Transport::Tcp => ["tcp", "tcp6"],
        Transport::Udp => ["udp", "udp6"],
    };
    let tables = files.map(|file| fs::read_to_string(format!("/proc/self/net/{file}")).unwrap_or_default());
    let inodes: Vec<String> =
        tables.iter().flat_map(|table| table.lines().filter_map(|line| inode(line, port.outside))).collect();
    let links: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let name = process.file_name();
        let Some(pid) = name.to_str().filter(|name| name.bytes().all(|b| b.is_ascii_digit())) else { continue };
        let open = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        let mut targets = open.filter_map(|fd| fs::read_link(fd.path()).ok());
        if targets.any(|target| links.iter().any(|link| target.as_os_str() == link.as_str())) {
            let command = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (pid {pid})", command.trim()));
        }
    }
    None
}

/// The inode of a line of /proc/net/tcp that is about this local port and no finished connection. proc_pid_net(5).
fn inode(line: &str, port: u16) -> Option<String> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (_, local) = fields.get(1)?.rsplit_once(':')?;
    let inode = fields.get(9)?;
    (u16::from_str_radix(local, 16) == Ok(port) && *inode != "0").then(|| (*inode).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};

    fn port(address: &str, outside: u16, transport: Transport) -> Published {
        let address = (!address.is_empty()).then(|| address.parse().unwrap());
        Published { address, outside, inside: 80, transport }
    }

    #[test]
    fn a_port_in_use_is_refused_with_its_holder() {
        let own = format!("(pid {})", std::process::id());
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let number = tcp.local_addr().unwrap().port();
        for at in ["127.0.0.1", ""] {
            let asked = [port(at, number, Transport::Tcp)];
            let error = hold(&asked).unwrap_err().to_string();
            assert!(error.contains(&own) && error.contains("is in use by"), "{error}");
            assert!(free(&asked).is_err());
        }
        hold(&[port("127.0.0.1", number, Transport::Udp)]).unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let number = udp.local_addr().unwrap().port();
        assert!(hold(&[port("", number, Transport::Udp)]).unwrap_err().to_string().contains(&own));
    }

    #[test]
    fn what_is_held_is_nobody_elses() {
        let number = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let asked = [port("", number, Transport::Tcp), port("127.0.0.1", number, Transport::Udp)];
        let held = hold(&asked).unwrap();
        assert!(hold(&asked).is_err() && free(&asked).is_err());
        assert!(TcpListener::bind(("127.0.0.1", number)).is_err());
        drop(held);
        free(&asked).unwrap();
        drop(hold(&asked).unwrap());
    }

    #[test]
    fn an_address_of_somebody_else_is_said() {
        let error = hold(&[port("192.0.2.77", 8080, Transport::Tcp)]).unwrap_err().to_string();
        assert_eq!(error, "-p 192.0.2.77:8080:80/tcp: this host has no such address");
    }
}
