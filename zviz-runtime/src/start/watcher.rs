//! Who ends a container in time that nobody waits for: `create` and `start` return, and a process of one thread stays, with
//! nothing but the right to send signals. It ends with the container.
//!
//! ```text
//! start ── fork ──► watcher: away from the caller's files, rights given up ── ready ──► start: remembered, container released
//!                   watcher: container's end ──► exit;  time is up ──► the reason is left beside the state, container killed
//! ```

use super::{Error, WATCHER_LEAVES};
use crate::container::{Init, State};
use crate::foreground::Budget;
use crate::launch::{self, call};
use crate::store::Locked;
use crate::teardown;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};
use zviz_sys::process::{self, Cloned, pidfd_send_signal};
use zviz_sys::{fd, ids, path, sched, signals};

/// CAP_KILL, linux/capability.h: a payload may be another user's.
const KILL: u64 = 1 << 5;
/// What is left where the time was up, and where the processors' time was.
const WALL_TIME: &[u8] = b"wall_time";
const CPU_TIME: &[u8] = b"cpu_time_total";
/// Until it is tried again to kill what did not die.
const AGAIN: Duration = Duration::from_secs(1);

/// Starts one for a container that is about to be released, and remembers it. Its time begins now.
pub(super) fn start(locked: &Locked, state: &State, init: BorrowedFd<'_>) -> Result<(), Error> {
    let limits = &state.plan.profile.limits;
    // Further away than the clock reaches is never.
    let until = limits.wall_time.and_then(|after| Instant::now().checked_add(Duration::from_millis(after)));
    let budget = limits.cpu_total.map(|most| Budget::open(&state.plan.cgroup, Duration::from_millis(most)));
    let mut budget = budget.transpose()?;
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let reason = openat(locked.dir(), WATCHER_LEAVES, flags, Mode::S_IRUSR | Mode::S_IWUSR);
    let reason = call("make a file for why the container ended", reason)?;
    let (ready, theirs) = call("socketpair", fd::packet_pair())?;
    match call("fork", process::fork())? {
        Cloned::Child => {
            drop(ready);
            let file = budget.as_ref().map(|budget| budget.file().as_fd());
            let kept: Vec<BorrowedFd<'_>> = [init, reason.as_fd(), theirs.as_fd()].into_iter().chain(file).collect();
            let watches = confine(&kept).and_then(|()| fd::write_all(theirs.as_fd(), b"1")).map(|()| drop(theirs));
            if watches.is_ok() {
                watch(state, init, &reason, until, budget.as_mut());
            }
            process::exit(i32::from(watches.is_err()))
        }
        Cloned::Parent { pid, pidfd } => {
            drop(theirs);
            let remembered = remember(locked, state, pid, &ready);
            if remembered.is_err() {
                let _ = pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL);
                let _ = zviz_sys::wait::wait(pidfd.as_fd());
            }
            remembered
        }
    }
}

fn remember(locked: &Locked, state: &State, pid: i32, ready: &OwnedFd) -> Result<(), Error> {
    let mut byte = [0];
    if call("wait for the watcher of the wall time", fd::read(ready.as_fd(), &mut byte))? != 1 {
        return Err(launch::Error::Step("the watcher of its time could not be confined".into()).into());
    }
    let watcher = Init::read(pid).map_err(|source| launch::Error::Proc { pid, source })?;
    let mut state = state.clone();
    state.watcher = Some(call("look at the watcher in /proc", watcher.ok_or(Errno::ESRCH))?);
    Ok(locked.save(&state)?)
}

/// Away from all that was the caller's, and without a right but to send signals.
fn confine(keep: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    match process::new_session() {
        // The leader of a group already: it was started as one.
        Err(Errno::EPERM) => {}
        other => other?,
    }
    ids::set_name(c"zviz-watcher")?;
    // No file system of the caller's is held.
    nix::unistd::chdir("/")?;
    let null = path::open(c"/dev/null", libc::O_RDWR)?;
    for number in 0..=2 {
        fd::dup_onto_stdio(null.as_fd(), number)?;
    }
    drop(null);
    let keep: Vec<Option<BorrowedFd<'_>>> = keep.iter().map(|fd| Some(*fd)).collect();
    fd::close_all_but(3, &keep)?;
    ids::set_dumpable(false)?;
    signals::reset()?;
    sched::set_rlimit(0, libc::RLIMIT_CORE, 0, 0)?;
    ids::set_no_new_privs()?;
    match ids::set_capabilities(KILL, KILL, 0) {
        // An ordinary user has none to keep.
        Err(Errno::EPERM) => ids::set_capabilities(0, 0, 0),
        other => other,
    }
}

fn watch(
    state: &State,
    init: BorrowedFd<'_>,
    reason: &OwnedFd,
    until: Option<Instant>,
    mut budget: Option<&mut Budget>,
) {
    let why = loop {
        let look = budget.as_ref().map(|budget| budget.next());
        if ended_before(init, [until, look].into_iter().flatten().min()) {
            return;
        }
        let now = Instant::now();
        if until.is_some_and(|until| until <= now) {
            break WALL_TIME;
        }
        if budget.as_mut().is_some_and(|budget| budget.is_spent(now)) {
            break CPU_TIME;
        }
    };
    // Before it ends, so that who sees the end sees why.
    let _ = fd::write_all(reason.as_fd(), why);
    let mut first = true;
    loop {
        match teardown::signal(state, libc::SIGKILL) {
            Err(teardown::Error::NotRunning(_)) if first => {
                // It has ended by itself in this moment.
                let _ = nix::unistd::ftruncate(reason, 0);
                return;
            }
            Ok(()) => {}
            // What cannot be found out about its cgroup keeps nobody from killing its first process.
            Err(_) => drop(pidfd_send_signal(init, libc::SIGKILL)),
        }
        first = false;
        if ended_before(init, Instant::now().checked_add(AGAIN)) {
            return;
        }
    }
}

/// A pidfd is readable when its process has ended. pidfd_open(2).
fn ended_before(init: BorrowedFd<'_>, until: Option<Instant>) -> bool {
    loop {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        // Rounded up, so that the last turn does not spin; and as far as poll reaches.
        let timeout = left.map_or(PollTimeout::MAX, |left| {
            PollTimeout::try_from(left.as_millis().saturating_add(1)).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut [PollFd::new(init, PollFlags::POLLIN)], timeout) {
            Ok(0) | Err(Errno::EINTR) => {}
            // What cannot be waited for is ended at once.
            Err(_) => return false,
            Ok(_) => return true,
        }
        if left.is_some_and(|left| left.is_zero()) {
            return false;
        }
    }
}
