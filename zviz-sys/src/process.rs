//! Making processes and holding on to them.

use crate::{Errno, Result, owned, ret};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// libc's constant overflows its type.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Which side of a clone the caller is on.
pub enum Cloned {
    /// The new process.
    Child,
    /// The old one, with the child's pid and pidfd.
    Parent {
        /// In the caller's pid namespace.
        pid: i32,
        /// Refers to the child until it is closed, whatever happens to the number.
        pidfd: OwnedFd,
    },
}

/// Clones the calling process with new namespaces (`CLONE_NEW*` in `namespaces`), straight into a cgroup if one is
/// given. clone3(2).
///
/// The child is a copy of a process that may have had other threads: until it execs or exits it must call nothing that
/// allocates or locks. The runtime is single-threaded where it clones, and its child keeps to that rule all the same: the
/// debug build's allocator ends one that allocates (`guard`).
pub fn clone(namespaces: u64, cgroup: Option<BorrowedFd<'_>>) -> Result<Cloned> {
    clone_with(namespaces, cgroup, libc::SIGCHLD as u64)
}

/// As `clone`, for a child of the caller's parent. CLONE_PARENT.
pub fn clone_sibling(namespaces: u64) -> Result<Cloned> {
    clone_with(namespaces | libc::CLONE_PARENT as u64, None, 0)
}

fn clone_with(flags: u64, cgroup: Option<BorrowedFd<'_>>, exit_signal: u64) -> Result<Cloned> {
    let cloned = clone3(flags, cgroup, exit_signal)?;
    if matches!(cloned, Cloned::Child) {
        crate::guard::forbid_allocation();
    }
    Ok(cloned)
}

fn clone3(flags: u64, cgroup: Option<BorrowedFd<'_>>, exit_signal: u64) -> Result<Cloned> {
    let mut pidfd: i32 = -1;
    let mut arguments = CloneArgs {
        flags: flags | libc::CLONE_PIDFD as u64,
        pidfd: std::ptr::from_mut(&mut pidfd) as u64,
        exit_signal,
        ..CloneArgs::default()
    };
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = u64::try_from(cgroup.as_raw_fd()).map_err(|_| Errno::EBADF)?;
    }
    // SAFETY: without CLONE_VM the child gets a copy of this address space and stack, and returns here as fork(2) does.
    let value = unsafe { libc::syscall(libc::SYS_clone3, &mut arguments, size_of::<CloneArgs>()) };
    let value = match ret(value) {
        // The filter of a container around us, which cannot look at flags behind a pointer, says that there is no such call.
        Err(Errno::ENOSYS) if cgroup.is_none() => older(arguments.flags | exit_signal, &mut pidfd),
        other => other,
    };
    match value? {
        0 => Ok(Cloned::Child),
        pid => Ok(Cloned::Parent {
            pid: i32::try_from(pid).map_err(|_| Errno::ESRCH)?,
            // SAFETY: with CLONE_PIDFD the kernel has stored a new descriptor here.
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
        }),
    }
}

/// clone(2), whose flags are in a register, the signal among them: both architectures have the place for the pidfd third.
fn older(flags: u64, pidfd: &mut i32) -> Result<libc::c_long> {
    // SAFETY: without CLONE_VM and a stack the child gets a copy of this address space and returns here, as fork(2) does; the
    // kernel stores the descriptor in the integer.
    ret(unsafe { libc::syscall(libc::SYS_clone, flags, 0, std::ptr::from_mut(pidfd), 0, 0) })
}

/// A descriptor for a process. pidfd_open(2).
pub fn pidfd_open(pid: i32) -> Result<OwnedFd> {
    // SAFETY: integers only.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
}

/// A descriptor for one thread of a process, by the thread's own number. pidfd_open(2) PIDFD_THREAD, Linux 6.9.
///
/// # Errors
/// EINVAL before that.
pub fn pidfd_open_thread(tid: i32) -> Result<OwnedFd> {
    // SAFETY: integers only; PIDFD_THREAD is O_EXCL.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, tid, libc::O_EXCL) })
}

/// Forks. Unlike the child of `clone` this one may allocate: libc has seen to its locks. fork(2).
///
/// # Errors
/// EAGAIN, ENOMEM.
pub fn fork() -> Result<Cloned> {
    // SAFETY: libc's fork keeps the allocator usable in the child; of the caller's own locks none is held, since the only
    // callers are the runtime, which has one thread, and the broker's single-threaded processes.
    match ret(unsafe { libc::fork() }.into())? {
        0 => Ok(Cloned::Child),
        pid => {
            let pid = i32::try_from(pid).map_err(|_| Errno::ESRCH)?;
            // A child that was not reaped keeps its number.
            Ok(Cloned::Parent { pid, pidfd: pidfd_open(pid)? })
        }
    }
}

/// As `fork`, straight into a cgroup of version 2. clone3(2) CLONE_INTO_CGROUP.
///
/// libc knows nothing of it. The caller must have one thread only: then nobody holds a lock of the allocator's in the copy,
/// and of what libc's own fork puts right in a child only its note of the thread's number stays that of the parent,
/// which nothing here goes by: raise(3) asks the kernel, and no mutex of a process is seen by another.
///
/// # Errors
/// EAGAIN, ENOMEM; EACCES, EBUSY, EOPNOTSUPP for the cgroup.
pub fn fork_into(cgroup: BorrowedFd<'_>) -> Result<Cloned> {
    clone3(0, Some(cgroup), libc::SIGCHLD as u64)
}

/// Sends a signal; 0 only asks whether the process is there. pidfd_send_signal(2).
pub fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<()> {
    // SAFETY: a null siginfo is allowed, and means the one that kill(2) makes.
    ret(unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, std::ptr::null::<libc::siginfo_t>(), 0)
    })
    .map(drop)
}

/// Joins namespaces: of a process by its pidfd (several `CLONE_NEW*` at once), or one by its own descriptor. setns(2).
pub fn setns(fd: BorrowedFd<'_>, namespaces: u64) -> Result<()> {
    let flags = i32::try_from(namespaces).map_err(|_| Errno::EINVAL)?;
    // SAFETY: integers only.
    ret(unsafe { libc::setns(fd.as_raw_fd(), flags) }.into()).map(drop)
}

/// The user namespace that another namespace belongs to. ioctl_ns(2) NS_GET_USERNS.
///
/// # Errors
/// EPERM if it is none of the caller's own and none below; ENOTTY if it is no namespace.
pub fn owner_of_namespace(namespace: BorrowedFd<'_>) -> Result<OwnedFd> {
    const NS_GET_USERNS: libc::c_ulong = 0xb701;
    // SAFETY: the request takes no argument, and returns a new descriptor.
    owned(unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_USERNS as _) }.into())
}

/// Which kind of namespace a descriptor of nsfs is: one of `CLONE_NEW*`. ioctl_ns(2), NS_GET_NSTYPE.
///
/// # Errors
/// ENOTTY for what is no namespace.
pub fn namespace_kind(fd: BorrowedFd<'_>) -> Result<u64> {
    /// linux/nsfs.h.
    const NS_GET_NSTYPE: u32 = 0xb703;
    // SAFETY: it takes no argument, so no pointer is passed.
    let kind = ret(unsafe { libc::ioctl(fd.as_raw_fd(), NS_GET_NSTYPE as libc::Ioctl) }.into())?;
    u64::try_from(kind).map_err(|_| Errno::EINVAL)
}

/// Leaves shared namespaces for new ones. unshare(2).
pub fn unshare(namespaces: u64) -> Result<()> {
    let flags = i32::try_from(namespaces).map_err(|_| Errno::EINVAL)?;
    // SAFETY: integers only; CLONE_FILES and CLONE_FS are not passed by any caller.
    ret(unsafe { libc::unshare(flags) }.into()).map(drop)
}

/// Ends the process at once, without destructors or handlers. exit_group(2).
pub fn exit(code: i32) -> ! {
    // SAFETY: _exit does not return and runs nothing of this process.
    unsafe { libc::_exit(code) }
}

/// Overwrites what /proc/PID/cmdline shows of this process, given its /proc/PID/stat. Its own arguments are empty from then
/// on. proc_pid_stat(5): arg_start and arg_end.
///
/// # Errors
/// EINVAL if that is no such file's text.
pub fn forget_arguments(stat: &str) -> Result<()> {
    // The name, in parentheses, may have spaces and parentheses in it; the field after it is the third.
    let (_, fields) = stat.rsplit_once(')').ok_or(Errno::EINVAL)?;
    let mut fields = fields.split_ascii_whitespace().skip(45).map(str::parse::<usize>);
    let (Some(Ok(start)), Some(Ok(end))) = (fields.next(), fields.next()) else { return Err(Errno::EINVAL) };
    let length = end.checked_sub(start).filter(|length| start != 0 && *length < 4 << 20).ok_or(Errno::EINVAL)?;
    // SAFETY: the kernel has put the arguments there, in the writable stack of this process, and nothing else; whoever
    // has a pointer to one, as std has, reads an empty string, since the terminators stay zero.
    unsafe { std::ptr::write_bytes(std::ptr::with_exposed_provenance_mut::<u8>(start), 0, length) };
    Ok(())
}

/// A new session, with no controlling terminal. setsid(2).
pub fn new_session() -> Result<()> {
    // SAFETY: no arguments.
    ret(unsafe { libc::setsid() }.into()).map(drop)
}

/// Process 1 of a sandbox: reaps every child, passes on every signal, and ends as `payload` does (its code, or 128 and
/// the signal). All signals must be blocked (`block_signals`): blocked, they reach even process 1, which has no handler.
///
/// What a terminal sends (`SI_KERNEL`) is not passed on: it went to the payload too.
pub fn reap_until(payload: i32) -> ! {
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises the set.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    loop {
        let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: the set was initialised above, and the kernel fills in the information, of which the zeroed form is
        // valid too.
        let (signal, info) = unsafe { (libc::sigwaitinfo(all.as_ptr(), info.as_mut_ptr()), info.assume_init()) };
        if signal == libc::SIGCHLD {
            reap(payload);
        } else if signal > 0 && info.si_code != libc::SI_KERNEL {
            // SAFETY: integers only. If the payload has just ended, its SIGCHLD comes next.
            unsafe { libc::kill(payload, signal) };
        }
    }
}

/// Reaps all that have ended; ends with the payload.
fn reap(payload: i32) {
    loop {
        let mut status = 0;
        // SAFETY: the pointer is to a local integer.
        let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) };
        if pid == payload && libc::WIFEXITED(status) {
            exit(libc::WEXITSTATUS(status));
        }
        if pid == payload && libc::WIFSIGNALED(status) {
            exit(128 + libc::WTERMSIG(status));
        }
        match pid {
            0 => return,
            _ if pid > 0 => {}
            // The payload is a child until it is reaped, so that there is always one.
            _ if Errno::last() == Errno::EINTR => {}
            _ => exit(255),
        }
    }
}

/// Blocks every signal that can be blocked, for this process and what it clones. sigprocmask(2).
pub fn block_signals() -> Result<()> {
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises the set, which sigprocmask then reads.
    ret(unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), std::ptr::null_mut())
    }
    .into())
    .map(drop)
}

/// Gives every signal its default action and blocks none, as a new program expects. sigaction(2), sigprocmask(2).
pub fn reset_signals() -> Result<()> {
    for signal in 1..=64 {
        if signal != libc::SIGKILL && signal != libc::SIGSTOP {
            // SAFETY: SIG_DFL is a valid handler. The two signals that libc keeps for itself give EINVAL, which is right.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    }
    unblock_signals()
}

/// Whether children that end from now on leave something behind to be waited for. If not, how they ended is never known, their
/// numbers are free at once, and waiting for one ends with ECHILD. What is forked inherits it. sigaction(2), SIGCHLD.
pub fn keep_ended_children(keep: bool) {
    // SAFETY: both are valid handlers, and the signal is one that can be ignored.
    unsafe { libc::signal(libc::SIGCHLD, if keep { libc::SIG_DFL } else { libc::SIG_IGN }) };
}

extern "C" fn nothing(_: libc::c_int) {}

/// Lets a signal interrupt system calls of this process (EINTR), and do nothing else. sigaction(2) without SA_RESTART.
pub fn interrupt_by(signal: i32) -> Result<()> {
    // SAFETY: a plain C structure, for which all zeroes is a value: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = nothing as *const () as usize;
    // SAFETY: the handler does nothing, which is safe at any time; the old action is not asked for.
    ret(unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) }.into()).map(drop)
}

/// Sends a signal to the first thread of the calling process. tgkill(2).
pub fn signal_first_thread(signal: i32) -> Result<()> {
    // SAFETY: integers only. The first thread has the process's number.
    ret(unsafe {
        let pid = libc::getpid();
        libc::syscall(libc::SYS_tgkill, pid, pid, signal)
    })
    .map(drop)
}

/// Blocks no signal. sigprocmask(2).
pub fn unblock_signals() -> Result<()> {
    let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set, which sigprocmask then reads.
    ret(unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut())
    }
    .into())
    .map(drop)
}

/// umask(2).
pub fn set_umask(mask: u32) {
    // SAFETY: integers only; it cannot fail.
    unsafe { libc::umask(mask & 0o777) };
}

/// sethostname(2).
pub fn set_hostname(name: &std::ffi::CStr) -> Result<()> {
    // SAFETY: the length is that of the string.
    ret(unsafe { libc::sethostname(name.as_ptr(), name.count_bytes()) }.into()).map(drop)
}

/// setdomainname(2).
pub fn set_domainname(name: &std::ffi::CStr) -> Result<()> {
    // SAFETY: the length is that of the string.
    ret(unsafe { libc::setdomainname(name.as_ptr(), name.count_bytes()) }.into()).map(drop)
}

/// The size of `struct new_utsname`: six names of 65 bytes.
pub const NAMES: usize = 6 * 65;

/// What the machine is called, as the kernel writes it: sysname, nodename, release, version, machine, domainname. uname(2).
pub fn names() -> Result<[u8; NAMES]> {
    let mut names = [0u8; NAMES];
    // SAFETY: the buffer is as large as the structure, which is bytes alone.
    ret(unsafe { libc::uname(names.as_mut_ptr().cast()) }.into())?;
    Ok(names)
}

/// What sysinfo(2) says of the machine.
pub fn machine() -> Result<libc::sysinfo> {
    // SAFETY: a plain C structure, for which all zeroes is a value.
    let mut machine: libc::sysinfo = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel fills one structure.
    ret(unsafe { libc::sysinfo(&raw mut machine) }.into())?;
    Ok(machine)
}

/// The structure as bytes, to be written into another process.
#[must_use]
pub fn machine_bytes(machine: &libc::sysinfo) -> [u8; size_of::<libc::sysinfo>()] {
    let mut bytes = [0u8; size_of::<libc::sysinfo>()];
    // SAFETY: both are as long as the structure; padding in it was zeroed by `machine`, the only way to make one here.
    unsafe {
        std::ptr::copy_nonoverlapping(std::ptr::from_ref(machine).cast(), bytes.as_mut_ptr(), bytes.len());
    }
    bytes
}
