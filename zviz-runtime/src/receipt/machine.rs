//! What the runtime saw itself while a container was made, and the kernel that it was made on.

use crate::container::time;
use crate::features::supported_flags;
use crate::plan::cgroup::{Cgroup, Group};
use crate::prepare::Filter;
use crate::profile::hashed::sha256;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;

/// The kernel. It is the same for as long as a container lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    /// Of uname(2), such as `6.12.48+deb13-amd64`.
    pub kernel: String,
    /// Of Landlock; 0 where there is none.
    pub landlock_abi: u32,
    /// Flags of filters that it knows, by their OCI names.
    pub seccomp_flags: Vec<&'static str>,
    /// Actions of filters that it knows. seccomp(2), `/proc/sys/kernel/seccomp/actions_avail`.
    pub seccomp_actions: Vec<String>,
}

impl Machine {
    /// Reads this machine.
    ///
    /// # Errors
    /// uname(2).
    pub fn look() -> io::Result<Machine> {
        let name = nix::sys::utsname::uname()?;
        let actions = std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
        Ok(Machine {
            kernel: name.release().to_string_lossy().into_owned(),
            landlock_abi: zviz_sys::landlock::abi(),
            seccomp_flags: supported_flags(),
            seccomp_actions: actions.split_ascii_whitespace().map(str::to_owned).collect(),
        })
    }
}

/// What no plan tells. It is remembered when init has reported that every layer is in force, and not before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// When that was. RFC 3339, UTC.
    pub at: String,
    /// The filter that was loaded.
    pub filter: Option<Loaded>,
    /// Whether a broker has the listener.
    pub broker: bool,
    /// The directories that are the container's.
    pub cgroups: Vec<PathBuf>,
}

/// A program of seccomp.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loaded {
    /// Its length.
    pub instructions: usize,
    /// Of its bytes, as `zviz compile` writes them.
    pub sha256: String,
}

impl Loaded {
    pub(crate) fn of(filter: &Filter) -> Loaded {
        let mut bytes = Vec::with_capacity(filter.program.len().saturating_mul(8));
        for one in &filter.program {
            bytes.extend_from_slice(&one.code.to_ne_bytes());
            bytes.extend_from_slice(&[one.jt, one.jf]);
            bytes.extend_from_slice(&one.k.to_ne_bytes());
        }
        Loaded { instructions: filter.program.len(), sha256: sha256(&bytes) }
    }
}

impl Applied {
    /// Now.
    pub(crate) fn now(filter: Option<Loaded>, broker: bool, cgroup: &Cgroup) -> Applied {
        // Beside version 1 the unified hierarchy is a help that may be missing.
        let cgroups = cgroup.v1.iter().chain(&cgroup.v2).map(Group::dir).filter(|dir| dir.is_dir());
        Applied { at: time::now_nanos(), filter, broker, cgroups: cgroups.collect() }
    }
}
