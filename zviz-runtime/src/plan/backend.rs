//! What a sandbox is made of: namespaces, or what is left where the host gives none.

use serde::{Deserialize, Serialize};

/// What stands between the payload and the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// Namespaces, and every other layer over them.
    #[default]
    Namespaces,
    /// No namespaces: Landlock, seccomp and no_new_privs alone, over the host's own files and processes.
    Landlock,
}

impl Backend {
    /// Its name in flags and profiles.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Backend::Namespaces => "namespaces",
            Backend::Landlock => "landlock",
        }
    }
}

/// What a payload without namespaces is let do beside what files say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InPlace {
    /// Whether it has the host's network; without, it has no sockets but pairs.
    pub network: bool,
}
