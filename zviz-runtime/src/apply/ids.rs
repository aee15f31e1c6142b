//! Id maps: of the container's user namespace, and of namespaces that exist only to translate a mount.

use crate::plan::{IdMap, User};
use nix::errno::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Command, Stdio};
use zviz_sys::path;
use zviz_sys::process::{Cloned, clone, exit, pidfd_send_signal};
use zviz_sys::{fd, wait};

/// An id map that was not taken.
#[derive(Debug, thiserror::Error)]
pub enum IdMapError {
    /// By the kernel.
    #[error("write {file}: {}", errno.desc())]
    Write {
        /// uid_map, gid_map or setgroups.
        file: &'static str,
        /// Why.
        errno: Errno,
    },
    /// By newuidmap(1) or newgidmap(1).
    #[error("{program}: {what}")]
    Helper {
        /// Which.
        program: &'static str,
        /// What it said.
        what: String,
    },
    /// The namespace of a mount.
    #[error("a user namespace for an idmapped mount: {}", .0.desc())]
    Namespace(Errno),
}

/// Writes the maps of a new user namespace. user_namespaces(7).
pub(crate) fn write_maps(user: &User, proc: BorrowedFd<'_>, pid: i32) -> Result<(), IdMapError> {
    let User::New { uids, gids, setgroups, by_helper } = user else { return Ok(()) };
    if !setgroups {
        write(proc, pid, "setgroups", b"deny")?;
    }
    if *by_helper {
        by_program("newuidmap", pid, uids)?;
        return by_program("newgidmap", pid, gids);
    }
    write(proc, pid, "uid_map", text(uids).as_bytes())?;
    write(proc, pid, "gid_map", text(gids).as_bytes())
}

fn text(maps: &[IdMap]) -> String {
    maps.iter().map(|m| format!("{} {} {}\n", m.inside, m.outside, m.count)).collect()
}

fn write(proc: BorrowedFd<'_>, pid: i32, file: &'static str, text: &[u8]) -> Result<(), IdMapError> {
    write_proc_of(proc, pid, file, text).map_err(|errno| IdMapError::Write { file, errno })
}

/// The child of a process that has one thread and one child, in the host's proc.
pub(crate) fn only_child(proc: BorrowedFd<'_>, pid: i32) -> Result<i32, Errno> {
    match children(proc, pid)? {
        (child, false) => Ok(child),
        _ => Err(Errno::ECHILD),
    }
}

/// The oldest child of a process that has one thread, and whether there are others. proc_tid_children(5): right as long as
/// that child cannot be reaped.
pub(crate) fn children(proc: BorrowedFd<'_>, pid: i32) -> Result<(i32, bool), Errno> {
    let name = CString::new(format!("{pid}/task/{pid}/children")).map_err(|_| Errno::EINVAL)?;
    let file = path::openat2(proc, &name, libc::O_RDONLY, 0, path::resolve::NO_SYMLINKS)?;
    let mut text = [0u8; 64];
    let length = fd::read(file.as_fd(), &mut text)?;
    let text = text.get(..length).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default();
    let mut children = text.split_ascii_whitespace();
    let first = children.next().and_then(|pid| pid.parse().ok()).ok_or(Errno::ECHILD)?;
    Ok((first, children.next().is_some()))
}

/// Writes a file of a process's folder in the host's proc.
pub(crate) fn write_proc_of(proc: BorrowedFd<'_>, pid: i32, file: &str, text: &[u8]) -> Result<(), Errno> {
    let name = CString::new(format!("{pid}/{file}")).map_err(|_| Errno::EINVAL)?;
    super::namespaces::write_proc(proc, &name, text)
}

fn by_program(program: &'static str, pid: i32, maps: &[IdMap]) -> Result<(), IdMapError> {
    let said = |what: String| IdMapError::Helper { program, what };
    let numbers = maps.iter().flat_map(|m| [m.inside, m.outside, m.count]).map(|n| n.to_string());
    let output = Command::new(program)
        .arg(pid.to_string())
        .args(numbers)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| said(format!("{e} (Debian: apt install uidmap)")))?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(said(format!("{} ({})", stderr.trim().chars().take(500).collect::<String>(), output.status)))
}

/// The user namespace of a process.
pub(crate) fn user_namespace_of(proc: BorrowedFd<'_>, pid: i32) -> Result<OwnedFd, Errno> {
    let name = CString::new(format!("{pid}/ns/user")).map_err(|_| Errno::EINVAL)?;
    path::openat2(proc, &name, libc::O_RDONLY, 0, 0)
}

/// A user namespace with these maps and nothing in it: made with a process that is ended once the namespace is held.
pub(crate) fn user_namespace_with(proc: BorrowedFd<'_>, uids: &[IdMap], gids: &[IdMap]) -> Result<OwnedFd, IdMapError> {
    let (hold, wait_end) = fd::packet_pair().map_err(IdMapError::Namespace)?;
    let flags = u64::from(libc::CLONE_NEWUSER.cast_unsigned());
    match clone(flags, None).map_err(IdMapError::Namespace)? {
        Cloned::Child => {
            drop(hold);
            let mut byte = [0u8; 1];
            let _ = fd::read(wait_end.as_fd(), &mut byte);
            exit(0)
        }
        Cloned::Parent { pid, pidfd } => {
            let user = User::New { uids: uids.to_vec(), gids: gids.to_vec(), setgroups: true, by_helper: false };
            let made =
                write_maps(&user, proc, pid).and_then(|()| user_namespace_of(proc, pid).map_err(IdMapError::Namespace));
            let _ = pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL);
            wait::wait(pidfd.as_fd()).map_err(IdMapError::Namespace)?;
            made
        }
    }
}
