//! The child's side, from clone to exec: nothing in this file allocates.

use super::{Failure, Image, Program, SECOND, STEPS, Step};
use crate::exec::{execve, execve_fd};
use crate::process::{self, Cloned};
use crate::signals;
use crate::{Errno, Result, fd, ids, owned, path};
use std::convert::Infallible;
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

fn tell(report: BorrowedFd<'_>, code: u32, value: i32) {
    let [a, b, c, d] = code.to_ne_bytes();
    let [e, f, g, h] = value.to_ne_bytes();
    // A pipe takes eight bytes whole; if the caller is gone there is nobody to tell.
    let _ = fd::write_all(report, &[a, b, c, d, e, f, g, h]);
}

fn at<T>(step: Step, result: Result<T>) -> std::result::Result<T, Failure> {
    result.map_err(|errno| Failure { step, errno })
}

pub(super) fn first(program: &Program<'_>, report: BorrowedFd<'_>) -> ! {
    let Err(failure) = run(program, report);
    let code = STEPS.iter().position(|(step, _)| *step == failure.step).unwrap_or(0);
    tell(report, code as u32, failure.errno as i32);
    process::exit(127)
}

fn run(program: &Program<'_>, report: BorrowedFd<'_>) -> std::result::Result<Infallible, Failure> {
    // If the caller was started without standard streams, pipes may have their numbers.
    let report = at(Step::Prepare, above_stdio(report))?;
    // A copy of the caller, which those in the namespaces that it joins must not trace, until execve makes it another
    // program (CVE-2016-9962).
    at(Step::Prepare, ids::set_dumpable(false))?;
    at(Step::Prepare, signals::reset())?;
    for tasks in program.tasks {
        at(Step::Cgroup, fd::write_all(tasks.as_fd(), b"0"))?;
    }
    for (namespace, which) in program.join {
        at(Step::Join, process::setns(*namespace, *which))?;
    }
    let joins = |which: i32| program.join.iter().any(|(_, w)| w & which as u64 != 0);
    if joins(libc::CLONE_NEWPID)
        && let Cloned::Parent { pid, .. } = at(Step::EnterPid, process::clone_sibling(0))?
    {
        tell(report.as_fd(), SECOND, pid);
        process::exit(0);
    }
    at(Step::Prepare, nix::unistd::setpgid(nix::unistd::Pid::from_raw(0), nix::unistd::Pid::from_raw(0)))?;
    if let Some(root) = program.root {
        at(Step::Root, path::enter(root).and_then(|()| path::chroot_to_cwd()))?;
    }
    if let Some(cwd) = program.cwd {
        at(Step::WorkingDirectory, path::change_directory(cwd))?;
        if joins(libc::CLONE_NEWNS) {
            // Not one of the caller's, by way of a descriptor (CVE-2024-21626).
            at(Step::WorkingDirectory, path::working_directory_is_inside())?;
        }
    }
    if joins(libc::CLONE_NEWUSER) {
        at(Step::Ids, become_root())?;
    }
    // After the ids, whose change clears it.
    if !program.stays {
        at(Step::Prepare, ids::set_parent_death_signal(libc::SIGKILL))?;
    }
    let file = match program.image {
        Image::Path(_) => None,
        Image::Opened { file, .. } => Some(at(Step::Streams, above_stdio(file))?),
    };
    at(Step::Streams, streams(program.stdio))?;
    if let Some(confine) = program.confine {
        at(Step::Confine, confine())?;
    }
    at(Step::Exec, execute(program, file.as_ref().map(AsFd::as_fd)))
}

/// A close-on-exec copy that no standard stream can replace. fcntl(2) F_DUPFD_CLOEXEC.
fn above_stdio(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC takes an integer, and returns a new descriptor.
    owned(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3) }.into())
}

/// Where id 0 is not mapped (EINVAL) the ids stay what they are, as does a group list that may not be changed (EPERM).
fn become_root() -> Result<()> {
    let tolerate = |result: Result<()>| match result {
        Err(Errno::EINVAL | Errno::EPERM) => Ok(()),
        other => other,
    };
    tolerate(ids::set_groups(&[]))?;
    tolerate(ids::set_gid(0))?;
    tolerate(ids::set_uid(0))
}

fn streams([input, output, error]: [BorrowedFd<'_>; 3]) -> Result<()> {
    // All three are copied away first: one may have the number of another's place.
    let copies = [above_stdio(input)?, above_stdio(output)?, above_stdio(error)?];
    for (stream, copy) in (0..).zip(&copies) {
        fd::dup_onto_stdio(copy.as_fd(), stream)?;
    }
    fd::cloexec_from(3)
}

fn execute(program: &Program<'_>, file: Option<BorrowedFd<'_>>) -> Result<Infallible> {
    let (path, file) = match (program.image, file) {
        (Image::Opened { path, .. }, Some(file)) => (path, file),
        (Image::Path(path) | Image::Opened { path, .. }, _) => return execve(path, program.argv, program.env),
    };
    match execve_fd(file, program.argv, program.env) {
        // A script: its interpreter would find the close-on-exec descriptor gone.
        Err(Errno::ENOENT) => {}
        other => return other,
    }
    if same_file(path, file) {
        return execve(path, program.argv, program.env);
    }
    fd::keep_over_exec(file)?;
    execve_fd(file, program.argv, program.env)
}

fn same_file(path: &CStr, file: BorrowedFd<'_>) -> bool {
    match (path::stat(path), fd::stat(file)) {
        (Ok(a), Ok(b)) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
        _ => false,
    }
}
