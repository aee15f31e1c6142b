//! Signals that ask for an end, held back until nothing is half done.

use crate::Error;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// SIGINT, SIGTERM and SIGHUP of this thread, until it is dropped. In a program of several threads the others still get them.
pub(crate) struct Interrupts {
    before: SigSet,
    pending: SignalFd,
}

impl Interrupts {
    /// # Errors
    /// signalfd(2).
    pub(crate) fn held() -> Result<Interrupts, Error> {
        let wait = |errno: Errno| Error::io("hold signals back", errno);
        let ours: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
        let pending = SignalFd::with_flags(&ours, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).map_err(wait)?;
        let before = SigSet::thread_get_mask().map_err(wait)?;
        ours.thread_block().map_err(wait)?;
        Ok(Interrupts { before, pending })
    }

    /// # Errors
    /// One has come.
    pub(crate) fn look(&mut self) -> Result<(), Error> {
        match self.pending.read_signal() {
            Ok(Some(_)) => Err(Error::Interrupted),
            _ => Ok(()),
        }
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        let _ = self.before.thread_set_mask();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_is_heard_later() {
        let mut interrupts = Interrupts::held().unwrap();
        assert!(interrupts.look().is_ok());
        // To this thread, which would end the program.
        nix::sys::signal::raise(Signal::SIGTERM).unwrap();
        assert!(matches!(interrupts.look(), Err(Error::Interrupted)));
        assert!(interrupts.look().is_ok());
    }
}
