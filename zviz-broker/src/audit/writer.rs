//! The thread that writes.

use super::Sink;
use super::files::FileSet;
use super::queue::{Queue, Record};
use nix::sys::signal::SigSet;
use nix::sys::socket::{MsgFlags, send};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Barrier};
use std::time::Duration;
use zviz_sys::{Errno, fd};

/// It calls little, and nothing that recurses.
const STACK: usize = 128 << 10;
/// Between attempts: a lock that is held is free soon, a full disk is not.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

enum Output {
    Files(FileSet),
    /// With how much of the first record it has taken already.
    Stream(OwnedFd, usize),
    /// A stream or packets.
    Socket(OwnedFd, usize),
}

/// Starts it, and does not keep its handle: nobody may wait for a thread that a reader may hold.
pub(super) fn start(sink: Sink, queue: Arc<Queue>) -> io::Result<()> {
    let output = match sink {
        Sink::Files(files) => Output::Files(files),
        Sink::Journal(socket) => Output::Socket(socket, 0),
        Sink::Descriptor(fd) if fd::stat(&fd)?.st_mode & nix::libc::S_IFMT == nix::libc::S_IFSOCK => {
            Output::Socket(fd, 0)
        }
        Sink::Descriptor(fd) => Output::Stream(fd, 0),
    };
    // A thread that has not begun yet makes more system calls than one that runs.
    let begun = Arc::new(Barrier::new(2));
    let begins = begun.clone();
    std::thread::Builder::new().name("audit".into()).stack_size(STACK).spawn(move || run(output, &queue, &begins))?;
    begun.wait();
    Ok(())
}

fn run(mut output: Output, queue: &Queue, begins: &Barrier) {
    // Signals are for other threads. What a write raises, SIGPIPE and SIGXFSZ, is for none: it has an errno as well.
    // A mask that cannot be set leaves them as they are.
    let _ = SigSet::all().thread_block();
    begins.wait();
    let mut pause = FIRST_PAUSE;
    while let Some(mut records) = queue.take() {
        pause = match output.write(&mut records, queue) {
            Ok(()) => FIRST_PAUSE,
            Err(_) => (pause * 2).min(LONGEST_PAUSE),
        };
        queue.give_back(records, pause);
    }
}

impl Output {
    /// Writes records until there is none left.
    ///
    /// # Errors
    /// It did not take the first that is left, and may take it later.
    fn write(&mut self, records: &mut VecDeque<Record>, queue: &Queue) -> Result<(), Errno> {
        if let Output::Files(files) = self {
            files.lock()?;
        }
        let result = self.write_each(records, queue);
        if let Output::Files(files) = self {
            files.unlock();
        }
        result
    }

    fn write_each(&mut self, records: &mut VecDeque<Record>, queue: &Queue) -> Result<(), Errno> {
        while let Some(record) = records.front() {
            match self.put(&record.bytes) {
                Ok(()) => queue.written(record),
                // Of this record alone: it is more than a packet can be.
                Err(Errno::EMSGSIZE) => queue.refused(record),
                Err(errno) => return Err(errno),
            }
            records.pop_front();
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        match self {
            Output::Files(files) => files.append(bytes),
            Output::Stream(fd, done) => all(bytes, done, |rest| nix::unistd::write(&*fd, rest)),
            Output::Socket(fd, done) => all(bytes, done, |rest| send(fd.as_raw_fd(), rest, MsgFlags::MSG_NOSIGNAL)),
        }
    }
}

/// Goes on where the last attempt stopped, so that a line that was taken in part is completed.
fn all(bytes: &[u8], done: &mut usize, mut write: impl FnMut(&[u8]) -> Result<usize, Errno>) -> Result<(), Errno> {
    while let Some(rest) = bytes.get(*done..).filter(|rest| !rest.is_empty()) {
        match write(rest) {
            Ok(0) => return Err(Errno::EIO),
            Ok(n) => *done += n,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    *done = 0;
    Ok(())
}
