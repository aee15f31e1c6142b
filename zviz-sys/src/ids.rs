//! Credentials of the calling thread, by the raw system calls: libc's wrappers signal all threads and take locks.

use crate::{Errno, Result, ret};

/// setresuid(2), all three.
pub fn set_uid(uid: u32) -> Result<()> {
    // SAFETY: integers only.
    ret(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }).map(drop)
}

/// setresgid(2), all three.
pub fn set_gid(gid: u32) -> Result<()> {
    // SAFETY: integers only.
    ret(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) }).map(drop)
}

/// setgroups(2).
pub fn set_groups(groups: &[u32]) -> Result<()> {
    // SAFETY: the pointer and the length describe one slice.
    ret(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) }).map(drop)
}

/// setfsuid(2) and setfsgid(2) need no call of ours: setresuid(2) sets them too.
///
/// prctl(2) with up to four integers.
fn prctl(option: i32, a: u64, b: u64, c: u64, d: u64) -> Result<i64> {
    // SAFETY: only operations that take integers are called through here.
    let value = unsafe { libc::syscall(libc::SYS_prctl, option, a, b, c, d) };
    #[allow(clippy::useless_conversion)] // c_long is i32 on 32-bit targets
    ret(value).map(i64::from)
}

/// Nothing that execs from here on gains rights. PR_SET_NO_NEW_PRIVS.
pub fn set_no_new_privs() -> Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0).map(drop)
}

/// Whether others may trace this process and open its /proc entries. PR_SET_DUMPABLE.
pub fn set_dumpable(yes: bool) -> Result<()> {
    prctl(libc::PR_SET_DUMPABLE, u64::from(yes), 0, 0, 0).map(drop)
}

/// A signal that the kernel sends when the parent thread ends. PR_SET_PDEATHSIG.
pub fn set_parent_death_signal(signal: i32) -> Result<()> {
    prctl(libc::PR_SET_PDEATHSIG, u64::try_from(signal).map_err(|_| Errno::EINVAL)?, 0, 0, 0).map(drop)
}

/// Orphaned descendants become children of this process. PR_SET_CHILD_SUBREAPER.
pub fn set_child_subreaper() -> Result<()> {
    prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0).map(drop)
}

/// Capabilities outlive the next change from uid 0. PR_SET_KEEPCAPS; cleared by execve(2).
pub fn keep_capabilities(yes: bool) -> Result<()> {
    prctl(libc::PR_SET_KEEPCAPS, u64::from(yes), 0, 0, 0).map(drop)
}

/// The name that ps(1) shows. PR_SET_NAME; 15 bytes at most.
pub fn set_name(name: &std::ffi::CStr) -> Result<()> {
    // SAFETY: the kernel copies at most 16 bytes of a null-terminated string.
    ret(unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) }.into()).map(drop)
}

/// Takes every capability that is not in `keep` out of the bounding set, up to the kernel's `last` one.
/// PR_CAPBSET_DROP; needs CAP_SETPCAP.
pub fn limit_bounding(keep: u64, last: u32) -> Result<()> {
    for capability in 0..=last.min(63) {
        if keep & (1 << capability) == 0 {
            prctl(libc::PR_CAPBSET_DROP, u64::from(capability), 0, 0, 0)?;
        }
    }
    Ok(())
}

/// Makes the ambient set exactly `set`. PR_CAP_AMBIENT; each must be permitted and inheritable.
pub fn set_ambient(set: u64, last: u32) -> Result<()> {
    #[allow(clippy::cast_sign_loss)]
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64, 0, 0, 0)?;
    for capability in 0..=last.min(63) {
        if set & (1 << capability) != 0 {
            #[allow(clippy::cast_sign_loss)]
            prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as u64, u64::from(capability), 0, 0)?;
        }
    }
    Ok(())
}

#[repr(C)]
struct CapHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// Sets three of the five sets at once. capset(2).
pub fn set_capabilities(effective: u64, permitted: u64, inheritable: u64) -> Result<()> {
    let header = CapHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    let half = |shift: u32| CapData {
        effective: (effective >> shift) as u32,
        permitted: (permitted >> shift) as u32,
        inheritable: (inheritable >> shift) as u32,
    };
    let data = [half(0), half(32)];
    // SAFETY: version 3 reads a header and two data structures, which these are.
    ret(unsafe { libc::syscall(libc::SYS_capset, &header, data.as_ptr()) }).map(drop)
}

/// A new session keyring, so that the caller's keys stay the caller's. keyctl(2) KEYCTL_JOIN_SESSION_KEYRING. It has no
/// name: one with a name is joined if it is there already, and another container may have made it.
pub fn new_session_keyring() -> Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: i32 = 1;
    // SAFETY: a null name is allowed, and asks for a keyring without one.
    ret(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<libc::c_char>()) })
        .map(drop)
}
