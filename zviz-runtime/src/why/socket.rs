//! Kinds of sockets, as a call asks for one and as a profile names them.

use super::Rules;
use zviz_observe::Call;
use zviz_seccomp::Socket;

const KINDS: &[(Socket, &str)] = &[
    (Socket::Tcp, "tcp"),
    (Socket::Udp, "udp"),
    (Socket::Unix, "unix"),
    (Socket::Netlink, "netlink"),
    (Socket::Icmp, "icmp"),
];

/// Those of a profile that says nothing.
pub(super) fn default() -> Vec<Socket> {
    vec![Socket::Tcp, Socket::Udp, Socket::Unix, Socket::Netlink]
}

/// As a profile names it.
pub(super) fn word(kind: Socket) -> &'static str {
    KINDS.iter().find(|(known, _)| *known == kind).map_or("", |(_, word)| word)
}

/// Domain, type without its flags, and protocol.
fn parts(call: &Call) -> (i32, i32, i32) {
    (call.args[0] as i32, call.args[1] as i32 & 0xf, call.args[2] as i32)
}

/// What socket(2) was asked for, if a profile can have it.
pub(super) fn asked(call: &Call) -> Option<Socket> {
    let (domain, kind, protocol) = parts(call);
    let internet = matches!(domain, libc::AF_INET | libc::AF_INET6);
    match (domain, kind, protocol) {
        (libc::AF_UNIX, ..) => Some(Socket::Unix),
        (libc::AF_NETLINK, _, 0) => Some(Socket::Netlink),
        (_, libc::SOCK_STREAM, 0 | libc::IPPROTO_TCP) if internet => Some(Socket::Tcp),
        (_, libc::SOCK_DGRAM, 0 | libc::IPPROTO_UDP) if internet => Some(Socket::Udp),
        (_, libc::SOCK_DGRAM, libc::IPPROTO_ICMP | libc::IPPROTO_ICMPV6) if internet => Some(Socket::Icmp),
        _ => None,
    }
}

/// Whether it was tried with several ways at once, which callers do without.
pub(super) fn is_multipath(name: &str, call: &Call) -> bool {
    name == "socket" && parts(call).2 == libc::IPPROTO_MPTCP
}

/// In words.
pub(super) fn told(call: &Call) -> String {
    let (domain, kind, protocol) = parts(call);
    let family = match domain {
        libc::AF_UNIX => "AF_UNIX".to_owned(),
        libc::AF_INET => "AF_INET".to_owned(),
        libc::AF_INET6 => "AF_INET6".to_owned(),
        libc::AF_NETLINK => "AF_NETLINK".to_owned(),
        libc::AF_PACKET => "AF_PACKET".to_owned(),
        libc::AF_VSOCK => "AF_VSOCK".to_owned(),
        libc::AF_ALG => "AF_ALG".to_owned(),
        libc::AF_BLUETOOTH => "AF_BLUETOOTH".to_owned(),
        other => format!("family {other}"),
    };
    let kind = match kind {
        libc::SOCK_STREAM => "stream".to_owned(),
        libc::SOCK_DGRAM => "datagram".to_owned(),
        libc::SOCK_RAW => "raw".to_owned(),
        libc::SOCK_SEQPACKET => "packets".to_owned(),
        other => format!("type {other}"),
    };
    format!("{family}, {kind}, protocol {protocol}")
}

/// Lines that add a kind to those there are. A list stands for all there are, so that the first one repeats the default's.
pub(super) fn yaml(kind: Socket, rules: &Rules) -> String {
    let listed = rules.key("network.sockets.allow").is_some();
    let denied = |kind: &Socket| rules.item("network.sockets.deny", |value| value == word(*kind)).is_some();
    let mut kinds: Vec<Socket> = if listed { Vec::new() } else { default() };
    kinds.retain(|known| *known != kind && !denied(known));
    kinds.push(kind);
    let words: Vec<&str> = kinds.into_iter().map(word).collect();
    format!("network: {{sockets: {{allow: [{}]}}}}", words.join(", "))
}
