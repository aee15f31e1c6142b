//! Staged workspaces: what a sandbox wrote to its working folder, kept beside it until its owner has looked at it.
//!
//! ```text
//! run --stage ──► layers/upper ──scan──► Change ──judge──► Judged ──apply──► the folder on the host
//! ```
//!
//! A stage is a folder with an overlayfs upper layer. The workload has written every byte and every name in it, so nothing
//! here believes any of them: files are opened by descriptor below the layer without following links, names are printed
//! escaped, and what is applied is judged first. The host's folder is believed no more than that, since its owner's other
//! programs go on changing it: each change is applied only onto what it was judged against.

pub mod apply;
pub mod at;
mod beside;
pub mod change;
pub mod escape;
mod interrupts;
mod journal;
pub mod judge;
pub mod keep;
mod place;
mod places;
pub mod remove;
mod revert;
mod scan;
pub mod show;
pub mod trust;

pub use change::{Change, Did, Kind};
pub use judge::Judged;
pub use keep::{Opened, Stage, Stages};
pub use trust::hands_on;

use std::io;

/// What went wrong with a stage. Names of the workload are escaped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder.
    #[error("{what}")]
    Io {
        /// Which, and what was done.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// Where stages are kept is not the caller's alone.
    #[error("{0} is not a folder that only you may change: stages are not kept there")]
    Open(String),
    /// A name.
    #[error("{0:?} is no name of a stage: letters, digits, - _ and . at most 100, the first a letter or digit")]
    Name(String),
    /// There is none.
    #[error("there is no stage {0}")]
    Absent(String),
    /// None of a folder.
    #[error("there is no stage of {0}")]
    NoneOf(String),
    /// More than one of a folder.
    #[error("{folder} has several stages: name one of {}", names.join(", "))]
    Several {
        /// On the host.
        folder: String,
        /// Their names.
        names: Vec<String>,
    },
    /// Used by somebody else.
    #[error("the stage {0} is in use")]
    Busy(String),
    /// Of another folder.
    #[error("the stage {name} is of {folder}")]
    Other {
        /// Of the stage.
        name: String,
        /// Its folder.
        folder: String,
    },
    /// The folder is another one by now.
    #[error("{0} is not the folder that was staged: it was removed or replaced since")]
    Replaced(String),
    /// The folder and the stages would hold each other.
    #[error("{folder} holds {stages}, where stages are kept: $XDG_STATE_HOME can name another place")]
    Around {
        /// On the host.
        folder: String,
        /// Where stages are kept.
        stages: String,
    },
    /// Something is mounted in the folder.
    #[error("{0} is mounted below the folder: an overlay does not show it, so the folder cannot be staged")]
    Mounted(String),
    /// The record is damaged.
    #[error("the record of the stage {0}")]
    Record(String, #[source] serde_json::Error),
    /// Made by a workload to be in the way.
    #[error("{0}: folders more than {max} deep are not looked at", max = scan::DEEPEST)]
    Deep(String),
    /// A path that has no change.
    #[error("{0}: the stage has no change there")]
    Unchanged(String),
    /// A path that cannot be given back by itself.
    #[error("{0}: the folder around it was made anew in the stage: revert that folder")]
    Renewed(String),
    /// What was judged is not there any more.
    #[error("{0}: changed on the host while it was applied; what came before it is applied")]
    Raced(String),
    /// What an application that was killed has left is somebody's.
    #[error(
        "{name} was {path} when an application of the stage was killed, and has been changed since: move it back, or remove it, \
         and try again"
    )]
    Left {
        /// Escaped.
        name: String,
        /// Escaped.
        path: String,
    },
    /// A signal asked for an end.
    #[error("interrupted: what came before is applied, the rest stays in the stage")]
    Interrupted,
    /// The owner of a file would change.
    #[error("{path}: belongs to {uid}:{gid} on the host, which cannot be kept")]
    Owner {
        /// Escaped.
        path: String,
        /// User id.
        uid: u32,
        /// Group id.
        gid: u32,
    },
}

impl Error {
    pub(crate) fn io(what: impl Into<String>, source: impl Into<io::Error>) -> Error {
        Error::Io { what: what.into(), source: source.into() }
    }
}
