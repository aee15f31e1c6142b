//! The part of the broker that acts. It stands inside the container's user and mount namespaces, has no right outside, and
//! makes *hands*: processes that have each taken on one identity of the container's and do system calls in its place.
//!
//! ```text
//! eyes ── Enter + two pidfds ────►  hands             joins the namespaces
//!      ◄──────────── errno ───────
//!      ── Who(thread) ────────────►                    what identity has it?
//!      ◄── identity, umask + its working directory
//!      ── More(thread) ───────────►                    a hand of its identity, since there is none that is free
//!      ◄── errno, identity + socket, pidfd
//!      ── Farewell ───────────────►                    the container has ended
//!
//! eyes ── work + descriptors ─────►  hand
//!      ◄── value or errno, text ──
//! ```
//!
//! Neither is ever visible in the container's pid namespace, and neither can be traced from it: their memory belongs to the
//! host's user namespace (they are forked, not executed, after the runtime's exec) and they are not dumpable.

mod alone;
mod devices;
mod hand;
mod identity;
mod label;
mod limit;
mod made;
mod mount;
mod node;
mod open;
mod proc;
mod socket;
mod status;
mod turn;
mod wire;

pub(crate) use alone::{ALONE, GO, Orders, Says, has_ended, hear};
pub(crate) use turn::Turns;
pub(crate) use wire::{
    Answer, Asked, Done, More, NOT_SEEN, Told, Who, ask, decode_judged, read_answer, read_told, send_verdict,
};

use crate::policy::Death;
use crate::policy::files::Rules;
use crate::policy::sockets::Sockets;
use identity::Identity;
use nix::errno::Errno;
use proc::{Joined, Proc};
use std::os::fd::{AsFd, OwnedFd};
use wire::{Message, receive};
use zviz_sys::process::{self, pidfd_send_signal};

/// Identities that are remembered. A container has a handful; one that makes more is served by making hands anew.
const MOST_IDENTITIES: usize = 32;

/// What the hands are started with.
pub(crate) struct Hands {
    /// The host's proc, where threads are looked up by the numbers that the listener gives.
    pub proc: OwnedFd,
    /// To the eyes.
    pub eyes: OwnedFd,
    /// What to do when they die.
    pub death: Death,
    /// For opening files; none where that is not asked for.
    pub rules: Option<Rules>,
    /// For the files of sockets.
    pub sockets: Option<Sockets>,
    /// For names that are given away.
    pub turns: Turns,
    /// A container that cannot be entered yet is entered later.
    pub patient: bool,
    /// For a hand that answers by itself, where there is to be one.
    pub alone: Option<Orders>,
}

struct Known {
    number: u64,
    identity: Identity,
}

struct Inside {
    proc: Proc,
    rules: Option<Rules>,
    eyes: OwnedFd,
    known: Vec<Known>,
    last: u64,
    /// Those that may live.
    made: Vec<OwnedFd>,
    sockets: Option<Sockets>,
    turns: Turns,
    alone: Option<Orders>,
    entrance: Entrance,
}

/// How far into the container the hands are.
enum Entrance {
    /// Nothing is known of it.
    Outside,
    /// It could not be entered yet; a pidfd.
    Later(OwnedFd),
    /// Inside, with every right in the container's own user namespace and none elsewhere.
    Done,
    /// Inside, with rights in the broker's own user namespace, which the first hand made narrows down; a pidfd.
    Privileged(OwnedFd),
}

/// Serves until the eyes are gone. In a process of its own.
pub(crate) fn run(hands: Hands) -> ! {
    let Hands { proc, eyes, death, rules, sockets, turns, patient, alone } = hands;
    let (proc, entrance) = (Proc(proc), Entrance::Outside);
    let (known, made) = (Vec::new(), Vec::new());
    let mut inside = Inside { proc, rules, sockets, turns, alone, eyes, known, last: 0, made, entrance };
    let mut init = None;
    loop {
        let Ok((message, descriptors)) = receive(inside.eyes.as_fd()) else { break };
        let sent = match message {
            Message::Enter => {
                let [payload, pidfd, ..] = descriptors;
                let entered = payload.ok_or(Errno::EBADF).and_then(|payload| inside.enter(payload, patient));
                init = pidfd;
                wire::send_answer(inside.eyes.as_fd(), entered.err(), 0, (0, 0), &[])
            }
            Message::Who(thread) => inside.who(thread),
            Message::More(thread) => inside.more(thread),
            Message::Farewell => {
                inside.end_all();
                process::exit(0)
            }
        };
        if sent.is_err() {
            break;
        }
    }
    // No word of farewell: the eyes have died. Their listener with them, so that no mediated call succeeds any more.
    if let (Death::Kill, Some(init)) = (death, init) {
        let _ = pidfd_send_signal(init.as_fd(), libc::SIGKILL);
    }
    if inside.alone.is_some() {
        inside.let_end();
    }
    inside.end_all();
    process::exit(0)
}

impl Inside {
    /// Enters the container.
    fn enter(&mut self, payload: OwnedFd, patient: bool) -> Result<(), Errno> {
        self.entrance = match self.proc.join(payload.as_fd()) {
            // Nothing was joined.
            Err(Errno::EPERM | Errno::EACCES) if patient => Entrance::Later(payload),
            Err(errno) => return Err(errno),
            Ok(Joined::Users) => {
                self.proc.settle()?;
                Entrance::Done
            }
            Ok(Joined::NoUsers) => {
                limit::at_first(&self.proc, payload.as_fd())?;
                Entrance::Privileged(payload)
            }
        };
        Ok(())
    }

    /// Sees to it that the container is entered, now that one of its threads waits.
    fn be_inside(&mut self) -> Result<(), Errno> {
        match std::mem::replace(&mut self.entrance, Entrance::Outside) {
            Entrance::Later(payload) => {
                self.enter(payload, true)?;
                // A call of the runtime's own, before the program is executed.
                if matches!(self.entrance, Entrance::Later(_)) { Err(Errno::EPERM) } else { Ok(()) }
            }
            Entrance::Outside => Err(Errno::ESRCH),
            inside => {
                self.entrance = inside;
                Ok(())
            }
        }
    }

    fn who(&mut self, thread: i32) -> Result<(), Errno> {
        match self.be_inside().and_then(|()| identity::look(&self.proc, thread)) {
            Err(errno) => wire::send_answer(self.eyes.as_fd(), Some(errno), 0, (0, 0), &[]),
            Ok(seen) => {
                let number = self.number(seen.identity);
                let is = (seen.umask, seen.process);
                wire::send_answer(self.eyes.as_fd(), None, number, is, &[seen.directory.as_fd()])
            }
        }
    }

    fn more(&mut self, thread: i32) -> Result<(), Errno> {
        // Looked at again: since the eyes have asked who it is, the thread may have ended, and its number be another's. The
        // hand goes by the name of what it is.
        let made = identity::look(&self.proc, thread)
            .and_then(|seen| Ok((self.make(thread, &seen.identity)?, self.number(seen.identity))));
        match made {
            Err(errno) => wire::send_answer(self.eyes.as_fd(), Some(errno), 0, (0, 0), &[]),
            Ok((hand, number)) => {
                let fds = [hand.socket.as_fd(), hand.pidfd.as_fd()];
                wire::send_answer(self.eyes.as_fd(), None, number, (0, 0), &fds)
            }
        }
    }

    /// The number that an identity has.
    fn number(&mut self, identity: Identity) -> u64 {
        if let Some(known) = self.known.iter().find(|known| known.identity == identity) {
            return known.number;
        }
        if self.known.len() == MOST_IDENTITIES {
            self.known.remove(0);
        }
        self.last += 1;
        self.known.push(Known { number: self.last, identity });
        self.last
    }
}
