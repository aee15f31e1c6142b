//! Programs in the sandbox that ask by TCP.

use nix::poll::PollFlags;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// The most connections at a time; one more closes the one that has been idle longest.
const MOST: usize = 64;
/// How long one may be idle. RFC 7766, section 6.2.3, asks for a few seconds.
const IDLE: Duration = Duration::from_secs(10);
/// The longest question: one of 255 bytes with options beside it, and room.
const LONGEST: usize = 4096;
/// What may wait to be taken, in bytes; above that, nothing more is read.
const UNTAKEN: usize = 192 << 10;
/// Bytes that one receive takes.
const BUFFER: usize = 4096;

/// The connections, by a number that is not used twice.
#[derive(Debug, Default)]
pub(super) struct Streams {
    all: BTreeMap<u64, Stream>,
    next: u64,
}

#[derive(Debug)]
struct Stream {
    socket: TcpStream,
    come: Vec<u8>,
    to_send: Vec<u8>,
    last: Instant,
    /// Nothing more comes, but answers may still be taken.
    ended: bool,
}

impl Streams {
    /// Takes all that wait to be taken.
    pub(super) fn accept(&mut self, now: Instant, listener: &TcpListener) {
        while let Ok((socket, _)) = listener.accept() {
            if socket.set_nonblocking(true).is_err() {
                continue;
            }
            if self.all.len() >= MOST {
                let idle = self.all.iter().min_by_key(|(_, stream)| stream.last).map(|(key, _)| *key);
                idle.and_then(|key| self.all.remove(&key));
            }
            self.next += 1;
            self.all
                .insert(self.next, Stream { socket, come: Vec::new(), to_send: Vec::new(), last: now, ended: false });
        }
    }

    pub(super) fn keys(&self) -> Vec<u64> {
        self.all.keys().copied().collect()
    }

    /// Every socket, in the order of the keys, and what is waited for.
    pub(super) fn wants(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        self.all.values().map(|stream| {
            let reads =
                if stream.to_send.len() < UNTAKEN && !stream.ended { PollFlags::POLLIN } else { PollFlags::empty() };
            let writes = if stream.to_send.is_empty() { PollFlags::empty() } else { PollFlags::POLLOUT };
            (stream.socket.as_fd(), reads | writes)
        })
    }

    /// What has come of whole questions. A connection that has ended, or is not understood, is closed.
    pub(super) fn ready(&mut self, now: Instant, key: u64) -> Vec<Vec<u8>> {
        let Some(stream) = self.all.get_mut(&key) else { return Vec::new() };
        let mut questions = Vec::new();
        match stream.read(now, &mut questions).and_then(|()| stream.write(now)) {
            Ok(()) => {}
            Err(error) if again(&error) => {}
            Err(_) => drop(self.all.remove(&key)),
        }
        questions
    }

    /// Sends a packet, now or when there is room for it.
    pub(super) fn send(&mut self, now: Instant, key: u64, packet: &[u8]) {
        let Some(stream) = self.all.get_mut(&key) else { return };
        let Ok(length) = u16::try_from(packet.len()) else { return };
        stream.to_send.extend(length.to_be_bytes());
        stream.to_send.extend(packet);
        let failed = stream.write(now).is_err_and(|error| !again(&error));
        // Whoever asks on without taking answers has as many as it may.
        if failed || self.all.get(&key).is_some_and(|stream| stream.to_send.len() > 2 * UNTAKEN) {
            self.all.remove(&key);
        }
    }

    /// Closes what has been idle for too long; and says when that is due again.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Instant> {
        self.all.retain(|_, stream| now.saturating_duration_since(stream.last) < IDLE);
        self.all.values().map(|stream| stream.last + IDLE).min()
    }
}

impl Stream {
    fn read(&mut self, now: Instant, questions: &mut Vec<Vec<u8>>) -> io::Result<()> {
        if self.to_send.len() >= UNTAKEN {
            return Ok(());
        }
        if self.ended {
            // It is only told of when it has gone altogether, or when there is room for what it waits for.
            return if self.to_send.is_empty() { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(()) };
        }
        let mut buffer = [0; BUFFER];
        match self.socket.read(&mut buffer) {
            Ok(0) => self.ended = true,
            Ok(length) => self.come.extend(buffer.get(..length).unwrap_or_default()),
            Err(error) if again(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
        self.last = now;
        while let Some((length, rest)) = self.come.split_first_chunk() {
            let length = usize::from(u16::from_be_bytes(*length));
            if length > LONGEST {
                return Err(ErrorKind::InvalidData.into());
            }
            let Some(question) = rest.get(..length) else { break };
            questions.push(question.to_vec());
            self.come.drain(..2 + length);
        }
        Ok(())
    }

    fn write(&mut self, now: Instant) -> io::Result<()> {
        while !self.to_send.is_empty() {
            let sent = self.socket.write(&self.to_send)?;
            self.to_send.drain(..sent.min(self.to_send.len()));
            self.last = now;
        }
        Ok(())
    }
}

fn again(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
