//! `start`: a container that was created becomes its payload.

use super::{Error, FIFO, cache, watcher};
use crate::apply::apparmor;
use crate::apply::cgroup;
use crate::apply::confine;
use crate::apply::hooks::{self, Inside, Kind, Within};
use crate::container::{Init, State, Status};
use crate::exec::attached_root;
use crate::launch::call;
use crate::plan::Plan;
use crate::store::{Locked, Store};
use crate::teardown;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use zviz_seccomp::Cache;
use zviz_sys::ids;

/// The namespaces that differ from the runtime's, as setns(2) takes them with a pidfd.
pub(crate) fn container_namespaces(plan: &Plan) -> u64 {
    use crate::plan::{Namespace, Net, Time, User, Uts};
    let n = &plan.namespaces;
    [
        (n.user != User::Host, libc::CLONE_NEWUSER),
        (n.pid != Namespace::Host, libc::CLONE_NEWPID),
        (n.mount != Namespace::Host, libc::CLONE_NEWNS),
        (n.uts != Uts::Host, libc::CLONE_NEWUTS),
        (n.ipc != Namespace::Host, libc::CLONE_NEWIPC),
        (n.net != Net::Host, libc::CLONE_NEWNET),
        (n.cgroup != Namespace::Host, libc::CLONE_NEWCGROUP),
        (n.time != Time::Host, libc::CLONE_NEWTIME),
    ]
    .iter()
    .filter(|(own, _)| *own)
    .fold(0, |flags, (_, flag)| flags | u64::from(flag.cast_unsigned()))
}

/// Who looks after the times of a container's profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// The caller, who waits for the container's end.
    Caller,
    /// Nobody: a process of its own does.
    Nobody,
}

/// Lets a created container run: its startContainer hooks, then the payload, then its poststart hooks.
///
/// # Errors
/// The container is not created; a hook failed: it is killed then.
pub fn start(
    store: &Store,
    locked: &Locked,
    state: &State,
    last_capability: u32,
    waiting: Waiting,
) -> Result<(), Error> {
    match locked.status(state)? {
        Status::Created => {}
        other => return Err(Error::Status(other)),
    }
    if state.plan.process.args.is_empty() {
        return Err(Error::NoProcess);
    }
    let init = state.init.map(Init::open).transpose();
    // Opened before it is looked at: whoever has its pid next is not taken for it.
    let pidfd = call("pidfd_open", init)?.flatten().ok_or(Error::Status(Status::Stopped))?;
    let limits = &state.plan.profile.limits;
    let timed = limits.wall_time.or(limits.cpu_total).is_some() && waiting == Waiting::Nobody;
    let watched = timed.then(|| watcher::start(locked, state, pidfd.as_fd()));
    let released =
        watched.unwrap_or(Ok(())).and_then(|()| release(locked, state, pidfd.as_fd(), &cache(store), last_capability));
    if let Err(error) = released {
        // To its end, so that who asks next is not told that it could be started.
        let _ = teardown::kill(state);
        return Err(error);
    }
    let json = serde_json::to_vec(&state.oci(Status::Running)).unwrap_or_default();
    let bundle = PathBuf::from(&state.bundle);
    let within = Within::Runtime { cwd: Some(&bundle) };
    hooks::run(Kind::Poststart, &state.plan.hooks.poststart, &json, &within).map_err(|error| {
        // The container is to be stopped then (runtime.md, "Lifecycle", step 9). It may have ended by itself.
        let _ = teardown::signal(state, libc::SIGKILL);
        error.into()
    })
}

fn release(
    locked: &Locked,
    state: &State,
    pidfd: BorrowedFd<'_>,
    cache: &Cache,
    last_capability: u32,
) -> Result<(), Error> {
    apparmor::still_loaded(state.plan.apparmor.as_ref())?;
    let start_container = &state.plan.hooks.start_container;
    if !start_container.is_empty() {
        // The hook's process is a copy of this one until it is executed.
        call("prctl PR_SET_DUMPABLE", ids::set_dumpable(false))?;
        let json = serde_json::to_vec(&state.oci(Status::Created)).unwrap_or_default();
        let join = [(pidfd, container_namespaces(&state.plan))];
        let root = attached_root(state)?;
        let confinement = confine::prepare(&state.plan, cache, last_capability)?;
        let take = || confinement.take();
        // A program of the image: outside of the cgroup, devices that the container is denied would be open to it.
        let way = cgroup::enter(&state.plan.cgroup, None)?;
        let inside = Within::Container(Inside {
            join: &join,
            root: root.as_ref().map(AsFd::as_fd),
            cwd: Some(Path::new(&state.plan.process.cwd)),
            cgroup: way.v2(),
            tasks: way.v1_tasks(),
            confine: Some(&take),
        });
        hooks::run(Kind::StartContainer, start_container, &json, &inside)?;
    }
    // Not waited for: if init has gone, nobody reads and the kernel says so.
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let fifo = match openat(locked.dir(), FIFO, flags, Mode::empty()) {
        Err(Errno::ENXIO) => return Err(Error::Status(Status::Stopped)),
        other => call("open exec.fifo", other)?,
    };
    call("write exec.fifo", zviz_sys::fd::write_all(fifo.as_fd(), b"1"))?;
    Ok(call("remove exec.fifo", zviz_sys::path::unlinkat(locked.dir().as_fd(), c"exec.fifo", 0))?)
}
