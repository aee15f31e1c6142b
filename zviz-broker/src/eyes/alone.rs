//! The hand that holds the listener as the eyes do, and leaves them what it cannot answer by itself: `hands::alone`.

use super::Eyes;
use crate::hands::{ALONE, Says, has_ended, hear};
use crate::policy::Death;
use nix::errno::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use zviz_sys::process::{exit, pidfd_send_signal};
use zviz_sys::{notify, rights};

/// Whether there is such a hand.
pub(super) enum Alone {
    /// There is to be none, or none any more.
    Never,
    /// The first hand is to be it.
    Wanted,
    /// Its socket and its pidfd.
    Serves(OwnedFd, OwnedFd),
}

impl Alone {
    pub(super) fn new(wanted: bool) -> Self {
        if wanted { Alone::Wanted } else { Alone::Never }
    }

    /// Whether it takes the calls.
    pub(super) fn serves(&self) -> bool {
        matches!(self, Alone::Serves(..))
    }

    /// Where it says what it has to say.
    pub(super) fn waits(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Alone::Serves(socket, _) => Some(socket.as_fd()),
            Alone::Never | Alone::Wanted => None,
        }
    }
}

impl Eyes {
    /// Gives the listener to a new hand, if that is wanted; else the hand comes back.
    pub(super) fn entrust(&mut self, socket: OwnedFd, pidfd: OwnedFd) -> Option<(OwnedFd, OwnedFd)> {
        let wanted = matches!(self.alone, Alone::Wanted);
        if !wanted || rights::send_with(socket.as_fd(), ALONE, &[self.listener.as_fd()]).is_err() {
            return Some((socket, pidfd));
        }
        self.alone = Alone::Serves(socket, pidfd);
        None
    }

    /// It has something to say.
    pub(super) fn hear_of_calls(&mut self) {
        let Alone::Serves(socket, pidfd) = &self.alone else { return };
        match hear(socket) {
            Says::Call(call) => drop(self.serve(&call)),
            Says::Leaves(id) => {
                // Of one that is just answered it is the kernel that says so, and that hand ends without help.
                if id != 0 && notify::refuse(self.listener.as_fd(), id, Errno::ETIMEDOUT).is_ok() {
                    let _ = pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL);
                }
                self.alone = Alone::Never;
            }
            Says::Nothing => {}
            Says::End if has_ended(&self.listener) => {
                self.farewell();
                exit(0)
            }
            Says::End => {
                self.log.hands_died(self.policy.death);
                self.give_up()
            }
        }
    }

    /// A part has died, without which nothing can be served: with the listener all calls end that are held, whoever has them.
    pub(super) fn give_up(&self) -> ! {
        if self.policy.death == Death::Kill {
            let _ = pidfd_send_signal(self.init.as_fd(), libc::SIGKILL);
        }
        exit(1)
    }
}
