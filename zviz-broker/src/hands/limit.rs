//! The capabilities of hands that stand in the host's own user namespace, since the container has none of its own.
//!
//! There every capability is one over the host. A hand gets exactly its caller's; what makes the hands keeps what it needs
//! for that, and what a caller may have, which it could not hand on otherwise. A runtime may load the filter before it takes
//! rights away from init (runc does, without `noNewPrivileges`), so that the set is narrowed down twice: when the container
//! is entered, and, for good, before the first hand is made, when one of its programs waits.

use super::identity::Identity;
use super::proc::Proc;
use nix::errno::Errno;
use std::os::fd::BorrowedFd;
use zviz_sys::ids;

const DAC_READ_SEARCH: u64 = 1 << 2;
const KILL: u64 = 1 << 5;
const SETGID: u64 = 1 << 6;
const SETUID: u64 = 1 << 7;
const SETPCAP: u64 = 1 << 8;
const SYS_CHROOT: u64 = 1 << 18;
const SYS_PTRACE: u64 = 1 << 19;
const SYS_ADMIN: u64 = 1 << 21;

/// What making a hand needs. linux/capability.h.
///
/// SYS_PTRACE: /proc/PID/ns, root and cwd of any caller. SYS_ADMIN and SYS_CHROOT: setns(2), chroot(2). SETUID, SETGID: the
/// caller's ids. DAC_READ_SEARCH: a root directory that only its owner may enter. KILL: to end hands.
pub(super) const NEEDED: u64 = DAC_READ_SEARCH | KILL | SETGID | SETUID | SYS_CHROOT | SYS_PTRACE | SYS_ADMIN;

/// When the container is entered.
pub(super) fn at_first(proc: &Proc, payload: BorrowedFd<'_>) -> Result<(), Errno> {
    let (bounding, _) = proc.sets(Some(payload))?;
    narrow(proc, NEEDED | SETPCAP | bounding)
}

/// Before the first hand is made, for a caller.
pub(super) fn for_good(proc: &Proc, payload: BorrowedFd<'_>, caller: &Identity) -> Result<(), Errno> {
    // A process that has ended meanwhile has left callers behind, whose rights are known.
    let bounding = proc.sets(Some(payload)).map_or(0, |(bounding, _)| bounding);
    narrow(proc, NEEDED | bounding | caller.permitted())
}

fn narrow(proc: &Proc, keep: u64) -> Result<(), Errno> {
    let (bounding, permitted) = proc.sets(None)?;
    if bounding & !keep != 0 && permitted & SETPCAP != 0 {
        ids::limit_bounding(keep, 63 - bounding.leading_zeros())?;
    }
    ids::set_capabilities(permitted & keep, permitted & keep, 0)
}
