//! What the two processes that stay may do: as little as their part needs, before they have seen anything of the container.

use crate::error::{Doing, Error, Result};
use nix::errno::Errno;
use nix::libc;
use std::os::fd::{AsFd, BorrowedFd};
use zviz_seccomp::{Action, Op, Policy, Rule};
use zviz_sys::seccomp::{self, Instruction};
use zviz_sys::{fd, ids, path, process, sched};

/// System calls of both. None takes a path, none makes a process.
const BOTH: &[&str] = &[
    "brk",
    "clock_gettime",
    "close",
    "exit",
    "exit_group",
    "fcntl",
    "futex",
    "getpid",
    "getrandom",
    "getsockopt",
    "gettid",
    "madvise",
    "mremap",
    "munmap",
    "poll",
    "ppoll",
    "read",
    "recvfrom",
    "recvmsg",
    "restart_syscall",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sendmsg",
    "sendto",
    "setsockopt",
    "sigaltstack",
    "tgkill",
    "write",
    "writev",
];
/// The resident takes connections; all its other sockets are there.
const RESIDENT: &[&str] = &["accept4", "getpeername", "getsockname"];
/// Of a record in files that are rotated: their length, their contents, and whose they are at the moment. All are open.
const FILES: &[&str] = &["flock", "ftruncate", "lseek", "pread64", "pwrite64"];
/// The asker makes sockets of the internet.
const ASKER: &[&str] = &["bind", "connect", "getpeername", "getsockname"];
/// linux/sockios.h: what makes a descriptor not wait.
const FIONBIO: u32 = 0x5421;

/// linux/capability.h: CAP_NET_ADMIN.
const NET_ADMIN: u32 = 12;
/// Address space, in bytes: what is made to need more ends.
const MEMORY: u64 = 256 << 20;
/// Descriptors.
const DESCRIPTORS: u64 = 1024;

/// The asker keeps its link, and no right at all.
pub(super) fn asker(link: BorrowedFd<'_>) -> Result<()> {
    let domains = [libc::AF_INET, libc::AF_INET6].map(|domain| ("socket", 0, domain.cast_unsigned()));
    let filter = filter(&[BOTH, ASKER], &[&[("ioctl", 1, FIONBIO)], &domains[..]].concat())?;
    let detach = || {
        away(c"zviz-net-ask")?;
        fd::close_all_but(3, &[Some(link)])?;
        ids::set_no_new_privs()?;
        ids::set_capabilities(0, 0, 0)?;
        seccomp::load(&filter, 0).map(drop)
    };
    detach().doing(|| "confine the process that asks outside")
}

/// The resident keeps what is open, and the right over the packet filter of the namespace that it is in.
pub(super) fn resident(writes_files: bool) -> Result<()> {
    let files: &[&str] = if writes_files { FILES } else { &[] };
    let filter = filter(&[BOTH, RESIDENT, files], &[("ioctl", 1, FIONBIO)])?;
    let rights = 1_u64 << NET_ADMIN;
    let detach = || {
        away(c"zviz-net")?;
        ids::set_no_new_privs()?;
        ids::set_capabilities(rights, rights, 0)?;
        seccomp::load(&filter, 0).map(drop)
    };
    detach().doing(|| "confine the resident process")
}

/// From the caller's terminal and files, and from signals to its group.
fn away(name: &std::ffi::CStr) -> std::result::Result<(), Errno> {
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
    ids::set_dumpable(false)?;
    // Less where it may not have as many.
    let _ = sched::set_rlimit(0, libc::RLIMIT_NOFILE, DESCRIPTORS, DESCRIPTORS);
    for (resource, limit) in [(libc::RLIMIT_CORE, 0), (libc::RLIMIT_AS, MEMORY)] {
        sched::set_rlimit(0, resource, limit, limit)?;
    }
    Ok(())
}

/// Calls that may be made, and those that may where an argument (which one, from 0) has a value; all else is refused.
fn filter(calls: &[&[&str]], by_argument: &[(&str, u8, u32)]) -> Result<Vec<Instruction>> {
    let mut policy = Policy::new(zviz_seccomp::EPERM);
    policy.foreign_arch = Action::KillProcess;
    policy.x32 = Action::KillProcess;
    policy.rules.push(Rule::new(calls.iter().flat_map(|list| list.iter().copied()), Action::Allow));
    for (name, argument, value) in by_argument {
        let rule = Rule::new([*name], Action::Allow);
        policy.rules.push(rule.when(*argument, Op::MaskedEq(0xffff_ffff), (*value).into()));
    }
    // PROT_EXEC: no code but the program's.
    for name in ["mmap", "mprotect"] {
        policy.rules.push(Rule::new([name], Action::Allow).when(2, Op::MaskedEq(4), 0));
    }
    let program = zviz_seccomp::compile(&policy).map_err(|error| Error::new(error.to_string()))?.program;
    let instruction = |i: &zviz_seccomp::SockFilter| Instruction { code: i.code, jt: i.jt, jf: i.jf, k: i.k };
    Ok(program.instructions().iter().map(instruction).collect())
}
