//! Waiting for the payload in the foreground: one loop over signals, its end, its terminal and its time.
//!
//! Signals are blocked and read from a descriptor, so that none is lost between the container's start and the loop, and
//! none ends the runtime before it has cleaned up. What was caught is sent to the payload. As in runc, SIGTSTP is sent on
//! and does not stop the runtime, SIGWINCH resizes the payload's terminal, and SIGCHLD reaps what a subreaper inherits.
//!
//! **A shared terminal.** A payload that stays in the caller's session and process group (`zviz run -- CMD` without a
//! terminal of its own) gets ^C, ^\, ^Z and a hangup from the terminal itself. These come with `si_code` SI_KERNEL, and
//! are not sent on a second time: a shell would see two ^C. For ^Z the runtime stops too, so that the caller's shell gets
//! its prompt back; `fg` wakes both. Signals that a process sent with kill(2) are always sent on.

pub mod budget;
pub mod output;
mod payload;

pub use budget::Budget;
pub use output::{Meter, Output};
pub use payload::{Kill, Payload};

use crate::console::Relay;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd, siginfo};
use std::os::fd::AsFd;
use std::time::Instant;
use zviz_sys::wait::{self, Exit};
use zviz_sys::{Errno, ids, process};

/// `si_code` of a signal that the kernel made, such as one for a key. sigaction(2).
const SI_KERNEL: i32 = 0x80;

/// What ended the wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The payload's own end.
    Ended(Exit),
    /// It was killed at its deadline.
    TimedOut,
    /// It was killed at another limit that the runtime looks after.
    Exceeded(Limit),
}

/// Limits that the runtime looks after, beside the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Processor time of all together.
    CpuTime,
    /// Bytes of output.
    Output,
}

impl Outcome {
    /// The exit status of `run`: that of a shell, or 124 as of timeout(1); 137, as of SIGKILL, at another limit.
    #[must_use]
    pub fn status(self) -> u8 {
        match self {
            Outcome::Ended(exit) => exit.status(),
            Outcome::TimedOut => 124,
            Outcome::Exceeded(_) => Exit::Signal(libc::SIGKILL).status(),
        }
    }
}

/// A system call of the wait that went wrong; the payload may still run.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {}", errno.desc())]
pub struct Error {
    /// Which.
    pub what: &'static str,
    /// Why.
    pub errno: Errno,
}

fn at<T>(what: &'static str, result: Result<T, Errno>) -> Result<T, Error> {
    result.map_err(|errno| Error { what, errno })
}

/// The next signal, if one is there; asked again after an interruption.
fn next(signals: &SignalFd) -> Result<Option<siginfo>, Errno> {
    loop {
        match signals.read_signal() {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

/// Blocks and reads the calling thread's signals, from before the clone until after the clean-up. The payload's process
/// must reset them (`zviz_sys::signals::reset`). The mask is restored when this is dropped.
///
/// In a program with other threads these must block signals themselves: one that does not may get them.
#[derive(Debug)]
pub struct Watch {
    signals: SignalFd,
    before: SigSet,
    reap: bool,
}

impl Watch {
    /// Starts. With `subreaper`, orphans of the container become children of this process (PR_SET_CHILD_SUBREAPER), and
    /// `until_end` reaps every child of this process.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn start(subreaper: bool) -> Result<Self, Error> {
        let mut mask = SigSet::all();
        // These report a fault of this very process: blocked, they would kill it without a word.
        for fault in [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGTRAP, Signal::SIGSYS]
        {
            mask.remove(fault);
        }
        if subreaper {
            at("prctl PR_SET_CHILD_SUBREAPER", ids::set_child_subreaper())?;
        }
        let signals = at("signalfd", SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK))?;
        let mut before = SigSet::empty();
        at("block signals", pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&mask), Some(&mut before)))?;
        Ok(Watch { signals, before, reap: subreaper })
    }

    /// Waits until the payload has ended and all that it wrote to its terminal was passed on.
    ///
    /// # Errors
    /// Those of the system calls; the caller's terminal is then as it was before.
    pub fn until_end(&mut self, mut payload: Payload<'_>) -> Result<Outcome, Error> {
        let mut killed = None;
        loop {
            if payload.ended.is_none()
                && killed.is_none()
                && let Some(limit) = payload.over(Instant::now())
            {
                killed = Some(limit);
                at("kill the payload at its limit", payload.end())?;
            }
            let [signalled, ended, unserved, input, master, output, lines @ ..] =
                at("poll", self.poll(&payload, killed.is_none()))?;
            while signalled && let Some(info) = at("read a signal", next(&self.signals))? {
                self.take(&info, &mut payload)?;
            }
            if ended && payload.ended.is_none() {
                let exit = at("wait for the payload", wait::try_wait(payload.pidfd))?;
                exit.into_iter().for_each(|exit| payload.has_ended(exit));
            }
            if unserved && let Some(broker) = payload.broker.take() {
                // One that has seen the end of all that it served has ended well, and the payload does so as well.
                if payload.ended.is_none() && wait::look(broker) != Ok(Some(Exit::Code(0))) {
                    let _ = process::pidfd_send_signal(payload.pidfd, libc::SIGKILL);
                }
            }
            if let Some(relay) = &mut payload.relay {
                relay.turn([input, master, output], payload.meter.as_deref_mut());
            }
            if let (Some(output), Some(meter)) = (&mut payload.output, &mut payload.meter) {
                output.turn(lines, meter);
            }
            if let Some(exit) = payload.ended
                && payload.is_drained(Instant::now())
            {
                let beyond = payload.meter.as_ref().is_some_and(|meter| meter.ends());
                let beyond = beyond.then_some(Outcome::Exceeded(Limit::Output));
                return Ok(killed.or(beyond).unwrap_or(Outcome::Ended(exit)));
            }
        }
    }

    /// Waits for signals, the payload's end, its broker's, and what the relays wait for; in this order.
    fn poll(&self, payload: &Payload<'_>, limited: bool) -> Result<[bool; 10], Errno> {
        let now = Instant::now();
        let running = payload.ended.is_none();
        let relay = payload.relay.as_ref();
        let [input, master, output] = relay.map(|relay| relay.interest(now)).unwrap_or_default();
        let end = running.then_some((payload.pidfd, PollFlags::POLLIN));
        let broker = payload.broker.filter(|_| running).map(|broker| (broker, PollFlags::POLLIN));
        let lines = payload.output.as_ref();
        let [out, out_to, err, err_to] = lines.map(Output::interest).unwrap_or_default();
        let signals = Some((self.signals.as_fd(), PollFlags::POLLIN));
        let wanted = [signals, end, broker, input, master, output, out, out_to, err, err_to];

        let limits = [payload.deadline, payload.budget.as_ref().map(Budget::next)];
        let limits = limits.into_iter().filter(|_| running && limited);
        let rest = [relay.and_then(|relay| relay.wake(!running)), lines.and_then(|lines| lines.wake(!running))];
        let wake = limits.chain(rest).flatten().min();
        let timeout = wake.map_or(PollTimeout::NONE, |wake| {
            // Rounded up, so that the last turn does not spin; and as far as poll reaches.
            let left = wake.saturating_duration_since(now).as_millis().saturating_add(1);
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        let mut fds: Vec<_> = wanted.iter().flatten().map(|(fd, flags)| PollFd::new(*fd, *flags)).collect();
        match poll(&mut fds, timeout) {
            Err(Errno::EINTR) => return Ok([false; 10]),
            other => other?,
        };
        let mut answers = fds.iter();
        Ok(wanted.map(|one| one.is_some() && answers.next().is_some_and(|fd| fd.any().unwrap_or(true))))
    }

    /// Acts on one signal.
    fn take(&self, info: &siginfo, payload: &mut Payload<'_>) -> Result<(), Error> {
        let Ok(signal) = i32::try_from(info.ssi_signo) else { return Ok(()) };
        let from_terminal = payload.shares_terminal && info.ssi_code == SI_KERNEL;
        match signal {
            libc::SIGCHLD if self.reap => {
                while let Some((pid, exit)) = at("reap", wait::reap_any())? {
                    if pid == payload.pid {
                        payload.has_ended(exit);
                    }
                }
            }
            libc::SIGCHLD => {}
            libc::SIGWINCH => payload.relay.iter().for_each(Relay::resize),
            // A write of our own to a pipe that nobody reads any more.
            libc::SIGPIPE if info.ssi_pid == std::process::id() => {}
            libc::SIGTSTP if from_terminal => at("stop", raise(Signal::SIGSTOP))?,
            _ if from_terminal => {}
            _ if payload.ended.is_some() => {
                // Somebody is tired of waiting for the rest of its output.
                if matches!(signal, libc::SIGINT | libc::SIGTERM | libc::SIGHUP | libc::SIGQUIT) {
                    (payload.relay, payload.output) = (None, None);
                }
            }
            _ => {
                if signal == libc::SIGCONT {
                    payload.relay.iter_mut().for_each(Relay::resume);
                }
                // It may have ended just now (ESRCH), which the next turn sees.
                let _ = process::pidfd_send_signal(payload.pidfd, signal);
            }
        }
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // The mask was valid when it was read; there is nobody to tell.
        let _ = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None);
    }
}
