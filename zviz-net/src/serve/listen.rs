//! Where programs in the sandbox ask: everything that they send to port 53 is redirected there.

use super::streams::Streams;
use crate::error::{Doing, Error, Result};
use nix::errno::Errno;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;
use zviz_network::rules::RESOLVER;

/// How many datagrams are taken before others have their turn. A question that is longer than this is none.
const AT_ONCE: usize = 32;
const LONGEST: usize = 2048;

/// Whoever has asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Datagram { at: usize, from: SocketAddr },
    Stream(u64),
}

#[derive(Debug)]
pub(super) struct Listeners {
    udp: Vec<UdpSocket>,
    tcp: Vec<TcpListener>,
}

impl Listeners {
    /// # Errors
    /// Of bind(2): but where there is no IPv6, it is done without.
    pub(super) fn bind() -> Result<Listeners> {
        let mut all = Listeners { udp: Vec::new(), tcp: Vec::new() };
        for address in RESOLVER {
            match bind(address) {
                Ok((udp, tcp)) => {
                    all.udp.push(udp);
                    all.tcp.push(tcp);
                }
                Err(error) if address.is_ipv6() && is_missing(&error) => {}
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    let whose =
                        "another container in this network namespace has a resolver, and all of port 53 is that one's";
                    return Err(Error::new(format!("listen at {address}: {whose}")));
                }
                Err(error) => return Err(error).doing(|| format!("listen at {address}")),
            }
        }
        Ok(all)
    }

    /// All of them, in an order that stays.
    pub(super) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.udp.iter().map(AsFd::as_fd).chain(self.tcp.iter().map(AsFd::as_fd))
    }

    /// Takes what has come at one of them: questions, in parts of the buffer, or connections.
    pub(super) fn receive(
        &self,
        now: Instant,
        at: usize,
        buffer: &mut [u8],
        streams: &mut Streams,
    ) -> Vec<(Who, Range<usize>)> {
        let Some(socket) = self.udp.get(at) else {
            if let Some(listener) = at.checked_sub(self.udp.len()).and_then(|at| self.tcp.get(at)) {
                streams.accept(now, listener);
            }
            return Vec::new();
        };
        let mut come = Vec::new();
        for (part, start) in buffer.chunks_exact_mut(LONGEST).take(AT_ONCE).zip((0..).step_by(LONGEST)) {
            match socket.recv_from(part) {
                Ok((length, from)) => come.push((Who::Datagram { at, from }, start..start + length)),
                // An error of a packet that was sent before is nobody's business here.
                Err(_) => break,
            }
        }
        come
    }

    /// Sends a packet; who does not take it asks again.
    pub(super) fn send(&self, at: usize, to: SocketAddr, packet: &[u8]) {
        let _ = self.udp.get(at).is_some_and(|socket| socket.send_to(packet, to).is_ok());
    }
}

fn bind(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let (udp, tcp) = (UdpSocket::bind(address)?, TcpListener::bind(address)?);
    udp.set_nonblocking(true)?;
    tcp.set_nonblocking(true)?;
    Ok((udp, tcp))
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::EADDRNOTAVAIL | Errno::EAFNOSUPPORT))
}
