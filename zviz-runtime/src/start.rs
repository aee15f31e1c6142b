//! Creating and starting containers: the steps around a launch, in their order, and their undoing.

pub(crate) mod broker;
mod create;
mod held;
mod release;
mod watcher;

pub use create::{create, run};
pub use held::{Container, abandon, finish, start_created};
pub(crate) use release::container_namespaces;
pub use release::{Waiting, start};

use crate::apply::hooks::{self, HookError};
use crate::apply::{apparmor, cgroup};
use crate::container::{Id, State, Status};
use crate::host::Host;
use crate::launch::{self, call};
use crate::network;
use crate::plan::Plan;
use crate::prepare;
use crate::receipt::Asked;
use crate::store::{self, Store};
use crate::teardown;
use nix::errno::Errno;
use std::os::fd::OwnedFd;
use std::path::Path;
use zviz_broker::handover::{self, ContainerProcessState};
use zviz_observe::Observer;
use zviz_seccomp::Cache;

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
    /// The AppArmor profile.
    #[error(transparent)]
    AppArmor(#[from] apparmor::Error),
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
    /// The network.
    #[error(transparent)]
    Network(#[from] network::Error),
    /// The broker.
    #[error(transparent)]
    Broker(#[from] zviz_broker::start::Error),
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
    /// What it was asked for with.
    pub asked: Asked,
    /// What will be done.
    pub plan: Plan,
    /// The machine.
    pub host: &'a Host,
    /// Where the terminal's master goes; else it comes back with the container.
    pub console: Option<TakeMaster<'a>>,
    /// Standard output and error of the payload, in place of the caller's.
    pub output: Option<[OwnedFd; 2]>,
    /// Descriptors after 2 that the payload inherits.
    pub preserve_fds: u32,
    /// The payload ends with this process.
    pub die_with_parent: bool,
    /// Who traces it from before its first instruction on.
    pub observer: Option<&'a Observer>,
    /// Told of poststop hooks that fail where the container is undone.
    pub warn: &'a dyn Fn(&HookError),
}

/// Where compiled filters are kept: beside the containers, under a name that is no id.
pub(crate) fn cache(store: &Store) -> Cache {
    Cache::at(&store.path().join(".seccomp"))
}

const FIFO: &str = store::EXEC_FIFO;
const WATCHER_LEAVES: &str = store::ENDED;

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

fn step(error: impl std::error::Error + Send + Sync + 'static) -> launch::Error {
    launch::Error::Step(Box::new(error))
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
