//! Calls on a socket of the caller's.
//!
//! A path is looked up once. What it leads to is held by a descriptor, its name is what the kernel calls it, and
//! the connection goes to that very file, whatever the path leads to by then.

mod message;
mod place;

use super::hand::in_child;
use super::proc::Proc;
use crate::decision::{Op, Work};
use crate::handlers::files::THREAD;
use crate::handlers::sockets::address::Way;
use crate::handlers::sockets::rules::Ruling;
use crate::policy::sockets::{Sockets, Verdict};
use message::Message;
use nix::errno::Errno;
use place::Found;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use zviz_sys::{landlock, path, socket};

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
    (socket, passed): (BorrowedFd<'_>, &[OwnedFd]),
    text: &mut Vec<u8>,
) -> Result<i64, Errno> {
    let [address, name, ..] = &work.texts;
    let thread = i32::try_from(work.numbers[THREAD]).map_err(|_| Errno::ESRCH)?;
    let (address, sockets) = (address.as_deref().unwrap_or_default(), sockets.ok_or(Errno::EACCES)?);
    match (work.op, name) {
        (Op::Connect, None) => socket::connect(socket, address)?,
        (Op::Bind, None) => socket::bind(socket, address)?,
        (Op::Connect, Some(name)) => {
            let found = place::existing((proc, thread), name)?;
            permit(found.judge(proc, sockets, Way::Connect), &found, text)?;
            path::enter(proc.0.as_fd())?;
            socket::connect(socket, &found.address())?;
        }
        (Op::Bind, Some(name)) => {
            let found = place::new((proc, thread), name)?;
            permit(found.judge(proc, sockets, Way::Bind), &found, text)?;
            bind_in(&found, socket, address)?;
        }
        (Op::Send, name) => {
            let mut message = Message::new(work, passed)?;
            // Held until it is sent: the address names it by its number here.
            let found = name.as_ref().map(|name| place::existing((proc, thread), name)).transpose()?;
            if let Some(found) = &found {
                permit(found.judge(proc, sockets, Way::Send), found, text)?;
                message.address = Some(found.address());
                path::enter(proc.0.as_fd())?;
            }
            return message.send(socket, text);
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
    // What is restricted stays so.
    in_child(|| {
        landlock::restrict_self(ruleset.as_fd())?;
        socket::bind(socket, address)
    })
}
