//! The conversation between the parent and init, over a pair of sequenced-packet sockets.
//!
//! ```text
//! parent                                         trampoline (where something is joined)
//!    ── Go ───────────────────────────────────────►  joins, clones init as the parent's child
//!    ◄────────────────────────────── Cloned(pid) ──  exits
//!
//! parent                                         init
//!    ── Go ───────────────────────────────────────►  id maps, cgroup and links are in place
//!    ◄────────────────────────────────── Mounted ──  where there are prestart, createRuntime or createContainer hooks
//!    ── Go ───────────────────────────────────────►  masks, pivot, console ...
//!    ◄──────────────────────────── Console + fd ───  where a terminal was asked for
//!    ── Go ───────────────────────────────────────►  its master is where it belongs
//!    ◄─────────────────────────── Listener(number)─  where the filter notifies
//!    ── Go ───────────────────────────────────────►  the listener is in the agent's hands
//!    ◄──────────────────────────────────── Ready ──  only the wait for `start` (create) and execve are left
//!    ── Go ───────────────────────────────────────►  the container is remembered
//!    ◄────────────────────── end of file: it runs ─  or Failed(stage, item, errno), at any point
//! ```

use crate::failure::Failure;
use nix::errno::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use zviz_sys::{fd, rights};

/// What init, or the trampoline, says.
#[derive(Debug)]
pub enum FromInit {
    /// The trampoline has made init.
    Cloned(i32),
    /// All mounts are made; the root is not changed yet.
    Mounted,
    /// The master side of the pseudo-terminal comes along.
    Console(OwnedFd),
    /// The listener's number in init's table.
    Listener(i32),
    /// Nothing is left but the wait and execve.
    Ready,
    /// It cannot go on.
    Failed(Failure),
    /// It has become the payload, or died.
    End,
}

const CLONED: u8 = 1;
const MOUNTED: u8 = 2;
const CONSOLE: u8 = 3;
const LISTENER: u8 = 4;
const READY: u8 = 5;
const FAILED: u8 = 6;
const GO: u8 = 7;

/// The child's end. Nothing here allocates.
pub(crate) struct ChildEnd(pub OwnedFd);

impl ChildEnd {
    /// Waits for the parent's word.
    ///
    /// # Errors
    /// EPIPE if the parent is gone.
    pub fn wait(&self) -> Result<(), Errno> {
        let mut byte = [0u8; 1];
        match fd::read(self.0.as_fd(), &mut byte)? {
            1 if byte[0] == GO => Ok(()),
            0 => Err(Errno::EPIPE),
            _ => Err(Errno::EPROTO),
        }
    }

    fn send(&self, kind: u8, payload: [u8; 8]) -> Result<(), Errno> {
        let mut message = [0u8; 9];
        message[0] = kind;
        message[1..].copy_from_slice(&payload);
        fd::write_all(self.0.as_fd(), &message)
    }

    fn send_number(&self, kind: u8, number: i32) -> Result<(), Errno> {
        let n = number.to_le_bytes();
        self.send(kind, [n[0], n[1], n[2], n[3], 0, 0, 0, 0])
    }

    fn send_with(&self, kind: u8, fd: BorrowedFd<'_>) -> Result<(), Errno> {
        rights::send(self.0.as_fd(), &[kind, 0, 0, 0, 0, 0, 0, 0, 0], fd).map(drop)
    }

    pub fn cloned(&self, pid: i32) -> Result<(), Errno> {
        self.send_number(CLONED, pid)
    }

    pub fn mounted(&self) -> Result<(), Errno> {
        self.send(MOUNTED, [0; 8])
    }

    pub fn ready(&self) -> Result<(), Errno> {
        self.send(READY, [0; 8])
    }

    pub fn listener(&self, number: i32) -> Result<(), Errno> {
        self.send_number(LISTENER, number)
    }

    pub fn console(&self, master: BorrowedFd<'_>) -> Result<(), Errno> {
        self.send_with(CONSOLE, master)
    }

    /// Says why; there is nobody to tell if this fails too.
    pub fn failed(&self, failure: Failure) {
        let _ = self.send(FAILED, failure.to_bytes());
    }
}

/// The parent's end.
pub(crate) struct ParentEnd(pub OwnedFd);

impl ParentEnd {
    /// Lets the child go on.
    pub fn go(&self) -> Result<(), Errno> {
        fd::write_all(self.0.as_fd(), &[GO])
    }

    /// The child's next word.
    ///
    /// # Errors
    /// EPROTO if it is none of the protocol's.
    pub fn receive(&self) -> Result<FromInit, Errno> {
        let mut message = [0u8; 9];
        let received = match rights::receive(self.0.as_fd(), &mut message) {
            // The child died with a word of ours unread. The kernel says so once, and before what the child said last.
            Err(Errno::ECONNRESET) => rights::receive(self.0.as_fd(), &mut message)?,
            other => other?,
        };
        if received.bytes == 0 {
            return Ok(FromInit::End);
        }
        if received.bytes != message.len() || received.truncated {
            return Err(Errno::EPROTO);
        }
        let [fd, ..] = received.fds;
        let [kind, payload @ ..] = message;
        let number = i32::from_le_bytes([payload[0], payload[1], payload[2], payload[3]]);
        match (kind, fd) {
            (CLONED, None) => Ok(FromInit::Cloned(number)),
            (MOUNTED, None) => Ok(FromInit::Mounted),
            (CONSOLE, Some(master)) => Ok(FromInit::Console(master)),
            (LISTENER, None) => Ok(FromInit::Listener(number)),
            (READY, None) => Ok(FromInit::Ready),
            (FAILED, None) => Failure::from_bytes(payload).map(FromInit::Failed).ok_or(Errno::EPROTO),
            _ => Err(Errno::EPROTO),
        }
    }
}

/// A fresh pair.
pub(crate) fn pair() -> Result<(ParentEnd, ChildEnd), Errno> {
    let (parent, child) = fd::packet_pair()?;
    Ok((ParentEnd(parent), ChildEnd(child)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Stage;

    #[test]
    fn words_arrive_as_they_were_sent() {
        let (parent, child) = pair().expect("socketpair");
        child.mounted().expect("send");
        child.listener(7).expect("send");
        child.console(child.0.as_fd()).expect("send");
        child.failed(Failure { stage: Stage::Mount, item: 3, errno: Errno::ENOENT });
        assert!(matches!(parent.receive(), Ok(FromInit::Mounted)));
        assert!(matches!(parent.receive(), Ok(FromInit::Listener(7))));
        assert!(matches!(parent.receive(), Ok(FromInit::Console(_))));
        assert!(matches!(parent.receive(), Ok(FromInit::Failed(Failure { item: 3, errno: Errno::ENOENT, .. }))));
        parent.go().expect("send");
        child.wait().expect("word");
        drop(child);
        assert!(matches!(parent.receive(), Ok(FromInit::End)));
    }

    #[test]
    fn last_words_are_heard_though_ours_were_not() {
        let (parent, child) = pair().expect("socketpair");
        child.failed(Failure { stage: Stage::Sync, item: 0, errno: Errno::EIO });
        parent.go().expect("send");
        drop(child);
        assert!(matches!(parent.receive(), Ok(FromInit::Failed(Failure { errno: Errno::EIO, .. }))));
        assert!(matches!(parent.receive(), Ok(FromInit::End)));
    }

    #[test]
    fn who_dies_without_a_word_has_ended() {
        let (parent, child) = pair().expect("socketpair");
        parent.go().expect("send");
        drop(child);
        assert!(matches!(parent.receive(), Ok(FromInit::End)));
    }
}
