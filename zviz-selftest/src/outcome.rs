//! What came of an attempt.

use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use std::io;

/// What came of an attempt, by whoever made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome", content = "how")]
pub enum Outcome {
    /// It did what it should not be able to.
    Succeeded(String),
    /// It was refused: an error's name, a signal, or what was not there.
    Blocked(String),
    /// There is nothing to attempt: why.
    NotApplicable(String),
    /// Nobody knows: it was ended, or took too long.
    Unknown(String),
}

/// The outcome of one probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Which.
    pub probe: String,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// How the kernel says that something may not be done, is not there, or is unknown to it. What else it says, it says
/// having begun: then the attempt got past the door.
const REFUSALS: &[Errno] = &[
    Errno::EPERM,
    Errno::EACCES,
    Errno::ENOSYS,
    Errno::EROFS,
    Errno::ENOENT,
    Errno::EAFNOSUPPORT,
    Errno::EPROTONOSUPPORT,
    Errno::ESOCKTNOSUPPORT,
];

/// Of the answer to a system call.
pub fn made<T>(answer: Result<T, Errno>) -> Outcome {
    made_or(answer, &[])
}

/// As `made`, where these too are refusals.
pub fn made_or<T>(answer: Result<T, Errno>, refusals: &[Errno]) -> Outcome {
    match answer {
        Ok(_) => Outcome::Succeeded("done".into()),
        Err(errno) if REFUSALS.contains(&errno) || refusals.contains(&errno) => Outcome::Blocked(name(errno)),
        Err(errno) => Outcome::Succeeded(format!("let through: {}", name(errno))),
    }
}

/// As `made`, for an attempt in which every error is a refusal: nothing is done before the last step.
pub fn done<T>(answer: Result<T, Errno>) -> Outcome {
    match answer {
        Ok(_) => Outcome::Succeeded("done".into()),
        Err(errno) => Outcome::Blocked(name(errno)),
    }
}

/// As `done`, of the standard library's errors.
pub fn done_io<T>(answer: io::Result<T>) -> Outcome {
    done(answer.map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)))
}

/// Of something that is there to be seen, or is not.
pub fn seen(there: bool, what: &str) -> Outcome {
    if there { Outcome::Succeeded(format!("{what} is seen")) } else { Outcome::Blocked(format!("{what} is not there")) }
}

/// `EPERM`.
fn name(errno: Errno) -> String {
    format!("{errno:?}")
}
