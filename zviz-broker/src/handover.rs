//! How a runtime gives the listener of a seccomp filter to an agent (`listenerPath`). config-linux.md, "The Container
//! Process State".
//!
//! ```text
//! runtime ── connect ──► agent's stream socket
//!         ── JSON, with the descriptors beside its first bytes; close ──►
//! ```
//!
//! Whoever can connect to an agent can send it anything: what arrives is bounded in size and time, and checked.

mod receive;

pub use receive::{Handed, ReceiveError, receive};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;
use zviz_sys::{Errno, rights};

/// The name of the listener in `fds`: `SeccompFdName` of the specification.
pub const SECCOMP_FD: &str = "seccompFd";
/// More than any state needs: a config.json, whose annotations are the only large part of it, is smaller.
pub const MAX_BYTES: usize = 4 << 20;
/// How long a runtime waits for an agent that does not read. It holds a container that cannot run meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);

/// The message. `S` is the container's state: `State`, or a type of the runtime's that has the same JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerProcessState<S = State> {
    /// The version of the specification that it follows.
    pub oci_version: String,
    /// What the descriptors are, in their order.
    #[serde(default)]
    pub fds: Vec<String>,
    /// The process whose filter it is: init, or one that entered the container. As the runtime sees it.
    pub pid: i32,
    /// `listenerMetadata`, as it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub metadata: String,
    /// The container's.
    pub state: S,
}

/// runtime.md, "State".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The version of the specification that it follows.
    pub oci_version: String,
    /// The container's name.
    pub id: String,
    /// creating, created, running or stopped, or one that the runtime has added.
    pub status: String,
    /// Init's, as the runtime sees it; 0 where there is none.
    #[serde(default)]
    pub pid: i32,
    /// Absolute.
    pub bundle: String,
    /// Of the config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// An agent that did not get the listener.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// There is none.
    #[error("connect to the seccomp agent at {}: {}", path.display(), errno.desc())]
    Connect {
        /// `listenerPath`.
        path: PathBuf,
        /// ENOTSOCK where it is something else.
        errno: Errno,
    },
    /// It went away, or does not read (EAGAIN).
    #[error("send the listener to the seccomp agent at {}: {}", path.display(), errno.desc())]
    Send {
        /// `listenerPath`.
        path: PathBuf,
        /// Why.
        errno: Errno,
    },
    /// The state cannot be written as JSON, or is larger than `MAX_BYTES`.
    #[error("the container's state is no message for a seccomp agent: {0}")]
    State(String),
}

/// Gives a listener to the agent at `path`, over a connection of its own, and keeps no copy. `message.fds` is set here.
///
/// # Errors
/// `SendError`; the listener is closed in any case, and with it each call that waits for it fails with ENOSYS.
pub fn send<S: Serialize>(
    listener: OwnedFd,
    path: &Path,
    mut message: ContainerProcessState<S>,
) -> Result<(), SendError> {
    message.fds = vec![SECCOMP_FD.into()];
    let json = serde_json::to_vec(&message).map_err(|e| SendError::State(e.to_string()))?;
    if json.len() > MAX_BYTES {
        return Err(SendError::State(format!("{} bytes", json.len())));
    }
    let stream = rights::connect(path).map_err(|errno| SendError::Connect { path: path.into(), errno })?;
    stream
        .set_write_timeout(Some(PATIENCE))
        .map_err(|e| e.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
        .and_then(|()| rights::send_all(stream.as_fd(), &json, listener.as_fd()))
        .map_err(|errno| SendError::Send { path: path.into(), errno })
}
