//! Ends a container and takes away everything that was made for it.
//!
//! In this order, so that what fails can be tried again: processes, cgroup, mounts on the host, the network's part outside,
//! state directory; then the
//! poststop hooks, which the specification wants after the container is gone.

mod signals;

pub(crate) use signals::kill;
pub use signals::{signal, signal_all};

use crate::apply::{apparmor, cgroup, hooks};
use crate::container::{Id, Init, State, Status};
use crate::network;
use crate::store::{self, Locked};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use signals::{PATIENCE, ended, kill_cgroup, owns_pid_namespace};
use std::os::fd::AsFd;
use std::path::Path;
use zviz_sys::process::pidfd_send_signal;

/// Why a container is still there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It runs, and was not to be killed. runc's words.
    #[error("cannot delete container {id} that is not stopped: {status}")]
    NotStopped {
        /// The container's.
        id: Id,
        /// What it is instead.
        status: Status,
    },
    /// It cannot be signalled. The words are looked for by containerd and Docker.
    #[error("container not running: {0}")]
    NotRunning(Id),
    /// A signal that was refused.
    #[error("container {id}: signal {signal} to process {pid}: {}", errno.desc())]
    Signal {
        /// The container's.
        id: Id,
        /// Its number.
        signal: i32,
        /// Init's.
        pid: i32,
        /// The kernel's answer.
        errno: Errno,
    },
    /// It did not die.
    #[error("container {id}: process {pid} still runs {seconds} s after it was killed")]
    Undead {
        /// The container's.
        id: Id,
        /// Init's.
        pid: i32,
        /// The time waited.
        seconds: u64,
    },
    /// Its AppArmor profile.
    #[error("container {id}")]
    AppArmor {
        /// The container's.
        id: Id,
        /// Why.
        source: apparmor::Error,
    },
    /// It was killed, and its end cannot be waited for.
    #[error("container {id}: wait for the end of process {pid}: {}", errno.desc())]
    Unwatched {
        /// The container's.
        id: Id,
        /// Init's.
        pid: i32,
        /// The kernel's answer.
        errno: Errno,
    },
    /// Its cgroup; the container can be deleted again when the reason is gone.
    #[error("container {id}")]
    Cgroup {
        /// The container's.
        id: Id,
        /// What could not be done.
        source: cgroup::Error,
    },
    /// Its root, in the host's mount namespace.
    #[error("container {id}: unmount its root: {}", errno.desc())]
    Root {
        /// The container's.
        id: Id,
        /// The kernel's answer.
        errno: Errno,
    },
    /// What its network has left outside of it.
    #[error("container {id}")]
    Network {
        /// The container's.
        id: Id,
        /// What could not be taken away.
        source: network::Error,
    },
    /// Its state directory.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Deletes a container: one that has ended or was never started, with `force` any. What went wrong in poststop hooks
/// is no error: the container is gone.
///
/// # Errors
/// `NotStopped` if it runs, or what could not be undone; it can be tried again.
pub fn delete(locked: Locked, state: &State, force: bool) -> Result<Vec<hooks::HookError>, Error> {
    let status = locked.status(state)?;
    match status {
        Status::Stopped => {}
        Status::Created => kill(state)?,
        _ if force => kill(state)?,
        status => return Err(Error::NotStopped { id: state.id.clone(), status }),
    }
    remove(locked, state, force)
}

/// Takes away what is left of a container whose init is dead.
///
/// # Errors
/// What could not be undone; it can be tried again.
pub fn remove(locked: Locked, state: &State, kill_leftovers: bool) -> Result<Vec<hooks::HookError>, Error> {
    // Without a pid namespace of its own, what init has left behind lives on.
    // Not where `create` was killed on the way: its init ends by itself, and others in the cgroup are not ours.
    if !state.creating && (kill_leftovers || !owns_pid_namespace(state)) {
        kill_cgroup(state)?;
    }
    cgroup::remove(&state.plan.cgroup).map_err(|source| Error::Cgroup { id: state.id.clone(), source })?;
    if let Some(root) = &state.attached {
        root.detach().map_err(|errno| Error::Root { id: state.id.clone(), errno })?;
    }
    if let Some(made) = &state.network {
        network::down(made).map_err(|source| Error::Network { id: state.id.clone(), source })?;
    }
    unwatch(state);
    let unloaded = apparmor::release(state.plan.apparmor.as_ref(), locked.dir());
    locked.remove()?;
    let said = poststop(state);
    // A policy that is locked by now is no reason to keep the container: the profile goes with the next one's.
    unloaded.map_err(|source| Error::AppArmor { id: state.id.clone(), source })?;
    Ok(said)
}

/// Takes away what there is of a container whose start failed; what cannot be stays to be deleted. Gives what went wrong
/// in the poststop hooks, which run as soon as there was an init, as with runc: the hooks before may have made what these
/// take away (runtime.md, "Lifecycle", steps 12 and 13).
pub(crate) fn undo(locked: Locked, state: &State) -> Vec<hooks::HookError> {
    let _ = cgroup::kill(&state.plan.cgroup, Signal::SIGKILL);
    unwatch(state);
    let detached = state.attached.as_ref().is_none_or(|root| root.detach().is_ok());
    let apart = state.network.as_ref().is_none_or(|made| network::down(made).is_ok());
    let empty = cgroup::remove(&state.plan.cgroup).is_ok() && detached && apart;
    let _ = apparmor::release(state.plan.apparmor.as_ref(), locked.dir());
    let removed = empty && locked.remove().is_ok();
    if removed && state.init.is_some() { poststop(state) } else { Vec::new() }
}

/// Ends who looks after its time: there is nothing left to look after. It ends by itself too, a little later.
fn unwatch(state: &State) {
    if let Some(Ok(Some(watcher))) = state.watcher.map(Init::open) {
        let _ = pidfd_send_signal(watcher.as_fd(), libc::SIGKILL);
        let _ = ended(watcher.as_fd(), PATIENCE);
    }
}

/// Forgets a container of which there is no state: `create` died before there was anything else.
///
/// # Errors
/// If its directory cannot be removed.
pub fn forget(locked: Locked) -> Result<(), Error> {
    Ok(locked.remove()?)
}

/// All of them run, whether those before did their work or not. config.md, "Poststop".
fn poststop(state: &State) -> Vec<hooks::HookError> {
    let list = &state.plan.hooks.poststop;
    if list.is_empty() {
        return Vec::new();
    }
    let oci = serde_json::to_vec(&state.oci(Status::Stopped)).unwrap_or_default();
    let within = hooks::Within::Runtime { cwd: Some(Path::new(&state.bundle)).filter(|bundle| bundle.is_dir()) };
    let one = |(index, hook)| {
        let ran = hooks::run(hooks::Kind::Poststop, std::slice::from_ref(hook), &oci, &within);
        ran.err().map(|error| hooks::HookError { index, ..error })
    };
    list.iter().enumerate().filter_map(one).collect()
}

#[cfg(test)]
mod tests;
