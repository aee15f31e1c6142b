//! The policy that is laid over a spec: it takes away, never adds.

use serde::{Deserialize, Serialize};

/// What may be granted at most.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Its name, for messages.
    pub name: String,
    /// Capabilities that may be granted, as a mask by number.
    pub capabilities: u64,
    /// Set whatever the spec says.
    pub no_new_privs: bool,
    /// Landlock over the mounts of the plan.
    pub landlock: bool,
    /// The default seccomp policy is intersected with the spec's.
    pub seccomp: bool,
}

impl Profile {
    /// Takes nothing away: the OCI command line, where the spec is the policy.
    pub fn none() -> Self {
        Profile { name: "none".into(), capabilities: u64::MAX, no_new_privs: false, landlock: false, seccomp: false }
    }
}

impl Default for Profile {
    /// What `zviz run -- CMD` lays over its own spec: no capability, no new privilege, Landlock, the default filter.
    fn default() -> Self {
        Profile { name: "default".into(), capabilities: 0, no_new_privs: true, landlock: true, seccomp: true }
    }
}
