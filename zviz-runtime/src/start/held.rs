//! A container that was created here, until its end.

use super::{Error, Waiting, broker, start};
use crate::apply::cgroup::oom;
use crate::apply::hooks::HookError;
use crate::container::{State, Status};
use crate::network::Up;
use crate::plan::Backend;
use crate::store::{self, Left, Locked, Store};
use crate::teardown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use zviz_broker::start::Serving;
use zviz_sys::process::pidfd_send_signal;
use zviz_sys::{tend, wait};

/// A container whose init waits for `start`.
pub struct Container {
    pub(super) held: Held,
    /// What is remembered of it. Others may change it from `unlock` on, but for what they cannot: what undoing needs.
    pub state: State,
    /// Init.
    pub pid: i32,
    /// Init.
    pub pidfd: OwnedFd,
    /// The terminal's master, if no console socket took it.
    pub master: Option<OwnedFd>,
    /// Its broker, if the plan has one.
    pub broker: Option<Serving>,
    /// What this process holds of its network.
    pub network: Up,
}

/// Who may change what is remembered of a container that was created here.
pub(super) enum Held {
    /// Only this process.
    Locked(Locked),
    /// Others too.
    Left(Left),
}

impl Container {
    /// Its broker, where the container is to end with it.
    #[must_use]
    pub fn vital_broker(&self) -> Option<BorrowedFd<'_>> {
        broker::vital(self.broker.as_ref(), &self.state.plan)
    }

    /// The most memory that its processes were charged with at one time, in bytes, where their cgroup tells. memory.peak
    #[must_use]
    pub fn memory_peak(&self) -> Option<u64> {
        let payload = self.state.plan.cgroup.payload();
        let dir = payload.v2.as_ref()?.dir();
        std::fs::read_to_string(dir.join("memory.peak")).ok()?.trim().parse().ok()
    }

    /// How many of its processes the kernel has killed for want of memory, where it counts them.
    #[must_use]
    pub fn memory_kills(&self) -> u64 {
        oom::kills(&self.state.plan.cgroup).unwrap_or(0)
    }

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

/// Lets a container run that was created here.
///
/// # Errors
/// As `start`; the container is still there then.
pub fn start_created(
    store: &Store,
    container: &Container,
    last_capability: u32,
    waiting: Waiting,
) -> Result<(), Error> {
    match &container.held {
        Held::Locked(locked) => start(store, locked, &container.state, last_capability, waiting),
        Held::Left(_) => Err(Error::Status(Status::Running)),
    }
}

/// Ends a container that was created here and is not wanted any more. What went wrong in its poststop hooks comes back.
pub fn abandon(container: Container) -> Vec<HookError> {
    let tended = container.state.plan.backend == Backend::Landlock;
    let _ = match tended {
        true => tend::end(container.pidfd.as_fd()),
        false => pidfd_send_signal(container.pidfd.as_fd(), libc::SIGKILL),
    };
    let _ = wait::wait(container.pidfd.as_fd());
    broker_ended(&container);
    match container.held.lock() {
        Ok(Some(locked)) => teardown::undo(locked, &container.state),
        _ => Vec::new(),
    }
}

/// Removes a container whose payload has ended. What went wrong in its poststop hooks comes back.
///
/// # Errors
/// What could not be undone.
pub fn finish(mut container: Container) -> Result<Vec<HookError>, Error> {
    broker_ended(&container);
    let Some(locked) = container.held.lock()? else { return Ok(Vec::new()) };
    let said = teardown::remove(locked, &container.state, false)?;
    container.network.link.give_back()?;
    Ok(said)
}

fn broker_ended(container: &Container) {
    if let Some(broker) = &container.broker {
        broker::ended(broker, &container.state.id, &container.state.plan.profile.broker);
    }
}
