//! The hand that holds the listener as the eyes do, and leaves them what it cannot answer by itself: `hands::alone`.

use super::delegate::Seen;
use super::serve::{Pending, Stage};
use super::{Eyes, TICK, log::Call};
use crate::decision::{Op, Work};
use crate::handlers::files::RULE;
use crate::hands::{ALONE, Asked, GO, Says, Who, has_ended, hear};
use crate::policy::Death;
use nix::errno::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};
use zviz_sys::notify::{self, Notification};
use zviz_sys::process::{exit, pidfd_send_signal};
use zviz_sys::rights;

/// How long the eyes take the calls after one took long: where a file system is slow, several at once are better.
const REST: Duration = Duration::from_secs(1);

/// Whether there is such a hand.
pub(super) enum Alone {
    /// There is to be none, or none any more.
    Never,
    /// The first hand is to be it.
    Wanted,
    /// It takes the calls.
    Serves(Hand),
    /// The eyes take them: it has been busy with this one for long, and is ended if it is until then.
    Slow(Hand, u64, Instant),
    /// The eyes take them until then, since it was.
    Rests(Hand, Instant),
}

/// Its socket, and the process.
pub(super) struct Hand {
    socket: OwnedFd,
    pidfd: OwnedFd,
}

impl Alone {
    pub(super) fn new(wanted: bool) -> Self {
        if wanted { Alone::Wanted } else { Alone::Never }
    }

    /// Whether it takes the calls.
    pub(super) fn serves(&self) -> bool {
        matches!(self, Alone::Serves(..))
    }

    /// Whether the eyes take its calls for a while.
    pub(super) fn is_away(&self) -> bool {
        matches!(self, Alone::Slow(..) | Alone::Rests(..))
    }

    fn hand(&self) -> Option<&Hand> {
        match self {
            Alone::Serves(hand) | Alone::Slow(hand, ..) | Alone::Rests(hand, _) => Some(hand),
            Alone::Never | Alone::Wanted => None,
        }
    }

    /// Where it says what it has to say; none if there is no such hand.
    pub(super) fn waits(&self) -> Option<BorrowedFd<'_>> {
        self.hand().map(|hand| hand.socket.as_fd())
    }

    fn becomes(&mut self, next: impl FnOnce(Hand) -> Alone) {
        *self = match std::mem::replace(self, Alone::Never) {
            Alone::Serves(hand) | Alone::Slow(hand, ..) | Alone::Rests(hand, _) => next(hand),
            none => none,
        };
    }
}

impl Eyes {
    /// Gives the listener to a new hand, if that is wanted; else the hand comes back.
    pub(super) fn entrust(&mut self, socket: OwnedFd, pidfd: OwnedFd) -> Option<(OwnedFd, OwnedFd)> {
        let wanted = matches!(self.alone, Alone::Wanted);
        if !wanted || rights::send_with(socket.as_fd(), ALONE, &[self.listener.as_fd()]).is_err() {
            return Some((socket, pidfd));
        }
        self.alone = Alone::Serves(Hand { socket, pidfd });
        None
    }

    /// It has something to say.
    pub(super) fn hear_of_calls(&mut self) {
        let Some(hand) = self.alone.hand() else { return };
        match hear(&hand.socket) {
            Says::Call(call) => self.pass(call),
            Says::Slow(id) => {
                // So long it has taken already.
                let patience = Duration::from_millis(self.policy.pace.deadline_ms.into()).saturating_sub(TICK);
                self.alone.becomes(|hand| Alone::Slow(hand, id, Instant::now() + patience));
            }
            Says::Free => self.alone.becomes(|hand| Alone::Rests(hand, Instant::now() + REST)),
            Says::Leaves => self.alone = Alone::Never,
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

    /// A call that it has received. It has read what the container has written, so that whose call it is is not taken from
    /// it: before anything is read by that number, the hands look the thread up, who can see those of the container alone.
    fn pass(&mut self, notified: Box<Notification>) {
        let (id, received) = (notified.id, Instant::now());
        let Ok(thread @ 1..) = i32::try_from(notified.pid) else {
            let _ = notify::refuse(self.listener.as_fd(), id, Errno::EPERM);
            return;
        };
        if self.pending.contains_key(&id) {
            return;
        }
        let call = Call { thread, process: None, name: "", received, rule: RULE.into(), seen: Vec::new() };
        let deadline = Some(received + Duration::from_millis(self.policy.pace.deadline_ms.into()));
        let (work, stage) = (Work::new(Op::Open), Stage::Passed(notified));
        self.pending
            .insert(id, Pending { call, work, write_to: None, deadline, stage, interrupted: false, file: None });
        self.ask(id, &Asked::Who(Who(thread)));
    }

    /// The hands have seen its thread.
    pub(super) fn is_of_container(&mut self, id: u64, seen: Seen) {
        if let Some(Pending { stage: Stage::Passed(notified), .. }) = self.pending.remove(&id)
            && notify::is_waiting(self.listener.as_fd(), id)
        {
            // They need not be asked again.
            self.seen = Some((id, seen));
            self.serve(&notified);
            self.seen = None;
        }
    }

    /// Ends a hand that takes too long, and lets one that did go on. Looked at from time to time.
    pub(super) fn look_after_alone(&mut self) {
        match &self.alone {
            // Who is just answering must not be cut off: its caller would get 0.
            Alone::Slow(hand, id, until)
                if *until <= Instant::now()
                    && notify::refuse(self.listener.as_fd(), *id, Errno::ETIMEDOUT) != Err(Errno::EINPROGRESS) =>
            {
                let _ = pidfd_send_signal(hand.pidfd.as_fd(), libc::SIGKILL);
                self.alone = Alone::Never;
            }
            Alone::Rests(hand, until) if *until <= Instant::now() => {
                // Who does not hear it has ended, which is heard of.
                let _ = rights::send_with(hand.socket.as_fd(), GO, &[]);
                self.alone.becomes(Alone::Serves);
            }
            _ => {}
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
