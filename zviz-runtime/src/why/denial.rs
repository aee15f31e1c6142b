//! What is told of a denial.

use super::{Change, Origin, Rules};
use serde::{Deserialize, Serialize};
use std::fmt;
use zviz_broker::audit::text::Text;

/// The longest object that is shown, in bytes as they came.
pub(super) const LONGEST: usize = 512;

/// Who denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    /// The filter of system calls.
    Seccomp,
    /// The process that answers in the kernel's place.
    Broker,
    /// What is mounted where, and how.
    Mounts,
    /// Rights of root, cut up.
    Capabilities,
    /// Rules about files and ports.
    Landlock,
    /// An AppArmor profile.
    Apparmor,
    /// The policy of SELinux.
    Selinux,
    /// The network that there is.
    Network,
    /// What may be used up.
    Limits,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Layer::Seccomp => "seccomp",
            Layer::Broker => "broker",
            Layer::Mounts => "mounts",
            Layer::Capabilities => "capabilities",
            Layer::Landlock => "landlock",
            Layer::Apparmor => "apparmor",
            Layer::Selinux => "selinux",
            Layer::Network => "network",
            Layer::Limits => "limits",
        })
    }
}

/// A layer that denied something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// Which.
    pub layer: Layer,
    /// A word for how: `deny`, `unlisted`, `read-only`, …
    pub cause: String,
    /// The system call; empty for what no call asked for.
    pub call: String,
    /// What it was about: a path, an address; escaped, and of bounded length.
    pub object: String,
    /// How it failed, as `EACCES`.
    pub result: String,
    /// Who called; escaped, and of bounded length.
    pub program: String,
    /// The line that says so, if one does.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rule: Option<Origin>,
    /// In words.
    pub what: String,
    /// What would allow it, the least risky first. Empty where nothing would, which `what` explains.
    pub changes: Vec<Change>,
    /// Programs look for this answer and do otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub expected: bool,
}

impl Denial {
    /// With nothing but who and how.
    pub(super) fn new(layer: Layer, cause: &str) -> Denial {
        Denial {
            layer,
            cause: cause.to_owned(),
            call: String::new(),
            object: String::new(),
            result: String::new(),
            program: String::new(),
            rule: None,
            what: String::new(),
            changes: Vec::new(),
            expected: false,
        }
    }

    /// What the broker has recorded; its words are escaped already.
    pub(crate) fn recorded(call: &str, object: &str, result: &str, rule: &str) -> Denial {
        let own = |text: &str| text.chars().take(LONGEST).collect();
        Denial {
            call: own(call),
            object: own(object),
            result: own(result),
            rule: Rules::default().told(rule),
            what: format!("the broker's policy denies it ({})", shown(rule.as_bytes())),
            ..Denial::new(Layer::Broker, "recorded")
        }
    }

    pub(super) fn what(mut self, what: impl Into<String>) -> Denial {
        self.what = what.into();
        self
    }

    pub(super) fn rule(mut self, rule: Option<Origin>) -> Denial {
        self.rule = rule;
        self
    }

    pub(super) fn changes(mut self, changes: impl IntoIterator<Item = Change>) -> Denial {
        self.changes.extend(changes);
        self.changes.sort_by_key(|change| change.risk);
        self
    }

    /// What tells one denial from another.
    #[must_use]
    pub fn key(&self) -> (Layer, &str, &str, &str) {
        (self.layer, &self.cause, &self.call, &self.object)
    }
}

/// What a workload has written, fit to be shown.
pub(super) fn shown(bytes: &[u8]) -> String {
    Text::new(bytes, LONGEST).to_string()
}
