//! What a plan says beside what it does.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A weakening that the host or a flag forced, or a choice worth knowing, in words for the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note(pub String);

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
