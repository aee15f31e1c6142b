//! What is waited for in the foreground, with what it must not exceed.

use super::{Budget, Limit, Meter, Outcome, Output};
use crate::console::Relay;
use std::os::fd::BorrowedFd;
use std::time::Instant;
use zviz_sys::wait::Exit;
use zviz_sys::{Errno, process};

/// Kills a payload and all its processes at a limit. It is a limit and no request: nothing that the payload could catch is
/// sent before.
pub type Kill<'a> = &'a mut dyn FnMut() -> Result<(), Errno>;

/// What is waited for.
pub struct Payload<'a> {
    /// In the runtime's pid namespace; a child of the runtime.
    pub pid: i32,
    /// The same process.
    pub pidfd: BorrowedFd<'a>,
    /// Its terminal, if the runtime holds the master.
    pub relay: Option<Relay<'a>>,
    /// It is in the caller's session and process group, so that the terminal reaches it directly.
    pub shares_terminal: bool,
    /// When it is killed.
    pub deadline: Option<Instant>,
    /// What processor time it has.
    pub budget: Option<Budget>,
    /// The pipes that it writes to, where what it writes is counted and goes to no terminal.
    pub output: Option<Output<'a>>,
    /// Counts what it writes.
    pub meter: Option<&'a mut Meter>,
    /// How it is killed at a limit; by its first process without.
    pub kill: Option<Kill<'a>>,
    /// Its broker, a child of the runtime, where it must not outlive that: whose other part it is that would see to it may have
    /// been killed with it.
    pub broker: Option<BorrowedFd<'a>>,
    pub(super) ended: Option<Exit>,
}

impl<'a> Payload<'a> {
    /// A payload without a terminal of its own, in a session of its own, without a deadline.
    #[must_use]
    pub fn new(pid: i32, pidfd: BorrowedFd<'a>) -> Self {
        Payload {
            pid,
            pidfd,
            relay: None,
            shares_terminal: false,
            deadline: None,
            budget: None,
            output: None,
            meter: None,
            kill: None,
            broker: None,
            ended: None,
        }
    }

    pub(super) fn has_ended(&mut self, exit: Exit) {
        self.ended = Some(exit);
        self.output.iter_mut().for_each(Output::payload_ended);
        self.relay.iter_mut().for_each(Relay::payload_ended);
    }

    /// The limit that it has reached.
    pub(super) fn over(&mut self, now: Instant) -> Option<Outcome> {
        if self.deadline.is_some_and(|at| at <= now) {
            return Some(Outcome::TimedOut);
        }
        if self.budget.as_mut().is_some_and(|budget| budget.is_spent(now)) {
            return Some(Outcome::Exceeded(Limit::CpuTime));
        }
        self.meter.as_ref().is_some_and(|meter| meter.ends()).then_some(Outcome::Exceeded(Limit::Output))
    }

    /// Where all of it cannot be killed at once, its first process still can.
    pub(super) fn end(&mut self) -> Result<(), Errno> {
        let first = |pidfd| process::pidfd_send_signal(pidfd, libc::SIGKILL);
        match &mut self.kill {
            Some(kill) => kill().or_else(|errno| first(self.pidfd).map_err(|_| errno)),
            None => first(self.pidfd),
        }
    }

    /// Whether all that it wrote was passed on.
    pub(super) fn is_drained(&self, now: Instant) -> bool {
        let relayed = self.relay.as_ref().is_none_or(|relay| relay.is_drained(now));
        relayed && self.output.as_ref().is_none_or(|output| output.is_drained(now))
    }
}
