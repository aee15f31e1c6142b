//! A container as other commands see it: its id, its status, and what is remembered of it between commands.

pub mod id;
pub mod init;
pub mod report;
pub mod time;

pub use id::Id;
pub use init::Init;
pub use report::{OciState, Report};

use crate::apply::cgroup;
use crate::apply::rootfs::Attached;
use crate::network::Made;
use crate::plan::Plan;
use crate::receipt::{Applied, Asked};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a container is in its life. runtime.md, "State"; `paused` is runc's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// `create` has not returned.
    Creating,
    /// Init waits for `start`.
    Created,
    /// The payload runs.
    Running,
    /// The payload is frozen.
    Paused,
    /// Init is gone.
    Stopped,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        })
    }
}

/// What is remembered of a container: the content of its state.json.
///
/// Everything a later command needs comes from here and never from the bundle or the container, which may have
/// changed since (CVE-2022-31214).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// `ociVersion` of the spec.
    pub oci_version: String,
    /// The container's.
    pub id: Id,
    /// Absent while `create` has not cloned it.
    pub init: Option<Init>,
    /// Absolute.
    pub bundle: String,
    /// RFC 3339, UTC, nanoseconds.
    pub created: String,
    /// Effective uid of the runtime that created it.
    pub owner: u32,
    /// `create` has not got as far as to let init wait for `start`.
    pub creating: bool,
    /// The root, where it is attached in the host's own mount namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attached: Option<Attached>,
    /// What is to be undone of its network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Made>,
    /// Who ends it when its time is up, where nobody waits for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watcher: Option<Init>,
    /// What it was asked for with.
    #[serde(default)]
    pub asked: Asked,
    /// What init reported to be in force; absent before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<Applied>,
    /// Everything that was decided, annotations, hooks and cgroup among it.
    pub plan: Plan,
}

impl State {
    /// The state of a container that is about to be made, now.
    pub fn new(oci_version: impl Into<String>, id: Id, bundle: impl Into<String>, plan: Plan) -> Self {
        Self {
            oci_version: oci_version.into(),
            id,
            init: None,
            bundle: bundle.into(),
            created: time::now_nanos(),
            owner: nix::unistd::geteuid().as_raw(),
            creating: true,
            attached: None,
            network: None,
            watcher: None,
            asked: Asked::default(),
            applied: None,
            plan,
        }
    }

    /// Init, if it lives.
    pub fn live_init(&self) -> Option<Init> {
        self.init.filter(|init| init.alive())
    }

    /// Whether `pause` holds it. Where that cannot be asked, nothing of ours does.
    pub fn frozen(&self) -> bool {
        cgroup::is_frozen(&self.plan.cgroup).unwrap_or(false)
    }

    /// On the host; empty where the container has no root of its own.
    pub fn rootfs(&self) -> &str {
        self.plan.rootfs.as_ref().map_or("", |rootfs| rootfs.path.as_str())
    }
}
