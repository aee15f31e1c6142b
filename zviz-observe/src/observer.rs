//! The runtime's side.

use crate::call::Call;
use crate::tracer;
use crate::wire::{self, Word};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::File;
use std::io::{self, BufReader};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread::{self, JoinHandle};
use zviz_sys::process::{self, Cloned, exit, pidfd_send_signal};
use zviz_sys::{Errno, fd, ids, signals, wait};

/// How long a tracer may take to tell the last of it when init has ended, in milliseconds.
const PATIENCE: u16 = 10_000;

/// Why nothing is observed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call.
    #[error("start the observer: {what}: {}", errno.desc())]
    Call {
        /// Doing what.
        what: &'static str,
        /// Why not.
        errno: Errno,
    },
    /// The kernel does not let the tracer have init.
    #[error("observe the program: ptrace: {}", .0.desc())]
    Seize(Errno),
    /// What it said cannot be read.
    #[error("read what the observer saw")]
    Read(#[source] io::Error),
    /// It ended before what it observed, which the kernel has killed then.
    #[error("the observer ended before the program")]
    Died,
}

fn call<T>(what: &'static str, result: Result<T, Errno>) -> Result<T, Error> {
    result.map_err(|errno| Error::Call { what, errno })
}

/// What is known when all has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// The most processes and threads that there were at one time.
    pub most_tasks: u64,
    /// The most memory that one process had in its own address space, in bytes.
    pub most_memory: u64,
}

/// Who is told of each call, from a thread of the runtime's.
pub trait Report: Send + 'static {
    /// A call has ended.
    fn call(&mut self, call: &Call);
}

impl<F: FnMut(&Call) + Send + 'static> Report for F {
    fn call(&mut self, call: &Call) {
        self(call);
    }
}

/// A process that traces, or will. If this is dropped, it ends, and all that it traces is killed.
#[derive(Debug)]
pub struct Observer {
    process: Process,
    control: OwnedFd,
    stream: OwnedFd,
}

#[derive(Debug)]
struct Process(OwnedFd);

impl Drop for Process {
    fn drop(&mut self) {
        // Neither can fail for a child of ours that was not reaped; if one does, nothing better is left to do.
        let _ = pidfd_send_signal(self.0.as_fd(), libc::SIGKILL);
        let _ = wait::wait(self.0.as_fd());
    }
}

impl Observer {
    /// Starts one, which traces nothing yet. The caller must have one thread only.
    ///
    /// # Errors
    /// `Error::Call`.
    pub fn start() -> Result<Observer, Error> {
        let (control, theirs) = call("socketpair", fd::packet_pair())?;
        let (stream, out) = call("pipe", nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC))?;
        match call("fork", process::fork())? {
            Cloned::Parent { pidfd, .. } => Ok(Observer { process: Process(pidfd), control, stream }),
            Cloned::Child => {
                drop((control, stream));
                let ended = settle(&theirs, &out).and_then(|()| tracer::run(theirs, out));
                exit(i32::from(ended.is_err()))
            }
        }
    }

    /// Begins to trace init, which waits and has executed nothing.
    ///
    /// # Errors
    /// `Error::Seize`.
    pub fn attach(&self, pid: i32) -> Result<(), Error> {
        fd::write_all(self.control.as_fd(), &pid.to_le_bytes()).map_err(Error::Seize)?;
        let mut errno = [0; 4];
        match fd::read(self.control.as_fd(), &mut errno) {
            Ok(4) => match i32::from_le_bytes(errno) {
                0 => Ok(()),
                errno => Err(Error::Seize(Errno::from_raw(errno))),
            },
            Ok(_) => Err(Error::Died),
            Err(errno) => Err(Error::Seize(errno)),
        }
    }

    /// Reads what it sees, on a thread, until all has ended: from now on the caller has two, and must not fork. To be called
    /// soon after the payload has begun: it stands still where nobody reads.
    ///
    /// # Errors
    /// `Error::Call`.
    pub fn report_to<R: Report>(self, mut report: R) -> Result<Reporting<R>, Error> {
        let stream = BufReader::with_capacity(64 << 10, File::from(self.stream));
        let thread = thread::Builder::new()
            .name("observer".into())
            .spawn(move || read(stream, &mut report).map(|end| (report, end)));
        let thread = thread.map_err(|error| Error::Call {
            what: "start a thread",
            errno: Errno::from_raw(error.raw_os_error().unwrap_or(0)),
        })?;
        Ok(Reporting { process: self.process, thread })
    }
}

/// In the tracer: away from the caller's terminal, signals and descriptors, and gone when the runtime is.
fn settle(control: &OwnedFd, out: &OwnedFd) -> Result<(), Errno> {
    signals::block()?;
    process::new_session()?;
    ids::set_parent_death_signal(libc::SIGKILL)?;
    ids::set_name(c"zviz-observer")?;
    fd::close_all_but(0, &[Some(control.as_fd()), Some(out.as_fd())])
}

fn read<R: Report>(mut stream: BufReader<File>, report: &mut R) -> Result<Summary, Error> {
    loop {
        match wire::read(&mut stream).map_err(Error::Read)? {
            Some(Word::Call(call)) => report.call(&call),
            Some(Word::End(most_tasks, most_memory)) => return Ok(Summary { most_tasks, most_memory }),
            None => return Err(Error::Died),
        }
    }
}

/// A program that is observed.
#[derive(Debug)]
pub struct Reporting<R> {
    process: Process,
    thread: JoinHandle<Result<(R, Summary), Error>>,
}

impl<R> Reporting<R> {
    /// What was seen. Init has ended; whatever has not by now is killed.
    ///
    /// # Errors
    /// `Error::Died`, `Error::Read`.
    pub fn finish(self) -> Result<(R, Summary), Error> {
        ended_within(self.process.0.as_fd(), PATIENCE);
        drop(self.process);
        self.thread.join().unwrap_or(Err(Error::Died))
    }
}

/// Waits for a process's end, if it comes.
fn ended_within(pidfd: BorrowedFd<'_>, milliseconds: u16) {
    // Whether it has or not, it is killed next.
    let _ = poll(&mut [PollFd::new(pidfd, PollFlags::POLLIN)], PollTimeout::from(milliseconds));
}
