//! The payload's terminal, seen from outside: where its master goes, and how it is tied to the caller's terminal.
//!
//! Init makes the pair inside the container's devpts (`zviz_sys::pty`) and sends the master over the sync socket. It
//! goes on to a console socket (`--console-socket`: the caller will hold it), or into a `Relay` (`run` and `exec` in the
//! foreground).

pub(crate) mod pending;
pub mod relay;
pub mod terminal;

pub use relay::Relay;
pub use terminal::Terminal;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use zviz_sys::{Errno, pty, rights};

/// What can go wrong with a console.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The payload wants a terminal and nobody would hold its other end.
    #[error("cannot allocate tty if zviz will detach without setting console socket")]
    NeedsSocket,
    /// A console socket would stay unused.
    #[error("cannot use console socket if zviz will not detach or allocate tty")]
    UselessSocket,
    /// The console socket does not take the master.
    #[error("console socket {}: {}", path.display(), errno.desc())]
    Socket {
        /// As given.
        path: PathBuf,
        /// ENOTSOCK where it is something else.
        errno: Errno,
    },
    /// The caller has no terminal to tie the payload's to.
    #[error("the payload needs a terminal and there is none here: /dev/tty: {}", .0.desc())]
    NoTerminal(Errno),
    /// A terminal refuses a setting.
    #[error("{what}: {}", errno.desc())]
    Setting {
        /// Which.
        what: &'static str,
        /// Why.
        errno: Errno,
    },
}

/// Whether the flags of `create`, `run` and `exec` fit each other: `create` always detaches.
///
/// # Errors
/// `NeedsSocket`, `UselessSocket`: the cases and words of runc.
pub fn check(detach: bool, terminal: bool, socket: bool) -> Result<(), Error> {
    match (detach && terminal, socket) {
        (true, false) => Err(Error::NeedsSocket),
        (false, true) => Err(Error::UselessSocket),
        _ => Ok(()),
    }
}

/// A connection to a console socket: made before the container, so that a wrong path costs nothing.
#[derive(Debug)]
pub struct ConsoleSocket {
    path: PathBuf,
    stream: UnixStream,
}

impl ConsoleSocket {
    /// Connects.
    ///
    /// # Errors
    /// `Socket`.
    pub fn connect(path: &Path) -> Result<Self, Error> {
        let stream = rights::connect(path).map_err(|errno| Error::Socket { path: path.into(), errno })?;
        Ok(ConsoleSocket { path: path.into(), stream })
    }

    /// Sends the master: one message, whose bytes are the other end's name inside the container.
    ///
    /// # Errors
    /// `Socket`.
    pub fn send(self, master: OwnedFd) -> Result<(), Error> {
        pty::number(master.as_fd())
            .and_then(|n| rights::send_all(self.stream.as_fd(), format!("/dev/pts/{n}").as_bytes(), master.as_fd()))
            .map_err(|errno| Error::Socket { path: self.path, errno })
    }
}

/// Sends a pidfd of the payload's process to a socket (`--pidfd-socket`), with runc's message.
///
/// # Errors
/// `Socket`.
pub fn send_pidfd(path: &Path, pidfd: BorrowedFd<'_>) -> Result<(), Error> {
    rights::connect(path)
        .and_then(|stream| rights::send_all(stream.as_fd(), b"pidfd", pidfd))
        .map_err(|errno| Error::Socket { path: path.into(), errno })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_socket_goes_with_a_detached_terminal_and_only_with_it() {
        for (detach, terminal, socket, message) in [
            (true, true, true, None),
            (true, true, false, Some("cannot allocate tty if zviz will detach without setting console socket")),
            (true, false, true, Some("cannot use console socket if zviz will not detach or allocate tty")),
            (true, false, false, None),
            (false, true, true, Some("cannot use console socket if zviz will not detach or allocate tty")),
            (false, true, false, None),
            (false, false, true, Some("cannot use console socket if zviz will not detach or allocate tty")),
            (false, false, false, None),
        ] {
            let said = check(detach, terminal, socket).err().map(|e| e.to_string());
            assert_eq!(said.as_deref(), message, "detach {detach}, terminal {terminal}, socket {socket}");
        }
    }
}
