//! Bytes between the caller's streams and the payload's terminal, a turn at a time, without threads.
//!
//! ```text
//! input ──► to_master ──► master ──► to_output ──► output
//! ```
//!
//! A stream is read only when what it gave before has been written, so memory is bounded and a slow reader slows the
//! payload, as a terminal would.

use super::Error;
use super::pending::Pending;
use super::terminal::{Terminal, plain_line_ends};
use crate::foreground::output::Meter;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::PollFlags;
use nix::sys::termios::{LocalFlags, SpecialCharacterIndices, tcgetattr};
use std::io::IsTerminal;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};
use zviz_sys::{Errno, pty};

/// A payload may close its terminal and open it again (as getty does); meanwhile the master only says that it hangs.
const HANGING: Duration = Duration::from_millis(100);
/// How long a terminal that other processes still hold is listened to after the payload's end.
const QUIET: Duration = Duration::from_millis(200);

/// The tie between the payload's terminal and the caller's streams.
pub struct Relay<'a> {
    master: OwnedFd,
    terminal: Option<Terminal>,
    input: Option<BorrowedFd<'a>>,
    output: Option<BorrowedFd<'a>>,
    to_master: Pending,
    to_output: Pending,
    /// Whether what was last typed ended a line.
    line_ended: bool,
    hanging_until: Option<Instant>,
    last_heard: Instant,
}

/// What poll(2) is asked for, and answers, about input, master and output.
pub type Interest<T> = [T; 3];

impl<'a> Relay<'a> {
    /// Ties them: the caller's terminal, if there is one, becomes raw, and gives the payload's its size.
    ///
    /// Where `output` is no terminal (a file, a pipe), line ends stay as the payload writes them.
    ///
    /// # Errors
    /// `Setting`; the caller's terminal is then as it was.
    pub fn new(
        master: OwnedFd,
        mut terminal: Option<Terminal>,
        input: BorrowedFd<'a>,
        output: BorrowedFd<'a>,
    ) -> Result<Self, Error> {
        // Init's copy is closed before it could be read; the caller's streams are shared with others, and stay as they are.
        fcntl(&master, FcntlArg::F_SETFL(OFlag::O_RDWR | OFlag::O_NONBLOCK))
            .map_err(|errno| Error::Setting { what: "set the payload's terminal", errno })?;
        if !output.is_terminal() {
            plain_line_ends(master.as_fd())?;
        }
        if let Some(terminal) = &mut terminal {
            terminal.make_raw()?;
        }
        let relay = Relay {
            master,
            terminal,
            input: Some(input),
            output: Some(output),
            to_master: Pending::EMPTY,
            to_output: Pending::EMPTY,
            line_ended: true,
            hanging_until: None,
            last_heard: Instant::now(),
        };
        relay.resize();
        Ok(relay)
    }

    /// Passes the size of the caller's terminal on. SIGWINCH says when. A terminal that has gone, or says 0 by 0 as a
    /// serial line does, leaves the payload's as it is.
    pub fn resize(&self) {
        if let Some(size) = self.terminal.as_ref().and_then(|t| t.size().ok()).filter(|size| *size != (0, 0)) {
            let _ = pty::set_size(self.master.as_fd(), size);
        }
    }

    /// After SIGCONT: a shell may have set the terminal to its own taste meanwhile.
    pub fn resume(&mut self) {
        if let Some(terminal) = &mut self.terminal {
            // A terminal that has gone away will be noticed by reading it.
            let _ = terminal.make_raw();
        }
        self.resize();
    }

    /// What to wait for.
    #[must_use]
    pub fn interest(&self, now: Instant) -> Interest<Option<(BorrowedFd<'_>, PollFlags)>> {
        let mut master = PollFlags::empty();
        if self.hanging_until.is_none_or(|until| until <= now) {
            master.set(PollFlags::POLLIN, self.to_output.is_empty());
            master.set(PollFlags::POLLOUT, !self.to_master.is_empty());
        }
        [
            self.input.filter(|_| self.to_master.is_empty()).map(|fd| (fd, PollFlags::POLLIN)),
            // With nothing asked for, a hangup would still wake poll again and again.
            (!master.is_empty()).then(|| (self.master.as_fd(), master)),
            self.output.filter(|_| !self.to_output.is_empty()).map(|fd| (fd, PollFlags::POLLOUT)),
        ]
    }

    /// When to come back even if nothing happens.
    #[must_use]
    pub fn wake(&self, ended: bool) -> Option<Instant> {
        if ended { Some(self.last_heard + QUIET) } else { self.hanging_until }
    }

    /// Whether nothing more is to come, after the payload's end: all was passed on, and the terminal hangs or is quiet.
    #[must_use]
    pub fn is_drained(&self, now: Instant) -> bool {
        self.to_output.is_empty() && (self.hanging_until.is_some() || self.last_heard + QUIET <= now)
    }

    /// The payload has ended: what it wrote is still to be passed on, what was typed is of no use.
    pub fn payload_ended(&mut self) {
        self.input = None;
        self.to_master = Pending::EMPTY;
        self.hanging_until = None;
        self.last_heard = Instant::now();
    }

    /// Does what can be done without waiting.
    pub fn turn(&mut self, [input, master, output]: Interest<bool>, meter: Option<&mut Meter>) {
        if input {
            self.read_input();
        }
        if master {
            if !self.to_master.is_empty() {
                self.write_master();
            }
            if self.to_output.is_empty() {
                self.read_master(meter);
            }
        }
        if output && !self.to_output.is_empty() {
            self.write_output();
        }
    }

    fn read_input(&mut self) {
        let Some(input) = self.input else { return };
        match self.to_master.fill(input) {
            Ok(0) => {
                self.input = None;
                self.type_end_of_file();
            }
            Ok(_) => self.line_ended = self.to_master.waiting().last() == Some(&b'\n'),
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            // A hangup, or this process is not in the foreground of its terminal: nobody types any more.
            Err(_) => self.input = None,
        }
    }

    /// Tells a payload that reads lines that there are no more, as the end-of-file key does: once at the start of a line,
    /// or else once to finish the line and once for the end. termios(3), VEOF.
    fn type_end_of_file(&mut self) {
        let Ok(settings) = tcgetattr(&self.master) else { return };
        let key = settings.control_chars.get(SpecialCharacterIndices::VEOF as usize).copied().unwrap_or(0);
        if settings.local_flags.contains(LocalFlags::ICANON) && key != 0 {
            let keys = [key, key];
            self.to_master.set(if self.line_ended { &keys[..1] } else { &keys });
        }
    }

    fn write_master(&mut self) {
        match self.to_master.flush(&self.master) {
            Ok(()) | Err(Errno::EINTR | Errno::EAGAIN) => {}
            // Nobody has the other end open: what was typed is lost, as on any line that hangs.
            Err(_) => self.to_master = Pending::EMPTY,
        }
    }

    fn read_master(&mut self, meter: Option<&mut Meter>) {
        match self.to_output.fill(&self.master) {
            Ok(n) if n > 0 => {
                self.hanging_until = None;
                self.last_heard = Instant::now();
                if let Some(meter) = meter {
                    meter.take(&mut self.to_output);
                }
                if self.output.is_none() {
                    self.to_output = Pending::EMPTY;
                }
            }
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            // The kernel says so only when everything that was written has been read.
            _ => self.hanging_until = Some(Instant::now() + HANGING),
        }
    }

    fn write_output(&mut self) {
        let Some(output) = self.output else { return };
        match self.to_output.flush(output) {
            Ok(()) | Err(Errno::EINTR | Errno::EAGAIN) => self.last_heard = Instant::now(),
            // Nobody listens: the payload must not block for that, so the rest is dropped.
            Err(_) => {
                self.output = None;
                self.to_output = Pending::EMPTY;
            }
        }
    }
}
