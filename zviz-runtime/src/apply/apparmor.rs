//! The AppArmor profile that was made for a container: compiled, loaded into the kernel, and unloaded after the last container
//! that has it.
//!
//! ```text
//! create: compile (or take what was compiled before) ── lock ─ noted as used ─ loaded, unless it is ─ unlock ── clone, exec
//! delete: processes gone ── lock ─ no longer noted ─ unloaded, if nobody else is noted and no process has it ─ unlock
//! ```
//!
//! A profile is named by its content, so that containers share one. Who dies on the way leaves a note of a container that
//! is not there any more: whoever comes next, or `delete`, takes that away. A profile that is unloaded sets free who is confined by
//! it, so that the kernel is asked too before.

mod kernel;
mod parser;
mod uses;

use crate::profile::apparmor::Policy;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use uses::Uses;

/// Why a profile is not in force.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The compiler is not there.
    #[error(
        "apparmor_parser is not installed: the profile's AppArmor rules cannot be compiled; install the package apparmor, or \
         leave out lsm.type"
    )]
    NoParser,
    /// The compiler could be somebody else's.
    #[error("{}: belongs to somebody else than root, or can be written by others", .0.display())]
    Untrusted(PathBuf),
    /// The compiler did not compile.
    #[error("apparmor_parser: {name}: {said}")]
    Parser {
        /// Of the profile.
        name: String,
        /// The end of what it said.
        said: String,
    },
    /// The kernel's own files.
    #[error("{what} {name}")]
    Kernel {
        /// The operation and the file.
        what: &'static str,
        /// Of the profile.
        name: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// There is no way to the kernel's policy.
    #[error("{} is not there: mount -t securityfs securityfs /sys/kernel/security", .0.display())]
    NoInterface(PathBuf),
    /// Somebody has unloaded it, by hand or by aa-remove-unknown(8).
    #[error("the AppArmor profile {0} was unloaded since the container was created: create it again")]
    Unloaded(String),
    /// What is remembered of uses.
    #[error("{}: {what}", path.display())]
    Folder {
        /// Where.
        path: PathBuf,
        /// The operation.
        what: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Somebody else has made it.
    #[error("{}: belongs to somebody else than root, or others may enter it", .0.display())]
    Foreign(PathBuf),
}

/// How often, and how long apart, it is looked whether the last process with a profile has ended: a broker ends a little after
/// its container. What is loaded still after that goes with the next container's.
const TURNS: u32 = 50;
const TURN: Duration = Duration::from_millis(20);

/// Has a profile loaded for a container, whose directory in the store this is.
///
/// # Errors
/// What cannot be had; nothing is loaded, and nothing noted, then.
pub(crate) fn acquire(policy: &Policy, directory: &File, path: &Path) -> Result<(), Error> {
    let uses = Uses::open()?;
    let binary = parser::compile(policy, &uses.compiled())?;
    let _lock = uses.lock()?;
    // What somebody left who died. If it cannot be unloaded now, who has it last is told.
    let _ = uses.sweep();
    uses.note(&policy.name, directory, path)?;
    let loaded = match kernel::is_loaded(&policy.name) {
        Ok(true) => Ok(()),
        Ok(false) => kernel::load(&policy.name, &binary),
        Err(error) => Err(error),
    };
    loaded.inspect_err(|_| {
        let _ = uses.forget(&policy.name, directory);
        let _ = uses.sweep();
    })
}

/// A container has no process any more: unloads its profile, if it was the last that had it.
///
/// # Errors
/// What cannot be undone; the next container's start or end tries it again.
pub(crate) fn release(policy: Option<&Policy>, directory: &File) -> Result<(), Error> {
    let Some(policy) = policy else { return Ok(()) };
    let uses = Uses::open()?;
    for _ in 0..TURNS {
        let lock = uses.lock()?;
        uses.forget(&policy.name, directory)?;
        if !uses.sweep()? {
            break;
        }
        drop(lock);
        std::thread::sleep(TURN);
    }
    Ok(())
}

/// Makes sure that a profile is still there: init has asked for it, and would become its payload without one.
///
/// # Errors
/// `Unloaded`, or the kernel's own files cannot be read.
pub(crate) fn still_loaded(policy: Option<&Policy>) -> Result<(), Error> {
    match policy {
        Some(policy) if !kernel::is_loaded(&policy.name)? => Err(Error::Unloaded(policy.name.clone())),
        _ => Ok(()),
    }
}
