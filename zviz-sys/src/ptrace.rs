//! Watching other processes' system calls. ptrace(2), as it is with PTRACE_SEIZE.
//!
//! Who traces must be one thread: a tracee belongs to the thread that has seized it, or that its parent belongs to.

use crate::wait::Exit;
use crate::{Errno, Result, ret};
use std::mem::MaybeUninit;

/// `PTRACE_EVENT_STOP`, linux/ptrace.h: a stop that no event of the program's has made.
const EVENT_STOP: i32 = 128;
/// What a stop at a system call has beside SIGTRAP. PTRACE_O_TRACESYSGOOD.
const AT_CALL: i32 = libc::SIGTRAP | 0x80;

/// What became of a task (a thread, or a process with one).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is over.
    Ended(Exit),
    /// It stands at the begin or at the end of a system call.
    Call,
    /// A signal is about to be delivered; it is not, unless `resume` passes it on.
    Signal(i32),
    /// It stands still with its whole process, after one of the signals that do that.
    Stopped(i32),
    /// It has made another task, whose number `message` tells.
    Cloned,
    /// It is about to run another program. `message` tells what number the task had before.
    Executed,
    /// A new task, before its first instruction; or one that woke from a stop.
    Trapped,
}

/// A task that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    /// Its number.
    pub task: i32,
    /// How.
    pub change: Change,
    /// The most memory that it had at one time, in KiB; of one that is over. getrusage(2), ru_maxrss.
    pub peak: i64,
}

/// Where a task stands in a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// Before it.
    Begin {
        /// AUDIT_ARCH_*.
        arch: u32,
        /// The call's, on that architecture.
        number: u64,
        /// What was passed.
        args: [u64; 6],
    },
    /// After it: the value, or a negated errno.
    End(i64),
    /// In none.
    Nowhere,
}

/// `struct ptrace_syscall_info`, linux/ptrace.h: the union as numbers.
#[repr(C)]
#[derive(Default)]
struct Info {
    op: u8,
    pad: [u8; 3],
    arch: u32,
    instruction: u64,
    stack: u64,
    data: [u64; 8],
}

fn request(request: u32, task: i32, address: usize, data: usize) -> Result<i64> {
    // SAFETY: none of the requests below that come here has the kernel write to this process: `address` and `data` are
    // numbers to them.
    ret(unsafe { libc::ptrace(request, task, address, data) })
}

/// Begins to trace a task, without stopping it, and all that it makes from then on. They are killed when the calling process
/// ends.
///
/// # Errors
/// EPERM if the caller may not, or it is traced already; ESRCH.
pub fn seize(task: i32) -> Result<()> {
    let events =
        libc::PTRACE_O_TRACEFORK | libc::PTRACE_O_TRACEVFORK | libc::PTRACE_O_TRACECLONE | libc::PTRACE_O_TRACEEXEC;
    let options = events | libc::PTRACE_O_EXITKILL | libc::PTRACE_O_TRACESYSGOOD;
    request(libc::PTRACE_SEIZE, task, 0, usize::try_from(options).map_err(|_| Errno::EINVAL)?).map(drop)
}

/// Has a running task stop soon, with `Change::Trapped`. PTRACE_INTERRUPT.
///
/// # Errors
/// ESRCH.
pub fn interrupt(task: i32) -> Result<()> {
    request(libc::PTRACE_INTERRUPT, task, 0, 0).map(drop)
}

/// Lets a stopped task run to its next system call's begin or end, with a signal or 0. PTRACE_SYSCALL.
///
/// # Errors
/// ESRCH if it was killed meanwhile.
pub fn resume(task: i32, signal: i32) -> Result<()> {
    request(libc::PTRACE_SYSCALL, task, 0, usize::try_from(signal).map_err(|_| Errno::EINVAL)?).map(drop)
}

/// Leaves a task stopped that a signal has stopped, until a signal wakes it. PTRACE_LISTEN.
///
/// # Errors
/// ESRCH if it was killed meanwhile.
pub fn leave_stopped(task: i32) -> Result<()> {
    request(libc::PTRACE_LISTEN, task, 0, 0).map(drop)
}

/// What comes along with an event. PTRACE_GETEVENTMSG.
///
/// # Errors
/// ESRCH if it was killed meanwhile.
pub fn message(task: i32) -> Result<u64> {
    let mut message: libc::c_ulong = 0;
    // SAFETY: the kernel writes one unsigned long there.
    ret(unsafe { libc::ptrace(libc::PTRACE_GETEVENTMSG, task, 0usize, &raw mut message) })?;
    Ok(message)
}

/// Where in a system call a stopped task is. PTRACE_GET_SYSCALL_INFO, Linux 5.3.
///
/// # Errors
/// ESRCH if it was killed meanwhile.
pub fn at(task: i32) -> Result<At> {
    let mut info = Info::default();
    // SAFETY: the kernel writes no more than the size that it is told, all of which are numbers.
    ret(unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, task, size_of::<Info>(), &raw mut info) })?;
    let [first, args @ .., _] = info.data;
    Ok(match info.op {
        libc::PTRACE_SYSCALL_INFO_ENTRY => At::Begin { arch: info.arch, number: first, args },
        libc::PTRACE_SYSCALL_INFO_EXIT => At::End(first.cast_signed()),
        _ => At::Nowhere,
    })
}

/// Waits for any child or tracee of the calling process to change; None if `now` and none has. wait4(2) __WALL.
///
/// # Errors
/// ECHILD if there is none left.
pub fn wait(now: bool) -> Result<Option<Changed>> {
    let options = libc::__WALL | if now { libc::WNOHANG } else { 0 };
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    let mut status = 0;
    let task = loop {
        // SAFETY: the pointers are to one integer and to room for one rusage.
        match ret(unsafe { libc::wait4(-1, &raw mut status, options, usage.as_mut_ptr()) }.into()) {
            Err(Errno::EINTR) => {}
            other => break i32::try_from(other?).map_err(|_| Errno::ESRCH)?,
        }
    };
    if task == 0 {
        return Ok(None);
    }
    // SAFETY: numbers alone, which were zeroed.
    let peak = unsafe { usage.assume_init() }.ru_maxrss;
    Ok(Some(Changed { task, change: change(status), peak }))
}

fn change(status: i32) -> Change {
    if libc::WIFEXITED(status) {
        return Change::Ended(Exit::Code(libc::WEXITSTATUS(status)));
    }
    if libc::WIFSIGNALED(status) {
        return Change::Ended(Exit::Signal(libc::WTERMSIG(status)));
    }
    match (status >> 16, libc::WSTOPSIG(status)) {
        (0, AT_CALL) => Change::Call,
        (0, signal) => Change::Signal(signal),
        (EVENT_STOP, libc::SIGTRAP) => Change::Trapped,
        (EVENT_STOP, signal) => Change::Stopped(signal),
        (libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE, _) => Change::Cloned,
        (libc::PTRACE_EVENT_EXEC, _) => Change::Executed,
        _ => Change::Trapped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_what_has_changed() {
        assert_eq!(change(3 << 8), Change::Ended(Exit::Code(3)));
        assert_eq!(change(9), Change::Ended(Exit::Signal(9)));
        assert_eq!(change(0x7f | AT_CALL << 8), Change::Call);
        assert_eq!(change(0x7f | libc::SIGUSR1 << 8), Change::Signal(libc::SIGUSR1));
        assert_eq!(change(0x7f | libc::SIGTSTP << 8 | EVENT_STOP << 16), Change::Stopped(libc::SIGTSTP));
        assert_eq!(change(0x7f | libc::SIGTRAP << 8 | EVENT_STOP << 16), Change::Trapped);
        assert_eq!(change(0x7f | libc::SIGTRAP << 8 | libc::PTRACE_EVENT_EXEC << 16), Change::Executed);
    }
}
