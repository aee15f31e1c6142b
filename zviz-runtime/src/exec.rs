//! One more process in a container that runs: the same launch, into namespaces that are all joined, under the
//! container's own restrictions.

use crate::apply::{cgroup, ids as ids_of};
use crate::container::State;
use crate::host::Host;
use crate::launch::{self, Steps, call};
use crate::plan::Plan;
use crate::plan::cgroup::Cgroup;
use crate::prepare::{self, Options};
use crate::start::{Error, TakeMaster, broker, cache, hand_over, send_listener};
use crate::store::Store;
use nix::errno::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use zviz_broker::start::{Serving, Starting};
use zviz_sys::ids;

/// What is to run.
pub struct Request<'a> {
    /// Where compiled filters are kept.
    pub store: &'a Store,
    /// The container.
    pub state: &'a State,
    /// Made by `Plan::build_exec`.
    pub plan: &'a Plan,
    /// The process that it was made with, of [`way_in`].
    pub way_in: i32,
    /// Where the process is put: the payload's part of the container's cgroup, or below it.
    pub cgroup: &'a Cgroup,
    /// The machine.
    pub host: &'a Host,
    /// Where the terminal's master goes; else it comes back with the process.
    pub console: Option<TakeMaster<'a>>,
    /// Descriptors after 2 that it inherits.
    pub preserve_fds: u32,
}

/// A process that runs.
pub struct Running {
    /// In the runtime's pid namespace; a child of the runtime.
    pub pid: i32,
    /// The same process.
    pub pidfd: OwnedFd,
    /// The terminal's master, if no console socket took it.
    pub master: Option<OwnedFd>,
    broker: Option<Serving>,
}

impl Running {
    /// Its broker, where it is to end with that.
    #[must_use]
    pub fn vital_broker(&self, state: &State) -> Option<BorrowedFd<'_>> {
        broker::vital(self.broker.as_ref(), &state.plan)
    }
}

const LOOK: &str = "look for the payload below init";

/// The process by which the namespaces of a container are joined: its init; or the payload, where init is a reaper that
/// never executes a program. An ordinary user may not look into such a process (ptrace_may_access: its memory is of the
/// host's user namespace, and not dumpable).
///
/// # Errors
/// ECHILD if there is none any more.
pub fn way_in(plan: &Plan, init: i32, host: &Host) -> Result<i32, Errno> {
    if !(host.rootless && plan.process.reaper) {
        return Ok(init);
    }
    let proc = zviz_sys::path::open(c"/proc", libc::O_PATH | libc::O_DIRECTORY)?;
    // The payload is the reaper's first child; those that it has inherited came later.
    ids_of::children(proc.as_fd(), init).map(|(payload, _)| payload)
}

/// Runs it. When this returns, it has become its program.
///
/// # Errors
/// Where and why; no process is left then.
pub fn exec(request: Request<'_>) -> Result<Running, Error> {
    let Request { store, state, plan, way_in: way, cgroup: place, host, console, preserve_fds } = request;
    // What joins a container can be seen there before it has become harmless (CVE-2016-9962): nobody inside may trace
    // it, or reach its descriptors through proc, until the payload's own execve.
    call("prctl PR_SET_DUMPABLE", ids::set_dumpable(false))?;
    let mut entrance = cgroup::enter(place, state.init.and_then(|init| u32::try_from(init.pid).ok()))?;
    let options = Options {
        preserve_fds,
        die_with_parent: false,
        fifo: None,
        cache: cache(store),
        cgroup_tasks: entrance.take_v1_tasks(),
        root: attached_root(state)?,
        output: None,
    };
    let prepared = prepare::prepare(plan, options, !host.rootless, host.last_capability)?;
    // The namespaces are open by now. If init still lives, they are its own and not those of whoever has its pid next.
    let Some(init) = state.live_init() else { return Err(Error::Gone(state.id.clone())) };
    if call(LOOK, way_in(&state.plan, init.pid, host))? != way {
        return Err(Error::Gone(state.id.clone()));
    }
    let starting = broker::start(&state.id, &state.plan, &plan.process, &state.plan.cgroup, true)?;
    let mut steps = Exec { state, plan, place, console, master: None, starting, broker: None };
    let launched = launch::launch(plan, prepared, &entrance, &mut steps)?;
    let Exec { master, broker, .. } = steps;
    launched.release()?;
    launched.running(plan)?;
    Ok(Running { pid: launched.pid, pidfd: launched.pidfd, master, broker })
}

/// The root of a container that has none by its mount namespace.
pub(crate) fn attached_root(state: &State) -> Result<Option<OwnedFd>, launch::Error> {
    let Some(attached) = &state.attached else { return Ok(None) };
    let root = call("open the container's root", attached.open())?;
    call("open the container's root", root.ok_or(Errno::ENOENT)).map(Some)
}

struct Exec<'a> {
    state: &'a State,
    plan: &'a Plan,
    place: &'a Cgroup,
    console: Option<TakeMaster<'a>>,
    master: Option<OwnedFd>,
    starting: Option<Starting>,
    broker: Option<Serving>,
}

impl Steps for Exec<'_> {
    fn cloned(&mut self, pid: i32) -> Result<(), launch::Error> {
        cgroup::admit(self.place, pid.unsigned_abs()).map_err(|e| launch::Error::Step(Box::new(e)))?;
        broker::settle(self.starting.as_ref(), &self.state.plan.cgroup, true)
    }

    fn furnished(&mut self, _proc: BorrowedFd<'_>, _pid: i32, _pidfd: BorrowedFd<'_>) -> Result<(), launch::Error> {
        Ok(())
    }

    fn mounted(&mut self, _pid: i32) -> Result<(), launch::Error> {
        Ok(())
    }

    fn console(&mut self, master: OwnedFd) -> Result<(), launch::Error> {
        hand_over(&mut self.console, &mut self.master, master)
    }

    fn listener(&mut self, pid: i32, listener: OwnedFd, payload: BorrowedFd<'_>) -> Result<(), launch::Error> {
        match self.starting.take() {
            Some(starting) => {
                self.broker = Some(broker::serve(starting, pid, listener, payload, &self.state.plan.cgroup)?);
                Ok(())
            }
            None => send_listener(self.state, self.plan, pid, listener),
        }
    }
}
