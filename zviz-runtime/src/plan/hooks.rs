//! Hooks: programs that the spec names for points in a container's life.

use serde::{Deserialize, Serialize};

/// One program. config.md, "POSIX-platform Hooks".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// Absolute.
    pub path: String,
    /// argv, argv[0] included; empty means the path alone.
    pub args: Vec<String>,
    /// `KEY=value`; nothing is inherited.
    pub env: Vec<String>,
    /// Seconds after which it is killed and counts as failed.
    pub timeout: Option<u64>,
}

/// The six kinds, each run in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hooks {
    /// Runtime namespace; before pivot_root. Deprecated in the specification, still used.
    pub prestart: Vec<Hook>,
    /// Runtime namespace; before pivot_root.
    pub create_runtime: Vec<Hook>,
    /// Container namespaces, host paths; before pivot_root.
    pub create_container: Vec<Hook>,
    /// Container namespaces and paths; before the payload runs.
    pub start_container: Vec<Hook>,
    /// Runtime namespace; after the payload runs; a failure is logged.
    pub poststart: Vec<Hook>,
    /// Runtime namespace; after deletion; a failure is logged.
    pub poststop: Vec<Hook>,
}
