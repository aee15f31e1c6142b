//! Who is asked about calls that a rule does not decide.

use super::files::Reason;
use super::{Fault, Policy};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Questions about held calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Asking {
    /// Whom. Nobody: what would be asked about is refused.
    pub client: Option<Client>,
    /// Calls, of those that the policy serves, that are asked about before anything is done. Files are asked about by their
    /// own rules.
    pub calls: Vec<String>,
    /// How long an answer may take, in milliseconds.
    pub timeout_ms: u32,
    /// What a call fails with that nobody, or nobody in time, has allowed.
    pub errno: Reason,
}

/// Somebody who decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Client {
    /// Who listens at a Unix socket.
    Socket(PathBuf),
    /// A command of the shell, that is asked on its standard input and answers on its standard output.
    Command(String),
}

impl Default for Asking {
    fn default() -> Self {
        Asking { client: None, calls: Vec::new(), timeout_ms: 30_000, errno: Reason::Eacces }
    }
}

impl Asking {
    pub(super) fn faults(&self, policy: &Policy) -> Vec<Fault> {
        let served = policy.calls();
        let unknown = self.calls.iter().enumerate().filter(|(_, call)| !served.contains(&call.as_str()));
        let why = |call: &String| format!("{call} is no call that the policy serves");
        let mut faults: Vec<Fault> =
            unknown.map(|(i, call)| Fault { place: format!("ask.calls[{i}]"), why: why(call) }).collect();
        if self.timeout_ms == 0 {
            faults.push(Fault { place: "ask.timeout_ms".into(), why: "must be at least 1".into() });
        }
        faults
    }
}

impl Client {
    /// A stream to it, that never holds up who writes or reads. A command runs until it reads the end of it.
    ///
    /// # Errors
    /// In words, with the place.
    pub fn connect(&self) -> Result<OwnedFd, String> {
        let failed = |what: &str, why: &dyn std::fmt::Display| format!("ask: {what}: {why}");
        let stream: OwnedFd = match self {
            Client::Socket(path) => {
                let connected = zviz_sys::rights::connect(path);
                connected.map_err(|errno| failed(&path.display().to_string(), &errno.desc()))?.into()
            }
            Client::Command(command) => {
                let (ours, theirs) = UnixStream::pair().map_err(|error| failed("socketpair", &error))?;
                let copy = theirs.try_clone().map_err(|error| failed("socketpair", &error))?;
                let started = Command::new("/bin/sh")
                    .args(["-c", command])
                    .stdin(Stdio::from(OwnedFd::from(theirs)))
                    .stdout(Stdio::from(OwnedFd::from(copy)))
                    .spawn();
                started.map_err(|error| failed(command, &error))?;
                ours.into()
            }
        };
        let flags = fcntl(stream.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
        flags.map_err(|errno| failed("fcntl", &errno.desc()))?;
        Ok(stream)
    }
}
