//! What the resident process and its asker tell each other, a message each.
//!
//! ```text
//! resident ──Ask, Close──► asker       kind (1 byte), token (8), then for Ask: upstream (1), by TCP (1); the packet
//!          ◄─Answer, Failed┘
//! ```

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};
use std::os::fd::{AsFd, AsRawFd};

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    Ask { token: u64, upstream: u8, stream: bool, packet: Vec<u8> },
    Close(u64),
    Answer { token: u64, packet: Vec<u8> },
    Failed(u64),
}

/// The longest: the packet is no longer than its length on a stream can say.
pub(super) const LONGEST: usize = 11 + u16::MAX as usize;

impl Frame {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let (kind, token, rest): (u8, _, Vec<u8>) = match self {
            Frame::Ask { token, upstream, stream, packet } => {
                (0, token, [&[*upstream, u8::from(*stream)], &packet[..]].concat())
            }
            Frame::Close(token) => (1, token, Vec::new()),
            Frame::Answer { token, packet } => (2, token, packet.clone()),
            Frame::Failed(token) => (3, token, Vec::new()),
        };
        [&[kind], &token.to_le_bytes()[..], &rest].concat()
    }

    pub(super) fn of(bytes: &[u8]) -> Option<Frame> {
        let (kind, rest) = bytes.split_first()?;
        let (token, rest) = rest.split_first_chunk()?;
        let token = u64::from_le_bytes(*token);
        match (kind, rest) {
            (0, [upstream, stream, packet @ ..]) => {
                Some(Frame::Ask { token, upstream: *upstream, stream: *stream != 0, packet: packet.to_vec() })
            }
            (1, []) => Some(Frame::Close(token)),
            (2, packet) => Some(Frame::Answer { token, packet: packet.to_vec() }),
            (3, []) => Some(Frame::Failed(token)),
            _ => None,
        }
    }

    /// Sends it, and does not wait for room unless asked to.
    pub(super) fn send(&self, link: impl AsFd, wait: bool) -> Result<(), Errno> {
        let flags = if wait { MsgFlags::MSG_NOSIGNAL } else { MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT };
        loop {
            match send(link.as_fd().as_raw_fd(), &self.bytes(), flags) {
                Err(Errno::EINTR) => {}
                sent => return sent.map(drop),
            }
        }
    }
}

/// What has come.
#[derive(Debug)]
pub(super) enum Come {
    Frame(Frame),
    /// Nothing yet.
    Nothing,
    /// The other has ended, or does not speak as it should.
    End,
}

/// Receives one; `buffer` is of [`LONGEST`].
pub(super) fn receive(link: impl AsFd, buffer: &mut [u8]) -> Come {
    match recv(link.as_fd().as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
        Ok(length) => buffer.get(..length).and_then(Frame::of).map_or(Come::End, Come::Frame),
        Err(Errno::EAGAIN | Errno::EINTR) => Come::Nothing,
        Err(_) => Come::End,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_received() {
        let (one, other) = zviz_sys::fd::packet_pair().unwrap();
        let mut buffer = vec![0; LONGEST];
        for frame in [
            Frame::Ask { token: 7, upstream: 1, stream: true, packet: vec![1, 2] },
            Frame::Close(u64::MAX),
            Frame::Answer { token: 1, packet: vec![0; u16::MAX.into()] },
            Frame::Failed(3),
        ] {
            frame.send(&one, true).unwrap();
            let Come::Frame(come) = receive(&other, &mut buffer) else { panic!("{frame:?}") };
            assert_eq!(come, frame);
        }
        assert!(matches!(receive(&other, &mut buffer), Come::Nothing));
        nix::sys::socket::send(one.as_raw_fd(), &[9; 30], MsgFlags::empty()).unwrap();
        assert!(matches!(receive(&other, &mut buffer), Come::End));
        drop(one);
        assert!(matches!(receive(&other, &mut buffer), Come::End));
    }
}
