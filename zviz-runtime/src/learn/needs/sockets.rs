//! Which sockets a program was seen to use: their kinds, their ports, and where those of AF_UNIX led.

use super::{Needs, Uses, int};
use std::path::Path;
use zviz_observe::{Call, SocketAddress};

/// Sockets that are remembered.
const MOST_SOCKETS: usize = 1 << 16;

/// The kind of a socket, as profiles name it; none for what no profile allows.
pub(super) fn kind(family: i32, kind: i32, protocol: i32) -> Option<&'static str> {
    // Without SOCK_CLOEXEC and SOCK_NONBLOCK.
    match (family, kind & 0xf, protocol) {
        (libc::AF_UNIX, ..) => Some("unix"),
        (libc::AF_NETLINK, ..) => Some("netlink"),
        (libc::AF_INET | libc::AF_INET6, libc::SOCK_STREAM, _) => Some("tcp"),
        (libc::AF_INET | libc::AF_INET6, libc::SOCK_DGRAM, libc::IPPROTO_ICMP | libc::IPPROTO_ICMPV6) => Some("icmp"),
        (libc::AF_INET | libc::AF_INET6, libc::SOCK_DGRAM, _) => Some("udp"),
        _ => None,
    }
}

impl Needs {
    fn connected(&mut self, path: &Path) {
        if !self.unix.contains(path) && self.room.take(path) {
            self.unix.insert(path.to_path_buf());
        }
    }

    pub(super) fn socket(&mut self, name: &str, call: &Call) {
        match name {
            "socket" | "socketpair" if call.errno().is_none() => {
                let kind = kind(int(call.args[0]), int(call.args[1]), int(call.args[2]));
                self.sockets.extend(kind);
                if let (Some(kind), Ok(fd)) = (kind, u64::try_from(call.result)) {
                    if self.kinds.len() >= MOST_SOCKETS {
                        self.kinds.clear();
                    }
                    self.kinds.insert((call.pid, fd), kind);
                }
            }
            "bind" | "connect" => {
                let tcp = self.kinds.get(&(call.pid, call.args[0])).is_none_or(|kind| *kind == "tcp");
                match &call.address {
                    Some(SocketAddress::Inet(at)) if tcp && name == "bind" && at.port() == 0 => self.any_port = true,
                    Some(SocketAddress::Inet(at)) if tcp && name == "bind" => drop(self.binds.insert(at.port())),
                    Some(SocketAddress::Inet(at)) if tcp => drop(self.connects.insert(at.port())),
                    Some(SocketAddress::UnixPath(path)) if name == "bind" => {
                        let uses = Uses { written: true, made: true, ..Uses::default() };
                        self.room.note(&mut self.paths, path, uses);
                    }
                    Some(SocketAddress::UnixPath(path)) if call.errno().is_none() => {
                        self.connected(path);
                    }
                    _ => {}
                }
            }
            "listen" if !self.calls.contains("bind") => self.any_port = true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::call;
    use super::*;
    use std::collections::BTreeSet;
    use zviz_observe::Report;

    #[test]
    fn ports_are_those_of_tcp() {
        let mut needs = Needs::default();
        let inet = |name, fd, port: u16| Call {
            address: Some(SocketAddress::Inet(([127, 0, 0, 1], port).into())),
            ..call(name, [fd, 0, 0, 0, 0, 0], 0)
        };
        needs.call(&call("socket", [2, 1, 0, 0, 0, 0], 3));
        needs.call(&call("socket", [2, 2, 0, 0, 0, 0], 4));
        needs.call(&inet("connect", 3, 80));
        needs.call(&inet("connect", 4, 53));
        needs.call(&inet("bind", 3, 8080));
        assert_eq!(needs.connects, BTreeSet::from([80]));
        assert_eq!(needs.binds, BTreeSet::from([8080]));
        assert_eq!(needs.sockets, BTreeSet::from(["tcp", "udp"]));
    }
}
