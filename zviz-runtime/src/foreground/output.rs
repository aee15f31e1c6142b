//! A limit of what a payload writes to standard output and error: it writes to pipes, and what comes out goes on to the
//! caller's own streams until there has been enough. Without a limit there are no pipes, and nothing is copied.
//!
//! ```text
//! payload ──► pipe ──► line.pending ──► the caller's standard output     (and the same for standard error)
//!                          │
//!                        Meter: what is beyond the limit is dropped here
//! ```
//!
//! A stream is read only when what it gave before has been written: memory is bounded, and a slow reader slows the payload.

use crate::console::pending::Pending;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};
use zviz_sys::Errno;

/// How long pipes that other processes still hold are listened to after the payload's end.
const QUIET: Duration = Duration::from_millis(200);

/// Counts what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meter {
    most: u64,
    seen: u64,
    /// Whether the rest is dropped, and the payload goes on.
    truncates: bool,
}

impl Meter {
    /// Of `most` bytes. `truncates`: what comes after is dropped; else the payload is ended.
    #[must_use]
    pub fn new(most: u64, truncates: bool) -> Meter {
        Meter { most, seen: 0, truncates }
    }

    /// Counts what was just read, and drops what is too much.
    pub(crate) fn take(&mut self, pending: &mut Pending) {
        let left = self.most.saturating_sub(self.seen);
        self.seen = self.seen.saturating_add(pending.waiting().len() as u64);
        pending.keep(usize::try_from(left).unwrap_or(usize::MAX));
    }

    /// All that was written, in bytes, what was dropped included.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// How much of it was dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.seen.saturating_sub(self.most)
    }

    pub(super) fn ends(&self) -> bool {
        !self.truncates && self.dropped() > 0
    }
}

/// The pipes' ends on this side, tied to the caller's streams.
pub struct Output<'a> {
    lines: [Line<'a>; 2],
    last_heard: Instant,
}

struct Line<'a> {
    from: Option<OwnedFd>,
    to: BorrowedFd<'a>,
    pending: Pending,
}

/// What poll(2) is asked for, and answers: each line's pipe and its stream.
pub(super) type Interest<T> = [T; 4];

impl<'a> Output<'a> {
    /// Two pipes: their other ends are the payload's standard output and error.
    ///
    /// # Errors
    /// EMFILE.
    pub fn new(streams: [BorrowedFd<'a>; 2]) -> Result<(Output<'a>, [OwnedFd; 2]), Errno> {
        let line = |to| {
            let (from, theirs) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
            Ok::<_, Errno>((Line { from: Some(from), to, pending: Pending::EMPTY }, theirs))
        };
        let [out, err] = streams;
        let ((out, one), (err, other)) = (line(out)?, line(err)?);
        Ok((Output { lines: [out, err], last_heard: Instant::now() }, [one, other]))
    }

    /// It has: what it wrote is still to be passed on.
    pub(super) fn payload_ended(&mut self) {
        self.last_heard = Instant::now();
    }

    pub(super) fn interest(&self) -> Interest<Option<(BorrowedFd<'_>, PollFlags)>> {
        let [out, err] = &self.lines;
        [out.input(), out.output(), err.input(), err.output()]
    }

    /// When to come back after the payload's end, even if nothing happens.
    pub(super) fn wake(&self, ended: bool) -> Option<Instant> {
        // What waits for a reader is not waited for in vain turns.
        let quiet = self.lines.iter().all(|line| line.pending.is_empty());
        (ended && quiet).then(|| self.last_heard + QUIET)
    }

    /// Whether nothing more is to come, after the payload's end.
    pub(super) fn is_drained(&self, now: Instant) -> bool {
        let empty = self.lines.iter().all(|line| line.pending.is_empty());
        empty && (self.last_heard + QUIET <= now || self.lines.iter().all(|line| line.from.is_none()))
    }

    /// Does what can be done without waiting.
    pub(super) fn turn(&mut self, [out, out_to, err, err_to]: Interest<bool>, meter: &mut Meter) {
        let [first, second] = &mut self.lines;
        for (line, readable, writable) in [(first, out, out_to), (second, err, err_to)] {
            if writable {
                line.write();
            }
            if readable && line.read(meter) {
                self.last_heard = Instant::now();
            }
        }
    }
}

impl Line<'_> {
    fn input(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let from = self.from.as_ref().filter(|_| self.pending.is_empty());
        from.map(|fd| (fd.as_fd(), PollFlags::POLLIN))
    }

    fn output(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        (!self.pending.is_empty()).then_some((self.to, PollFlags::POLLOUT))
    }

    fn read(&mut self, meter: &mut Meter) -> bool {
        let Some(from) = self.from.as_ref().filter(|_| self.pending.is_empty()) else { return false };
        match self.pending.fill(from) {
            Ok(count) if count > 0 => {
                meter.take(&mut self.pending);
                true
            }
            Err(Errno::EINTR | Errno::EAGAIN) => false,
            _ => {
                self.from = None;
                false
            }
        }
    }

    fn write(&mut self) {
        // Both streams are often one pipe, which the other line may have filled since it was asked; and nobody keeps to a limit who
        // waits for its reader.
        let mut now = [PollFd::new(self.to, PollFlags::POLLOUT)];
        if poll(&mut now, PollTimeout::ZERO) == Ok(0) {
            return;
        }
        match self.pending.flush(self.to) {
            Ok(()) | Err(Errno::EINTR | Errno::EAGAIN) => {}
            // Nobody listens: the payload's next write says so, as it would without a pipe between.
            Err(_) => (self.from, self.pending) = (None, Pending::EMPTY),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_lines_into_one_full_pipe_hold_nobody_up() {
        let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
        let (mut output, [out, err]) = Output::new([writer.as_fd(), writer.as_fd()]).unwrap();
        let mut meter = Meter::new(u64::MAX, false);
        // Room for one of them and no more.
        let room = nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_GETPIPE_SZ).unwrap();
        nix::unistd::write(&writer, &vec![0; usize::try_from(room).unwrap() - 4096]).unwrap();
        for theirs in [&out, &err] {
            nix::unistd::write(theirs, &[0; 4096]).unwrap();
        }
        output.turn([true, false, true, false], &mut meter);
        output.turn([false, true, false, true], &mut meter);
        assert_eq!(output.lines.each_ref().map(|line| line.pending.is_empty()), [true, false]);
        output.payload_ended();
        assert_eq!(output.wake(true), None, "only its reader can do something about it");
        drop((out, err));
        nix::unistd::read(&reader, &mut [0; 8192]).unwrap();
        output.turn([true, true, true, true], &mut meter);
        assert!(output.lines.iter().all(|line| line.pending.is_empty()) && output.wake(true).is_some());
    }

    #[test]
    fn what_is_too_much_is_counted_and_dropped() {
        let (mut meter, mut pending) = (Meter::new(6, false), Pending::EMPTY);
        pending.set(b"1234");
        meter.take(&mut pending);
        assert_eq!((pending.waiting(), meter.dropped(), meter.ends()), (&b"1234"[..], 0, false));
        pending.set(b"567");
        meter.take(&mut pending);
        assert_eq!((pending.waiting(), meter.dropped(), meter.ends()), (&b"56"[..], 1, true));
        pending.set(b"8");
        meter.take(&mut pending);
        assert!(pending.is_empty() && meter.seen() == 8);
        assert!(!Meter { truncates: true, ..meter }.ends());
    }
}
