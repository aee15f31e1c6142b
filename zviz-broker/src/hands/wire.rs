//! The packets between the eyes and the hands. Both ends are ours, and forked from one process; what arrives is checked
//! all the same, since one end may have been taken over.

use crate::handlers::sockets::messages::DATA_MAX;
use crate::policy::files::{Reason, Ruling, Verdict};
use nix::errno::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use zviz_sys::rights;

/// What the hands are told.
pub(super) enum Message {
    Enter,
    Who(i32),
    More(i32),
    Farewell,
}

/// What the eyes ask.
pub(crate) enum Asked<'a> {
    /// To join the namespaces of the first process, and to know the second as init.
    Enter(BorrowedFd<'a>, BorrowedFd<'a>),
    /// What identity a thread has.
    Who(Who),
    /// For another hand.
    More(More),
    /// To end, as all is well.
    Farewell,
}

/// A thread that waits.
pub(crate) struct Who(pub i32);
/// A thread that waits, and needs a hand of its own identity.
pub(crate) struct More(pub i32);

/// What the hands say.
pub(crate) struct Answer {
    /// Why not.
    pub errno: Option<Errno>,
    /// Which identity.
    pub identity: u64,
    /// The thread's.
    pub umask: u32,
    /// The thread's.
    pub process: i32,
    /// To `Who`: the working directory. To `More`: the hand, a socket and a pidfd.
    pub fds: [Option<OwnedFd>; 2],
}

/// What a hand has done.
pub(crate) struct Done {
    /// What the call returns.
    pub result: Result<i64, Errno>,
    /// What it is about: names, or what the rules said.
    pub text: Vec<u8>,
    /// What was opened.
    pub file: Option<OwnedFd>,
}

/// What a hand says.
pub(crate) enum Told {
    Done(Done),
    /// What was opened to be written, which the hand has no more when it is done.
    File(OwnedFd),
    /// It waits for somebody else, and there is no deadline for that.
    Blocks,
    /// A rule wants somebody outside to be asked: what it said, and about which name.
    Asks(Vec<u8>),
    /// Nothing was done: the hand is not what the caller is any more.
    Stale,
}

const ENTER: u8 = 1;
const WHO: u8 = 2;
const MORE: u8 = 3;
const FAREWELL: u8 = 4;
const MESSAGE: usize = 5;
const ANSWER: usize = 20;
/// What a hand says of a caller that it may not look up: no call gives this errno. The hands may.
pub(crate) const NOT_SEEN: Errno = Errno::ENOTRECOVERABLE;
/// No value, and no errno.
const BLOCKS: i64 = i64::MIN;
const STALE: i64 = i64::MIN + 1;
const ASKS: i64 = i64::MIN + 2;
const FILE: i64 = i64::MIN + 3;
/// A value, what the rules said, and a name.
const TOLD: usize = 8 + 3 + 4097;
/// Work with four strings of the longest kind, or a message.
pub(super) const PACKET: usize = 5 * 4096 + DATA_MAX;

/// Asks the hands.
pub(crate) fn ask(hands: BorrowedFd<'_>, asked: &Asked<'_>) -> Result<(), Errno> {
    let (kind, thread) = match asked {
        Asked::Enter(..) => (ENTER, 0),
        Asked::Who(Who(thread)) => (WHO, *thread),
        Asked::More(More(thread)) => (MORE, *thread),
        Asked::Farewell => (FAREWELL, 0),
    };
    let mut packet = [0u8; MESSAGE];
    packet[0] = kind;
    packet[1..].copy_from_slice(&thread.to_le_bytes());
    match asked {
        Asked::Enter(payload, init) => rights::send_with(hands, &packet, &[*payload, *init]),
        _ => rights::send_with(hands, &packet, &[]),
    }
    .map(drop)
}

/// Waits for what the eyes ask.
pub(super) fn receive(eyes: BorrowedFd<'_>) -> Result<(Message, [Option<OwnedFd>; rights::MOST]), Errno> {
    let mut packet = [0u8; MESSAGE];
    let received = rights::receive(eyes, &mut packet)?;
    if received.bytes != MESSAGE || received.truncated {
        return Err(Errno::EPROTO);
    }
    let [kind, thread @ ..] = packet;
    let thread = i32::from_le_bytes(thread);
    let message = match kind {
        ENTER => Message::Enter,
        WHO if thread > 0 => Message::Who(thread),
        MORE if thread > 0 => Message::More(thread),
        FAREWELL => Message::Farewell,
        _ => return Err(Errno::EPROTO),
    };
    Ok((message, received.fds))
}

pub(super) fn send_answer(
    eyes: BorrowedFd<'_>,
    errno: Option<Errno>,
    identity: u64,
    (umask, process): (u32, i32),
    fds: &[BorrowedFd<'_>],
) -> Result<(), Errno> {
    let mut packet = [0u8; ANSWER];
    packet[..4].copy_from_slice(&errno.map_or(0, |errno| errno as i32).to_le_bytes());
    packet[4..12].copy_from_slice(&identity.to_le_bytes());
    packet[12..16].copy_from_slice(&umask.to_le_bytes());
    packet[16..].copy_from_slice(&process.to_le_bytes());
    rights::send_with(eyes, &packet, fds).map(drop)
}

/// Reads what the hands say; none at their end.
pub(crate) fn read_answer(hands: BorrowedFd<'_>) -> Result<Option<Answer>, Errno> {
    let mut packet = [0u8; ANSWER];
    let received = rights::receive(hands, &mut packet)?;
    if received.bytes == 0 {
        return Ok(None);
    }
    if received.bytes != ANSWER || received.truncated {
        return Err(Errno::EPROTO);
    }
    let word = |at: usize| packet.get(at..at + 4).and_then(|w| w.try_into().ok()).map_or(0, u32::from_le_bytes);
    let errno = match word(0).cast_signed() {
        0 => None,
        raw => Some(Errno::from_raw(raw)),
    };
    let identity = u64::from(word(4)) | u64::from(word(8)) << 32;
    let [first, second, ..] = received.fds;
    let (umask, process) = (word(12), word(16).cast_signed());
    Ok(Some(Answer { errno, identity, umask, process, fds: [first, second] }))
}

/// As one packet: the value or the negative errno, and a text; a descriptor beside it.
pub(super) fn send_done(
    eyes: BorrowedFd<'_>,
    result: Result<i64, Errno>,
    text: &[u8],
    file: Option<BorrowedFd<'_>>,
) -> Result<(), Errno> {
    let value = result.unwrap_or_else(|errno| -i64::from(errno as i32));
    let packet = [&value.to_le_bytes(), text].concat();
    rights::send_with(eyes, &packet, file.as_slice()).map(drop)
}

/// What was opened to be written, ahead of [`send_done`]: a program cannot be executed while anybody has it open like that
/// (ETXTBSY), so that this process's own descriptor is closed before the caller hears of its file.
pub(super) fn send_file(eyes: BorrowedFd<'_>, file: OwnedFd) -> Result<(), Errno> {
    rights::send_with(eyes, &FILE.to_le_bytes(), &[file.as_fd()]).map(drop)
}

/// What a hand tells the eyes before it is done.
pub(super) enum Report<'e> {
    /// By this socket.
    Eyes(BorrowedFd<'e>),
    /// Nobody hears it: nothing may take long.
    Nobody,
}

impl Report<'_> {
    /// That what follows may take for ever, by the nature of what is done.
    ///
    /// # Errors
    /// NOT_SEEN where it may not.
    pub(super) fn blocks(&self) -> Result<(), Errno> {
        let Report::Eyes(eyes) = self else { return Err(NOT_SEEN) };
        // Whoever does not hear it has ended, and this process with it.
        let _ = rights::send_with(*eyes, &BLOCKS.to_le_bytes(), &[]);
        Ok(())
    }

    /// Whether nothing may wait for somebody else, even for the holder of a lease.
    pub(super) fn hurries(&self) -> bool {
        matches!(self, Report::Nobody)
    }

    /// That somebody outside decides, and waits for that.
    pub(super) fn asks(&self, judged: (Ruling, Vec<u8>)) -> Result<(), Errno> {
        let Report::Eyes(eyes) = self else { return Err(NOT_SEEN) };
        rights::send_with(*eyes, &[&ASKS.to_le_bytes()[..], &encode_judged(judged)].concat(), &[])?;
        let mut errno = [0u8; 4];
        let received = rights::receive(*eyes, &mut errno)?;
        match (received.bytes, i32::from_le_bytes(errno)) {
            (4, 0) => Ok(()),
            (4, errno) => Err(Errno::from_raw(errno)),
            _ => Err(Errno::EPERM),
        }
    }
}

/// The answer to a hand that asks.
pub(crate) fn send_verdict(hand: BorrowedFd<'_>, verdict: Result<(), Errno>) -> Result<(), Errno> {
    let errno = verdict.err().map_or(0, |errno| errno as i32);
    rights::send_with(hand, &errno.to_le_bytes(), &[]).map(drop)
}

/// That the call has to be given to another hand.
pub(super) fn send_stale(eyes: BorrowedFd<'_>) -> Result<(), Errno> {
    rights::send_with(eyes, &STALE.to_le_bytes(), &[]).map(drop)
}

/// Reads what a hand says; none at its end.
pub(crate) fn read_told(hand: BorrowedFd<'_>) -> Result<Option<Told>, Errno> {
    let mut packet = [0u8; TOLD];
    let received = rights::receive(hand, &mut packet)?;
    if received.bytes == 0 {
        return Ok(None);
    }
    let (value, text) = packet.get(..received.bytes).and_then(|p| p.split_at_checked(8)).ok_or(Errno::EPROTO)?;
    let value = i64::from_le_bytes(value.try_into().map_err(|_| Errno::EPROTO)?);
    let result = match value {
        0.. => Ok(value),
        // Above what the kernel knows as an errno, nothing can be meant.
        -4095..0 => Err(Errno::from_raw(i32::try_from(-value).map_err(|_| Errno::EPROTO)?)),
        BLOCKS => return Ok(Some(Told::Blocks)),
        STALE => return Ok(Some(Told::Stale)),
        ASKS => return Ok(Some(Told::Asks(text.to_vec()))),
        FILE => {
            let [file, ..] = received.fds;
            return file.map(|file| Some(Told::File(file))).ok_or(Errno::EPROTO);
        }
        _ => return Err(Errno::EPROTO),
    };
    let [file, ..] = received.fds;
    Ok(Some(Told::Done(Done { result, text: text.to_vec(), file })))
}

/// What the rules for files said, and about which name, as the text of `Done`.
pub(super) fn encode_judged((ruling, name): (Ruling, Vec<u8>)) -> Vec<u8> {
    let rule = ruling.rule.unwrap_or(u16::MAX).to_le_bytes();
    let verdict = match ruling.verdict {
        Verdict::Allow => 0,
        Verdict::Audit => 1,
        Verdict::Deny(_) => 2,
        Verdict::Ask => 3,
    };
    [&[verdict], rule.as_slice(), &name].concat()
}

/// The other way round.
pub(crate) fn decode_judged(text: &[u8]) -> Option<(Ruling, &[u8])> {
    let (verdict, rest) = text.split_first()?;
    let (rule, name) = rest.split_at_checked(2)?;
    let rule = Some(u16::from_le_bytes(rule.try_into().ok()?)).filter(|rule| *rule != u16::MAX);
    let verdict = match verdict {
        0 => Verdict::Allow,
        1 => Verdict::Audit,
        3 => Verdict::Ask,
        // With which errno, the result says.
        _ => Verdict::Deny(Reason::default()),
    };
    Some((Ruling { verdict, rule }, name))
}
