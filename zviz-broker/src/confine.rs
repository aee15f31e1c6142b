//! What the broker's own processes may do: as little as their part needs, before they have seen anything of the container.

use nix::errno::Errno;
use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd};
use zviz_seccomp::{Action, Op, Policy, Rule};
use zviz_sys::bpf::command;
use zviz_sys::seccomp::{self, Instruction};
use zviz_sys::{fd, ids, notify, path, process, sched};

/// System calls of the eyes. None takes a path, none makes a process.
pub const EYES: &[&str] = &[
    "brk",
    "clock_gettime",
    "clock_nanosleep",
    "close",
    "exit",
    "exit_group",
    "fcntl",
    "futex",
    "gettid",
    "getpid",
    "madvise",
    "mremap",
    "munmap",
    "pidfd_getfd",
    "pidfd_open",
    "pidfd_send_signal",
    "poll",
    "ppoll",
    "pread64",
    "process_vm_readv",
    "process_vm_writev",
    "read",
    "recvmsg",
    "restart_syscall",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sendmsg",
    "sigaltstack",
    "sysinfo",
    "tgkill",
    "uname",
    "waitid",
    "write",
];

/// Operations of ioctl(2) of the eyes.
pub const EYES_IOCTLS: &[u32] = &[
    notify::request::RECV,
    notify::request::SEND,
    notify::request::ID_VALID,
    notify::request::ADDFD,
    notify::request::SET_FLAGS,
];

/// System calls of the hands. None executes a program.
pub const HANDS: &[&str] = &[
    "bind",
    "brk",
    "capset",
    "chdir",
    "chroot",
    "clock_gettime",
    "clone",
    "clone3",
    "close",
    "close_range",
    "connect",
    "exit",
    "exit_group",
    "fchdir",
    "fcntl",
    "fork",
    "fstat",
    "fstatfs",
    "futex",
    "getcwd",
    "getpid",
    "getppid",
    "getrandom",
    "getsockopt",
    "gettid",
    "landlock_add_rule",
    "landlock_create_ruleset",
    "landlock_restrict_self",
    "linkat",
    "madvise",
    "mknod",
    "mknodat",
    "mount",
    "mount_setattr",
    "move_mount",
    "mremap",
    "munmap",
    "newfstatat",
    "open_tree",
    "openat",
    "openat2",
    "pidfd_open",
    "pidfd_send_signal",
    "pivot_root",
    "poll",
    "ppoll",
    "prctl",
    "read",
    "readlinkat",
    "recvmsg",
    "renameat",
    "renameat2",
    "restart_syscall",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sendmsg",
    "set_robust_list",
    "set_tid_address",
    "setfsgid",
    "setfsuid",
    "setgroups",
    "setns",
    "setresgid",
    "setresuid",
    "setsockopt",
    "sigaltstack",
    "socketpair",
    "statx",
    "tgkill",
    "umask",
    "umount2",
    "uname",
    "unlinkat",
    "wait4",
    "waitid",
    "write",
];

/// System calls of the loader, with [`LOADER_COMMANDS`] of bpf(2). It makes no process, and no socket on which its right over
/// the network would count for anything.
pub const LOADER: &[&str] = &[
    "brk",
    "close",
    "exit",
    "exit_group",
    "fcntl",
    "fstat",
    "fstatfs",
    "futex",
    "madvise",
    "mremap",
    "munmap",
    "newfstatat",
    "openat2",
    "recvmsg",
    "restart_syscall",
    "rt_sigreturn",
    "sendmsg",
    "sigaltstack",
];

/// Commands of bpf(2) of the loader.
pub const LOADER_COMMANDS: &[u32] =
    &[command::PROG_LOAD, command::PROG_ATTACH, command::PROG_DETACH, command::OBJ_GET_INFO_BY_FD, command::PROG_QUERY];

/// Address space of a part, in bytes: a broker that is made to need more dies, and the container's calls fail.
const MEMORY: u64 = 256 << 20;

/// Descriptors of a part.
const DESCRIPTORS: u64 = 1024;

/// Away from the caller's terminal and files: only `keep` stays open.
pub(crate) fn detach(name: &std::ffi::CStr, keep: &[Option<BorrowedFd<'_>>]) -> Result<(), Errno> {
    match process::new_session() {
        // The leader of a group already: it was started as one.
        Err(Errno::EPERM) => {}
        other => other?,
    }
    ids::set_name(name)?;
    let null = path::open(c"/dev/null", libc::O_RDWR)?;
    for number in 0..=2 {
        fd::dup_onto_stdio(null.as_fd(), number)?;
    }
    drop(null);
    fd::close_all_but(3, keep)?;
    ids::set_dumpable(false)?;
    process::reset_signals()?;
    // Two for every hand and one for every call that is held, whatever the caller has; less where it may not have as many.
    let _ = sched::set_rlimit(0, libc::RLIMIT_NOFILE, DESCRIPTORS, DESCRIPTORS);
    for (resource, limit) in [(libc::RLIMIT_CORE, 0), (libc::RLIMIT_AS, MEMORY)] {
        sched::set_rlimit(0, resource, limit, limit)?;
    }
    Ok(())
}

/// No new privileges, and no capability but those in `keep`.
pub(crate) fn drop_rights(keep: u64) -> Result<(), Errno> {
    ids::set_no_new_privs()?;
    match ids::set_capabilities(keep, keep, 0) {
        // An ordinary user has none to keep.
        Err(Errno::EPERM) => ids::set_capabilities(0, 0, 0),
        other => other,
    }
}

/// The filter of one part, loaded last: it may make `calls`, and those `by_argument` (which one, from 0) with the values that
/// are listed; it is refused `attempts`, and is ended at anything else.
pub(crate) fn filter(
    calls: &[&[&str]],
    attempts: &[&str],
    by_argument: &[(&str, u8, &[u32])],
) -> Result<Vec<Instruction>, zviz_seccomp::Error> {
    let mut policy = Policy::new(Action::KillProcess);
    policy.foreign_arch = Action::KillProcess;
    policy.x32 = Action::KillProcess;
    let calls: BTreeSet<&str> = calls.iter().flat_map(|list| list.iter().copied()).collect();
    // What has conditions is decided below.
    let whole = calls.into_iter().filter(|name| !["bpf", "ioctl", "mmap", "mprotect"].contains(name));
    policy.rules.push(Rule::new(whole, Action::Allow));
    if !attempts.is_empty() {
        policy.rules.push(Rule::new(attempts.iter().copied(), zviz_seccomp::EPERM));
    }
    for (name, argument, values) in by_argument {
        for value in *values {
            let rule = Rule::new([*name], Action::Allow);
            policy.rules.push(rule.when(*argument, Op::MaskedEq(0xffff_ffff), (*value).into()));
        }
    }
    // PROT_EXEC: no code but the program's.
    for name in ["mmap", "mprotect"] {
        policy.rules.push(Rule::new([name], Action::Allow).when(2, Op::MaskedEq(4), 0));
    }
    let program = zviz_seccomp::compile(&policy)?.program;
    let instruction = |i: &zviz_seccomp::SockFilter| Instruction { code: i.code, jt: i.jt, jf: i.jf, k: i.k };
    Ok(program.instructions().iter().map(instruction).collect())
}

/// Loads the filter of a part that must not lose its rights yet.
pub(crate) fn load_after(filter: &[Instruction]) -> Result<(), Errno> {
    ids::set_no_new_privs()?;
    load(filter)
}

/// Loads it for good.
pub(crate) fn load(filter: &[Instruction]) -> Result<(), Errno> {
    // Of all threads, or of none.
    seccomp::load(filter, seccomp::flag::TSYNC | seccomp::flag::TSYNC_ESRCH).map(drop)
}
