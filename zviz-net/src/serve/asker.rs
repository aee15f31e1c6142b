//! The process that asks resolvers outside: it stays in the namespace that zviz runs in, has no right but to open sockets, and
//! sends what it is told to the addresses that it was told at its start and to no other.
//!
//! Every question has a socket of its own, so that the kernel picks a port at random for each (RFC 5452, section 4.5), and
//! lets in only what comes from the address that was asked, since the socket is connected.

use super::frame::{Come, Frame, LONGEST, receive};
use crate::serve::confine;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, connect, getsockopt, socket, sockopt};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use zviz_sys::process::{self, Cloned};

/// The most questions at a time: as many as wait at the other side.
const MOST: usize = zviz_dns::MOST_WAITING + 1;

/// The resident's end of it.
#[derive(Debug)]
pub struct Asker {
    link: OwnedFd,
}

impl Asker {
    /// Starts it, in the network namespace that this process is in. It ends when this end is closed.
    ///
    /// # Errors
    /// Of socketpair(2) and fork(2).
    pub fn start(upstream: &[SocketAddr]) -> io::Result<Asker> {
        let (link, theirs) = zviz_sys::fd::packet_pair()?;
        match process::fork()? {
            Cloned::Child => {
                drop(link);
                // It has nothing to say to anybody: whoever asks sees the end of the link.
                let code = i32::from(confine::asker(theirs.as_fd()).is_err());
                if code == 0 {
                    run(theirs.as_fd(), upstream);
                }
                process::exit(code)
            }
            Cloned::Parent { .. } => Ok(Asker { link }),
        }
    }

    /// Whether it could be told.
    pub(super) fn tell(&self, frame: &Frame) -> bool {
        frame.send(&self.link, false).is_ok()
    }

    pub(super) fn hear(&self, buffer: &mut [u8]) -> Come {
        receive(&self.link, buffer)
    }
}

impl AsFd for Asker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }
}

/// A question that waits.
enum Asked {
    Udp(UdpSocket),
    Tcp { socket: TcpStream, to_send: Vec<u8>, come: Vec<u8> },
}

impl Asked {
    fn wants(&self) -> PollFlags {
        match self {
            Asked::Tcp { to_send, .. } if !to_send.is_empty() => PollFlags::POLLOUT,
            _ => PollFlags::POLLIN,
        }
    }
}

impl AsFd for Asked {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Asked::Udp(socket) => socket.as_fd(),
            Asked::Tcp { socket, .. } => socket.as_fd(),
        }
    }
}

fn run(link: BorrowedFd<'_>, upstream: &[SocketAddr]) {
    let mut buffer = vec![0; LONGEST];
    let mut asked: BTreeMap<u64, Asked> = BTreeMap::new();
    loop {
        let ready: Vec<u64> = {
            let mut fds = vec![PollFd::new(link, PollFlags::POLLIN)];
            fds.extend(asked.values().map(|one| PollFd::new(one.as_fd(), one.wants())));
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return,
            }
            let happened = fds.iter().skip(1).map(|fd| fd.any().unwrap_or(false));
            asked.keys().copied().zip(happened).filter(|(_, happened)| *happened).map(|(token, _)| token).collect()
        };
        for token in ready {
            let Some(one) = asked.get_mut(&token) else { continue };
            let said = match one {
                Asked::Udp(socket) => datagram(socket, token, &mut buffer),
                Asked::Tcp { socket, to_send, come } => stream(socket, to_send, come, token, &mut buffer),
            };
            if matches!(said, Some(Frame::Failed(_))) || matches!((&said, &one), (Some(_), Asked::Tcp { .. })) {
                asked.remove(&token);
            }
            if said.is_some_and(|said| said.send(link, true).is_err()) {
                return;
            }
        }
        loop {
            match receive(link, &mut buffer) {
                Come::Nothing => break,
                Come::Frame(Frame::Close(token)) => drop(asked.remove(&token)),
                Come::Frame(Frame::Ask { token, upstream: at, stream, packet }) => {
                    // One more than wait is one whose end was not told: the link was full.
                    if asked.len() >= MOST {
                        asked.pop_first();
                    }
                    match upstream.get(usize::from(at)).and_then(|to| ask(*to, stream, &packet).ok()) {
                        Some(one) => drop(asked.insert(token, one)),
                        None if Frame::Failed(token).send(link, true).is_ok() => {}
                        None => return,
                    }
                }
                Come::Frame(_) | Come::End => return,
            }
        }
    }
}

fn ask(to: SocketAddr, stream: bool, packet: &[u8]) -> io::Result<Asked> {
    if stream {
        let length = u16::try_from(packet.len()).map_err(|_| io::Error::from(Errno::EMSGSIZE))?;
        let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let made = socket(family, SockType::Stream, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, None)?;
        match connect(made.as_raw_fd(), &SockaddrStorage::from(to)) {
            Ok(()) | Err(Errno::EINPROGRESS) => {}
            Err(errno) => return Err(errno.into()),
        }
        let to_send = [&length.to_be_bytes(), packet].concat();
        return Ok(Asked::Tcp { socket: made.into(), to_send, come: Vec::new() });
    }
    let any = if to.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind::<SocketAddr>(any)?;
    socket.set_nonblocking(true)?;
    socket.connect(to)?;
    socket.send(packet)?;
    Ok(Asked::Udp(socket))
}

fn datagram(socket: &UdpSocket, token: u64, buffer: &mut [u8]) -> Option<Frame> {
    match socket.recv(buffer) {
        Ok(length) => {
            let packet = buffer.get(..length.min(u16::MAX.into())).unwrap_or_default().to_vec();
            Some(Frame::Answer { token, packet })
        }
        Err(error) if again(&error) => None,
        // ICMP has said that nobody is there.
        Err(_) => Some(Frame::Failed(token)),
    }
}

/// The length before the packet, and the packet: RFC 1035, section 4.2.2. One answer for one question.
fn stream(
    socket: &mut TcpStream,
    to_send: &mut Vec<u8>,
    come: &mut Vec<u8>,
    token: u64,
    buffer: &mut [u8],
) -> Option<Frame> {
    if !to_send.is_empty() {
        if getsockopt(&*socket, sockopt::SocketError) != Ok(0) {
            return Some(Frame::Failed(token));
        }
        return match socket.write(to_send) {
            Ok(sent) => {
                to_send.drain(..sent.min(to_send.len()));
                None
            }
            Err(error) if again(&error) => None,
            Err(_) => Some(Frame::Failed(token)),
        };
    }
    match socket.read(buffer) {
        Ok(0) => Some(Frame::Failed(token)),
        Ok(length) => {
            come.extend(buffer.get(..length).unwrap_or_default());
            let (length, rest) = come.split_first_chunk()?;
            let packet = rest.get(..u16::from_be_bytes(*length).into())?.to_vec();
            Some(Frame::Answer { token, packet })
        }
        Err(error) if again(&error) => None,
        Err(_) => Some(Frame::Failed(token)),
    }
}

fn again(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
