//! Changes of the packet filter that happen all at once, or not at all.

use crate::attributes::{HEADER, Messages};
use crate::error::{Doing, Error, Result};
use crate::netfilter::{Netfilter, TABLES};
use crate::netlink::{Said, said};
use nftnl::{Batch, MsgType, NlMsg};
use nix::errno::Errno;
use nix::libc;
use std::io;

/// Of a batch: all of it must lie in one send, so it gets as much room as it needs. What is not used of it is never touched.
const ROOM: u32 = 16 << 20;

/// The most answers to others that are read before a request: more than its socket holds.
const STALE: u32 = 4096;

/// Changes, each with the part of the ruleset that it is about.
pub struct Transaction<P> {
    batch: Batch,
    parts: Vec<P>,
}

/// Why a transaction was not made.
pub struct Refused<P> {
    /// The part that is to blame; none is all of it.
    pub part: Option<P>,
    /// The kernel's reason.
    pub errno: Errno,
    /// In its words.
    pub words: Option<String>,
}

/// How a transaction went wrong.
pub enum Failure<P> {
    /// The kernel refused a part.
    Refused(Refused<P>),
    /// All else.
    Other(Error),
}

impl<P: Copy> Transaction<P> {
    /// No changes.
    #[must_use]
    pub fn empty() -> Transaction<P> {
        Transaction::with_room(ROOM)
    }

    /// No changes, of which a few are to come: room is made again when so many bytes are full. Who stays keeps what it once
    /// had in its heap.
    #[must_use]
    pub fn with_room(room: u32) -> Transaction<P> {
        Transaction { batch: Batch::with_page_size(room), parts: Vec::new() }
    }

    /// Adds a change.
    pub fn add(&mut self, message: &impl NlMsg, kind: MsgType, part: P) {
        self.batch.add(message, kind);
        self.parts.push(part);
    }

    /// Adds the elements of a set. They are of one message for a few thousand elements.
    pub fn elements<K>(&mut self, set: &nftnl::set::Set<'_, K>, kind: MsgType, part: P) {
        // Only add_iter may consume these: one that outlives its iterator reads freed memory.
        let mut count = 0;
        self.batch.add_iter(set.elems_iter().inspect(|_| count += 1), kind);
        self.parts.extend(std::iter::repeat_n(part, count));
    }

    /// Makes the changes.
    ///
    /// # Errors
    /// What the kernel refuses, and of the socket. Nothing has been changed then.
    pub fn commit(self, socket: &Netfilter) -> std::result::Result<(), Failure<P>> {
        let Transaction { batch, parts } = self;
        let mut bytes: Vec<u8> = batch.finalize().iter().collect::<Vec<_>>().concat();
        let first = number(&mut bytes, parts.len()).map_err(Failure::Other)?;
        // What is left of answers to another one is none to this.
        let _ = (0..STALE).find(|_| matches!(socket.receive(), Ok(None)));
        socket.send(&bytes).map_err(Failure::Other)?;
        // Everything has been answered by now. The kernel asks for the end's acknowledgement last, so it is the last. All is
        // read: of what is refused, each change has an answer of its own, and the first says why.
        let (mut done, mut refused) = (false, None);
        while let Some(answer) = socket.receive().map_err(Failure::Other)? {
            for answer in Messages(&answer).filter_map(|message| said(&message)) {
                let Said { sequence, errno, words } = answer;
                let part = sequence.checked_sub(first).and_then(|at| parts.get(usize::try_from(at).ok()?)).copied();
                match errno {
                    Some(errno) => refused = refused.or(Some(Refused { part, errno, words })),
                    None => done = true,
                }
            }
        }
        let unanswered = || Failure::Other(Error::new("netfilter did not answer"));
        match refused {
            Some(refused) => Err(Failure::Refused(refused)),
            None if done => Ok(()),
            None => Err(unanswered()),
        }
    }
}

impl<P: Copy> Failure<P> {
    /// As an error, with the name of what was changed and of the part.
    pub fn of(self, whole: &str, name: impl FnOnce(P) -> String) -> Error {
        match self {
            Failure::Other(error) => error,
            Failure::Refused(Refused { part, errno, words }) => {
                let part = part.map(|part| format!(", {}", name(part))).unwrap_or_default();
                let words = words.map(|words| format!(" ({words})")).unwrap_or_default();
                let refused = Err::<(), _>(io::Error::from(errno)).doing(|| format!("{whole}{part}{words}"));
                refused.err().unwrap_or_else(|| Error::new(whole))
            }
        }
    }
}

/// Numbers the messages, and asks for one acknowledgement, the last one's: a thousand would not fit the socket, and whoever
/// loses one does not know what happened. Errors are told without being asked for. Gives the number of the first change.
fn number(bytes: &mut [u8], parts: usize) -> Result<u32> {
    /// Of the message that begins the batch.
    const BEGIN: u32 = 1;
    let lengths: Vec<usize> = Messages(bytes).map(|message| HEADER + message.body.len()).collect();
    // One begins and one ends it.
    if lengths.len() != parts + 2 {
        return Err(Error::new(format!("a batch of {} messages for {parts} changes", lengths.len())));
    }
    let mut rest = bytes;
    for (at, (length, sequence)) in lengths.iter().zip(BEGIN..).enumerate() {
        let (message, behind) = rest.split_at_mut(length.next_multiple_of(4).min(rest.len()));
        rest = behind;
        let kind = u16::from_ne_bytes([message[4], message[5]]);
        let mut flags = u16::from_ne_bytes([message[6], message[7]]) & !flag(libc::NLM_F_ACK);
        if at == parts {
            flags |= flag(libc::NLM_F_ACK);
        }
        // An element that is there already is not an error: it was removed by the same batch, or is to stay.
        if kind == TABLES | flag(libc::NFT_MSG_NEWSETELEM) {
            flags &= !flag(libc::NLM_F_EXCL);
        }
        message[6..8].copy_from_slice(&flags.to_ne_bytes());
        message[8..12].copy_from_slice(&sequence.to_ne_bytes());
    }
    Ok(BEGIN + 1)
}

/// Constants of libc that are wider than their fields.
fn flag(value: i32) -> u16 {
    u16::try_from(value).unwrap_or(0)
}
