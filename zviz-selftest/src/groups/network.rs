//! Kinds of sockets, their options, interfaces, and whom the host's network reaches.

use crate::bait::Bait;
use crate::outcome::{Outcome, done, done_io, made};
use crate::probe::Control::{Host, Root, User};
use crate::probe::{Probe, probe};
use libc::{AF_INET, AF_INET6, AF_NETLINK, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET, SOCK_STREAM, SOL_SOCKET};
use nix::errno::Errno;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixStream};
use std::time::Duration;
use zviz_sys::probe::Arg::{Bytes, Fd, Int};
use zviz_sys::probe::call;

#[rustfmt::skip]
pub const PROBES: &[Probe] = &[
    probe("netlink-netfilter", "the packet filter's tables", "CVE-2024-1086, netlink(7)", Root, |_| socket(AF_NETLINK, SOCK_RAW, 12)),
    probe("netlink-xfrm", "transformations of packets", "CVE-2017-16939, netlink(7)", Root, |_| socket(AF_NETLINK, SOCK_RAW, 6)),
    probe("netlink-audit", "the audit log", "netlink(7)", Root, |_| socket(AF_NETLINK, SOCK_RAW, 9)),
    probe("netlink-uevent", "events of devices", "netlink(7)", User, |_| socket(AF_NETLINK, SOCK_RAW, 15)),
    probe("netlink-generic", "families of modules", "netlink(7), Documentation/userspace-api/netlink/intro.rst", User, |_| socket(AF_NETLINK, SOCK_RAW, 16)),
    probe("netlink-diag", "sockets of the machine", "CVE-2013-1763, sock_diag(7)", User, |_| socket(AF_NETLINK, SOCK_RAW, 4)),
    probe("netlink-crypto", "ciphers of the kernel", "CVE-2018-19854, netlink(7)", User, |_| socket(AF_NETLINK, SOCK_RAW, 21)),
    probe("packet-raw", "whatever passes by on a network", "CVE-2020-14386, packet(7)", Root, |_| socket(17, SOCK_RAW, 0)),
    probe("packet-datagram", "packets without their link's header", "CVE-2016-8655, packet(7)", Root, |_| socket(17, SOCK_DGRAM, 0)),
    probe("raw-ipv4", "packets with any header", "raw(7)", Root, |_| socket(AF_INET, SOCK_RAW, 1)),
    probe("raw-ipv6", "packets of version 6 with any header", "raw(7)", Root, |_| socket(AF_INET6, SOCK_RAW, 58)),
    probe("alg", "the kernel's ciphers, which write to the page cache", "CVE-2026-31431, AF_ALG: Documentation/crypto/userspace-if.rst", User, |_| socket(38, SOCK_SEQPACKET, 0)),
    probe("vsock", "the hypervisor", "CVE-2021-26708, vsock(7)", User, |_| socket(40, SOCK_STREAM, 0)),
    probe("xdp", "packets before the network's code", "Documentation/networking/af_xdp.rst", Root, |_| socket(44, SOCK_RAW, 0)),
    probe("key", "keys of IPsec", "CVE-2022-27666, Documentation/networking/xfrm_sync.rst", Root, |_| socket(15, SOCK_RAW, 2)),
    probe("rxrpc", "remote calls of AFS", "CVE-2026-43500, Documentation/networking/rxrpc.rst", User, |_| socket(33, SOCK_DGRAM, AF_INET)),
    probe("tipc", "messages of clusters", "CVE-2021-43267, Documentation/networking/tipc.rst", User, |_| socket(30, SOCK_STREAM, 0)),
    probe("rds", "datagrams of InfiniBand", "CVE-2010-3904, Documentation/networking/rds.rst", User, |_| socket(21, SOCK_SEQPACKET, 0)),
    probe("can", "buses of vehicles", "CVE-2021-3609, Documentation/networking/can.rst", User, |_| socket(29, SOCK_RAW, 1)),
    probe("bluetooth", "radio", "CVE-2020-12351, socket(2)", User, |_| socket(31, SOCK_RAW, 1)),
    probe("nfc", "radio of short range", "CVE-2021-23134, socket(2)", User, |_| socket(39, SOCK_SEQPACKET, 0)),
    probe("kcm", "messages over streams", "Documentation/networking/kcm.rst", User, |_| socket(41, SOCK_DGRAM, 0)),
    probe("smc", "streams over InfiniBand", "socket(2), AF_SMC: Documentation/networking/smc-sysctl.rst", User, |_| socket(43, SOCK_STREAM, 0)),
    probe("qipcrtr", "messages to radio processors", "CVE-2019-19079, socket(2)", User, |_| socket(42, SOCK_DGRAM, 0)),
    probe("x25", "packets of telephone networks", "CVE-2010-4164, x25(7)", User, |_| socket(9, SOCK_SEQPACKET, 0)),
    probe("ax25", "packets of radio amateurs", "CVE-2022-1204, Documentation/networking/ax25.rst", User, |_| socket(3, SOCK_SEQPACKET, 0)),
    probe("atm", "cells of older networks", "Documentation/networking/atm.rst", User, |_| socket(8, SOCK_DGRAM, 0)),
    probe("llc", "links of older networks", "socket(2)", Root, |_| socket(26, SOCK_STREAM, 0)),
    probe("ieee802154", "radio of sensors", "Documentation/networking/ieee802154.rst", User, |_| socket(36, SOCK_DGRAM, 0)),
    probe("phonet", "modems", "Documentation/networking/phonet.rst", Root, |_| socket(35, SOCK_DGRAM, 0)),
    probe("caif", "modems, the other kind", "Documentation/networking/caif/caif.rst", User, |_| socket(37, SOCK_SEQPACKET, 0)),
    probe("sctp", "streams of several paths", "CVE-2019-8956, sctp(7)", User, |_| socket(AF_INET, SOCK_STREAM, 132)),
    probe("dccp", "datagrams with congestion control", "CVE-2017-6074, Documentation/networking/dccp.rst", User, |_| socket(AF_INET, 6, 33)),
    probe("mptcp", "TCP over several paths", "Documentation/networking/mptcp.rst", User, |_| socket(AF_INET, SOCK_STREAM, 262)),
    probe("udplite", "datagrams with part of a checksum", "udplite(7)", User, |_| socket(AF_INET, SOCK_DGRAM, 136)),
    probe("attach-filter", "a program of BPF in the kernel", "CVE-2014-3144, socket(7)", User, |_| option(SOCK_DGRAM, SOL_SOCKET, libc::SO_ATTACH_FILTER, &[0; 16])),
    probe("attach-bpf", "a program of BPF by its descriptor", "socket(7), bpf(2)", Root, |_| option(SOCK_DGRAM, SOL_SOCKET, libc::SO_ATTACH_BPF, &[0xff; 4])),
    probe("reuseport-filter", "a program of BPF that chooses among sockets", "socket(7)", User, |_| option(SOCK_DGRAM, SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_CBPF, &[0; 16])),
    probe("socket-mark", "a mark that the host's rules know", "socket(7)", Root, |_| option(SOCK_DGRAM, SOL_SOCKET, libc::SO_MARK, &1u32.to_ne_bytes())),
    probe("receive-buffer-force", "memory of the kernel beyond its limit", "CVE-2012-6704, socket(7)", Root, |_| option(SOCK_DGRAM, SOL_SOCKET, libc::SO_RCVBUFFORCE, &4096u32.to_ne_bytes())),
    probe("send-buffer-force", "memory of the kernel beyond its limit, to be sent", "CVE-2016-9793, socket(7)", Root, |_| option(SOCK_DGRAM, SOL_SOCKET, libc::SO_SNDBUFFORCE, &4096u32.to_ne_bytes())),
    probe("tcp-repair", "connections that nobody made", "capabilities(7) CAP_NET_ADMIN, tcp(7)", Root, |_| option(SOCK_STREAM, libc::IPPROTO_TCP, 19, &1u32.to_ne_bytes())),
    probe("tcp-ulp", "protocols above TCP in the kernel", "CVE-2023-0461, Documentation/networking/tls.rst", User, |_| option(SOCK_STREAM, libc::IPPROTO_TCP, 31, b"none")),
    probe("ip-transparent", "addresses of others", "ip(7)", Root, |_| option(SOCK_DGRAM, libc::IPPROTO_IP, 19, &1u32.to_ne_bytes())),
    probe("netfilter-replace", "tables of the older packet filter", "CVE-2021-22555, Documentation/networking/netfilter-sysctl.rst", Root, |_| netfilter()),
    probe("interface-flags", "an interface switched on or off", "netdevice(7)", Root, |_| interface(0x8914, libc::IFF_UP)),
    probe("interface-address", "another address of an interface", "netdevice(7)", Root, |_| interface(0x8916, 0)),
    probe("interface-name", "another name of an interface", "netdevice(7)", Root, |_| interface(0x8923, 0)),
    probe("bind-low-port", "a port below 1024", "ip(7)", Root, |_| done_io(TcpListener::bind("0.0.0.0:81"))),
    probe("host-loopback", "who listens on the host's loopback device", "CVE-2020-15257, network_namespaces(7)", Host, |bait| connect(SocketAddr::from(([127, 0, 0, 1], bait.port)))),
    probe("host-loopback-mapped", "the same by an address of version 6", "ipv6(7)", Host, |bait| connect(SocketAddr::from((Ipv6Addr::from([0, 0, 0, 0, 0, 0xffff, 0x7f00, 1]), bait.port)))),
    probe("host-loopback-any", "the same by the address of nobody", "ip(7)", Host, |bait| connect(SocketAddr::from(([0, 0, 0, 0], bait.port)))),
    probe("host-abstract", "a socket of the host by its abstract name", "CVE-2020-15257, unix(7)", Host, host_abstract),
    probe("host-interfaces", "interfaces that are not a loopback device's", "network_namespaces(7)", Host, |_| interfaces()),
    probe("metadata", "a route to where clouds tell their secrets", "network_namespaces(7), ip(7)", Host, |_| route("169.254.169.254:80")),
    probe("route-private", "a route to the networks of an office", "network_namespaces(7), ip(7)", Host, |_| route("10.0.0.1:53")),
    probe("route-world", "a route to anywhere", "network_namespaces(7), ip(7)", Host, |_| route("192.0.2.1:53")),
];

fn socket(family: i32, kind: i32, protocol: i32) -> Outcome {
    done(call(libc::SYS_socket, &mut [Int(family.into()), Int(kind.into()), Int(protocol.into())]))
}

/// Of a new socket. ENOPROTOOPT is an option that this kernel has not; other errors come from those who know it.
fn option(kind: i32, level: i32, name: i32, value: &[u8]) -> Outcome {
    set_option(kind, level, name, value, &[Errno::ENOPROTOOPT])
}

/// A kernel without modules says ENOPROTOOPT to those who may, after it has asked.
fn netfilter() -> Outcome {
    set_option(SOCK_DGRAM, libc::IPPROTO_IP, 64, &[0; 96], &[])
}

fn set_option(kind: i32, level: i32, name: i32, value: &[u8], refusals: &[Errno]) -> Outcome {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
    let kind = if kind == SOCK_STREAM { SockType::Stream } else { SockType::Datagram };
    let socket = match socket(AddressFamily::Inet, kind, SockFlag::SOCK_CLOEXEC, None) {
        Ok(socket) => socket,
        Err(errno) => return done::<()>(Err(errno)),
    };
    let (level, name, length) = (Int(level.into()), Int(name.into()), Int(value.len() as i64));
    let answer = call(libc::SYS_setsockopt, &mut [Fd(socket.as_fd()), level, name, Bytes(value), length]);
    crate::outcome::made_or(answer, refusals)
}

/// `struct ifreq` of `lo`, with all but its flags zero, which is no address and no name: a sandbox may share the host's
/// network, and then nothing must change.
fn interface(command: i64, flags: i32) -> Outcome {
    let socket = match UdpSocket::bind("127.0.0.1:0").or_else(|_| UdpSocket::bind("0.0.0.0:0")) {
        Ok(socket) => socket,
        Err(error) => return done_io::<()>(Err(error)),
    };
    let request = [b"lo".as_slice(), &[0; 14], &flags.to_ne_bytes(), &[0; 20]].concat();
    made(call(libc::SYS_ioctl, &mut [Fd(socket.as_fd()), Int(command), Bytes(&request)]))
}

fn connect(address: SocketAddr) -> Outcome {
    done_io(TcpStream::connect_timeout(&address, Duration::from_secs(3)))
}

fn host_abstract(bait: &Bait) -> Outcome {
    done_io(UnixAddr::from_abstract_name(&bait.abstract_name).and_then(|address| UnixStream::connect_addr(&address)))
}

/// Names stand before colons, after two lines of headings.
fn interfaces() -> Outcome {
    match std::fs::read_to_string("/proc/self/net/dev") {
        Ok(text) => {
            let mut names = text.lines().skip(2).filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim());
            // What a kernel makes in every network and nobody can send by.
            let idle = |name: &str| {
                name == "lo"
                    || name.ends_with('0')
                        && matches!(
                            name.trim_end_matches('0'),
                            "tunl" | "sit" | "gre" | "ip6tnl" | "ip6gre" | "gretap" | "erspan" | "ip_vti" | "ip6_vti"
                        )
            };
            match names.find(|name| !idle(name)) {
                Some(name) => Outcome::Succeeded(format!("{name} is seen")),
                None => Outcome::Blocked("a loopback device alone".into()),
            }
        }
        Err(error) => done_io::<()>(Err(error)),
    }
}

/// Nothing is sent: connect(2) of a datagram socket looks for a route.
fn route(to: &str) -> Outcome {
    done_io(UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.connect(to)))
}
