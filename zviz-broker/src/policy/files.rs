//! Which files may be opened, by name.

mod rules;

pub use rules::{Rules, Ruling};

use super::Fault;
use crate::glob::Glob;
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

/// Rules for opening files. Names are canonical and absolute in the caller's root, as they are when the file is opened: of
/// whatever path, link or descriptor a call named it by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// In order: the first that matches decides.
    #[serde(default)]
    pub rules: Vec<FileRule>,
    /// Asked as well, in the same way, and where none matches they allow: the stricter of both holds. They are numbered
    /// after `rules`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub within: Vec<FileRule>,
    /// Where none matches.
    #[serde(default)]
    pub default: Verdict,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRule {
    /// See [`Glob`].
    pub glob: String,
    /// What kind of opening it is about.
    #[serde(default)]
    pub access: Access,
    /// What is said to it.
    pub verdict: Verdict,
}

/// What a file is opened for. To make, truncate or nameless-make one is to write; for both, both are asked about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Reading, and listing directories.
    Read,
    /// Writing.
    Write,
    /// Either.
    #[default]
    Any,
}

/// What is said to an opening.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The caller's own rights decide.
    #[default]
    Allow,
    /// The same, and it is told in the audit.
    Audit,
    /// Somebody outside decides: [`super::ask`].
    Ask,
    /// It fails.
    Deny(Reason),
}

/// The errno that a refused call fails with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs, reason = "errno(3) says")]
pub enum Reason {
    #[default]
    Eacces,
    Eperm,
    Enoent,
    Erofs,
    Eio,
}

impl From<Reason> for Errno {
    fn from(reason: Reason) -> Errno {
        match reason {
            Reason::Eacces => Errno::EACCES,
            Reason::Eperm => Errno::EPERM,
            Reason::Enoent => Errno::ENOENT,
            Reason::Erofs => Errno::EROFS,
            Reason::Eio => Errno::EIO,
        }
    }
}

/// The most rules there may be.
const MOST: usize = 1000;

impl Files {
    /// Whether something is refused by its name, so that giving a file another name matters.
    #[must_use]
    pub fn refuses(&self) -> bool {
        let verdicts = self.all().map(|rule| rule.verdict).chain([self.default]);
        verdicts.into_iter().any(|verdict| matches!(verdict, Verdict::Deny(_)))
    }

    /// Whether nothing is said of openings that only read.
    #[must_use]
    pub fn are_about_writing(&self) -> bool {
        let silent = |rule: &FileRule| rule.access == Access::Write || rule.verdict == Verdict::Allow;
        self.default == Verdict::Allow && self.all().all(silent)
    }

    fn all(&self) -> impl Iterator<Item = &FileRule> {
        self.rules.iter().chain(&self.within)
    }

    pub(super) fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.all().count() > MOST {
            faults.push(Fault { place: "files.rules".into(), why: format!("more than {MOST}") });
        }
        for (i, rule) in self.all().enumerate() {
            if let Err(why) = Glob::new(&rule.glob) {
                faults.push(Fault { place: format!("files.rules[{i}].glob"), why: why.into() });
            }
        }
        faults
    }
}
