//! The process that a runtime has named, and a broker for it.

use super::Event;
use crate::eyes::Facts;
use crate::handover::{Handed, ReceiveError, receive};
use crate::policy::Policy;
use crate::start::{self, Settings};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use zviz_sys::process;

/// How long a peer may take for its message, on however busy a machine. It has a container that waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection that brought no container.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The message.
    #[error("a connection is dropped: {0}")]
    Message(ReceiveError),
    /// The process is not there (any more), as its pid is seen here, or its filter is on no process any more.
    #[error("container {id}: process {pid} has ended, or is in another pid namespace than the broker")]
    Ended {
        /// The container.
        id: String,
        /// As its runtime says.
        pid: i32,
    },
    /// The number is that of somebody else.
    #[error("container {id}: process {pid} has no seccomp filter")]
    NoFilter {
        /// The container.
        id: String,
        /// As its runtime says.
        pid: i32,
    },
    /// There is no broker for it.
    #[error("container {id}")]
    Start {
        /// The container.
        id: String,
        /// Why not.
        source: start::Error,
    },
}

/// Receives one listener, and starts the broker that serves it from then on.
pub(super) fn take(stream: UnixStream, policy: &Policy, facts: &dyn Fn(i32) -> Facts) -> Result<Event, Error> {
    let Handed { listener, message } = receive(&stream, PATIENCE).map_err(Error::Message)?;
    let (id, pid) = (message.state.id, message.pid);
    let ended = || Error::Ended { id: id.clone(), pid };
    let pidfd = process::pidfd_open(pid).map_err(|_| ended())?;
    let mode = seccomp_mode(pid).ok_or_else(ended)?;
    let own_users = has_own_users(pid).ok_or_else(ended)?;
    let facts = facts(pid);
    // All of this was about that process, if it is there now.
    if has_ended(pidfd.as_fd()) || has_ended(listener.as_fd()) {
        return Err(ended());
    }
    if mode != FILTER {
        return Err(Error::NoFilter { id, pid });
    }
    let capabilities = if own_users { 0 } else { start::FOREIGN };
    let settings = Settings {
        policy: policy.clone(),
        facts,
        capabilities,
        one_identity: false,
        container: id.clone(),
        patient: true,
        way: start::Way::default(),
    };
    let served = start::start(settings).and_then(|starting| serve(starting, listener, &pidfd));
    match served {
        Ok(broker) => Ok(Event::Serves { id, pid, broker }),
        Err(_) if has_ended(pidfd.as_fd()) => Err(ended()),
        Err(source) => Err(Error::Start { id, source }),
    }
}

fn serve(starting: start::Starting, listener: OwnedFd, pidfd: &OwnedFd) -> Result<i32, start::Error> {
    starting.serve(listener, pidfd.as_fd(), pidfd.as_fd()).map(|serving| serving.pid)
}

/// `Seccomp:` of a process with a filter. proc_pid_status(5).
const FILTER: u32 = 2;

fn seccomp_mode(pid: i32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Seccomp:"))?.trim().parse().ok()
}

/// Whether it has a user namespace that is not the broker's. Where that cannot be seen, it is one: a process of an ordinary
/// user's that has not executed its program yet is not the user's to look into.
fn has_own_users(pid: i32) -> Option<bool> {
    let own = fs::metadata("/proc/self/ns/user").ok()?;
    match fs::metadata(format!("/proc/{pid}/ns/user")) {
        Ok(theirs) => Some((theirs.dev(), theirs.ino()) != (own.dev(), own.ino())),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Some(true),
        Err(_) => None,
    }
}

/// Of a pidfd, its process; of a listener, every process with the filter. pidfd_open(2), seccomp_unotify(2).
fn has_ended(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::empty())];
    let told = poll(&mut fds, PollTimeout::ZERO);
    let end = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
    let hung_up = fds.first().and_then(PollFd::revents).is_some_and(|events| events.intersects(end));
    // A pidfd tells the end of its process as something to read, a listener a call that waits.
    told.is_ok_and(|_| hung_up) || is_pidfd_of_a_dead_process(fd)
}

fn is_pidfd_of_a_dead_process(fd: BorrowedFd<'_>) -> bool {
    process::pidfd_send_signal(fd, 0) == Err(Errno::ESRCH)
}
