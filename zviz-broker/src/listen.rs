//! The agent at a `listenerPath`: takes listeners of any runtime's containers, and starts a broker for each.
//!
//! ```text
//! runtime ── connect, message + listener ──►  agent ── fork ──► a process for this connection
//!                                                               receives, checks, starts a broker, and ends
//!                                             agent ◄────────── the broker, which it reaps at its end
//! ```
//!
//! Nothing is shared between two containers, nor needed by a broker once it serves: when the agent ends, by whatever
//! means, the brokers and their containers go on. The pid in the message is the runtime's word. It tells the hands which
//! namespaces to stand in, so a wrong one costs the container its mediated calls; what a call may do is judged by the
//! identity of the thread that makes it, which the kernel tells. Nobody is killed by that word: when a broker dies, calls
//! fail with ENOSYS, and the container is its runtime's to end.

mod container;
mod socket;

pub use container::Error as ContainerError;
pub use socket::Error as SocketError;

use crate::eyes::Facts;
use crate::policy::{Death, Policy};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::geteuid;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;
use zviz_sys::ids;
use zviz_sys::process::{self, Cloned, exit};
use zviz_sys::wait::{self, Exit};

/// Connections that are looked at at once. More wait in the kernel.
const MOST: usize = 64;

/// A pause where something is short.
const SHORT: Duration = Duration::from_millis(50);

/// What is done with what comes.
pub struct Options<'a> {
    /// What each broker does. Its `death` does not count.
    pub policy: Policy,
    /// What a container may know of the machine, by the pid of one of its processes.
    pub facts: &'a dyn Fn(i32) -> Facts,
    /// One container only: the agent ends when it does.
    pub once: bool,
    /// Told of what happens; in a process of its own.
    pub told: &'a dyn Fn(&Result<Event, Error>),
}

/// Something went as it should.
#[derive(Debug)]
pub enum Event {
    /// A container has a broker.
    Serves {
        /// The container.
        id: String,
        /// Its process.
        pid: i32,
        /// The eyes of its broker.
        broker: i32,
    },
}

/// Why a connection or the agent itself is of no use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// A connection brought nothing.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// Somebody else's.
    #[error("a connection is dropped: user {0} is neither root nor the broker's own")]
    Peer(u32),
    /// A system call.
    #[error("{what}: {}", errno.desc())]
    Call {
        /// Which.
        what: &'static str,
        /// Why not.
        errno: Errno,
    },
}

fn at<T>(what: &'static str, result: Result<T, Errno>) -> Result<T, Error> {
    result.map_err(|errno| Error::Call { what, errno })
}

/// An agent that can be connected to. Its socket goes with it.
#[derive(Debug)]
pub struct Agent {
    /// None in the processes that look at a connection.
    listener: Option<UnixListener>,
    place: socket::Place,
    signals: SignalFd,
    /// Processes that look at a connection.
    looking: BTreeSet<i32>,
}

impl Agent {
    /// Makes the socket. From here on signals end it in order; orphans become its children. The caller must have one thread
    /// only.
    ///
    /// # Errors
    /// `Error::Socket`, `Error::Call`.
    pub fn listen(path: &Path) -> Result<Self, Error> {
        let mut mask = SigSet::empty();
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCHLD] {
            mask.add(signal);
        }
        at("block signals", pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&mask), None))?;
        let signals = at("signalfd", SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK))?;
        at("prctl PR_SET_CHILD_SUBREAPER", ids::set_child_subreaper())?;
        let (listener, place) = socket::listen(path)?;
        Ok(Agent { listener: Some(listener), place, signals, looking: BTreeSet::new() })
    }

    /// Serves until SIGTERM, SIGINT or SIGHUP, or until its one container has ended. Who is connected by then is served.
    ///
    /// # Errors
    /// `Error::Call`.
    pub fn run(mut self, options: &Options<'_>) -> Result<(), Error> {
        let policy = Policy { death: Death::Degrade, ..options.policy.clone() };
        loop {
            let room = self.looking.len() < if options.once { 1 } else { MOST };
            let (signalled, connected) = at("poll", self.wait(room))?;
            let mut asked_to_end = false;
            if signalled {
                asked_to_end = at("read a signal", self.read_signals())?;
                if self.reap() && options.once {
                    return self.until_alone();
                }
            }
            if asked_to_end {
                for _ in 0..MOST {
                    self.accept(&policy, options)?;
                }
                return Ok(());
            }
            if connected {
                self.accept(&policy, options)?;
            }
        }
    }

    fn accept(&mut self, policy: &Policy, options: &Options<'_>) -> Result<(), Error> {
        match self.listener.as_ref().map(UnixListener::accept) {
            Some(Ok((stream, _))) => self.look(stream, policy, options),
            // The peer has gone, or was another child's.
            Some(Err(error)) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Some(Err(error)) if error.kind() == ErrorKind::ConnectionAborted => Ok(()),
            // Descriptors or memory: they come back, but not at once.
            _ => {
                std::thread::sleep(SHORT);
                Ok(())
            }
        }
    }

    fn wait(&self, room: bool) -> Result<(bool, bool), Errno> {
        let connections = if room { PollFlags::POLLIN } else { PollFlags::empty() };
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.listener.iter().map(|listener| PollFd::new(listener.as_fd(), connections)));
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => return Ok((false, false)),
            other => other?,
        };
        let mut happened = fds.iter().map(|fd| fd.any().unwrap_or(true));
        Ok((happened.next().unwrap_or_default(), happened.next().unwrap_or_default()))
    }

    /// Whether one of them says to end.
    fn read_signals(&self) -> Result<bool, Errno> {
        let mut end = false;
        loop {
            match self.signals.read_signal() {
                Ok(Some(info)) => end |= i32::try_from(info.ssi_signo) != Ok(libc::SIGCHLD),
                Ok(None) => return Ok(end),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Reaps processes that looked at a connection, and brokers. Whether a container has got its broker.
    fn reap(&mut self) -> bool {
        let mut served = false;
        while let Ok(Some((pid, exit))) = wait::reap_any() {
            served |= self.looking.remove(&pid) && exit == Exit::Code(0);
        }
        served
    }

    /// A process of its own for a connection, which nobody waits for.
    fn look(&mut self, stream: UnixStream, policy: &Policy, options: &Options<'_>) -> Result<(), Error> {
        let peer = at("getsockopt SO_PEERCRED", getsockopt(&stream, PeerCredentials))?;
        if peer.uid() != 0 && peer.uid() != geteuid().as_raw() {
            (options.told)(&Err(Error::Peer(peer.uid())));
            return Ok(());
        }
        match process::fork() {
            Ok(Cloned::Parent { pid, .. }) => {
                self.looking.insert(pid);
            }
            Ok(Cloned::Child) => {
                // What is not accepted when the agent ends must not wait for this process.
                drop(self.listener.take());
                let taken = container::take(stream, policy, options.facts).map_err(Error::from);
                (options.told)(&taken);
                exit(i32::from(taken.is_err()));
            }
            // Its listener is closed with it, and its calls fail.
            Err(errno) => (options.told)(&at("fork for a connection", Err(errno))),
        }
        Ok(())
    }

    /// Without the socket, until every child has ended: the broker of the one container.
    fn until_alone(self) -> Result<(), Error> {
        let Agent { listener, place, signals, .. } = self;
        drop((listener, place));
        while wait::has_children() {
            let mut fds = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return at("poll", Err(errno)),
            }
            while let Ok(Some(info)) = signals.read_signal() {
                if i32::try_from(info.ssi_signo) != Ok(libc::SIGCHLD) {
                    return Ok(());
                }
            }
            while let Ok(Some(_)) = wait::reap_any() {}
        }
        Ok(())
    }
}
