//! The agent's side.

use super::{ContainerProcessState, MAX_BYTES, SECCOMP_FD};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use zviz_sys::{Errno, rights};

/// What a seccomp listener is called in /proc/PID/fd.
const LISTENER: &str = "anon_inode:seccomp notify";
const CHUNK: usize = 64 << 10;

/// A listener, and whose it is.
#[derive(Debug)]
pub struct Handed {
    /// Certainly a seccomp listener.
    pub listener: OwnedFd,
    /// As its sender says.
    pub message: ContainerProcessState,
}

/// A message that is none.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// recvmsg(2); EAGAIN if nothing came for too long.
    #[error("receive: {}", .0.desc())]
    Receive(Errno),
    /// The peer closed too early.
    #[error("the message ends after {0} bytes")]
    Short(usize),
    /// It is larger than `MAX_BYTES`.
    #[error("the message is larger than {MAX_BYTES} bytes")]
    Large,
    /// It is no ContainerProcessState.
    #[error("the message is no container process state: {0}")]
    Json(#[from] serde_json::Error),
    /// Descriptors and their names do not fit, or were not sent with the first bytes.
    #[error("{0}")]
    Descriptors(&'static str),
    /// A field that cannot be.
    #[error("{0}: {1}")]
    Field(&'static str, String),
}

/// Receives one message within `patience`. The connection is of no further use.
///
/// # Errors
/// `ReceiveError`; every descriptor that came is closed then.
pub fn receive(stream: &UnixStream, patience: Duration) -> Result<Handed, ReceiveError> {
    let deadline = Instant::now() + patience;
    let mut bytes = Vec::new();
    let mut chunk = vec![0; CHUNK];
    let mut fds = Vec::new();
    let message = loop {
        let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
        // A timeout of zero would be none at all.
        let left = left.ok_or(ReceiveError::Receive(Errno::EAGAIN))?;
        let timeout = stream.set_read_timeout(Some(left));
        timeout.map_err(|e| ReceiveError::Receive(e.raw_os_error().map_or(Errno::EIO, Errno::from_raw)))?;
        let received = rights::receive(stream.as_fd(), &mut chunk).map_err(ReceiveError::Receive)?;
        let first = bytes.is_empty();
        let came = received.fds.into_iter().flatten();
        fds.extend(came);
        if received.truncated {
            return Err(ReceiveError::Descriptors("too many descriptors"));
        }
        if first && fds.is_empty() && received.bytes > 0 {
            return Err(ReceiveError::Descriptors("no descriptor comes with the first bytes"));
        }
        bytes.extend_from_slice(chunk.get(..received.bytes).unwrap_or_default());
        if bytes.len() > MAX_BYTES {
            return Err(ReceiveError::Large);
        }
        // The peer may close late, so the end is where the object ends; a look at the last byte spares most attempts.
        if received.bytes == 0 || bytes.trim_ascii_end().ends_with(b"}") {
            match serde_json::from_slice::<ContainerProcessState>(&bytes) {
                Err(e) if e.is_eof() && received.bytes > 0 => {}
                Err(e) if e.is_eof() => return Err(ReceiveError::Short(bytes.len())),
                other => break other?,
            }
        }
    };
    check(message, fds)
}

fn check(message: ContainerProcessState, fds: Vec<OwnedFd>) -> Result<Handed, ReceiveError> {
    if message.fds.len() != fds.len() {
        return Err(ReceiveError::Descriptors("fds does not name the descriptors that came"));
    }
    let mut named = message.fds.iter().zip(fds).filter(|(name, _)| *name == SECCOMP_FD).map(|(_, fd)| fd);
    let (Some(listener), None) = (named.next(), named.next()) else {
        return Err(ReceiveError::Descriptors("fds does not name one seccompFd"));
    };
    drop(named);
    let is = std::fs::read_link(format!("/proc/self/fd/{}", listener.as_raw_fd()));
    if !is.is_ok_and(|is| is.as_os_str() == LISTENER) {
        return Err(ReceiveError::Descriptors("seccompFd is no seccomp listener"));
    }
    if message.pid <= 0 {
        return Err(ReceiveError::Field("pid", message.pid.to_string()));
    }
    if message.state.pid < 0 {
        return Err(ReceiveError::Field("state.pid", message.state.pid.to_string()));
    }
    if message.state.id.is_empty() {
        return Err(ReceiveError::Field("state.id", "empty".into()));
    }
    Ok(Handed { listener, message })
}
