//! How processes ended. waitid(2).

use crate::{Errno, Result, ret};
use std::fmt;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It called exit with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl Exit {
    /// What a shell says: the code, or 128 and the signal.
    #[must_use]
    pub fn status(self) -> u8 {
        let status = match self {
            Exit::Code(code) => code & 0xff,
            Exit::Signal(signal) => 128 + (signal & 0x7f),
        };
        u8::try_from(status).unwrap_or(u8::MAX)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit status {code}"),
            Exit::Signal(signal) => match nix::sys::signal::Signal::try_from(*signal) {
                Ok(known) => write!(f, "killed by {known}"),
                Err(_) => write!(f, "killed by signal {signal}"),
            },
        }
    }
}

/// Waits for a child to end, and reaps it.
///
/// # Errors
/// ECHILD if it is not a child of this process, or was reaped already.
pub fn wait(pidfd: BorrowedFd<'_>) -> Result<Exit> {
    loop {
        match waitid(libc::P_PIDFD, id(pidfd)?, libc::WEXITED) {
            Ok(Some((_, exit))) => return Ok(exit),
            Ok(None) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// As `wait`, for a child that must not be held up: one that a signal has stopped is killed.
///
/// # Errors
/// As `wait`.
pub fn wait_running(pidfd: BorrowedFd<'_>) -> Result<Exit> {
    loop {
        let (_, exit) = waitid(libc::P_PIDFD, id(pidfd)?, libc::WEXITED | libc::WSTOPPED)?.ok_or(Errno::ECHILD)?;
        match exit {
            Exit::Signal(libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU) => {
                crate::process::pidfd_send_signal(pidfd, libc::SIGKILL)?;
            }
            other => return Ok(other),
        }
    }
}

/// Reaps a child if it has ended.
///
/// # Errors
/// As `wait`.
pub fn try_wait(pidfd: BorrowedFd<'_>) -> Result<Option<Exit>> {
    Ok(waitid(libc::P_PIDFD, id(pidfd)?, libc::WEXITED | libc::WNOHANG)?.map(|(_, exit)| exit))
}

/// How a child has ended, which is left to be waited for.
///
/// # Errors
/// As `wait`.
pub fn look(pidfd: BorrowedFd<'_>) -> Result<Option<Exit>> {
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    Ok(waitid(libc::P_PIDFD, id(pidfd)?, options)?.map(|(_, exit)| exit))
}

/// Reaps any one child that has ended: its pid and its end. None if none has; nor if there is none.
pub fn reap_any() -> Result<Option<(i32, Exit)>> {
    match waitid(libc::P_ALL, 0, libc::WEXITED | libc::WNOHANG) {
        Err(Errno::ECHILD) => Ok(None),
        other => other,
    }
}

/// Whether this process has children, living or not reaped.
#[must_use]
pub fn has_children() -> bool {
    waitid(libc::P_ALL, 0, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT) != Err(Errno::ECHILD)
}

fn id(pidfd: BorrowedFd<'_>) -> Result<libc::id_t> {
    libc::id_t::try_from(pidfd.as_raw_fd()).map_err(|_| Errno::EBADF)
}

fn waitid(kind: libc::idtype_t, id: libc::id_t, options: i32) -> Result<Option<(i32, Exit)>> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    loop {
        // SAFETY: the pointer is to room for one siginfo.
        match ret(unsafe { libc::waitid(kind, id, info.as_mut_ptr(), options) }.into()) {
            Err(Errno::EINTR) => {}
            other => break other.map(drop)?,
        }
    }
    // SAFETY: all zeroes is a siginfo, and the kernel has filled it if a child had ended; the fields that are read are
    // those of SIGCHLD, which is the only kind that waitid gives.
    let (pid, code, status) = unsafe {
        let info = info.assume_init();
        (info.si_pid(), info.si_code, info.si_status())
    };
    Ok((pid != 0).then_some((pid, if code == libc::CLD_EXITED { Exit::Code(status) } else { Exit::Signal(status) })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_those_of_a_shell() {
        assert_eq!(Exit::Code(3).status(), 3);
        assert_eq!(Exit::Signal(libc::SIGKILL).status(), 137);
        assert_eq!(Exit::Signal(64).status(), 192);
        assert_eq!(Exit::Signal(libc::SIGTERM).to_string(), "killed by SIGTERM");
        assert_eq!(Exit::Signal(40).to_string(), "killed by signal 40");
        assert_eq!(Exit::Code(1).to_string(), "exit status 1");
    }
}
