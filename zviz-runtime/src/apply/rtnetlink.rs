//! As much of netlink(7) as moving a network device and looking at a host's networks take: requests, their answers, attributes.

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};
use std::os::fd::{AsRawFd, OwnedFd};

/// nlmsghdr: length, type, flags, sequence, port.
const HEADER: usize = 16;
/// The kernel fills at most 32 KiB of a dump's buffer. netlink(7).
const BUFFER: usize = 32 << 10;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// A conversation with the kernel about one network namespace: the one that the caller was in when it was opened.
pub(crate) struct Rtnetlink {
    socket: OwnedFd,
    sequence: u32,
}

/// An answer: its type, and what follows the header.
pub(crate) struct Answer {
    pub kind: u16,
    pub body: Vec<u8>,
}

/// A message's body: its fixed part, to which attributes are added.
pub(crate) struct Body(Vec<u8>);

impl Body {
    /// ifinfomsg. `up` sets IFF_UP.
    pub fn of_link(index: u32, up: bool) -> Self {
        let mut body = vec![0; 4];
        let flags = if up { libc::IFF_UP.cast_unsigned() } else { 0 };
        for word in [index, flags, flags] {
            body.extend(word.to_ne_bytes());
        }
        Body(body)
    }

    /// ifaddrmsg.
    pub fn of_address(family: u8, prefix: u8, scope: u8, index: u32) -> Self {
        let mut body = vec![family, prefix, 0, scope];
        body.extend(index.to_ne_bytes());
        Body(body)
    }

    /// ndmsg.
    pub fn of_neighbour(family: u8, index: u32) -> Self {
        let mut body = vec![family, 0, 0, 0];
        body.extend(index.to_ne_bytes());
        body.extend([0; 4]);
        Body(body)
    }

    /// rtmsg of any route.
    pub fn of_routes() -> Self {
        Body(vec![0; 12])
    }

    /// nfgenmsg of any family. nfnetlink(7)
    pub fn of_netfilter() -> Self {
        Body(vec![0; 4])
    }

    /// Adds one attribute.
    ///
    /// # Errors
    /// EMSGSIZE if it does not fit.
    pub fn with(mut self, kind: u16, value: &[u8]) -> Result<Self, Errno> {
        let length = u16::try_from(4 + value.len()).map_err(|_| Errno::EMSGSIZE)?;
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        Ok(self)
    }
}

impl Rtnetlink {
    /// Opens a socket in the current network namespace.
    pub fn open() -> Result<Self, Errno> {
        Self::open_for(SockProtocol::NetlinkRoute)
    }

    /// The same, for another part of the kernel.
    pub fn open_for(part: SockProtocol) -> Result<Self, Errno> {
        let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, Some(part))?;
        Ok(Rtnetlink { socket, sequence: 0 })
    }

    /// Asks for a change or for one thing.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn request(&mut self, kind: u16, flags: libc::c_int, body: &Body) -> Result<Vec<Answer>, Errno> {
        self.ask(kind, libc::NLM_F_ACK | flags, body)
    }

    /// Asks for all there are.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn dump(&mut self, kind: u16, body: &Body) -> Result<Vec<Answer>, Errno> {
        self.ask(kind, libc::NLM_F_DUMP, body)
    }

    fn ask(&mut self, kind: u16, flags: libc::c_int, body: &Body) -> Result<Vec<Answer>, Errno> {
        self.sequence += 1;
        let length = u32::try_from(HEADER + body.0.len()).map_err(|_| Errno::EMSGSIZE)?;
        let flags = u16::try_from(libc::NLM_F_REQUEST | flags).map_err(|_| Errno::EINVAL)?;
        let mut message = Vec::with_capacity(HEADER + body.0.len());
        message.extend(length.to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend([0; 4]);
        message.extend(&body.0);
        send(self.socket.as_raw_fd(), &message, MsgFlags::empty())?;

        let mut answers = Vec::new();
        let mut buffer = vec![0; BUFFER];
        loop {
            // With MSG_TRUNC, the length is that of the whole message.
            let received = recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_TRUNC)?;
            let mut rest = buffer.get(..received).ok_or(Errno::EMSGSIZE)?;
            while let Some((answer, sequence, after)) = next(rest) {
                rest = after;
                match answer.kind {
                    _ if sequence != self.sequence => {}
                    NLMSG_ERROR | NLMSG_DONE => {
                        let code = word(&answer.body, 0).map_or(0, u32::cast_signed);
                        return if code < 0 { Err(Errno::from_raw(code.saturating_neg())) } else { Ok(answers) };
                    }
                    _ => answers.push(answer),
                }
            }
        }
    }
}

/// The first message of `bytes`, its sequence number, and what follows it. None where there is no whole one.
fn next(bytes: &[u8]) -> Option<(Answer, u32, &[u8])> {
    let length = usize::try_from(word(bytes, 0)?).ok()?;
    let message = bytes.get(..length)?;
    let body = message.get(HEADER..)?.to_vec();
    let kind = u16::from_ne_bytes([message[4], message[5]]);
    let after = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((Answer { kind, body }, word(message, 8)?, after))
}

/// Four bytes at `at`, in the machine's order.
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_ne_bytes)
}

/// (type, value) of each attribute; ends at the first that is not whole.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?);
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        // The upper two bits are flags: nested, network byte order.
        Some((kind & 0x3fff, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_as_they_were_written() {
        let body = Body::of_link(7, true).with(3, b"eth0\0").and_then(|b| b.with(28, &9u32.to_ne_bytes())).unwrap();
        assert_eq!(word(&body.0, 4), Some(7));
        let read: Vec<_> = attributes(&body.0[16..]).collect();
        assert_eq!(read, [(3, &b"eth0\0"[..]), (28, &9u32.to_ne_bytes()[..])]);
    }

    #[test]
    fn what_is_not_whole_ends_the_list() {
        for bytes in [&[][..], &[4], &[3, 0, 1, 0], &[9, 0, 1, 0, 0, 0, 0, 0], &[0; 8]] {
            assert_eq!(attributes(bytes).count(), 0, "{bytes:?}");
        }
        for length in [0u32, 15, 17, u32::MAX] {
            let mut message = length.to_ne_bytes().to_vec();
            message.resize(16, 0);
            assert!(next(&message).is_none(), "{length}");
        }
    }
}
