//! The packets between the eyes and the loader. What arrives is checked at both ends: either may have been taken over.

use crate::handlers::bpf::program;
use nix::errno::Errno;
use std::os::fd::{BorrowedFd, OwnedFd};
use zviz_sys::rights;

/// What the loader is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request<'b> {
    /// To know the container's cgroup, which comes along.
    Enter,
    /// To load these instructions.
    Load(&'b [u8]),
    /// To attach the second descriptor to the first.
    Attach,
    /// To take the second descriptor off the first.
    Detach,
    /// What is attached to the first.
    Query,
}

/// What it answers.
#[derive(Debug)]
pub(crate) struct Answer {
    /// To `Query`: how it was attached.
    pub flags: u32,
    /// To `Query`: the numbers.
    pub ids: Vec<u32>,
    /// To `Load`.
    pub program: Option<OwnedFd>,
}

const ENTER: u8 = 1;
const LOAD: u8 = 2;
const ATTACH: u8 = 3;
const DETACH: u8 = 4;
const QUERY: u8 = 5;
/// The longest request.
pub(super) const PACKET: usize = 1 + program::MOST * 8;
/// The longest answer: an errno, flags, and as many numbers as there can be programs.
const ANSWER: usize = 8 + 4 * 64;

/// Asks the loader.
pub(crate) fn ask(loader: BorrowedFd<'_>, request: Request<'_>, fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let (kind, bytes) = match request {
        Request::Enter => (ENTER, &[][..]),
        Request::Load(bytes) => (LOAD, bytes),
        Request::Attach => (ATTACH, &[][..]),
        Request::Detach => (DETACH, &[][..]),
        Request::Query => (QUERY, &[][..]),
    };
    rights::send_with(loader, &[&[kind], bytes].concat(), fds).map(drop)
}

/// Waits for a request.
pub(super) fn receive<'b>(
    eyes: BorrowedFd<'_>,
    packet: &'b mut [u8],
) -> Result<(Request<'b>, [Option<OwnedFd>; 2]), Errno> {
    let received = rights::receive(eyes, packet)?;
    let packet = packet.get(..received.bytes).filter(|_| !received.truncated).ok_or(Errno::EPROTO)?;
    let request = match packet.split_first().ok_or(Errno::EPIPE)? {
        (&ENTER, []) => Request::Enter,
        (&LOAD, bytes) if bytes.len().is_multiple_of(8) => Request::Load(bytes),
        (&ATTACH, []) => Request::Attach,
        (&DETACH, []) => Request::Detach,
        (&QUERY, []) => Request::Query,
        _ => return Err(Errno::EPROTO),
    };
    let [first, second, ..] = received.fds;
    Ok((request, [first, second]))
}

/// Answers.
pub(super) fn send_answer(eyes: BorrowedFd<'_>, answer: &Result<Answer, Errno>) -> Result<(), Errno> {
    use std::os::fd::AsFd;
    let (errno, flags, ids, program) = match answer {
        Ok(Answer { flags, ids, program }) => (0, *flags, ids.as_slice(), program.as_ref()),
        Err(errno) => (*errno as i32, 0, &[][..], None),
    };
    let mut packet = [errno.to_le_bytes(), flags.to_le_bytes()].concat();
    packet.extend(ids.iter().flat_map(|id| id.to_le_bytes()));
    let program = program.map(AsFd::as_fd);
    rights::send_with(eyes, &packet, program.as_slice()).map(drop)
}

/// Reads an answer.
///
/// # Errors
/// EPIPE at the loader's end, EPROTO; the inner one is the loader's own.
pub(crate) fn read_answer(loader: BorrowedFd<'_>) -> Result<Result<Answer, Errno>, Errno> {
    let mut packet = [0u8; ANSWER];
    let received = rights::receive(loader, &mut packet)?;
    if received.bytes == 0 {
        return Err(Errno::EPIPE);
    }
    let packet = packet.get(..received.bytes).filter(|_| !received.truncated).ok_or(Errno::EPROTO)?;
    let (words, []) = packet.as_chunks::<4>() else { return Err(Errno::EPROTO) };
    let mut words = words.iter().map(|word| u32::from_le_bytes(*word));
    let (Some(errno), Some(flags)) = (words.next(), words.next()) else { return Err(Errno::EPROTO) };
    let [program, ..] = received.fds;
    match errno.cast_signed() {
        0 => Ok(Ok(Answer { flags, ids: words.collect(), program })),
        errno => Ok(Err(Errno::from_raw(errno))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use zviz_sys::fd;

    #[test]
    fn requests_and_answers_survive_their_way() {
        let (ours, theirs) = fd::packet_pair().unwrap();
        let long = vec![7; program::MOST * 8];
        let mut packet = vec![0; PACKET];
        for request in [Request::Enter, Request::Load(&long), Request::Attach, Request::Detach, Request::Query] {
            ask(ours.as_fd(), request, &[theirs.as_fd()]).unwrap();
            let (received, [first, second]) = receive(theirs.as_fd(), &mut packet).unwrap();
            assert!(received == request && first.is_some() && second.is_none());
        }
        let ids: Vec<u32> = (0..64).collect();
        let answer = Answer { flags: 2, ids: ids.clone(), program: Some(ours.try_clone().unwrap()) };
        send_answer(theirs.as_fd(), &Ok(answer)).unwrap();
        let answer = read_answer(ours.as_fd()).unwrap().unwrap();
        assert_eq!((answer.flags, answer.ids, answer.program.is_some()), (2, ids, true));
        send_answer(theirs.as_fd(), &Err(Errno::EPERM)).unwrap();
        assert_eq!(read_answer(ours.as_fd()).unwrap().err(), Some(Errno::EPERM));
    }

    #[test]
    fn nonsense_is_no_request() {
        let (ours, theirs) = fd::packet_pair().unwrap();
        let mut packet = vec![0; PACKET];
        for nonsense in [&[0][..], &[ATTACH, 1], &[LOAD, 1, 2, 3], &[200], &[LOAD; PACKET + 8]] {
            rights::send_with(ours.as_fd(), nonsense, &[]).unwrap();
            assert_eq!(receive(theirs.as_fd(), &mut packet).err(), Some(Errno::EPROTO));
        }
        rights::send_with(theirs.as_fd(), &[1, 2, 3], &[]).unwrap();
        assert_eq!(read_answer(ours.as_fd()).err(), Some(Errno::EPROTO));
        drop(ours);
        assert!(receive(theirs.as_fd(), &mut packet).is_err());
    }
}
