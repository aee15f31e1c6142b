//! From the system calls that were made to those that a profile allows.

use super::needs::Needs;
use std::collections::BTreeSet;
use zviz_seccomp::{CATEGORIES, Choice};

/// What a run does not need to show to need it another time: memory that is asked for in another way, a lock that is taken, a
/// signal that comes, a program's end.
const ALWAYS: &[&str] = &[
    "arch_prctl",
    "brk",
    "clock_gettime",
    "clock_nanosleep",
    "close",
    "execve",
    "exit",
    "exit_group",
    "futex",
    "getpid",
    "getrandom",
    "gettid",
    "gettimeofday",
    "madvise",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "read",
    "restart_syscall",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sched_yield",
    "tgkill",
    "write",
];
/// Calls that give the same rights: who makes one may make another in another state of its files, or with another C library.
#[rustfmt::skip]
const ALIKE: &[&[&str]] = &[
    &["access", "faccessat", "faccessat2"],
    &["chmod", "fchmod", "fchmodat"],
    &["chown", "fchown", "fchownat", "lchown"],
    &["clone", "fork", "vfork"],
    &["creat", "open", "openat"],
    &["dup", "dup2", "dup3"],
    &["epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_wait"],
    &["fdatasync", "fsync"],
    &["fstat", "lstat", "newfstatat", "stat", "statx"],
    &["fstatfs", "statfs"],
    &["getdents", "getdents64"],
    &["getegid", "geteuid", "getgid", "getuid"],
    &["mkdir", "mkdirat"],
    &["pipe", "pipe2"],
    &["poll", "ppoll", "pselect6", "select"],
    &["pread64", "preadv", "readv"],
    &["pwrite64", "pwritev", "writev"],
    &["readlink", "readlinkat"],
    &["recvfrom", "recvmsg"],
    &["rename", "renameat", "renameat2"],
    &["rmdir", "unlink", "unlinkat"],
    &["sendmsg", "sendto"],
    &["wait4", "waitid"],
];

/// The system calls to allow: those that were made and their like, those that any run may make, and none that the default refuses.
pub(super) fn calls(needs: &Needs) -> BTreeSet<&str> {
    let mut wanted: BTreeSet<&str> = needs.calls.iter().map(String::as_str).chain(ALWAYS.iter().copied()).collect();
    wanted.extend(ALIKE.iter().filter(|alike| alike.iter().any(|call| needs.calls.contains(*call))).copied().flatten());
    let known = |call: &&str| CATEGORIES.iter().any(|group| group.calls.contains(call));
    let refused = refused_by_default();
    wanted.into_iter().filter(known).filter(|call| !refused.contains(*call)).collect()
}

fn refused_by_default() -> BTreeSet<String> {
    let allow = CATEGORIES.iter().flat_map(|group| group.calls).map(|call| (*call).to_owned()).collect();
    let choice = Choice { allow, ..Choice::default() };
    choice.beyond_default().into_iter().map(|(call, _)| call.to_owned()).collect()
}

/// How many calls the default profile allows.
pub(super) fn allowed_by_default() -> usize {
    CATEGORIES.iter().map(|group| group.calls.len()).sum::<usize>() - refused_by_default().len()
}
