//! From a plan to an init that waits, or has become the payload.

use super::held::{Container, Held};
use super::{Error, FIFO, Request, TakeMaster, broker, cache, container_namespaces, hand_over, send_listener, step};
use crate::apply::apparmor;
use crate::apply::cgroup::{self, Created};
use crate::apply::hooks::{self, Inside, Kind, Within};
use crate::container::{Init, State, Status};
use crate::launch::{self, Launched, Steps, call};
use crate::ledger;
use crate::network::{self, Link, Made, Owner, Up};
use crate::plan::Hooks;
use crate::plan::cgroup::Driver;
use crate::prepare::{self, Options};
use crate::receipt::{Applied, Loaded};
use crate::store::{self, Locked, PlanText};
use crate::teardown;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use zviz_broker::start::{Serving, Starting};
use zviz_observe::Observer;
use zviz_seccomp::Cache;
use zviz_sys::ids;

/// CAP_SYS_PTRACE, linux/capability.h.
const SYS_PTRACE: u64 = 1 << 19;

/// Creates a container. What it made on the way is undone if anything fails.
///
/// # Errors
/// Where and why; nothing is left then.
pub fn create(request: Request<'_>) -> Result<Container, Error> {
    make(request, true)
}

/// Creates a container whose init does not wait for `start`. When this returns, it has become the payload.
///
/// # Errors
/// As `create`.
pub fn run(request: Request<'_>) -> Result<Container, Error> {
    make(request, false)
}

fn make(request: Request<'_>, waits: bool) -> Result<Container, Error> {
    let locked = request.store.create(&request.id)?;
    let bundle = request.bundle.to_string_lossy();
    let warn = request.warn;
    let asked = request.asked.clone();
    let mut state =
        State { asked, ..State::new(request.oci_version, request.id.clone(), bundle, request.plan.clone()) };
    // Given back last: what is undone below bears the name of what is taken here.
    let mut link = Link::None;
    match build(&locked, &mut state, &mut link, request, waits) {
        Ok(Built { launched, master, broker, events }) => {
            let Launched { pid, pidfd, .. } = launched;
            let network = Up { events, link };
            Ok(Container { held: Held::Locked(locked), state, pid, pidfd, master, broker, network })
        }
        Err(error) => {
            let error = explained(error, &state);
            // The first error is the one that explains; what could not be undone stays visible in the state.
            teardown::undo(locked, &state).iter().for_each(warn);
            Err(error)
        }
    }
}

/// What there is of a container when its init is ready.
struct Built {
    launched: Launched,
    master: Option<OwnedFd>,
    broker: Option<Serving>,
    events: Option<OwnedFd>,
}

/// An init that was killed for want of memory has said nothing.
fn explained(error: Error, state: &State) -> Error {
    let Error::Launch(launch::Error::Died(how)) = &error else { return error };
    let starved = cgroup::oom::kills(&state.plan.cgroup).is_ok_and(|kills| kills > 0);
    match ledger::hint(&state.plan, Errno::ENOMEM).filter(|_| starved) {
        Some(hint) => Error::Launch(launch::Error::Died(format!("{how} for want of memory; {hint}"))),
        None => error,
    }
}

fn build(
    locked: &Locked,
    state: &mut State,
    link: &mut Link,
    request: Request<'_>,
    waits: bool,
) -> Result<Built, Error> {
    let Request { store, mut plan, host, console, output, preserve_fds, die_with_parent, observer, .. } = request;
    // execCPUAffinity is not for init (config.md); exec takes it from the state.
    (plan.process.initial_affinity, plan.process.final_affinity) = (None, None);
    if state.plan.cgroup.driver != Driver::None || state.plan.apparmor.is_some() {
        // Before anything is made: if this process is killed, `delete` knows from it what to take away.
        save_for_undoing(locked, state)?;
    }
    // Until it is made it is not ours, and may be another container's: undoing must not touch it.
    let planned = std::mem::take(&mut state.plan.cgroup);
    let Created { cgroup, mut entrance } = cgroup::create(&planned)?;
    state.plan.cgroup = cgroup;
    if let Some(policy) = &plan.apparmor {
        apparmor::acquire(policy, locked.dir(), &store.path().join(state.id.as_str()))?;
    }
    let compiles = plan.seccomp.as_ref().is_some_and(|seccomp| seccomp.program.is_none());
    let options = Options {
        preserve_fds,
        die_with_parent,
        fifo: if waits { Some(make_fifo(locked)?) } else { None },
        cache: if compiles { cache(store) } else { Cache::off() },
        cgroup_tasks: entrance.take_v1_tasks(),
        root: None,
        output,
    };
    if host.capabilities & SYS_PTRACE != 0 {
        // Init may share a pid namespace with others, and waits in it for `start` with the payload's own ids: none of
        // them may trace it or read its memory (CVE-2016-9962). Without this right the runtime could not reach it either,
        // to write its id maps or to join it.
        call("prctl PR_SET_DUMPABLE", ids::set_dumpable(false))?;
    }
    *link = network::reserve(&plan, store.path(), &state.id, locked.dir())?;
    let prepared = prepare::prepare(&plan, options, !host.rootless, host.last_capability)?;
    if let Some(root) = &prepared.rootfs
        && let Some(attached) = call("statx the container's root", root.attached())?
    {
        // Before it is: whoever is killed from here on, `delete` knows what to take away.
        state.attached = Some(attached);
        save_for_undoing(locked, state)?;
    }
    let loaded = prepared.filter.as_ref().map(Loaded::of);
    let starting = broker::start(&state.id, &plan, &plan.process, &state.plan.cgroup, false)?;
    let (home, rootless) = (store.path(), host.rootless);
    let (master, broker, events, text) = (None, None, None, None);
    let mut steps =
        Create { locked, state, home, rootless, console, master, starting, broker, observer, link, events, text };
    let launched = launch::launch(&plan, prepared, &entrance, &mut steps)?;
    let Create { master, state, broker, events, text, .. } = steps;
    state.applied = Some(Applied::now(loaded, broker.is_some(), &state.plan.cgroup));
    state.creating = false;
    match text {
        Some(text) => locked.save_with(state, text?)?,
        None => locked.save(state)?,
    }
    launched.release()?;
    if !waits {
        launched.running(&plan)?;
    }
    Ok(Built { launched, master, broker, events })
}

/// Remembers what undoing needs, while there is no init that anything else could be asked about: the filter and the mounts, which
/// are most of a plan, come when there is one.
fn save_for_undoing(locked: &Locked, state: &mut State) -> Result<(), store::Error> {
    let (seccomp, mounts) = (state.plan.seccomp.take(), std::mem::take(&mut state.plan.mounts));
    let saved = locked.save(state);
    (state.plan.seccomp, state.plan.mounts) = (seccomp, mounts);
    saved
}

/// Open for both ways, so that neither side waits for the other to open it, and `start` can tell whether init lives.
fn make_fifo(locked: &Locked) -> Result<OwnedFd, launch::Error> {
    let named = "make exec.fifo";
    call(named, nix::unistd::mkfifoat(locked.dir(), FIFO, Mode::S_IRUSR | Mode::S_IWUSR))?;
    let flags = OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    call(named, openat(locked.dir(), FIFO, flags, Mode::empty()))
}

struct Create<'a> {
    locked: &'a Locked,
    state: &'a mut State,
    /// The store's.
    home: &'a Path,
    rootless: bool,
    console: Option<TakeMaster<'a>>,
    master: Option<OwnedFd>,
    starting: Option<Starting>,
    broker: Option<Serving>,
    observer: Option<&'a Observer>,
    link: &'a mut Link,
    events: Option<OwnedFd>,
    /// The plan as it will be remembered.
    text: Option<Result<PlanText, store::Error>>,
}

impl Create<'_> {
    fn oci_state(&self) -> Vec<u8> {
        // A structure of strings and numbers: there is nothing in it that JSON cannot express.
        serde_json::to_vec(&self.state.oci(Status::Creating)).unwrap_or_default()
    }
}

impl Steps for Create<'_> {
    fn cloned(&mut self, pid: i32) -> Result<(), launch::Error> {
        let init = Init::read(pid).map_err(|e| launch::Error::Proc { pid, source: e })?;
        // A child that was not reaped has its entry still.
        self.state.init = Some(call("look at init in /proc", init.ok_or(Errno::ESRCH))?);
        cgroup::settle(&mut self.state.plan.cgroup, pid.unsigned_abs()).map_err(step)?;
        broker::settle(self.starting.as_ref(), &self.state.plan.cgroup, false)?;
        self.observer.map_or(Ok(()), |observer| observer.attach(pid).map_err(step))
    }

    fn furnished(&mut self, proc: BorrowedFd<'_>, pid: i32, pidfd: BorrowedFd<'_>) -> Result<(), launch::Error> {
        if self.state.plan.network.is_none() {
            return Ok(());
        }
        let helper = network::helper::find().map_err(|error| step(network::Error::from(error)))?;
        let (id, plan) = (&self.state.id, &self.state.plan);
        let made = network::intend(&Owner { id, plan, proc, pid, pidfd }, self.home, self.link).map_err(step)?;
        let stays = made.as_ref().is_some_and(Made::stays);
        self.state.network = made;
        if stays {
            // Before it is made: whoever is killed from here on, `delete` knows what to take away.
            self.locked.save(self.state).map_err(step)?;
        }
        let (id, plan) = (&self.state.id, &self.state.plan);
        if let Some(made) = &self.state.network {
            let owner = Owner { id, plan, proc, pid, pidfd };
            self.events = network::up(&owner, made, self.link, &helper, self.rootless).map_err(step)?;
        }
        Ok(())
    }

    fn working(&mut self) {
        self.text = Some(self.locked.text_of(&self.state.plan));
    }

    fn mounted(&mut self, pid: i32) -> Result<(), launch::Error> {
        let Hooks { prestart, create_runtime, create_container, .. } = self.state.plan.hooks.clone();
        if prestart.is_empty() && create_runtime.is_empty() && create_container.is_empty() {
            return Ok(());
        }
        // Hooks may ask for the state.
        self.locked.save(self.state).map_err(step)?;
        let json = self.oci_state();
        let bundle = PathBuf::from(&self.state.bundle);
        let runtime = Within::Runtime { cwd: Some(&bundle) };
        hooks::run(Kind::Prestart, &prestart, &json, &runtime).map_err(step)?;
        hooks::run(Kind::CreateRuntime, &create_runtime, &json, &runtime).map_err(step)?;
        if create_container.is_empty() {
            return Ok(());
        }
        let pidfd = call("pidfd_open", zviz_sys::process::pidfd_open(pid))?;
        let join = [(pidfd.as_fd(), container_namespaces(&self.state.plan))];
        let way = cgroup::enter(&self.state.plan.cgroup, None).map_err(step)?;
        // As runc's init, whose children its hooks are, stands in the root before it enters it.
        let rootfs = self.state.plan.rootfs.as_ref().map(|rootfs| Path::new(&rootfs.path));
        let cwd = rootfs.filter(|path| path.is_absolute());
        let inside = Inside { join: &join, cwd, cgroup: way.v2(), tasks: way.v1_tasks(), ..Inside::default() };
        hooks::run(Kind::CreateContainer, &create_container, &json, &Within::Container(inside)).map_err(step)
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
            None => send_listener(self.state, &self.state.plan, pid, listener),
        }
    }
}
