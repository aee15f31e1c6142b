//! Texts and files by their content: what tells one profile from another that has its name.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zviz_profile::Text;

/// A file by its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hashed {
    /// Without folders in a manifest.
    pub file: String,
    /// SHA-256 in hexadecimal digits.
    pub sha256: String,
    /// Its length.
    pub bytes: u64,
}

impl Hashed {
    /// Of a text.
    #[must_use]
    pub fn of(text: &Text) -> Hashed {
        Hashed::file(&text.file, text.text.as_bytes())
    }

    pub(super) fn file(file: &str, bytes: &[u8]) -> Hashed {
        Hashed { file: file.to_owned(), sha256: sha256(bytes), bytes: bytes.len() as u64 }
    }
}

/// SHA-256 in hexadecimal digits.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
