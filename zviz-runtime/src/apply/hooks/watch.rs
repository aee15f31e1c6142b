//! Waits for one hook: its end, its output, its time.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{ErrorKind, PipeReader, PipeWriter, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};
use zviz_sys::Errno;
use zviz_sys::spawn::Child;
use zviz_sys::wait::Exit;

/// How much of each stream is kept, from its end.
pub const KEPT: usize = 4096;
/// How much is read of a stream after the end of the hook: a child that it left behind may write for ever.
const REST: usize = 1 << 20;

/// One stream of a hook.
struct Stream {
    reader: Option<PipeReader>,
    tail: Vec<u8>,
}

impl Stream {
    fn new() -> Result<(Self, PipeWriter), Errno> {
        let (reader, writer) = std::io::pipe().map_err(errno)?;
        let nonblocking = nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK);
        nix::fcntl::fcntl(&reader, nonblocking)?;
        Ok((Stream { reader: Some(reader), tail: Vec::new() }, writer))
    }

    /// Reads what is there, up to `most` bytes.
    fn read(&mut self, most: usize) {
        let mut buffer = [0; KEPT];
        let mut read = 0;
        while let Some(reader) = self.reader.as_mut().filter(|_| read < most) {
            match reader.read(&mut buffer) {
                Ok(n) if n > 0 => {
                    read += n;
                    self.tail.extend_from_slice(buffer.get(..n).unwrap_or_default());
                    self.tail.drain(..self.tail.len().saturating_sub(KEPT));
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                _ => self.reader = None,
            }
        }
    }
}

/// A hook's streams and its deadline.
pub struct Watch {
    output: Stream,
    error: Stream,
    timeout: Option<Duration>,
}

impl Watch {
    /// Makes the pipes, and gives the ends for the hook: its output and its error. The timeout is in seconds.
    pub fn new(timeout: Option<u64>) -> Result<(Self, [PipeWriter; 2]), Errno> {
        let (output, for_output) = Stream::new()?;
        let (error, for_error) = Stream::new()?;
        Ok((Watch { output, error, timeout: timeout.map(Duration::from_secs) }, [for_output, for_error]))
    }

    /// Waits until the hook has ended; kills it when its time is over, and says None. It is reaped in any case. Children
    /// that it leaves behind are not waited for, even if they hold its streams.
    pub fn until_end(&mut self, child: Child) -> Result<Option<Exit>, Errno> {
        // Without a clock that reaches so far there is no deadline that could be noticed.
        let deadline = self.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let ended = loop {
            match self.step(&child, deadline) {
                Ok(false) => {}
                Ok(true) => break Ok(true),
                Err(Errno::ETIMEDOUT) => break Ok(false),
                Err(e) => break Err(e),
            }
        };
        if ended != Ok(true) {
            child.kill()?;
        }
        let exit = child.wait()?;
        self.output.read(REST);
        self.error.read(REST);
        Ok(ended?.then_some(exit))
    }

    /// Waits for something to happen. True is the end of the hook, ETIMEDOUT that of its time.
    fn step(&mut self, child: &Child, deadline: Option<Instant>) -> Result<bool, Errno> {
        let left = match deadline {
            None => PollTimeout::NONE,
            Some(deadline) => {
                let left = deadline.checked_duration_since(Instant::now()).ok_or(Errno::ETIMEDOUT)?;
                // Rounded up, so that the last turn does not spin; and as far as poll reaches.
                PollTimeout::try_from(left.as_millis().saturating_add(1)).unwrap_or(PollTimeout::MAX)
            }
        };
        let (ended, output, error) = {
            let mut fds = vec![PollFd::new(child.pidfd(), PollFlags::POLLIN)];
            let readers = [&self.output, &self.error].map(|s| s.reader.as_ref());
            fds.extend(readers.iter().flatten().map(|r| PollFd::new(r.as_fd(), PollFlags::POLLIN)));
            match poll(&mut fds, left) {
                Err(Errno::EINTR) => return Ok(false),
                other => other?,
            };
            let mut ready = fds.iter().map(|fd| fd.any().unwrap_or(true));
            let ended = ready.next().unwrap_or(false);
            let output = readers[0].is_some() && ready.next().unwrap_or(false);
            (ended, output, readers[1].is_some() && ready.next().unwrap_or(false))
        };
        if output {
            self.output.read(REST);
        }
        if error {
            self.error.read(REST);
        }
        Ok(ended)
    }

    /// The end of what the hook said: on standard error, or else on standard output.
    pub fn said(&self) -> String {
        let tail = if self.error.tail.trim_ascii().is_empty() { &self.output.tail } else { &self.error.tail };
        String::from_utf8_lossy(tail.trim_ascii()).into_owned()
    }
}

fn errno(e: std::io::Error) -> Errno {
    e.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
