//! What would allow a call.

use super::Origin;
use super::denial::{LONGEST, shown};
use serde::{Deserialize, Serialize};

/// What is lost by a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// The sandbox keeps what it is for.
    Low,
    /// Something of the host that programs may misuse.
    Medium,
    /// What escapes have been built from, or what leads to them: secrets, the system's own files.
    High,
}

/// A change, the smallest of its kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What to write.
    #[serde(flatten)]
    pub how: How,
    /// What it costs.
    pub risk: Risk,
    /// Why it is so, in words.
    pub why: String,
}

/// Where a change is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// A flag of `zviz run`, with its value; in place of the same flag where it takes one value.
    Flag(Vec<String>),
    /// Lines of a profile that extends the present one.
    Yaml(String),
    /// In the present profile: `with` in place of a value of a list, or nothing.
    Instead {
        /// The value.
        rule: Origin,
        /// What stands there then.
        with: Vec<String>,
    },
    /// A rule of a policy that is not the profile's.
    Policy {
        /// Which: `AppArmor profile NAME`, `SELinux`.
        of: String,
        /// In its own language.
        rule: String,
    },
}

impl Change {
    pub(super) fn flag(flag: &str, value: impl Into<String>, risk: Risk, why: impl Into<String>) -> Change {
        Change { how: How::Flag(vec![flag.to_owned(), value.into()]), risk, why: why.into() }
    }

    pub(super) fn yaml(text: impl Into<String>, risk: Risk, why: impl Into<String>) -> Change {
        Change { how: How::Yaml(text.into()), risk, why: why.into() }
    }

    /// Whether nothing of it needs to be escaped to be shown, and it is of a length to be read.
    pub(super) fn is_plain(&self) -> bool {
        let texts: Vec<&str> = match &self.how {
            How::Flag(words) => words.iter().map(String::as_str).collect(),
            How::Yaml(text) => text.lines().collect(),
            How::Instead { with, .. } => with.iter().map(String::as_str).collect(),
            How::Policy { of, rule } => vec![of, rule],
        };
        // YAML's own backslashes are not a stranger's.
        texts.iter().all(|text| text.len() <= LONGEST && !text.contains('\\') && shown(text.as_bytes()) == *text)
    }

    pub(super) fn without(rule: Origin, risk: Risk, why: impl Into<String>) -> Change {
        Change { how: How::Instead { rule, with: Vec::new() }, risk, why: why.into() }
    }
}

/// A path as a value of YAML, in a list on one line.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    let begins_plainly = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    match begins_plainly && text.chars().all(plain) {
        true => text.to_owned(),
        // JSON's strings are YAML's.
        false => serde_json::Value::from(text).to_string(),
    }
}
