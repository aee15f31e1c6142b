//! Why a sandbox did not run.

use crate::console;
use crate::container::id;
use crate::doctor::{self, Forbidden};
use crate::foreground;
use crate::launch;
use crate::plan::Problems;
use crate::start;
use std::io;

/// Why a sandbox did not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something that was asked for makes no sense, or cannot be had here.
    #[error(transparent)]
    Problems(#[from] Problems),
    /// The id.
    #[error(transparent)]
    Id(#[from] id::Error),
    /// The machine cannot be looked at.
    #[error(transparent)]
    Host(io::Error),
    /// No range of user ids.
    #[error("user ids for the sandbox")]
    Ids(#[source] io::Error),
    /// The private folder of a sandbox without mounts.
    #[error("make the temporary folder")]
    Temporary(#[source] io::Error),
    /// No sandbox of namespaces can be made here.
    #[error("{0}; zviz run --backend landlock does without, and keeps less (docs/landlock.md)")]
    Forbidden(Forbidden),
    /// The sandbox cannot be made, or not be undone.
    #[error(transparent)]
    Start(start::Error),
    /// A folder that is shared writable cannot be, under ids of the sandbox's own.
    #[error(
        "{origin}: the file system of {path} cannot translate user ids: share it read-only, or do without ids of the \
         sandbox's own (--userns identity)"
    )]
    Untranslated {
        /// What it was shared for.
        origin: String,
        /// On the host.
        path: String,
    },
    /// The caller's terminal.
    #[error(transparent)]
    Terminal(#[from] console::Error),
    /// The receipt cannot be given.
    #[error("--receipt")]
    Receipt(#[source] io::Error),
    /// The command cannot be waited for.
    #[error(transparent)]
    Wait(#[from] foreground::Error),
    /// It cannot be observed.
    #[error(transparent)]
    Observe(#[from] zviz_observe::Error),
}

impl From<start::Error> for Error {
    fn from(error: start::Error) -> Self {
        match error {
            start::Error::Launch(launch::Error::Untranslated { origin, path, .. }) => {
                Error::Untranslated { origin, path }
            }
            other => Error::Start(other),
        }
    }
}

impl Error {
    /// What a shell answers where it is the command itself that cannot be run: 127 if it is not there, else 126.
    #[must_use]
    pub fn program_status(&self) -> Option<u8> {
        match self {
            Error::Start(error) => error.program_status(),
            _ => None,
        }
    }
}

/// The error, or what is behind it: that this host lets nobody have namespaces.
pub(super) fn explained(error: start::Error, in_place: bool) -> Error {
    if in_place
        || error.program_status().is_some()
        || !matches!(error, start::Error::Launch(_) | start::Error::Prepare(_))
    {
        return error.into();
    }
    match doctor::forbidden() {
        Some(forbidden) => Error::Forbidden(forbidden),
        None => error.into(),
    }
}
