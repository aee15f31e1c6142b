//! Signals to a container's processes, and its end by one.

use super::Error;
use crate::apply::cgroup;
use crate::container::{Init, State};
use crate::plan::{Backend, Namespace};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};
use zviz_sys::process::pidfd_send_signal;
use zviz_sys::tend;

/// How long init may take to die of SIGKILL: it may be in the middle of a write to a slow disk.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Sends a signal to init. SIGKILL reaches every process of the container: with a pid namespace of its own the kernel
/// sees to that, without one its cgroup does, even after init has ended.
///
/// # Errors
/// `NotRunning` if there is nobody, `Signal` if the kernel refuses.
pub fn signal(state: &State, signal: i32) -> Result<(), Error> {
    if signal == libc::SIGKILL && !owns_pid_namespace(state) {
        let others = cgroup::pids(&state.plan.cgroup).unwrap_or_default();
        kill_cgroup(state)?;
        // Those are killed, and whether init was among them does not matter.
        if !others.is_empty() {
            return Ok(());
        }
    }
    let Some((init, pidfd)) = open(state, signal)? else { return Err(Error::NotRunning(state.id.clone())) };
    send(state, init, pidfd.as_fd(), signal)?;
    // A frozen cgroup of version 1 does not even let SIGKILL in.
    if signal == libc::SIGKILL { thaw(state) } else { Ok(()) }
}

/// Sends a signal to every process in the container's cgroup; without one, to init.
///
/// # Errors
/// `Cgroup` if one cannot be signalled, `NotRunning` if there is nobody.
pub fn signal_all(state: &State, signal: i32) -> Result<(), Error> {
    let failed = |source| Error::Cgroup { id: state.id.clone(), source };
    let known = Signal::try_from(signal);
    match cgroup::pids(&state.plan.cgroup) {
        Ok(pids) if pids.is_empty() => Err(Error::NotRunning(state.id.clone())),
        Ok(_) => match known {
            Ok(known) => cgroup::kill(&state.plan.cgroup, known).map_err(failed),
            // 0, which only asks, and real-time signals, which are for those who handle them.
            Err(_) => self::signal(state, signal),
        },
        Err(cgroup::Error::None(_)) => self::signal(state, signal),
        Err(error) => Err(failed(error)),
    }
}

/// Kills init and waits for its end.
pub(crate) fn kill(state: &State) -> Result<(), Error> {
    let Some((init, pidfd)) = open(state, libc::SIGKILL)? else { return Ok(()) };
    send(state, init, pidfd.as_fd(), libc::SIGKILL)?;
    thaw(state)?;
    match ended(pidfd.as_fd(), PATIENCE) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::Undead { id: state.id.clone(), pid: init.pid, seconds: PATIENCE.as_secs() }),
        Err(errno) => Err(Error::Unwatched { id: state.id.clone(), pid: init.pid, errno }),
    }
}

/// Init, if it is there, to be sent this signal.
fn open(state: &State, signal: i32) -> Result<Option<(Init, OwnedFd)>, Error> {
    let Some(init) = state.init else { return Ok(None) };
    let failed = |errno| Error::Signal { id: state.id.clone(), signal, pid: init.pid, errno };
    Ok(init.open().map_err(failed)?.map(|pidfd| (init, pidfd)))
}

fn send(state: &State, init: Init, pidfd: BorrowedFd<'_>, signal: i32) -> Result<(), Error> {
    let tended = state.plan.backend == Backend::Landlock && state.plan.process.reaper && !state.creating;
    let sent = match signal {
        // Its first process ends all others, and then itself.
        libc::SIGKILL if tended => tend::end(pidfd),
        signal => pidfd_send_signal(pidfd, signal),
    };
    match sent {
        Ok(()) => Ok(()),
        Err(Errno::ESRCH) => Err(Error::NotRunning(state.id.clone())),
        Err(errno) => Err(Error::Signal { id: state.id.clone(), signal, pid: init.pid, errno }),
    }
}

/// A pidfd is readable when its process has ended, reaped or not. pidfd_open(2).
pub(super) fn ended(pidfd: BorrowedFd<'_>, patience: Duration) -> Result<bool, Errno> {
    let until = Instant::now() + patience;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match poll(
            &mut [PollFd::new(pidfd, PollFlags::POLLIN)],
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX),
        ) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(Errno::EINTR) if !left.is_zero() => {}
            Err(Errno::EINTR) => return Ok(false),
            Err(errno) => return Err(errno),
        }
    }
}

pub(super) fn kill_cgroup(state: &State) -> Result<(), Error> {
    match cgroup::kill(&state.plan.cgroup, Signal::SIGKILL) {
        // Without a cgroup there is nobody to be found.
        Ok(()) | Err(cgroup::Error::None(_)) => Ok(()),
        Err(source) => Err(Error::Cgroup { id: state.id.clone(), source }),
    }
}

fn thaw(state: &State) -> Result<(), Error> {
    match cgroup::is_frozen(&state.plan.cgroup) {
        Ok(true) => cgroup::thaw(&state.plan.cgroup).map_err(|source| Error::Cgroup { id: state.id.clone(), source }),
        // If that cannot be asked, it was not frozen through us.
        Ok(false) | Err(_) => Ok(()),
    }
}

pub(super) fn owns_pid_namespace(state: &State) -> bool {
    state.plan.namespaces.pid == Namespace::New
}
