//! Container ids, which become file names and cgroup names.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A container id: ASCII letters, digits, `_`, `+`, `-` and `.`, not beginning with `.`, at most 1,024 bytes.
///
/// The characters are runc's. A leading dot is refused besides: `.` and `..` leave the state directory
/// (CVE-2025-24965 of crun), and the store keeps names with a dot for itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Id(String);

/// Longest id, in bytes. A file name cannot be longer than 255 bytes on most file systems; the store reports that itself.
pub const MAX_LEN: usize = 1024;

/// What is wrong with an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// `""`.
    #[error("container id cannot be empty")]
    Empty,
    /// Longer than [`MAX_LEN`].
    #[error("invalid container ID format: {0} bytes, at most {MAX_LEN} are allowed")]
    Long(usize),
    /// Begins with a dot.
    #[error("invalid container ID format: {0:?} begins with a dot")]
    Dot(String),
    /// Holds another character than the allowed ones.
    #[error("invalid container ID format: {0:?}: only A-Z, a-z, 0-9, \"_\", \"+\", \"-\" and \".\" are allowed")]
    Character(String),
}

impl Id {
    /// Checks the rules above.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn new(id: impl Into<String>) -> Result<Self, Error> {
        let id = id.into();
        if id.is_empty() {
            return Err(Error::Empty);
        }
        if id.len() > MAX_LEN {
            return Err(Error::Long(id.len()));
        }
        if !id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'+' | b'-' | b'.')) {
            return Err(Error::Character(id));
        }
        if id.starts_with('.') {
            return Err(Error::Dot(id));
        }
        Ok(Self(id))
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Id {
    type Error = Error;

    fn try_from(id: String) -> Result<Self, Error> {
        Self::new(id)
    }
}

impl std::str::FromStr for Id {
    type Err = Error;

    fn from_str(id: &str) -> Result<Self, Error> {
        Self::new(id)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_of_runc_are_allowed() {
        for id in ["a", "web-1", "A_b+c-d.e", "0", "-x", "a..b", &"x".repeat(MAX_LEN)] {
            assert_eq!(Id::new(id).unwrap().as_str(), id);
        }
    }

    #[test]
    fn names_that_leave_the_directory_are_refused() {
        for id in ["", ".", "..", ".hidden", "../x", "a/b", "/", "a b", "a\0", "a\n", "ä", "a:b", "a*", "~"] {
            assert!(Id::new(id).is_err(), "{id:?}");
        }
        assert_eq!(Id::new("x".repeat(2000)), Err(Error::Long(2000)));
    }

    #[test]
    fn errors_begin_as_runc_words_them() {
        assert!(Id::new("a/b").unwrap_err().to_string().starts_with("invalid container ID format"));
        assert_eq!(Id::new("").unwrap_err().to_string(), "container id cannot be empty");
    }

    #[test]
    fn a_state_file_cannot_smuggle_a_bad_one_in() {
        assert!(serde_json::from_str::<Id>("\"../x\"").is_err());
        assert_eq!(serde_json::to_string(&Id::new("x").unwrap()).unwrap(), "\"x\"");
    }
}
