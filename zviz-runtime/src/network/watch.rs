//! Whether the program that a sandbox's network comes by lives as long as the sandbox.
//!
//! Its device goes with it, so nothing is reached from then on: no more than before, and whoever waits for an answer is to know.

use super::events::{Event, Tell};
use super::{Link, pasta};
use crate::container::State;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;
use std::os::fd::{AsFd, OwnedFd};
use std::thread::{self, JoinHandle};

/// A watch in a thread of its own, until the sandbox has ended.
#[derive(Debug)]
pub(crate) struct Watching {
    thread: JoinHandle<bool>,
    ends: OwnedFd,
}

/// Watches the program of a link, if there is one. `tell` is told when it ends, and so is the audit of whom it was for.
///
/// # Errors
/// Those of dup(2) and pipe(2).
pub(crate) fn watch(link: &Link, tell: Option<Tell>, state: &State) -> Result<Option<Watching>, Errno> {
    let Some(program) = link.program() else { return Ok(None) };
    let of = |error: std::io::Error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    let program = program.try_clone_to_owned().map_err(of)?;
    let (end, ends) = pipe2(OFlag::O_CLOEXEC)?;
    let (trail, id) = (state.plan.profile.broker.audit.clone(), state.id.to_string());
    let thread = thread::spawn(move || {
        let is_over = outlived(&program, &end);
        if let Some(tell) = tell.filter(|_| is_over) {
            tell(&event());
        }
        if let Some(trail) = trail.filter(|_| is_over) {
            trail.network_died(&id, pasta::NAME);
        }
        is_over
    });
    Ok(Some(Watching { thread, ends }))
}

impl Watching {
    /// Ends the watch, before the program is ended; what has happened meanwhile.
    #[must_use]
    pub(crate) fn end(self) -> Option<Event> {
        drop(self.ends);
        self.thread.join().is_ok_and(|is_over| is_over).then(event)
    }
}

fn event() -> Event {
    Event::Ended { program: pasta::NAME.to_owned() }
}

/// Whether the program ends before whoever watches has enough of it.
fn outlived(program: &OwnedFd, end: &OwnedFd) -> bool {
    loop {
        let mut both = [PollFd::new(program.as_fd(), PollFlags::POLLIN), PollFd::new(end.as_fd(), PollFlags::POLLIN)];
        match poll(&mut both, PollTimeout::NONE) {
            Err(Errno::EINTR) => {}
            Err(_) => return false,
            Ok(_) => return both[1].any() != Some(true) && both[0].any() == Some(true),
        }
    }
}
