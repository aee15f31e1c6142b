//! Running another program from the runtime: a hook, a helper. The child allocates nothing between clone and exec.
//!
//! A pid namespace can only be entered by a child of the process that joined it, so the first child joins and clones its
//! own sibling (CLONE_PARENT). The caller's own namespaces are never changed, which an unprivileged one could not undo:
//!
//! ```text
//! caller ── clone ──► first: setns(...) ── clone(CLONE_PARENT) ──► second: root, cwd, ids, streams, exec
//!    ▲                  │ Second(pid)                                │
//!    └── report pipe ◄──┴────────────────── Failure(step, errno) ◄──┘    end of file: the program runs
//! ```

mod child;

use crate::exec::CStrArray;
use crate::process::{self, Cloned};
use crate::wait::{self, Exit};
use crate::{Errno, Result, fd};
use std::ffi::CStr;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What to run, and as what. Everything in it was made before the clone.
pub struct Program<'a> {
    /// The file.
    pub image: Image<'a>,
    /// argv, argv[0] included.
    pub argv: &'a CStrArray,
    /// The whole environment.
    pub env: &'a CStrArray,
    /// Standard input, output and error; no other descriptor is passed on.
    pub stdio: [BorrowedFd<'a>; 3],
    /// Namespaces to join, in this order: each a pidfd with several `CLONE_NEW*`, or a namespace with its own one.
    /// After joining a user namespace the program is its root, if that is mapped.
    pub join: &'a [(BorrowedFd<'a>, u64)],
    /// The root directory, applied after `join`.
    pub root: Option<BorrowedFd<'a>>,
    /// The working directory, inside the root.
    pub cwd: Option<&'a CStr>,
    /// The cgroup to start in. CLONE_INTO_CGROUP.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// `tasks` files of cgroups of version 1 to enter, before anything else.
    pub tasks: &'a [OwnedFd],
    /// Whether it goes on when the thread that started it has ended.
    pub stays: bool,
    /// The last thing before exec: rights to give up. It runs in the child and must not allocate, lock or log.
    pub confine: Option<&'a dyn Fn() -> Result<()>>,
}

/// The file to execute.
#[derive(Clone, Copy)]
pub enum Image<'a> {
    /// By path, as seen after everything else was entered.
    Path(&'a CStr),
    /// Opened beforehand. A script's interpreter must be told a path: it is `path` where that is still the same file,
    /// /dev/fd/N otherwise.
    Opened {
        /// O_PATH will do.
        file: BorrowedFd<'a>,
        /// Where it was found.
        path: &'a CStr,
    },
}

/// What the child was doing when it could not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Pipe, clone.
    Start,
    /// Moving descriptors, resetting signals.
    Prepare,
    /// Writing to a `tasks` file.
    Cgroup,
    /// setns(2).
    Join,
    /// The second clone, into the pid namespace.
    EnterPid,
    /// chroot(2).
    Root,
    /// chdir(2).
    WorkingDirectory,
    /// setresuid(2) and the like.
    Ids,
    /// dup3(2), close_range(2).
    Streams,
    /// The caller's last thing.
    Confine,
    /// execve(2).
    Exec,
}

const STEPS: [(Step, &str); 11] = [
    (Step::Start, "start a process"),
    (Step::Prepare, "prepare"),
    (Step::Cgroup, "enter the cgroup"),
    (Step::Join, "join namespaces"),
    (Step::EnterPid, "enter the pid namespace"),
    (Step::Root, "change root"),
    (Step::WorkingDirectory, "change directory"),
    (Step::Ids, "become root of the user namespace"),
    (Step::Streams, "set up its streams"),
    (Step::Confine, "confine"),
    (Step::Exec, "execute"),
];

/// Why a program does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// Where it ended.
    pub step: Step,
    /// What the kernel said.
    pub errno: Errno,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = STEPS.iter().find(|(step, _)| *step == self.step).map_or("start", |(_, what)| what);
        write!(f, "{what}: {}", self.errno.desc())
    }
}

impl std::error::Error for Failure {}

/// A running program. It leads a process group of its own, and is killed if the thread that started it ends, unless it stays.
#[derive(Debug)]
pub struct Child {
    pid: i32,
    pidfd: OwnedFd,
}

impl Child {
    /// Its pid, in the caller's pid namespace.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Readable when it has ended.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Waits for its end, and reaps it.
    ///
    /// # Errors
    /// ECHILD where the caller ignores SIGCHLD, so that the kernel reaps.
    pub fn wait(self) -> Result<Exit> {
        wait::wait(self.pidfd.as_fd())
    }

    /// Kills it, and what it started that is still in its process group. Its number cannot have another owner, since it
    /// is not reaped yet.
    ///
    /// # Errors
    /// Those of kill(2).
    pub fn kill(&self) -> Result<()> {
        // The group first: killing the leader alone could let a shell's children go on.
        let group = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(self.pid), nix::sys::signal::SIGKILL);
        process::pidfd_send_signal(self.pidfd.as_fd(), libc::SIGKILL).or(group)
    }
}

/// A report's first number where it is no step: the second is the pid of the second child.
const SECOND: u32 = u32::MAX;

/// Starts a program, and returns when it has been executed.
///
/// # Errors
/// Where and why it could not be; no process is left.
pub fn spawn(program: &Program<'_>) -> std::result::Result<Child, Failure> {
    let start = |errno| Failure { step: Step::Start, errno };
    let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(start)?;
    let (pid, pidfd) = match process::clone(0, program.cgroup).map_err(start)? {
        Cloned::Child => child::first(program, writer.as_fd()),
        Cloned::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop(writer);
    let first = Child { pid, pidfd };
    let mut second = None;
    let mut failure = None;
    loop {
        let mut record = [0; 8];
        match fd::read(reader.as_fd(), &mut record) {
            Ok(8) => {
                let (code, value) = split(record);
                if code == SECOND {
                    // Not reaped yet, whatever has become of it: the number is still its own.
                    second = Some(process::pidfd_open(value).map(|pidfd| Child { pid: value, pidfd }));
                } else {
                    let step = STEPS.get(code as usize).map_or(Step::Start, |(step, _)| *step);
                    failure = Some(Failure { step, errno: Errno::from_raw(value) });
                }
            }
            Ok(_) => break,
            Err(errno) => {
                failure = Some(start(errno));
                break;
            }
        }
    }
    let child = if program.join.iter().any(|(_, which)| which & libc::CLONE_NEWPID as u64 != 0) {
        let ended = first.wait();
        match second {
            Some(second) => second.map_err(start)?,
            // It was killed before it could say anything.
            None => return Err(failure.unwrap_or(start(ended.err().unwrap_or(Errno::ESRCH)))),
        }
    } else {
        first
    };
    match failure {
        None => Ok(child),
        Some(failure) => {
            // It has exited or is about to; its status says nothing that the failure does not.
            let _ = child.wait();
            Err(failure)
        }
    }
}

fn split(record: [u8; 8]) -> (u32, i32) {
    let [a, b, c, d, e, f, g, h] = record;
    (u32::from_ne_bytes([a, b, c, d]), i32::from_ne_bytes([e, f, g, h]))
}
