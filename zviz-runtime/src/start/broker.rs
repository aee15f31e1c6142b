//! The broker of a container: started beside its init, given the listener, and gone when the container is.

use super::{Error, step};
use crate::apply::cgroup::{self, Seat};
use crate::container::Id;
use crate::launch::{self, call};
use crate::plan::cgroup::{Cgroup, Group, parts::OOM_SCORE_ADJ};
use crate::plan::{Capabilities, Plan, Process, User};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use zviz_broker::eyes::Facts;
use zviz_broker::policy::{Death, Policy};
use zviz_broker::start::{self, Serving, Settings, Starting, Way};
use zviz_sys::process::{pidfd_open, pidfd_send_signal};
use zviz_sys::wait::{self, Exit};

/// How long a broker may take to see that its container has ended, in milliseconds.
const PATIENCE: u16 = 1_000;

/// Starts one for a process of a container whose plan has one. It is ready when init is. `joins`: the container runs.
pub(crate) fn start(
    id: &Id,
    plan: &Plan,
    process: &Process,
    cgroup: &Cgroup,
    joins: bool,
) -> Result<Option<Starting>, Error> {
    let policy = &plan.profile.broker;
    if policy.is_empty() {
        return Ok(None);
    }
    // The owner of a user namespace may look into it without any capability outside.
    let capabilities = if matches!(plan.namespaces.user, User::New { .. }) { 0 } else { start::FOREIGN };
    let way = cgroup::seat(cgroup, joins)?.map_or_else(Way::default, |Seat { v2, tasks, later }| Way {
        v2,
        tasks,
        later,
        oom_score_adj: Some(OOM_SCORE_ADJ),
        freezer: cgroup::frozen_file(cgroup),
    });
    let (policy, facts, container) = (policy.clone(), facts(&cgroup.payload()), id.to_string());
    let settings = Settings {
        policy,
        facts,
        capabilities,
        one_identity: one_identity(plan, process),
        container,
        patient: false,
        way,
    };
    Ok(Some(start::start(settings)?))
}

/// Gives one its place in a cgroup that was not there, or not to be entered, when it was started.
pub(crate) fn settle(starting: Option<&Starting>, cgroup: &Cgroup, joins: bool) -> Result<(), launch::Error> {
    let Some(starting) = starting else { return Ok(()) };
    if cgroup::seat(cgroup, joins).map_err(step)?.is_some_and(|seat| seat.later) {
        cgroup::move_broker(cgroup, starting.pid().unsigned_abs()).map_err(step)?;
        starting.go_on(cgroup::frozen_file(cgroup).as_ref()).map_err(step)?;
    }
    Ok(())
}

/// Calls by which somebody without any capability may get a user namespace of its own, and every capability in there. The default
/// policy refuses them, or their flags; a profile may allow them by name.
const NAMESPACES: &[&str] = &["clone", "clone3", "setns", "unshare"];

/// Whether every process that comes of this one stays who the first one is: without a capability, the chance of one, or a
/// namespace of its own, none can change ids, root or mounts.
fn one_identity(plan: &Plan, process: &Process) -> bool {
    let profile = &plan.profile;
    let Capabilities { bounding, effective, permitted, inheritable, ambient } = process.capabilities;
    let none = bounding | effective | permitted | inheritable | ambient == 0;
    let has_namespaces = profile.calls.beyond_default().iter().any(|(name, _)| NAMESPACES.contains(name));
    profile.seccomp && !has_namespaces && !profile.nested && process.no_new_privs && none
}

/// What the container may know of its limits. Where no file tells what is in use, the host's numbers stand, cut to the
/// limits.
fn facts(cgroup: &Cgroup) -> Facts {
    let memory = &cgroup.resources.memory;
    let limit = memory.limit.and_then(|limit| u64::try_from(limit).ok());
    // The specification's `swap` is both together.
    let both = memory.swap.and_then(|both| u64::try_from(both).ok());
    let file = |controller: &str, unified: &str, old: &str| {
        let in_v2 = cgroup.v2.iter().map(|group| group.dir().join(unified));
        let of = |group: &&Group| group.controllers.iter().any(|name| name == controller);
        let in_v1 = cgroup.v1.iter().filter(of).map(|group| group.dir().join(old));
        in_v2.chain(in_v1).find_map(|path| File::open(path).ok())
    };
    Facts {
        memory: limit,
        swap: both.zip(limit).map(|(both, limit)| both.saturating_sub(limit)),
        usage: file("memory", "memory.current", "memory.usage_in_bytes"),
        tasks: file("pids", "pids.current", "pids.current"),
    }
}

/// The cgroup below which a policy lets programs about devices be attached.
#[derive(Debug, thiserror::Error)]
#[error("bpf_devices: open {}: {error}", path.display())]
struct NoCgroup {
    path: PathBuf,
    error: std::io::Error,
}

/// Gives it the listener. There is no way on without one.
pub(crate) fn serve(
    starting: Starting,
    pid: i32,
    listener: OwnedFd,
    payload: BorrowedFd<'_>,
    cgroup: &Cgroup,
) -> Result<Serving, launch::Error> {
    let mut starting = starting;
    if let (true, Some(group)) = (starting.needs_cgroup(), &cgroup.payload().v2) {
        // Only now it is there, whoever makes it.
        let path = group.dir();
        let directory = File::open(&path).map_err(|error| launch::Error::Step(Box::new(NoCgroup { path, error })))?;
        starting.set_cgroup(directory.into());
    }
    // A child that was not reaped keeps its number.
    let init = call("pidfd_open", pidfd_open(pid))?;
    starting.serve(listener, init.as_fd(), payload).map_err(|error| launch::Error::Step(Box::new(error)))
}

/// The eyes of a broker without which nothing is to go on.
pub(crate) fn vital<'a>(broker: Option<&'a Serving>, plan: &Plan) -> Option<BorrowedFd<'a>> {
    broker.filter(|_| plan.profile.broker.death == Death::Kill).map(|broker| broker.pidfd.as_fd())
}

/// Waits until the broker of a container that has ended is gone too. If it did not go by itself, the audit is told: it
/// cannot do that any more.
pub(crate) fn ended(broker: &Serving, id: &Id, policy: &Policy) {
    let mut fds = [PollFd::new(broker.pidfd.as_fd(), PollFlags::POLLIN)];
    let gone = poll(&mut fds, PollTimeout::from(PATIENCE)).is_ok_and(|count| count > 0);
    if !gone {
        // Nothing is left for it to serve.
        let _ = pidfd_send_signal(broker.pidfd.as_fd(), libc::SIGKILL);
    }
    let exit = wait::wait(broker.pidfd.as_fd());
    if let (Ok(exit), Some(trail)) = (exit, &policy.audit)
        && exit != Exit::Code(0)
    {
        trail.eyes_died(&id.to_string(), &exit.to_string(), policy.death);
    }
}
