//! A socket to a part of the kernel, of the network namespace in which it was opened, whichever we are in later. netlink(7).

use crate::attributes::{Attributes, HEADER, Message, Messages};
use crate::error::{Doing, Error, Result};
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use std::os::fd::{AsFd, BorrowedFd};

/// Bytes that one receive takes. The kernel fills 32 KiB at most of an answer that has several parts.
const BUFFER: usize = 64 << 10;

/// linux/netlink.h: NLMSGERR_ATTR_MSG, what the kernel says beside an errno.
const WORDS: u16 = 1;

/// A socket, and what is at its other end.
#[derive(Debug)]
pub struct Netlink(Socket, &'static str);

/// What the kernel said of one message of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Of which message.
    pub sequence: u32,
    /// What is wrong with it; none is nothing.
    pub errno: Option<Errno>,
    /// In the kernel's words.
    pub words: Option<String>,
}

impl Netlink {
    /// Opens one in the network namespace that this process is in. `peer` is what errors call it.
    ///
    /// # Errors
    /// Of socket(2) and bind(2).
    pub fn open(protocol: isize, peer: &'static str) -> Result<Netlink> {
        let open = || {
            let mut socket = Socket::new(protocol)?;
            socket.bind(&SocketAddr::new(0, 0))?;
            socket.set_cap_ack(true)?;
            socket.set_ext_ack(true)?;
            Ok::<_, std::io::Error>(socket)
        };
        Ok(Netlink(open().doing(|| format!("netlink socket of {peer}"))?, peer))
    }

    /// Sends everything at once.
    ///
    /// # Errors
    /// Of sendto(2).
    pub fn send(&self, bytes: &[u8]) -> Result<()> {
        // Above what a socket may send by default, and beyond the machine's limit where we may.
        if bytes.len() > 128 << 10 {
            let room = bytes.len() * 2;
            let forced = setsockopt(&self.0, sockopt::SndBufForce, &room);
            let _ = forced.or_else(|_| setsockopt(&self.0, sockopt::SndBuf, &room));
        }
        let sent = self.0.send(bytes, 0).doing(|| format!("{} bytes to {}", bytes.len(), self.1))?;
        if sent == bytes.len() { Ok(()) } else { Err(Error::new(format!("{} took a part of a message only", self.1))) }
    }

    /// The next that has been answered; none if there is nothing. Does not wait: the kernel answers while it is asked.
    ///
    /// # Errors
    /// Of recvfrom(2).
    pub fn receive(&self) -> Result<Option<Vec<u8>>> {
        let mut bytes = Vec::with_capacity(BUFFER);
        loop {
            return match self.0.recv_from(&mut bytes, libc::MSG_DONTWAIT | libc::MSG_TRUNC) {
                // Of another process: whoever has the socket's number may send to it.
                Ok((_, from)) if from.port_number() != 0 => {
                    bytes.clear();
                    continue;
                }
                Ok((length, _)) if length > bytes.len() => {
                    Err(Error::new(format!("an answer of {} that is too long", self.1)))
                }
                Ok(_) => Ok(Some(bytes)),
                Err(error) if error.raw_os_error() == Some(Errno::EAGAIN as i32) => Ok(None),
                Err(error) if error.raw_os_error() == Some(Errno::EINTR as i32) => continue,
                Err(error) => Err(error).doing(|| format!("answer of {}", self.1)),
            };
        }
    }

    /// All parts of the answer to a request that lists something, each given to `each`.
    ///
    /// # Errors
    /// What the kernel says is wrong with the request, and of the socket.
    pub fn list(&self, request: &[u8], mut each: impl FnMut(Message<'_>)) -> std::result::Result<(), Listing> {
        self.send(request)?;
        while let Some(bytes) = self.receive()? {
            for message in Messages(&bytes) {
                match i32::from(message.kind) {
                    libc::NLMSG_DONE => return Ok(()),
                    libc::NLMSG_ERROR => match said(&message).and_then(|said| said.errno) {
                        Some(errno) => return Err(Listing::Kernel(errno)),
                        None => return Ok(()),
                    },
                    _ => each(message),
                }
            }
        }
        Err(Listing::Other(Error::new(format!("{} ended a list before its end", self.1))))
    }
}

/// What is wrong with a list.
#[derive(Debug)]
pub enum Listing {
    /// The kernel refused.
    Kernel(Errno),
    /// All else.
    Other(Error),
}

impl From<Error> for Listing {
    fn from(error: Error) -> Listing {
        Listing::Other(error)
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What an error or an acknowledgement says; none if it is neither.
#[must_use]
pub fn said(message: &Message<'_>) -> Option<Said> {
    if i32::from(message.kind) != libc::NLMSG_ERROR {
        return None;
    }
    let (errno, rest) = message.body.split_first_chunk::<4>()?;
    let errno = i32::from_ne_bytes(*errno).checked_neg()?;
    let tail = rest.get(HEADER..).unwrap_or_default();
    let words = (i32::from(message.flags) & libc::NLM_F_ACK_TLVS != 0).then(|| Attributes(tail).text(WORDS)).flatten();
    Some(Said { sequence: message.sequence, errno: (errno != 0).then(|| Errno::from_raw(errno)), words })
}
