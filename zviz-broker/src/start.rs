//! Starting a broker beside a container, and giving it the listener.
//!
//! ```text
//! runtime ── fork ──► eyes ── fork ──► hands       while the container's init is made: costs the start a fork
//!         ── Serve + listener, init's pidfd ──►    eyes ── Enter + pidfd ──► hands
//!         ◄── errno ─────────────────────────      both serve, or the start fails
//! ```

use crate::confine;
use crate::eyes::{Eyes, Facts};
use crate::hands::{self, Asked, Hands};
use crate::policy::Policy;
use nix::errno::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use zviz_sys::process::{self, Cloned, exit};
use zviz_sys::{fd, path, rights};

/// What a broker is started with.
#[derive(Debug)]
pub struct Settings {
    /// What it does.
    pub policy: Policy,
    /// What it tells of the machine.
    pub facts: Facts,
    /// Capabilities that the eyes keep, as a mask: none where the container has a user namespace, which the runtime's user
    /// owns. Without one CAP_SYS_PTRACE, to read memory and descriptors of processes with other ids.
    pub capabilities: u64,
}

/// A broker that serves nothing yet. It ends if this is dropped.
#[derive(Debug)]
pub struct Starting {
    control: OwnedFd,
    pidfd: OwnedFd,
    pid: i32,
}

/// A broker that serves until the last process with its filter is gone.
#[derive(Debug)]
pub struct Serving {
    /// The eyes.
    pub pid: i32,
    /// The eyes.
    pub pidfd: OwnedFd,
}

/// Why there is no broker.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call.
    #[error("start the broker: {what}: {}", errno.desc())]
    Call {
        /// Doing what.
        what: &'static str,
        /// Why not.
        errno: Errno,
    },
    /// The policy.
    #[error("the broker's policy: {0}")]
    Policy(#[from] crate::policy::Fault),
    /// One of its own filters.
    #[error("the broker's own filter: {0}")]
    Filter(#[from] zviz_seccomp::Error),
    /// It did not come up, or could not join the container.
    #[error("the broker cannot serve: {}", .0.desc())]
    Unable(Errno),
}

/// Starts a broker. The caller must have one thread only.
///
/// # Errors
/// `Error`; nothing is left then.
pub fn start(settings: Settings) -> Result<Starting, Error> {
    if let Some(fault) = settings.policy.faults().into_iter().next() {
        return Err(fault.into());
    }
    let call = |what| move |errno| Error::Call { what, errno };
    let eyes_filter = confine::filter(confine::EYES, confine::EYES_IOCTLS)?;
    let hands_filter = confine::filter(confine::HANDS, &[])?;
    let proc = path::open(c"/proc", libc::O_PATH | libc::O_DIRECTORY).map_err(call("open /proc"))?;
    let (control, theirs) = fd::packet_pair().map_err(call("socketpair"))?;
    let (to_hands, to_eyes) = fd::packet_pair().map_err(call("socketpair"))?;
    match process::fork().map_err(call("fork"))? {
        Cloned::Parent { pid, pidfd } => Ok(Starting { control, pidfd, pid }),
        Cloned::Child => {
            let death = settings.policy.death;
            let files =
                [settings.facts.usage.as_ref().map(AsFd::as_fd), settings.facts.tasks.as_ref().map(AsFd::as_fd)];
            let [usage, tasks] = files;
            let kept =
                [Some(theirs.as_fd()), Some(to_hands.as_fd()), Some(to_eyes.as_fd()), Some(proc.as_fd()), usage, tasks];
            if confine::detach(c"zviz-eyes", kept).is_err() {
                exit(1)
            }
            match process::fork() {
                Ok(Cloned::Child) => {
                    let kept = [Some(to_eyes.as_fd()), Some(proc.as_fd())];
                    if confine::detach(c"zviz-hands", kept).and_then(|()| confine::load_after(&hands_filter)).is_err() {
                        exit(1)
                    }
                    hands::run(Hands { proc, eyes: to_eyes, death })
                }
                Ok(Cloned::Parent { .. }) => {
                    let kept = [Some(theirs.as_fd()), Some(to_hands.as_fd()), usage, tasks];
                    let confined = fd::close_all_but(3, kept)
                        .and_then(|()| confine::drop_rights(settings.capabilities))
                        .and_then(|()| confine::load(&eyes_filter));
                    if confined.is_err() {
                        exit(1)
                    }
                    serve(settings, theirs, to_hands)
                }
                Err(_) => exit(1),
            }
        }
    }
}

/// The eyes, until they are given something to look at.
fn serve(settings: Settings, control: OwnedFd, hands: OwnedFd) -> ! {
    let mut word = [0u8; 1];
    let Ok(received) = rights::receive(control.as_fd(), &mut word) else { exit(1) };
    let [Some(listener), Some(init), ..] = received.fds else { exit(0) };
    let entered = hands::ask(hands.as_fd(), &Asked::Enter(init.as_fd()))
        .and_then(|()| hands::read_answer(hands.as_fd()))
        .and_then(|answer| answer.map_or(Err(Errno::EPIPE), |answer| answer.errno.map_or(Ok(()), Err)));
    let errno = entered.err().map_or(0, |errno| errno as i32);
    let told = rights::send_with(control.as_fd(), &errno.to_le_bytes(), &[]);
    drop(control);
    if errno != 0 || told.is_err() {
        exit(1)
    }
    Eyes::new(settings.policy, settings.facts, listener, init, hands).run()
}

impl Starting {
    /// Gives it the listener of a container whose mounts are made, and the container's init. The listener must not be
    /// kept by anybody else: the death of the broker is what makes held calls fail.
    ///
    /// # Errors
    /// `Error::Unable`; the broker ends then.
    pub fn serve(self, listener: OwnedFd, init: BorrowedFd<'_>) -> Result<Serving, Error> {
        let Starting { control, pidfd, pid } = self;
        rights::send_with(control.as_fd(), &[1], &[listener.as_fd(), init]).map_err(Error::Unable)?;
        drop(listener);
        let mut answer = [0u8; 4];
        let received = rights::receive(control.as_fd(), &mut answer).map_err(Error::Unable)?;
        match (received.bytes, i32::from_le_bytes(answer)) {
            (4, 0) => Ok(Serving { pid, pidfd }),
            (4, errno) => Err(Error::Unable(Errno::from_raw(errno))),
            _ => Err(Error::Unable(Errno::EPIPE)),
        }
    }
}
