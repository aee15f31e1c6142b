//! Creating and starting containers: the steps around a launch, in their order, and their undoing.

use crate::apply::cgroup::{self, Created};
use crate::apply::confine;
use crate::apply::hooks::{self, HookError, Inside, Kind, Within};
use crate::container::{Id, Init, State, Status};
use crate::exec::attached_root;
use crate::host::Host;
use crate::launch::{self, Launched, Steps, call};
use crate::plan::cgroup::Driver;
use crate::plan::{Hooks, Plan};
use crate::prepare::{self, Options};
use crate::store::{self, Left, Locked, Store};
use crate::teardown;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use zviz_broker::handover::{self, ContainerProcessState};
use zviz_seccomp::Cache;
use zviz_sys::process::pidfd_send_signal;
use zviz_sys::{ids, wait};

/// Why a container was not created or started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What is remembered of containers.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// What the plan needs cannot be had.
    #[error(transparent)]
    Prepare(#[from] prepare::Error),
    /// On the way to the payload.
    #[error(transparent)]
    Launch(#[from] launch::Error),
    /// The cgroup.
    #[error(transparent)]
    Cgroup(#[from] cgroup::Error),
    /// A hook.
    #[error(transparent)]
    Hook(#[from] hooks::HookError),
    /// The container is in another state than the command needs.
    #[error("cannot start a container in the {0} state")]
    Status(Status),
    /// It ended while it was being joined.
    #[error("container not running: {0}")]
    Gone(Id),
    /// What could not be undone.
    #[error(transparent)]
    Teardown(#[from] teardown::Error),
    /// The spec has no process.
    #[error("process: the container has no program to start")]
    NoProcess,
}

/// Who takes the terminal's master, such as a console socket.
pub type TakeMaster<'a> = Box<dyn FnOnce(OwnedFd) -> Result<(), Box<dyn std::error::Error + Send + Sync>> + 'a>;

/// What is to be created.
pub struct Request<'a> {
    /// Where it will be remembered.
    pub store: &'a Store,
    /// Its name.
    pub id: Id,
    /// `ociVersion` of the spec.
    pub oci_version: &'a str,
    /// Absolute.
    pub bundle: &'a Path,
    /// What will be done.
    pub plan: Plan,
    /// The machine.
    pub host: &'a Host,
    /// Where the terminal's master goes; else it comes back with the container.
    pub console: Option<TakeMaster<'a>>,
    /// Descriptors after 2 that the payload inherits.
    pub preserve_fds: u32,
    /// The payload ends with this process.
    pub die_with_parent: bool,
    /// Told of poststop hooks that fail where the container is undone.
    pub warn: &'a dyn Fn(&HookError),
}

/// A container whose init waits for `start`.
pub struct Container {
    held: Held,
    /// What is remembered of it. Others may change it from `unlock` on, but for what they cannot: what undoing needs.
    pub state: State,
    /// Init.
    pub pid: i32,
    /// Init.
    pub pidfd: OwnedFd,
    /// The terminal's master, if no console socket took it.
    pub master: Option<OwnedFd>,
}

/// Who may change what is remembered of a container that was created here.
enum Held {
    /// Only this process.
    Locked(Locked),
    /// Others too.
    Left(Left),
}

impl Container {
    /// Lets other commands see and change it while its payload runs.
    ///
    /// # Errors
    /// There is no descriptor left for the way back; it stays locked then.
    pub fn unlock(&mut self) -> Result<(), Error> {
        if let Held::Locked(locked) = &self.held {
            self.held = Held::Left(locked.way_back()?);
        }
        Ok(())
    }
}

impl Held {
    /// None if somebody has deleted it meanwhile, even if another has its name now.
    fn lock(self) -> Result<Option<Locked>, store::Error> {
        match self {
            Self::Locked(locked) => Ok(Some(locked)),
            Self::Left(left) => left.lock(),
        }
    }
}

/// Where compiled filters are kept: beside the containers, under a name that is no id.
pub(crate) fn cache(store: &Store) -> Cache {
    Cache::at(&store.path().join(".seccomp"))
}

/// CAP_SYS_PTRACE, linux/capability.h.
const SYS_PTRACE: u64 = 1 << 19;
const FIFO: &str = store::EXEC_FIFO;

impl Error {
    /// What a shell answers where it is the program itself that cannot be run: 127 if it is not there, else 126.
    #[must_use]
    pub fn program_status(&self) -> Option<u8> {
        match self {
            Error::Launch(launch::Error::Init { program: Some(Errno::ENOENT), .. }) => Some(127),
            Error::Launch(launch::Error::Init { program: Some(_), .. }) => Some(126),
            _ => None,
        }
    }
}

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
    let mut state = State::new(request.oci_version, request.id.clone(), bundle, request.plan.clone());
    match build(&locked, &mut state, request, waits) {
        Ok((launched, master)) => {
            let Launched { pid, pidfd, .. } = launched;
            Ok(Container { held: Held::Locked(locked), state, pid, pidfd, master })
        }
        Err(error) => {
            // The first error is the one that explains; what could not be undone stays visible in the state.
            teardown::undo(locked, &state).iter().for_each(warn);
            Err(error)
        }
    }
}

fn build(
    locked: &Locked,
    state: &mut State,
    request: Request<'_>,
    waits: bool,
) -> Result<(Launched, Option<OwnedFd>), Error> {
    let Request { store, mut plan, host, console, preserve_fds, die_with_parent, .. } = request;
    // execCPUAffinity is not for init (config.md); exec takes it from the state.
    (plan.process.initial_affinity, plan.process.final_affinity) = (None, None);
    if state.plan.cgroup.driver != Driver::None {
        // Before anything is made: if this process is killed, `delete` knows from it what to take away.
        locked.save(state)?;
    }
    // Until it is made it is not ours, and may be another container's: undoing must not touch it.
    let planned = std::mem::take(&mut state.plan.cgroup);
    let Created { cgroup, mut entrance } = cgroup::create(&planned)?;
    state.plan.cgroup = cgroup;
    let options = Options {
        preserve_fds,
        die_with_parent,
        fifo: if waits { Some(make_fifo(locked)?) } else { None },
        cache: cache(store),
        cgroup_tasks: entrance.take_v1_tasks(),
        root: None,
    };
    if host.capabilities & SYS_PTRACE != 0 {
        // Init may share a pid namespace with others, and waits in it for `start` with the payload's own ids: none of
        // them may trace it or read its memory (CVE-2016-9962). Without this right the runtime could not reach it either,
        // to write its id maps or to join it.
        call("prctl PR_SET_DUMPABLE", ids::set_dumpable(false))?;
    }
    let prepared = prepare::prepare(&plan, options, !host.rootless, host.last_capability)?;
    if let Some(root) = &prepared.rootfs
        && let Some(attached) = call("statx the container's root", root.attached())?
    {
        // Before it is: whoever is killed from here on, `delete` knows what to take away.
        state.attached = Some(attached);
        locked.save(state)?;
    }
    let mut steps = Create { locked, state, console, master: None };
    let launched = launch::launch(&plan, prepared, &entrance, &mut steps)?;
    let Create { master, state, .. } = steps;
    state.creating = false;
    locked.save(state)?;
    launched.release()?;
    if !waits {
        launched.running(&plan)?;
    }
    Ok((launched, master))
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
    console: Option<TakeMaster<'a>>,
    master: Option<OwnedFd>,
}

fn step(error: impl std::error::Error + Send + Sync + 'static) -> launch::Error {
    launch::Error::Step(Box::new(error))
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
        cgroup::settle(&mut self.state.plan.cgroup, pid.unsigned_abs()).map_err(step)
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

    fn listener(&mut self, pid: i32, listener: OwnedFd) -> Result<(), launch::Error> {
        send_listener(self.state, &self.state.plan, pid, listener)
    }
}

/// Gives the terminal's master to who takes it, or keeps it for the caller.
pub(crate) fn hand_over(
    taker: &mut Option<TakeMaster<'_>>,
    kept: &mut Option<OwnedFd>,
    master: OwnedFd,
) -> Result<(), launch::Error> {
    match taker.take() {
        Some(take) => take(master).map_err(launch::Error::Step),
        None => {
            *kept = Some(master);
            Ok(())
        }
    }
}

/// Hands a listener to the agent that the plan names. config-linux.md, "Seccomp".
pub(crate) fn send_listener(state: &State, plan: &Plan, pid: i32, listener: OwnedFd) -> Result<(), launch::Error> {
    let seccomp = plan.seccomp.as_ref();
    let path = seccomp.and_then(|s| s.listener_path.as_ref());
    let path = call("linux.seccomp.listenerPath", path.ok_or(Errno::EINVAL))?;
    let status = if state.creating { Status::Creating } else { Status::Running };
    let message = ContainerProcessState {
        oci_version: state.oci_version.clone(),
        fds: Vec::new(),
        pid,
        metadata: seccomp.and_then(|s| s.listener_metadata.clone()).unwrap_or_default(),
        state: state.oci(status),
    };
    handover::send(listener, Path::new(path), message).map_err(step)
}

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

/// Lets a created container run: its startContainer hooks, then the payload, then its poststart hooks.
///
/// # Errors
/// The container is not created; a hook failed: it is killed then.
pub fn start(store: &Store, locked: &Locked, state: &State, last_capability: u32) -> Result<(), Error> {
    match locked.status(state)? {
        Status::Created => {}
        other => return Err(Error::Status(other)),
    }
    if state.plan.process.args.is_empty() {
        return Err(Error::NoProcess);
    }
    let init = state.live_init().ok_or(Error::Status(Status::Stopped))?;
    let pidfd = call("pidfd_open", zviz_sys::process::pidfd_open(init.pid))?;
    if let Err(error) = release(locked, state, pidfd.as_fd(), &cache(store), last_capability) {
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

/// Lets a container run that was created here.
///
/// # Errors
/// As `start`; the container is still there then.
pub fn start_created(store: &Store, container: &Container, last_capability: u32) -> Result<(), Error> {
    match &container.held {
        Held::Locked(locked) => start(store, locked, &container.state, last_capability),
        Held::Left(_) => Err(Error::Status(Status::Running)),
    }
}

/// Ends a container that was created here and is not wanted any more. What went wrong in its poststop hooks comes back.
pub fn abandon(container: Container) -> Vec<HookError> {
    let _ = pidfd_send_signal(container.pidfd.as_fd(), libc::SIGKILL);
    let _ = wait::wait(container.pidfd.as_fd());
    match container.held.lock() {
        Ok(Some(locked)) => teardown::undo(locked, &container.state),
        _ => Vec::new(),
    }
}

/// Removes a container whose payload has ended. What went wrong in its poststop hooks comes back.
///
/// # Errors
/// What could not be undone.
pub fn finish(container: Container) -> Result<Vec<HookError>, Error> {
    let Some(locked) = container.held.lock()? else { return Ok(Vec::new()) };
    Ok(teardown::remove(locked, &container.state, false)?)
}
