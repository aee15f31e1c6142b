//! One call: its receipt, what is decided about it, and what is remembered until it is answered.

use super::Eyes;
use super::log::{Answered, Call};
use super::target::Target;
use crate::decision::{Op, Step, Work};
use crate::held::Held;
use crate::table::Entry;
use nix::errno::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;
use zviz_sys::notify::{self, Notification};

/// A call that the hands are busy with.
pub(super) struct Pending {
    pub call: Call,
    pub work: Work,
    /// Where the hand's text goes, for `uname`; how much was sent, for `sendmmsg`.
    pub write_to: Option<u64>,
    /// None where it may take for ever.
    pub deadline: Option<Instant>,
    pub stage: Stage,
    /// Its hand was told to stop waiting.
    pub interrupted: bool,
    /// What was opened for it, to be written, by a hand that is not done yet.
    pub file: Option<OwnedFd>,
}

/// How far it is.
pub(super) enum Stage {
    /// Somebody outside is asked whether it is done at all.
    Asked,
    /// A hand that answers by itself has passed it on, and nothing is known but what that says.
    Passed(Box<Notification>),
    /// Its identity is asked for.
    Unknown,
    /// It needs a hand of this identity: one is being made for it, or all are busy.
    Waiting { identity: u64, umask: u32, directory: Option<OwnedFd>, making: bool },
    /// A hand works on it.
    Working,
    /// The loader does, or will.
    Loading,
}

impl Pending {
    /// Of which identity a hand is being made for it.
    pub(super) fn making(&self) -> Option<u64> {
        match self.stage {
            Stage::Waiting { identity, making: true, .. } => Some(identity),
            _ => None,
        }
    }
}

impl Eyes {
    /// Takes the next call, and waits for one. When it came, if there was one.
    pub(super) fn take(&mut self) -> Option<Instant> {
        // It may be gone already: killed, or told to others by a spurious wake-up.
        let Ok(call) = self.waits.during(|| notify::receive(self.listener.as_fd())) else { return None };
        Some(self.serve(&call))
    }

    /// Serves a call. When it came.
    pub(super) fn serve(&mut self, call: &Notification) -> Instant {
        let received = Instant::now();
        let known = self.calls.iter().find(|(arch, number, _)| (*arch, *number) == (call.arch, call.nr));
        let Some((_, _, entry)) = known.copied() else {
            // Not in this policy: the filter of another.
            let _ = notify::refuse(self.listener.as_fd(), call.id, Errno::ENOSYS);
            return received;
        };
        self.decide(call, entry, received);
        received
    }

    fn decide(&mut self, notified: &Notification, entry: &'static Entry, received: Instant) {
        // 0 is a caller that this process cannot see.
        let Some(thread) = i32::try_from(notified.pid).ok().filter(|thread| *thread > 0) else {
            let _ = notify::refuse(self.listener.as_fd(), notified.id, Errno::EPERM);
            return;
        };
        let mut target = Target { thread, process: None };
        let decision = (entry.decide)(&self.policy, Held::new(notified.args, &mut target));
        let call = Call { thread, process: None, name: entry.name, received, rule: decision.rule, seen: decision.seen };
        let (id, listener) = (notified.id, self.listener.as_fd());
        match decision.step {
            Step::LetRun(_) => {
                let answered = if notify::let_run(listener, id).is_ok() { Answered::LetRun } else { Answered::Gone };
                self.log.answered(&call, answered);
            }
            Step::Refuse(errno) => self.respond(id, &call, Err(errno)),
            Step::Sysinfo(address) => {
                let told = self.told.sysinfo(&self.facts, self.started, received).and_then(|bytes| {
                    if notify::is_waiting(listener, id) { target.write(address, &bytes) } else { Ok(()) }
                });
                self.respond(id, &call, told.map(|()| 0));
            }
            Step::Uname(address) => self.delegate(id, call, Work::new(Op::Uname), Some(address)),
            Step::Do(work) => self.delegate(id, call, work, None),
            Step::Count(work, address) => self.delegate(id, call, work, Some(address)),
        }
    }
}
