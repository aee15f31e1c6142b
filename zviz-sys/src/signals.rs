//! What the calling process does with signals.

use crate::{Result, ret};

/// Blocks every signal that can be blocked, for this process and what it clones. sigprocmask(2).
pub fn block() -> Result<()> {
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises the set, which sigprocmask then reads.
    ret(unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), std::ptr::null_mut())
    }
    .into())
    .map(drop)
}

/// Blocks no signal. sigprocmask(2).
pub fn unblock() -> Result<()> {
    let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set, which sigprocmask then reads.
    ret(unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut())
    }
    .into())
    .map(drop)
}

/// Gives every signal its default action and blocks none, as a new program expects. sigaction(2), sigprocmask(2).
pub fn reset() -> Result<()> {
    for signal in 1..=64 {
        if signal != libc::SIGKILL && signal != libc::SIGSTOP {
            // SAFETY: SIG_DFL is a valid handler. The two signals that libc keeps for itself give EINVAL, which is right.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    }
    unblock()
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
pub fn to_first_thread(signal: i32) -> Result<()> {
    // SAFETY: integers only. The first thread has the process's number.
    ret(unsafe {
        let pid = libc::getpid();
        libc::syscall(libc::SYS_tgkill, pid, pid, signal)
    })
    .map(drop)
}
