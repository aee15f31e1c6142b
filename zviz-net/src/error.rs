//! What could not be done, and why.

use std::io;

/// What could not be done, with the kernel's reason if it gave one.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Error {
    what: String,
    source: Option<io::Error>,
}

/// As everything here returns.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// What cannot be done for a reason of our own.
    pub fn new(what: impl Into<String>) -> Error {
        Error { what: what.into(), source: None }
    }

    /// Whether the kernel gave this reason.
    #[must_use]
    pub fn is(&self, errno: nix::errno::Errno) -> bool {
        self.source.as_ref().is_some_and(|source| source.raw_os_error() == Some(errno as i32))
    }

    /// With its cause, on one line.
    #[must_use]
    pub fn whole(&self) -> String {
        match &self.source {
            // The number of the error says nothing beside its words.
            Some(source) => {
                let words = source.raw_os_error().map(nix::errno::Errno::from_raw);
                let words = words.map_or_else(|| source.to_string(), |errno| errno.desc().to_owned());
                format!("{}: {words}", self.what)
            }
            None => self.what.clone(),
        }
    }
}

/// Says what was being done.
pub trait Doing<T> {
    /// Says what was being done; the words are made only for an error.
    ///
    /// # Errors
    /// The one that it is called on.
    fn doing<W: Into<String>>(self, what: impl FnOnce() -> W) -> Result<T>;
}

impl<T, E: Into<io::Error>> Doing<T> for std::result::Result<T, E> {
    fn doing<W: Into<String>>(self, what: impl FnOnce() -> W) -> Result<T> {
        self.map_err(|source| Error { what: what().into(), source: Some(source.into()) })
    }
}
