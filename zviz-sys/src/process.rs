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

/// The user namespace that another one was made in. ioctl_ns(2) NS_GET_PARENT.
///
/// # Errors
/// EPERM if there is none, or it is none of the caller's own and none below; EINVAL if it is no namespace that has one.
pub fn parent_of_namespace(namespace: BorrowedFd<'_>) -> Result<OwnedFd> {
    const NS_GET_PARENT: libc::c_ulong = 0xb702;
    // SAFETY: the request takes no argument, and returns a new descriptor.
    owned(unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_PARENT as _) }.into())
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

/// umask(2).
pub fn set_umask(mask: u32) {
    // SAFETY: integers only; it cannot fail.
    unsafe { libc::umask(mask & 0o777) };
}
