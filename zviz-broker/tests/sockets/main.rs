//! Calls on sockets that the broker makes for a process.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod connect;
#[path = "../../../zviz/tests/support/needs.rs"]
#[allow(dead_code, reason = "shared with tests that need more")]
mod needs;
mod race;
mod send;
mod stage;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

const CALLS: &[&str] = &["bind", "connect", "sendmmsg", "sendmsg", "sendto"];

/// `struct sockaddr_in` and `sockaddr_in6`.
fn internet(address: SocketAddr) -> Vec<u8> {
    let port = address.port().to_be_bytes();
    match address.ip() {
        IpAddr::V4(ip) => [&family(libc::AF_INET)[..], &port, &ip.octets(), &[0; 8]].concat(),
        IpAddr::V6(ip) => [&family(libc::AF_INET6)[..], &port, &[0; 4], &ip.octets(), &[0; 4]].concat(),
    }
}

fn unix(name: &[u8]) -> Vec<u8> {
    [&family(libc::AF_UNIX)[..], name].concat()
}

fn family(family: i32) -> [u8; 2] {
    u16::try_from(family).unwrap().to_ne_bytes()
}

fn stream(family: AddressFamily) -> OwnedFd {
    socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap()
}
