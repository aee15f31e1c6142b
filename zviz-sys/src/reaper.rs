//! Process 1 of a sandbox.

use crate::Errno;
use crate::process::exit;

/// Process 1 of a sandbox: reaps every child, passes on every signal, and ends as `payload` does (its code, or 128 and
/// the signal). All signals must be blocked (`signals::block`): blocked, they reach even process 1, which has no handler.
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
