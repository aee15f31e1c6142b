//! The first process of a sandbox that has no pid namespace, and so no kernel that ends the others with it: it adopts what is
//! orphaned, and ends everything itself.

use crate::process::exit;
use crate::{Errno, Result, ids, ret};
use std::os::fd::{AsRawFd, BorrowedFd};

/// The signal that asks it to end everything, where [`end`] has sent it; and that it gets when its parent dies. SIGRTMAX: none is
/// lost because another one waits, as a standard signal would be.
pub const END: i32 = 64;

/// Asks the process to end everything, as [`tend_until`] does. pidfd_send_signal(2).
///
/// # Errors
/// ESRCH if it has ended.
pub fn end(pidfd: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: a plain C structure, for which all zeroes is a value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    info.si_signo = END;
    // What is passed on for others has the code of kill(2).
    info.si_code = libc::SI_QUEUE;
    // SAFETY: the structure outlives the call, which reads it.
    ret(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), END, &raw const info, 0) }).map(drop)
}

/// What the first process needs to know of itself, learnt before there is a payload.
#[derive(Debug, Clone, Copy)]
pub struct Tender {
    parent: i32,
    scoped: bool,
}

/// Prepares the calling process: orphans become its children, and the end of its parent is told to it. All signals must be blocked.
/// `scoped`: it is in a Landlock domain that keeps signals inside.
///
/// # Errors
/// Those of prctl(2).
pub fn prepare(scoped: bool) -> Result<Tender> {
    ids::set_child_subreaper()?;
    ids::set_parent_death_signal(END)?;
    // SAFETY: no arguments.
    let parent = unsafe { libc::getppid() };
    // Seen, not believed: to a process that may signal its parent, which is outside, "everybody" is everybody.
    // SAFETY: integers only, and signal 0 does nothing.
    let refused = ret(unsafe { libc::kill(parent, 0) }.into()) == Err(Errno::EPERM);
    Ok(Tender { parent, scoped: scoped && refused })
}

/// Reaps every child, passes on every signal, and ends when the payload does (with its code, or 128 and the signal), when it is asked to
/// by [`end`], or when its parent has died (137). Whatever it leaves is killed first. All signals must be blocked.
pub fn tend_until(payload: i32, tender: Tender) -> ! {
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises the set.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    loop {
        let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: the set was initialised above, and the kernel fills in the information, of which the zeroed form is
        // valid too.
        let (signal, info) = unsafe { (libc::sigwaitinfo(all.as_ptr(), info.as_mut_ptr()), info.assume_init()) };
        // SAFETY: no arguments.
        let orphan = unsafe { libc::getppid() } != tender.parent;
        if orphan || signal == END && info.si_code == libc::SI_QUEUE {
            end_all(tender);
            exit(128 + libc::SIGKILL);
        }
        if signal == libc::SIGCHLD {
            if let Some(code) = reap(payload) {
                end_all(tender);
                exit(code);
            }
        } else if signal > 0 && info.si_code != libc::SI_KERNEL {
            // SAFETY: integers only. If the payload has just ended, its SIGCHLD comes next.
            unsafe { libc::kill(payload, signal) };
        }
    }
}

/// Reaps all that have ended. The code to end with, if the payload is among them.
fn reap(payload: i32) -> Option<i32> {
    let mut ended = None;
    loop {
        let mut status = 0;
        // SAFETY: the pointer is to a local integer.
        let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) };
        if pid == payload && libc::WIFEXITED(status) {
            ended = Some(libc::WEXITSTATUS(status));
        } else if pid == payload && libc::WIFSIGNALED(status) {
            ended = Some(128 + libc::WTERMSIG(status));
        } else if pid == 0 || pid < 0 && Errno::last() != Errno::EINTR {
            return ended;
        }
    }
}

/// Kills everything, and waits until it is gone.
fn end_all(tender: Tender) {
    loop {
        if tender.scoped {
            // In a domain of signals, "everybody" is who is in it too. Under one lock: nobody forks meanwhile and gets away, since a
            // process with SIGKILL pending does not fork any more. kill(2), landlock(7).
            // SAFETY: integers only.
            unsafe { libc::kill(-1, libc::SIGKILL) };
        } else if !kill_children() {
            return;
        }
        let mut status = 0;
        // SAFETY: the pointer is to a local integer.
        let pid = unsafe { libc::waitpid(-1, &mut status, 0) };
        if pid < 0 && Errno::last() != Errno::EINTR {
            return;
        }
    }
}

/// Kills the children. Theirs become ours then, and are found the next time. proc_tid_children(5), which kernels without
/// CONFIG_PROC_CHILDREN do not have: false.
fn kill_children() -> bool {
    let mut text = [0u8; 4096];
    // SAFETY: the string is null-terminated; the result is a new descriptor or negative.
    let file = unsafe { libc::open(c"/proc/thread-self/children".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if file < 0 {
        return false;
    }
    // SAFETY: the buffer is as long as said, and the descriptor is our own and not used again.
    let length = unsafe {
        let length = libc::read(file, text.as_mut_ptr().cast(), text.len());
        libc::close(file);
        length
    };
    let length = usize::try_from(length).unwrap_or(0);
    for pid in numbers(text.get(..length).unwrap_or_default()) {
        // SAFETY: integers only; a child that was not reaped keeps its number.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    }
    true
}

/// The numbers in a text that each have a space behind them: one that the end of the buffer has cut off does not.
fn numbers(text: &[u8]) -> impl Iterator<Item = i32> {
    let whole = text.iter().rposition(|byte| *byte == b' ').map_or(0, |end| end + 1);
    let words = text.get(..whole).unwrap_or_default().split(|byte| *byte == b' ');
    let number = |word: &[u8]| std::str::from_utf8(word).ok()?.parse::<i32>().ok();
    words.filter_map(number).filter(|pid| *pid > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_cut_off_is_none() {
        assert_eq!(numbers(b"12 345 6").collect::<Vec<_>>(), [12, 345]);
        assert_eq!(numbers(b"12 345 ").collect::<Vec<_>>(), [12, 345]);
        for none in [&b""[..], b"7", b"-1 0 1 x "] {
            assert_eq!(numbers(none).count(), 0);
        }
    }
}
