//! The caller's terminal.

use super::Error;
use nix::sys::termios::{OutputFlags, SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use zviz_sys::{Errno, pty};

/// The terminal that the runtime was started from. What it was set to is set again when this is dropped.
///
/// While it is raw a caught signal must not end the process without that: `foreground::Watch` blocks them all.
#[derive(Debug)]
pub struct Terminal {
    fd: OwnedFd,
    original: Termios,
    raw: bool,
}

impl Terminal {
    /// The first of standard error, output and input that is a terminal, or else the controlling one.
    ///
    /// # Errors
    /// `NoTerminal`.
    pub fn find() -> Result<Self, Error> {
        let (error, output, input) = (std::io::stderr(), std::io::stdout(), std::io::stdin());
        for stream in [error.as_fd(), output.as_fd(), input.as_fd()] {
            if let Ok(terminal) = stream.try_clone_to_owned().map_err(|_| Errno::EBADF).and_then(Self::of) {
                return Ok(terminal);
            }
        }
        zviz_sys::path::open(c"/dev/tty", libc::O_RDWR | libc::O_NOCTTY).and_then(Self::of).map_err(Error::NoTerminal)
    }

    /// A given one.
    ///
    /// # Errors
    /// ENOTTY if it is none.
    pub fn of(fd: OwnedFd) -> Result<Self, Errno> {
        let original = tcgetattr(&fd)?;
        Ok(Terminal { fd, original, raw: false })
    }

    /// Hands every byte through: what keys and control characters mean is for the payload's terminal. Called again, it
    /// undoes what others have set meanwhile (after a stop, say).
    ///
    /// # Errors
    /// `Setting`.
    pub fn make_raw(&mut self) -> Result<(), Error> {
        let mut raw = self.original.clone();
        cfmakeraw(&mut raw);
        self.raw = true;
        tcsetattr(&self.fd, SetArg::TCSANOW, &raw)
            .map_err(|errno| Error::Setting { what: "make the terminal raw", errno })
    }

    /// Rows and columns.
    ///
    /// # Errors
    /// Those of ioctl(2).
    pub fn size(&self) -> Result<(u16, u16), Errno> {
        pty::size(self.fd.as_fd())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if self.raw {
            // What was written is shown first. It may be gone (a hangup), and then nothing needs restoring.
            let _ = tcsetattr(&self.fd, SetArg::TCSADRAIN, &self.original);
        }
    }
}

/// Leaves line ends of a pseudo-terminal as the payload writes them.
///
/// # Errors
/// `Setting`.
pub(super) fn plain_line_ends(master: BorrowedFd<'_>) -> Result<(), Error> {
    let set = |errno| Error::Setting { what: "set the payload's terminal", errno };
    let mut settings = tcgetattr(master).map_err(set)?;
    settings.output_flags.remove(OutputFlags::ONLCR);
    tcsetattr(master, SetArg::TCSANOW, &settings).map_err(set)
}
