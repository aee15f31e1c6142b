//! What happens, as lines of JSON, to whoever takes them: nothing here ever waits for it.

mod line;

pub(super) use line::verdict;
pub use line::{Connection, Line};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::Mode;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};
use zviz_broker::audit::FileSet;

/// The longest line: what a pipe takes as a whole (PIPE_BUF of linux/limits.h).
const LONGEST: usize = 4096;
/// Lines at once, and in a second after that: a program that is refused as fast as it can ask fills no disk.
const BURST: u32 = 1000;
const PER_SECOND: u32 = 100;

/// What waits where another process has the files for a moment, in bytes; and how long until it is tried again.
const MOST_WAITING: usize = 64 << 10;
const AGAIN: Duration = Duration::from_millis(10);
/// How often at the end.
const TRIES: u8 = 100;

/// Where they go.
#[derive(Debug)]
pub enum Destination {
    /// To whoever reads this.
    Descriptor(OwnedFd),
    /// To the audit's files, which are rotated, and which brokers may write to as well.
    Files(FileSet),
}

/// Where they go, and what of them has not gone yet.
#[derive(Debug)]
pub(super) struct Events {
    to: To,
    container: String,
    /// What of the last line is still to go; of files, the lines that wait.
    rest: Vec<u8>,
    dropped: u64,
    left: u32,
    as_of: Instant,
}

#[derive(Debug)]
enum To {
    Descriptor(OwnedFd, Way),
    Files(FileSet),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A description of our own, which does not wait.
    Own,
    /// A socket, which can be told not to wait.
    Socket,
    /// All else is asked first.
    Asked,
}

impl Destination {
    /// As a request has it: with the most bytes of one file, if it is one.
    #[must_use]
    pub fn of(first: OwnedFd, older: Vec<OwnedFd>, most: Option<u64>) -> Destination {
        match most {
            Some(most) => Destination::Files(FileSet::of(first, older, most)),
            None => Destination::Descriptor(first),
        }
    }
}

impl Events {
    pub(super) fn new(to: Destination, container: &str, now: Instant) -> Events {
        let to = match to {
            Destination::Descriptor(to) => described(to),
            Destination::Files(files) => To::Files(files),
        };
        Events { to, container: container.to_owned(), rest: Vec::new(), dropped: 0, left: BURST, as_of: now }
    }

    pub(super) fn writes_files(&self) -> bool {
        matches!(self.to, To::Files(_))
    }

    /// Writes a line, or counts it as dropped.
    pub(super) fn write(&mut self, now: Instant, line: &Line<'_>) {
        self.refill(now);
        if self.left == 0 || !self.flush() || !self.tell_dropped() || !self.is_free() {
            self.dropped += 1;
            return;
        }
        self.left -= 1;
        let bytes = line.bytes(&self.container);
        if bytes.len() > LONGEST || !self.put(&bytes) {
            self.dropped += 1;
        }
    }

    /// So many lines are missing that never came here.
    pub(super) fn drop(&mut self, lines: u64) {
        self.dropped = self.dropped.saturating_add(lines);
    }

    fn refill(&mut self, now: Instant) {
        let every = Duration::from_secs(1) / PER_SECOND;
        let more = now.saturating_duration_since(self.as_of).as_nanos() / every.as_nanos();
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        if more > 0 {
            self.left = self.left.saturating_add(more).min(BURST);
            self.as_of = now;
        }
    }

    fn tell_dropped(&mut self) -> bool {
        if self.dropped > 0 {
            let bytes = Line::Dropped { records: self.dropped }.bytes(&self.container);
            if !self.put(&bytes) {
                return false;
            }
            self.dropped = 0;
        }
        true
    }

    /// Whether there is room for a line.
    fn is_free(&self) -> bool {
        match self.to {
            To::Descriptor(..) => self.rest.is_empty(),
            To::Files(_) => self.rest.len() <= MOST_WAITING - LONGEST,
        }
    }

    /// Whether there is room for a line after what is left of those before has been tried.
    fn flush(&mut self) -> bool {
        if let To::Files(_) = self.to {
            self.flush_files();
            return self.is_free();
        }
        let rest = std::mem::take(&mut self.rest);
        rest.is_empty() || (self.put(&rest) && self.rest.is_empty())
    }

    /// Writes the lines that wait for files, unless another has those. What cannot be written is dropped.
    pub(super) fn flush_files(&mut self) {
        let To::Files(files) = &mut self.to else { return };
        if self.rest.is_empty() {
            return;
        }
        match files.write(&self.rest) {
            Err(Errno::EAGAIN) => return,
            Ok(()) => {}
            Err(_) => self.dropped += self.rest.iter().filter(|byte| **byte == b'\n').count() as u64,
        }
        self.rest.clear();
    }

    /// When lines that wait are tried again.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        (self.writes_files() && !self.rest.is_empty()).then(|| now + AGAIN)
    }

    /// Writes what waits, before there is nobody to do so.
    pub(super) fn finish(&mut self) {
        for _ in 0..TRIES {
            self.flush_files();
            if self.due(self.as_of).is_none() {
                return;
            }
            // It may make no other call that waits.
            let _ = poll(&mut [], PollTimeout::try_from(AGAIN).unwrap_or(PollTimeout::ZERO));
        }
    }

    /// Whether it went, or a part of it and the rest is kept.
    fn put(&mut self, bytes: &[u8]) -> bool {
        let went = match &self.to {
            To::Files(_) => {
                self.rest.extend(bytes);
                self.flush_files();
                return true;
            }
            To::Descriptor(to, Way::Own) => nix::unistd::write(to, bytes),
            To::Descriptor(to, Way::Socket) => {
                send(to.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL)
            }
            To::Descriptor(to, Way::Asked) => {
                let mut fds = [PollFd::new(to.as_fd(), PollFlags::POLLOUT)];
                match poll(&mut fds, PollTimeout::ZERO) {
                    Ok(1) => nix::unistd::write(to, bytes),
                    _ => Err(Errno::EAGAIN),
                }
            }
        };
        let whole_or_none = went.unwrap_or(0);
        if whole_or_none == 0 && !bytes.is_empty() {
            return false;
        }
        self.rest = bytes.get(whole_or_none..).unwrap_or_default().to_vec();
        true
    }
}

/// It is somebody else's as well, so that its flags are left alone: what has a name in proc is opened again.
fn described(to: OwnedFd) -> To {
    let path = format!("/proc/self/fd/{}", to.as_raw_fd());
    let flags = OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let is_socket = zviz_sys::fd::stat(&to).is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFSOCK);
    match open(path.as_str(), flags, Mode::empty()) {
        _ if is_socket => To::Descriptor(to, Way::Socket),
        Ok(own) => To::Descriptor(own, Way::Own),
        Err(_) => To::Descriptor(to, Way::Asked),
    }
}

#[cfg(test)]
mod tests;
