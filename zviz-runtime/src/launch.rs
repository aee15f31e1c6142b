//! The parent's side of a start: clones init, gives it what it cannot take itself, and talks to it (see `sync`) until it
//! is ready to become the payload. If anything goes wrong, init is ended and reaped before the error is returned.

mod furnish;

use crate::apply::cgroup::Entrance;
use crate::apply::ids::{self, IdMapError};
use crate::apply::links::LinkError;
use crate::child;
use crate::failure::{Failure, Stage};
use crate::plan::Plan;
use crate::prepare::Prepared;
use crate::sync::{ChildEnd, FromInit, ParentEnd, pair};
use crate::words;
use furnish::furnish;
use nix::errno::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use zviz_sys::process::{self, Cloned, pidfd_send_signal};
use zviz_sys::wait::Exit;
use zviz_sys::{fd, guard, wait};

/// Why a start ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Init could not go on; in the plan's words.
    #[error("{words}")]
    Init {
        /// What and why.
        words: String,
        /// Why the program itself could not be run, if it was that.
        program: Option<Errno>,
    },
    /// Init died without a word.
    #[error("init ended before it was ready: {0}")]
    Died(String),
    /// A system call of the parent's.
    #[error("{what}: {}", errno.desc())]
    Call {
        /// Doing what.
        what: String,
        /// Why not.
        errno: Errno,
    },
    /// What /proc says of init.
    #[error("read /proc/{pid}/stat")]
    Proc {
        /// Init's.
        pid: i32,
        /// Why it cannot be read.
        source: std::io::Error,
    },
    /// The id maps.
    #[error(transparent)]
    IdMap(#[from] IdMapError),
    /// A bind whose ids cannot be translated: its file system cannot do that, or something in it is translated already.
    #[error("{origin}: map ids of {path}: {}", errno.desc())]
    Untranslated {
        /// Its place in the input.
        origin: String,
        /// On the host.
        path: String,
        /// Why not.
        errno: Errno,
    },
    /// The network devices.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A step of the caller's: a hook, the console, the agent.
    #[error(transparent)]
    Step(Box<dyn std::error::Error + Send + Sync>),
}

const TELL: &str = "tell init to go on";
const LISTEN: &str = "listen to init";

/// Names what the parent was doing.
pub(crate) fn call<T>(what: impl Into<String>, result: Result<T, Errno>) -> Result<T, Error> {
    result.map_err(|errno| Error::Call { what: what.into(), errno })
}

/// What the caller does while init waits.
pub(crate) trait Steps {
    /// Init exists, but does nothing yet.
    fn cloned(&mut self, pid: i32) -> Result<(), Error>;
    /// Init has its id maps and the devices that were moved in, and does nothing yet. `proc` is the host's.
    fn furnished(&mut self, proc: BorrowedFd<'_>, pid: i32, pidfd: BorrowedFd<'_>) -> Result<(), Error>;
    /// Init works, and this process would only wait for it. Nothing of the plan changes from here on.
    fn working(&mut self) {}
    /// Mounts are made, the root is not changed yet.
    fn mounted(&mut self, pid: i32) -> Result<(), Error>;
    /// The master of the pseudo-terminal.
    fn console(&mut self, master: OwnedFd) -> Result<(), Error>;
    /// The listener of the filter, and who has the filter: init, or its only child.
    fn listener(&mut self, pid: i32, listener: OwnedFd, payload: BorrowedFd<'_>) -> Result<(), Error>;
}

/// An init that only waits for `start`, or that execs right away.
pub(crate) struct Launched {
    pub pid: i32,
    pub pidfd: OwnedFd,
    sync: ParentEnd,
    // Given up later: as long as init shares this memory, each page that is written is copied.
    _prepared: Prepared,
}

/// A child that is ended and reaped, unless it is let go.
struct Doomed(Option<(i32, OwnedFd)>);

impl Drop for Doomed {
    fn drop(&mut self) {
        if let Some((_, pidfd)) = &self.0 {
            // Neither can fail for a child of ours that was not reaped; if one does, nothing better is left to do.
            let _ = pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL);
            let _ = wait::wait(pidfd.as_fd());
        }
    }
}

impl Doomed {
    fn get(&self) -> Result<(i32, BorrowedFd<'_>), Error> {
        let (pid, pidfd) = self.0.as_ref().ok_or_else(|| Error::Died("already reaped".into()))?;
        Ok((*pid, pidfd.as_fd()))
    }
}

/// Makes the container's first process, up to the point where it is ready.
pub(crate) fn launch(
    plan: &Plan,
    mut prepared: Prepared,
    cgroup: &Entrance,
    steps: &mut dyn Steps,
) -> Result<Launched, Error> {
    let (sync, child_end) = call("socketpair", pair())?;
    let (init, sync) = clone_init(plan, &mut prepared, cgroup, sync, child_end)?;
    let (pid, pidfd) = init.get()?;
    steps.cloned(pid)?;
    furnish(plan, &prepared, pid)?;
    steps.furnished(prepared.proc.as_fd(), pid, pidfd)?;
    go(&sync)?;
    steps.working();
    loop {
        match call(LISTEN, sync.receive())? {
            FromInit::Mounted => {
                steps.mounted(pid)?;
                go(&sync)?;
            }
            FromInit::Console(master) => {
                steps.console(master)?;
                go(&sync)?;
            }
            FromInit::Listener(number) => {
                let below = if prepared.reaper { Some(child_of(&prepared, pid)?) } else { None };
                let payload = below.as_ref().map_or(pidfd, AsFd::as_fd);
                let listener = call("take the seccomp listener", fd::pidfd_getfd(payload, number))?;
                steps.listener(pid, listener, payload)?;
                go(&sync)?;
            }
            FromInit::Ready => break,
            other => return Err(ended(other, plan, init)),
        }
    }
    let mut init = init;
    let (pid, pidfd) = init.0.take().ok_or_else(|| Error::Died("already reaped".into()))?;
    Ok(Launched { pid, pidfd, sync, _prepared: prepared })
}

/// The payload, where init is its reaper.
fn child_of(prepared: &Prepared, init: i32) -> Result<OwnedFd, Error> {
    let payload = call("look for the payload below init", ids::only_child(prepared.proc.as_fd(), init))?;
    call("pidfd_open", process::pidfd_open(payload))
}

/// Clones init, through the trampoline where something is joined.
fn clone_init(
    plan: &Plan,
    prepared: &mut Prepared,
    cgroup: &Entrance,
    sync: ParentEnd,
    child_end: ChildEnd,
) -> Result<(Doomed, ParentEnd), Error> {
    let direct = prepared.namespaces.joins.is_empty();
    let flags = if direct { prepared.namespaces.clone } else { 0 };
    let first = match call("clone3", process::clone(flags, cgroup.v2()))? {
        Cloned::Child => {
            drop(sync);
            if direct { child::run(prepared, child_end) } else { child::trampoline(prepared, child_end) }
        }
        Cloned::Parent { pid, pidfd } => Doomed(Some((pid, pidfd))),
    };
    drop(child_end);
    if direct {
        return Ok((first, sync));
    }
    go(&sync)?;
    match call(LISTEN, sync.receive())? {
        FromInit::Cloned(pid) => {
            let pidfd = call("pidfd_open", process::pidfd_open(pid))?;
            let init = Doomed(Some((pid, pidfd)));
            let mut first = first;
            if let Some((_, pidfd)) = first.0.take() {
                call("wait for the trampoline", wait::wait(pidfd.as_fd()))?;
            }
            Ok((init, sync))
        }
        other => Err(ended(other, plan, first)),
    }
}

/// The error that init's last word stands for. Reaps it.
fn ended(word: FromInit, plan: &Plan, mut init: Doomed) -> Error {
    let exit = init.0.take().map(|(_, pidfd)| {
        let _ = pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL);
        wait::wait(pidfd.as_fd())
    });
    match (word, exit) {
        (FromInit::Failed(failure), _) => failed(failure, plan),
        (_, Some(Ok(exit))) => Error::Died(how(exit)),
        _ => Error::Died("out of turn".into()),
    }
}

/// Lets the child go on. If it is gone, what it said last, or its end, is received next.
fn go(sync: &ParentEnd) -> Result<(), Error> {
    match sync.go() {
        Err(Errno::EPIPE) => Ok(()),
        other => call(TELL, other),
    }
}

/// An end in words.
fn how(exit: Exit) -> String {
    if cfg!(debug_assertions) && exit == Exit::Code(guard::CAUGHT.into()) {
        return format!("{exit}, that of the guard: it allocated memory");
    }
    exit.to_string()
}

fn failed(failure: Failure, plan: &Plan) -> Error {
    let program = matches!(failure.stage, Stage::Program | Stage::Exec).then_some(failure.errno);
    Error::Init { words: words::of(failure, plan), program }
}

impl Launched {
    /// Lets it go on: it is remembered by now.
    pub(crate) fn release(&self) -> Result<(), Error> {
        match self.sync.go() {
            Err(Errno::EPIPE) => Err(Error::Died(how(call("wait for init", wait::wait(self.pidfd.as_fd()))?))),
            other => call(TELL, other),
        }
    }

    /// Waits until init has become the payload.
    pub(crate) fn running(&self, plan: &Plan) -> Result<(), Error> {
        match call(LISTEN, self.sync.receive())? {
            FromInit::End => Ok(()),
            FromInit::Failed(failure) => {
                let _ = wait::wait(self.pidfd.as_fd());
                Err(failed(failure, plan))
            }
            _ => Err(Error::Died("out of turn".into())),
        }
    }
}
