//! What the tracer has to say, on its way to the runtime.
//!
//! The runtime reads only when the sandbox has started, and a part of that are calls of a process that the tracer must let go
//! on: until somebody reads, the tracer may not wait for the pipe, however much the program says meanwhile.

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, OwnedFd};

/// How much is sent at once, if there is more to come.
const CHUNK: usize = 64 << 10;
/// How much may lie here before what is traced has to wait for whoever reads.
const MOST: usize = 1 << 20;
/// How much may lie here when nobody reads at all: a start takes milliseconds.
const LIMIT: usize = 64 << 20;

/// Words that wait for the pipe to have room.
#[derive(Debug)]
pub struct Outbox {
    pipe: File,
    waiting: VecDeque<u8>,
    full: bool,
    heard: bool,
}

impl Outbox {
    /// Of the end of a pipe that is written.
    ///
    /// # Errors
    /// As fcntl(2).
    pub fn new(pipe: OwnedFd) -> Result<Outbox, Errno> {
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        Ok(Outbox { pipe: pipe.into(), waiting: VecDeque::new(), full: false, heard: false })
    }

    /// Sends what the pipe has room for. Whether that was all.
    ///
    /// # Errors
    /// As write(2): EPIPE if the runtime is gone.
    pub fn send(&mut self) -> io::Result<bool> {
        while !self.waiting.is_empty() {
            match self.pipe.write(self.waiting.as_slices().0) {
                Ok(sent) => {
                    self.waiting.drain(..sent);
                    self.heard |= self.full;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.full = true;
                    return Ok(false);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Sends if there is much, and waits if there is too much and somebody reads.
    ///
    /// # Errors
    /// As `send`; ENOBUFS if nobody reads and there is no end of it.
    pub fn settle(&mut self) -> io::Result<()> {
        if self.waiting.len() < CHUNK {
            return Ok(());
        }
        while !self.send()? && self.waiting.len() > MOST && self.heard {
            self.wait(PollTimeout::NONE)?;
        }
        if self.waiting.len() > LIMIT {
            return Err(Errno::ENOBUFS.into());
        }
        Ok(())
    }

    /// Waits until the pipe has room, or for so long.
    ///
    /// # Errors
    /// As poll(2).
    pub fn wait(&self, time: PollTimeout) -> io::Result<()> {
        poll(&mut [PollFd::new(self.pipe.as_fd(), PollFlags::POLLOUT)], time)?;
        Ok(())
    }

    /// Sends all.
    ///
    /// # Errors
    /// As `send`.
    pub fn finish(mut self) -> io::Result<()> {
        while !self.send()? {
            self.wait(PollTimeout::NONE)?;
        }
        Ok(())
    }
}

impl Write for Outbox {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.waiting.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn nobody_waits_for_who_does_not_read_yet() {
        let (mut read, write) = std::io::pipe().unwrap();
        let mut outbox = Outbox::new(write.into()).unwrap();
        let text: Vec<u8> = (0..3_000_000u32).map(|number| (number % 251) as u8).collect();
        for part in text.chunks(1000) {
            outbox.write_all(part).unwrap();
            outbox.settle().unwrap();
        }
        assert!(!outbox.send().unwrap());
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            read.read_to_end(&mut all).map(|_| all)
        });
        outbox.finish().unwrap();
        assert_eq!(reader.join().unwrap().unwrap(), text);
    }

    #[test]
    fn there_is_an_end_of_it() {
        let (_read, write) = std::io::pipe().unwrap();
        let mut outbox = Outbox::new(write.into()).unwrap();
        let part = vec![0; 1 << 20];
        let refused = (0..100).find_map(|_| outbox.write_all(&part).and_then(|()| outbox.settle()).err());
        assert_eq!(refused.unwrap().raw_os_error(), Some(libc::ENOBUFS));
    }
}
