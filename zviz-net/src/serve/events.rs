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

/// The longest line: what a pipe takes as a whole (PIPE_BUF of linux/limits.h).
const LONGEST: usize = 4096;
/// Lines at once, and in a second after that: a program that is refused as fast as it can ask fills no disk.
const BURST: u32 = 1000;
const PER_SECOND: u32 = 100;

/// Where they go.
#[derive(Debug)]
pub(super) struct Events {
    to: OwnedFd,
    way: Way,
    container: String,
    /// What of the last line is still to go.
    rest: Vec<u8>,
    dropped: u64,
    left: u32,
    as_of: Instant,
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

impl Events {
    /// `to` is somebody else's as well, so that its flags are left alone: what has a name in proc is opened again.
    pub(super) fn new(to: OwnedFd, container: &str, now: Instant) -> Events {
        let path = format!("/proc/self/fd/{}", to.as_raw_fd());
        let flags = OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let is_socket = zviz_sys::fd::stat(&to).is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFSOCK);
        let (to, way) = match open(path.as_str(), flags, Mode::empty()) {
            _ if is_socket => (to, Way::Socket),
            Ok(own) => (own, Way::Own),
            Err(_) => (to, Way::Asked),
        };
        let container = container.to_owned();
        Events { to, way, container, rest: Vec::new(), dropped: 0, left: BURST, as_of: now }
    }

    /// Writes a line, or counts it as dropped.
    pub(super) fn write(&mut self, now: Instant, line: &Line<'_>) {
        self.refill(now);
        if self.left == 0 || !self.flush() || !self.tell_dropped() {
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
        self.rest.is_empty()
    }

    /// Whether nothing is left of the line before.
    fn flush(&mut self) -> bool {
        let rest = std::mem::take(&mut self.rest);
        rest.is_empty() || (self.put(&rest) && self.rest.is_empty())
    }

    /// Whether it went, or a part of it and the rest is kept.
    fn put(&mut self, bytes: &[u8]) -> bool {
        let went = match self.way {
            Way::Own => nix::unistd::write(&self.to, bytes),
            Way::Socket => send(self.to.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL),
            Way::Asked => {
                let mut fds = [PollFd::new(self.to.as_fd(), PollFlags::POLLOUT)];
                match poll(&mut fds, PollTimeout::ZERO) {
                    Ok(1) => nix::unistd::write(&self.to, bytes),
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

#[cfg(test)]
mod tests;
