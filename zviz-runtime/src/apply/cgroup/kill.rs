//! The processes of a cgroup, and signals to all of them.

use super::{Error, dir, dir::Dir, freeze};
use crate::plan::cgroup::{Cgroup, Group};
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::signal::{Signal, kill as send};
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use std::ffi::CStr;
use std::io::Read;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

/// Sends a signal to every process of the cgroup and of those below it. SIGKILL goes through `cgroup.kill` (Linux 5.14),
/// which no fork escapes; else the cgroup is frozen meanwhile, so that no pid changes its meaning.
///
/// # Errors
/// Where a process cannot be signalled. A cgroup that is gone has no processes.
pub fn kill(cgroup: &Cgroup, signal: Signal) -> Result<(), Error> {
    if signal == Signal::SIGKILL
        && let Some(group) = &cgroup.payload().v2
        && let Ok(dir) = Dir::open(&group.dir())
        && dir.write("cgroup.kill", "1").is_ok()
    {
        return Ok(());
    }
    let was_frozen = freeze::is_frozen(cgroup).unwrap_or(false);
    let frozen = was_frozen || freeze::freeze(cgroup).is_ok();
    let result = pids(cgroup).and_then(|pids| pids.into_iter().try_for_each(|pid| signal_one(pid, signal)));
    // On version 1 even SIGKILL waits for the thaw.
    if frozen && (!was_frozen || signal == Signal::SIGKILL) {
        freeze::thaw(cgroup)?;
    }
    result
}

pub(super) fn signal_one(pid: u32, signal: Signal) -> Result<(), Error> {
    let Ok(raw) = i32::try_from(pid) else { return Ok(()) };
    match send(Pid::from_raw(raw), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(dir::call("signal", Path::new(&format!("/proc/{pid}")), errno)),
    }
}

/// The processes of the cgroup and of all below it, as pids of our pid namespace; one outside of that is 0 and left
/// out. None where the cgroup is gone.
///
/// # Errors
/// Where they cannot be read.
pub fn pids(cgroup: &Cgroup) -> Result<Vec<u32>, Error> {
    match directory(&cgroup.payload(), cgroup.told_by_v1()) {
        Some(path) => pids_below(&path),
        None => Err(Error::None("asked for its processes")),
    }
}

/// The directory that tells who is in: that of the unified hierarchy, unless a hybrid host did not let us make one.
fn directory(cgroup: &Cgroup, v1: Option<&Group>) -> Option<PathBuf> {
    let v2 = cgroup.v2.as_ref().map(|group| group.dir());
    let v1 = v1.map(|group| group.dir());
    v2.filter(|dir| v1.is_none() || dir.exists()).or(v1)
}

pub(super) fn pids_below(path: &Path) -> Result<Vec<u32>, Error> {
    let top = match Dir::open(path) {
        Err(error) if matches!(error.errno(), Some(libc::ENOENT | libc::ENODEV)) => return Ok(Vec::new()),
        other => other?.into_fd(),
    };
    let mut census = Census(Vec::new());
    dir::walk(top, &mut census).map_err(|errno| dir::call("read", path, errno))?;
    Ok(census.0)
}

struct Census(Vec<u32>);

impl dir::Visit for Census {
    fn enter(&mut self, here: BorrowedFd<'_>) -> Result<(), Errno> {
        let text = match read(here, "cgroup.procs") {
            // A cgroup of threads.
            Err(Errno::EOPNOTSUPP) => read(here, "cgroup.threads"),
            other => other,
        };
        match text {
            Ok(text) => self.0.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()).filter(|&pid| pid != 0)),
            // Gone while we walked.
            Err(Errno::ENOENT | Errno::ENODEV) => {}
            Err(errno) => return Err(errno),
        }
        Ok(())
    }

    fn leave(&mut self, _: BorrowedFd<'_>, _: &CStr) -> Result<(), Errno> {
        Ok(())
    }
}

fn read(dir: BorrowedFd<'_>, name: &str) -> Result<String, Errno> {
    let fd = openat(dir, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW, Mode::empty())?;
    let mut text = String::new();
    match std::fs::File::from(fd).read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(error) => Err(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)),
    }
}
