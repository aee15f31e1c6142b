//! The packets between the eyes and the hands. Both ends are ours, and forked from one process; what arrives is checked
//! all the same, since one end may have been taken over.

use nix::errno::Errno;
use std::os::fd::{BorrowedFd, OwnedFd};
use zviz_sys::rights;

/// What the hands are told.
pub(super) enum Message {
    Enter,
    Who(i32),
    More(i32, u64),
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
/// A thread that waits, and the identity that it has.
pub(crate) struct More(pub i32, pub u64);

/// What the hands say.
pub(crate) struct Answer {
    /// Why not.
    pub errno: Option<Errno>,
    /// Which identity.
    pub identity: u64,
    /// The thread's.
    pub umask: u32,
    /// To `Who`: the working directory, and the first hand of an identity. To `More`: the hand. A hand is a socket and a
    /// pidfd.
    pub fds: [Option<OwnedFd>; 3],
}

/// What a hand has done.
pub(crate) struct Done {
    /// What the call returns.
    pub result: Result<i64, Errno>,
    /// What it is about.
    pub text: Vec<u8>,
}

const ENTER: u8 = 1;
const WHO: u8 = 2;
const MORE: u8 = 3;
const FAREWELL: u8 = 4;
const MESSAGE: usize = 13;
const ANSWER: usize = 16;
/// Work with four strings of the longest kind.
pub(super) const PACKET: usize = 5 * 4096;

/// Asks the hands.
pub(crate) fn ask(hands: BorrowedFd<'_>, asked: &Asked<'_>) -> Result<(), Errno> {
    let (kind, thread, identity) = match asked {
        Asked::Enter(..) => (ENTER, 0, 0),
        Asked::Who(Who(thread)) => (WHO, *thread, 0),
        Asked::More(More(thread, identity)) => (MORE, *thread, *identity),
        Asked::Farewell => (FAREWELL, 0, 0),
    };
    let mut packet = [0u8; MESSAGE];
    packet[0] = kind;
    packet[1..5].copy_from_slice(&thread.to_le_bytes());
    packet[5..].copy_from_slice(&identity.to_le_bytes());
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
    let [kind, rest @ ..] = packet;
    let (thread, identity) = rest.split_at(4);
    let thread = i32::from_le_bytes(thread.try_into().map_err(|_| Errno::EPROTO)?);
    let identity = u64::from_le_bytes(identity.try_into().map_err(|_| Errno::EPROTO)?);
    let message = match kind {
        ENTER => Message::Enter,
        WHO if thread > 0 => Message::Who(thread),
        MORE if thread > 0 => Message::More(thread, identity),
        FAREWELL => Message::Farewell,
        _ => return Err(Errno::EPROTO),
    };
    Ok((message, received.fds))
}

pub(super) fn send_answer(
    eyes: BorrowedFd<'_>,
    errno: Option<Errno>,
    identity: u64,
    umask: u32,
    fds: &[BorrowedFd<'_>],
) -> Result<(), Errno> {
    let mut packet = [0u8; ANSWER];
    packet[..4].copy_from_slice(&errno.map_or(0, |errno| errno as i32).to_le_bytes());
    packet[4..12].copy_from_slice(&identity.to_le_bytes());
    packet[12..].copy_from_slice(&umask.to_le_bytes());
    rights::send_with(eyes, &packet, fds).map(drop)
}

/// Reads what the hands say; none at their end.
pub(crate) fn read_answer(hands: BorrowedFd<'_>) -> Result<Option<Answer>, Errno> {
    let mut packet = [0u8; ANSWER];
    let received = rights::receive(hands, &mut packet)?;
    if received.bytes == 0 {
        return Ok(None);
    }
    let (errno, rest) = packet.split_at(4);
    let (identity, umask) = rest.split_at(8);
    let (Ok(errno), Ok(identity), Ok(umask)) = (errno.try_into(), identity.try_into(), umask.try_into()) else {
        return Err(Errno::EPROTO);
    };
    if received.bytes != ANSWER || received.truncated {
        return Err(Errno::EPROTO);
    }
    let [first, second, third, _] = received.fds;
    let errno = match i32::from_le_bytes(errno) {
        0 => None,
        raw => Some(Errno::from_raw(raw)),
    };
    let (identity, umask) = (u64::from_le_bytes(identity), u32::from_le_bytes(umask));
    Ok(Some(Answer { errno, identity, umask, fds: [first, second, third] }))
}

/// As one packet: the value or the negative errno, and a text.
pub(super) fn send_done(eyes: BorrowedFd<'_>, result: Result<i64, Errno>, text: &[u8]) -> Result<(), Errno> {
    let value = result.unwrap_or_else(|errno| -i64::from(errno as i32));
    let packet = [&value.to_le_bytes(), text].concat();
    rights::send_with(eyes, &packet, &[]).map(drop)
}

/// Reads what a hand has done; none at its end.
pub(crate) fn read_done(hand: BorrowedFd<'_>) -> Result<Option<Done>, Errno> {
    let mut packet = vec![0u8; 4096];
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
        _ => return Err(Errno::EPROTO),
    };
    Ok(Some(Done { result, text: text.to_vec() }))
}
