//! Calls on a socket of the caller's.
//!
//! A path is looked up once. What it leads to is held by a descriptor, its name is what the kernel calls it, and
//! the connection goes to that very file, whatever the path leads to by then.

mod place;

use super::identity::Proc;
use crate::decision::{Op, Work};
use crate::handlers::sockets::address::{Way, of_path};
use crate::handlers::sockets::rules::Ruling;
use crate::policy::sockets::{Sockets, Verdict};
use nix::errno::Errno;
use place::Found;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use zviz_sys::process::{self, Cloned};
use zviz_sys::{landlock, path, socket, wait};

/// LANDLOCK_ACCESS_FS_MAKE_SOCK.
const MAKE_SOCK: u64 = 1 << 9;

/// Does the call; the working directory is the caller's. Where a rule about files was asked, `text` says which: the rule, a NUL,
/// and the file's name.
///
/// # Errors
/// EACCES where a rule refuses; else as the call.
pub(super) fn act(
    proc: &Proc,
    sockets: Option<&Sockets>,
    work: &Work,
    socket: BorrowedFd<'_>,
    text: &mut Vec<u8>,
) -> Result<i64, Errno> {
    let [address, name, ..] = &work.texts;
    let (address, sockets) = (address.as_deref().unwrap_or_default(), sockets.ok_or(Errno::EACCES)?);
    match (work.op, name) {
        (Op::Connect, None) => socket::connect(socket, address)?,
        (Op::Bind, None) => socket::bind(socket, address)?,
        (Op::Connect, Some(name)) => {
            let found = place::existing(proc, name)?;
            permit(found.judge(proc, sockets, Way::Connect), &found, text)?;
            path::enter(proc.0.as_fd())?;
            socket::connect(socket, &of_path(format!("self/fd/{}", found.file.as_raw_fd()).as_bytes()))?;
        }
        (Op::Bind, Some(name)) => {
            let found = place::new(proc, name)?;
            permit(found.judge(proc, sockets, Way::Bind), &found, text)?;
            bind_in(&found, socket, address)?;
        }
        _ => return Err(Errno::ENOSYS),
    }
    Ok(0)
}

fn permit(ruling: Ruling, found: &Found, text: &mut Vec<u8>) -> Result<(), Errno> {
    text.extend_from_slice(&[ruling.rule.as_bytes(), &[0], &found.name].concat());
    match ruling.verdict {
        Verdict::Allow => Ok(()),
        Verdict::Deny => Err(Errno::EACCES),
    }
}

/// Binds by the caller's own words, which are the socket's name from then on and what its peers answer to: the kernel looks them
/// up again, and Landlock keeps it to the directory that was judged. One below it can be had by a race, no other.
fn bind_in(found: &Found, socket: BorrowedFd<'_>, address: &[u8]) -> Result<(), Errno> {
    let ruleset = landlock::ruleset(MAKE_SOCK).map_err(|_| Errno::EACCES)?;
    landlock::add_path_rule(ruleset.as_fd(), found.file.as_fd(), MAKE_SOCK)?;
    // A process of its own: what is restricted stays so.
    match process::fork()? {
        Cloned::Child => {
            let bound = landlock::restrict_self(ruleset.as_fd()).and_then(|()| socket::bind(socket, address));
            process::exit(bound.err().map_or(0, |errno| errno as i32))
        }
        Cloned::Parent { pidfd, .. } => match wait::wait(pidfd.as_fd())? {
            wait::Exit::Code(0) => Ok(()),
            // Errnos of bind(2) fit an exit code.
            wait::Exit::Code(code) => Err(Errno::from_raw(code)),
            wait::Exit::Signal(_) => Err(Errno::EACCES),
        },
    }
}
