//! What the broker's own processes may do: as little as their part needs, before they have seen anything of the container.

mod calls;

pub use calls::{ALONE, BECOMING_ALONE, EYES, EYES_IOCTLS, HANDS, LOADER, LOADER_COMMANDS};

use nix::errno::Errno;
use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd};
use zviz_seccomp::{Action, Op, Policy, Rule};
use zviz_sys::seccomp::{self, Instruction};
use zviz_sys::{fd, ids, path, process, sched, signals};

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
    signals::reset()?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::uio::{RemoteIoVec, process_vm_writev};
    use nix::unistd::{Pid, getpid};
    use std::io::IoSlice;
    use std::sync::atomic::{AtomicU64, Ordering};
    use zviz_sys::process::Cloned;
    use zviz_sys::wait;

    /// Forks, and says how it ended.
    fn in_child(act: impl FnOnce() -> Result<(), Errno>) -> wait::Exit {
        match process::fork().unwrap() {
            Cloned::Child => process::exit(act().err().map_or(0, |errno| errno as i32)),
            Cloned::Parent { pidfd, .. } => wait::wait(pidfd.as_fd()).unwrap(),
        }
    }

    /// Whoever has two threads yields to the other, now and then, when both are at a channel at once: too seldom to be seen.
    #[test]
    fn whoever_has_threads_may_yield() {
        let alone = [HANDS, BECOMING_ALONE].concat();
        let without: Vec<_> = EYES.iter().copied().filter(|name| *name != "sched_yield").collect();
        let ends = [EYES, &alone, ALONE, &without].map(|calls| {
            let program = filter(&[calls], &[], &[]).unwrap();
            in_child(|| load_after(&program).map(|()| std::thread::yield_now()))
        });
        let ended = wait::Exit::Code(0);
        // The control: who may not is ended.
        assert_eq!(ends, [ended, ended, ended, wait::Exit::Signal(libc::SIGSYS)]);
    }

    /// As the eyes write the answer to sysinfo: by a number, which could be anybody's by then. Who has more rights is out of
    /// reach, also for who has the same user id, and who is in a user namespace that this user owns is not.
    #[test]
    fn nobody_outside_is_written_to() {
        let users = u64::from(libc::CLONE_NEWUSER.cast_unsigned());
        if !nix::unistd::geteuid().is_root() {
            return println!("SKIP nobody_outside_is_written_to: needs root, who has rights to lose");
        }
        let Ok(Cloned::Parent { pid, pidfd: inside }) = process::clone(users, None).map(|cloned| match cloned {
            Cloned::Child => loop {
                nix::unistd::pause();
            },
            parent => parent,
        }) else {
            return println!("SKIP nobody_outside_is_written_to: no user namespace can be made");
        };
        let word = AtomicU64::new(0);
        let write = |to: i32| {
            let remote = RemoteIoVec { base: word.as_ptr().addr(), len: size_of::<u64>() };
            process_vm_writev(Pid::from_raw(to), &[IoSlice::new(&[1; 8])], &[remote]).map(drop)
        };
        let own = getpid().as_raw();
        let without_rights = |to: i32| in_child(|| drop_rights(0).and_then(|()| write(to)));
        let errno = |errno: Errno| wait::Exit::Code(errno as i32);
        let ends = (in_child(|| write(own)), without_rights(own), without_rights(pid));
        let _ = process::pidfd_send_signal(inside.as_fd(), libc::SIGKILL);
        let _ = wait::wait(inside.as_fd());
        // The control: with its rights it does.
        assert_eq!((ends.0, word.load(Ordering::Relaxed)), (wait::Exit::Code(0), u64::from_ne_bytes([1; 8])));
        assert_eq!((ends.1, ends.2), (errno(Errno::EPERM), wait::Exit::Code(0)));
    }
}
