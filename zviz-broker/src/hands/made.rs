//! Hands from their making to their end.

use super::identity::Identity;
use super::{Entrance, Inside, hand, limit, wire};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt::ReceiveTimeout};
use nix::sys::time::{TimeVal, TimeValLike};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};
use wire::Told;
use zviz_sys::process::{self, Cloned, pidfd_send_signal};
use zviz_sys::{fd, signals, wait};

/// How long a hand may take to become somebody, in milliseconds: long, since a machine may be busy.
const BECOMING: i64 = 2_000;
/// How long the eyes wait for one hand at most before they look at anything else, in milliseconds.
const PATIENCE: i64 = 1;

/// How long hands may take to see that the eyes have died, where one of them may be answering a call.
const ENDING: Duration = Duration::from_millis(100);

/// A new hand.
pub(super) struct Made {
    pub(super) socket: OwnedFd,
    pub(super) pidfd: OwnedFd,
}

impl Inside {
    /// Forgets the hands that have ended.
    fn forget(&mut self) {
        self.made.retain(|hand| pidfd_send_signal(hand.as_fd(), 0) != Err(Errno::ESRCH));
    }

    /// Lets those end that do so by themselves: one may be in the middle of an answer.
    pub(super) fn let_end(&self) {
        let started = Instant::now();
        for pidfd in &self.made {
            let rest = ENDING.saturating_sub(started.elapsed());
            let timeout = PollTimeout::try_from(rest).unwrap_or(PollTimeout::ZERO);
            let _ = poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], timeout);
        }
    }

    /// Ends all hands: one may be blocked for ever.
    pub(super) fn end_all(&mut self) {
        for pidfd in &self.made {
            let _ = pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL);
        }
        for pidfd in &self.made {
            // Until it has ended; of how it did nothing is kept.
            let _ = wait::wait(pidfd.as_fd());
        }
    }

    /// A new process with the identity of `thread`, and the socket to it.
    pub(super) fn make(&mut self, thread: i32, identity: &Identity) -> Result<Made, Errno> {
        if let Entrance::Privileged(payload) = &self.entrance {
            limit::for_good(&self.proc, payload.as_fd(), identity)?;
            self.entrance = Entrance::Done;
        }
        self.forget();
        let (ours, theirs) = fd::packet_pair()?;
        let own = std::process::id();
        // A number must not become another's before there is a descriptor; and a hand waits for children of its own.
        signals::keep_ended_children(true);
        let forked = process::fork();
        if !matches!(forked, Ok(Cloned::Child)) {
            // How a hand ends nobody asks, and no question may come for long at which it could be reaped.
            signals::keep_ended_children(false);
            while let Ok(Some(_)) = wait::reap_any() {}
        }
        match forked? {
            Cloned::Parent { pidfd, .. } => {
                self.made.push(pidfd.try_clone().map_err(|_| Errno::EMFILE)?);
                drop(theirs);
                // Before the eyes may answer the thread, which is gone then, and its identity with it.
                setsockopt(&ours, ReceiveTimeout, &TimeVal::milliseconds(BECOMING))?;
                let ready = match wire::read_told(ours.as_fd()) {
                    Ok(Some(Told::Done(ready))) => ready,
                    // One that hangs must not hang all others.
                    _ => return pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL).and(Err(Errno::EPIPE)),
                };
                setsockopt(&ours, ReceiveTimeout, &TimeVal::milliseconds(PATIENCE))?;
                ready.result.map(|_| Made { socket: ours, pidfd })
            }
            Cloned::Child => {
                drop(ours);
                let told = hand::Told {
                    rules: self.rules.as_ref(),
                    sockets: self.sockets.as_ref(),
                    turns: &self.turns,
                    alone: self.alone.as_ref(),
                };
                hand::run(&self.proc, told, thread, identity, &theirs, own)
            }
        }
    }
}
