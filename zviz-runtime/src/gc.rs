//! What the dead have left: of the runtime itself, killed before it could take away what it had made, and of machines that lost power.
//!
//! Only what nobody alive can want is taken: sandboxes of this store whose first process is gone, which nobody but the runtime that
//! is gone would delete; at the bridge of this network namespace whatever bears the name of an address that nobody holds.

use crate::container::{Id, Status};
use crate::network::{self, leftovers};
use crate::store::{self, Store};
use crate::teardown;
use std::fmt;
use std::path::PathBuf;

/// One thing that is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// A sandbox of `run -- COMMAND` whose runtime and whose processes are gone.
    Sandbox(Id),
    /// What bears the name of an address at the bridge, and whose it was.
    Address(leftovers::Left),
    /// The bridge, with its rules: there is nobody at it.
    Bridge,
    /// Leases of a network namespace that is gone.
    Leases(PathBuf),
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Left::Sandbox(id) => write!(f, "sandbox {id}"),
            Left::Address(left) => write!(f, "{left}"),
            Left::Leases(folder) => write!(f, "{}, of a network namespace that is gone", folder.display()),
            Left::Bridge => write!(f, "bridge {} and its rules", network::bridge::NAME),
        }
    }
}

/// Why it could not be looked for or taken away.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What is remembered.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A sandbox.
    #[error(transparent)]
    Teardown(#[from] teardown::Error),
    /// The network.
    #[error(transparent)]
    Network(#[from] network::Error),
}

/// Takes away all there is, or only looks. `told` is given each thing, with why it is there still if it is.
///
/// # Errors
/// It cannot be looked.
pub fn collect(
    store: Option<&Store>,
    with_network: bool,
    looks: bool,
    told: &mut dyn FnMut(&Left, Option<&Error>),
) -> Result<(), Error> {
    if let Some(store) = store {
        for id in store.ids()? {
            if let Some(result) = sandbox(store, &id, looks) {
                told(&Left::Sandbox(id), result.err().as_ref());
            }
        }
    }
    if with_network {
        leftovers::collect(looks, &mut |left, error| {
            let left = match left {
                leftovers::Of::Address(left) => Left::Address(left),
                leftovers::Of::Bridge => Left::Bridge,
                leftovers::Of::Namespace(folder) => Left::Leases(folder),
            };
            told(&left, error.map(Error::Network).as_ref());
        })?;
    }
    Ok(())
}

/// None if it is not left.
fn sandbox(store: &Store, id: &Id, looks: bool) -> Option<Result<(), Error>> {
    let locked = store.lock(id).ok()?;
    let state = locked.load().ok()?;
    // Of a bundle's, who made it is told of its end, and deletes it.
    let is_ours = state.bundle == "/" && state.plan.process.reaper;
    if !is_ours || locked.status(&state).ok()? != Status::Stopped {
        return None;
    }
    // A runtime that lives is about to do the same, and has to look at what ended it before: its cgroup tells.
    if locked.is_tended().ok()? {
        return None;
    }
    Some(if looks { Ok(()) } else { teardown::delete(locked, &state, true).map(drop).map_err(Error::from) })
}
