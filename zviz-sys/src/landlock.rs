//! Landlock, for the calls that are made inside the child: rules for paths that exist only there.

use crate::{Result, owned, ret};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

#[repr(C, packed)]
struct PathBeneath {
    allowed_access: u64,
    parent_fd: i32,
}

/// A ruleset that handles these rights of files, and grants none yet. landlock_create_ruleset(2).
///
/// # Errors
/// ENOSYS, EOPNOTSUPP where the kernel has no Landlock, or it is off.
pub fn ruleset(handled: u64) -> Result<OwnedFd> {
    // SAFETY: the first version of the structure is this one field, and its size is passed.
    owned(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, &raw const handled, size_of::<u64>(), 0) })
}

/// Grants `access` below an open path. landlock_add_rule(2).
pub fn add_path_rule(ruleset: BorrowedFd<'_>, path: BorrowedFd<'_>, access: u64) -> Result<()> {
    const LANDLOCK_RULE_PATH_BENEATH: u32 = 1;
    let rule = PathBeneath { allowed_access: access, parent_fd: path.as_raw_fd() };
    // SAFETY: the structure has the kernel's packed layout and outlives the call.
    ret(unsafe {
        libc::syscall(libc::SYS_landlock_add_rule, ruleset.as_raw_fd(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0)
    })
    .map(drop)
}

/// Puts the ruleset in force for this thread and what it starts. landlock_restrict_self(2).
pub fn restrict_self(ruleset: BorrowedFd<'_>) -> Result<()> {
    restrict(ruleset, 0)
}

/// As [`restrict_self`], and the kernel records, where it records anything, what is denied to programs that are executed from
/// now on. Linux 6.15.
///
/// # Errors
/// EINVAL before ABI 7.
pub fn restrict_self_and_record(ruleset: BorrowedFd<'_>) -> Result<()> {
    const LANDLOCK_RESTRICT_SELF_LOG_NEW_EXEC_ON: u32 = 1 << 1;
    restrict(ruleset, LANDLOCK_RESTRICT_SELF_LOG_NEW_EXEC_ON)
}

fn restrict(ruleset: BorrowedFd<'_>, flags: u32) -> Result<()> {
    // SAFETY: integers only.
    ret(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), flags) }).map(drop)
}

/// The kernel's Landlock ABI; 0 where it has none. landlock_create_ruleset(2) with the VERSION flag.
#[must_use]
pub fn abi() -> u32 {
    const LANDLOCK_CREATE_RULESET_VERSION: u32 = 1;
    // SAFETY: with this flag the attribute must be null and its size 0.
    let value = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<u8>(),
            0usize,
            LANDLOCK_CREATE_RULESET_VERSION,
        )
    };
    u32::try_from(value).unwrap_or(0)
}

/// A ruleset that keeps signals inside, and nothing else. landlock_create_ruleset(2), ABI 6.
///
/// # Errors
/// E2BIG before ABI 6.
pub fn signal_scope() -> Result<OwnedFd> {
    const LANDLOCK_SCOPE_SIGNAL: u64 = 1 << 1;
    // Rights of files, of the network, scopes.
    let attributes: [u64; 3] = [0, 0, LANDLOCK_SCOPE_SIGNAL];
    // SAFETY: the third version of the structure is these three fields, and their size is passed.
    owned(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, attributes.as_ptr(), size_of_val(&attributes), 0) })
}
