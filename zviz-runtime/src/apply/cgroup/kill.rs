//! The processes of a cgroup, and signals to all of them.

use super::{Error, dir, dir::Dir, freeze};
use crate::plan::cgroup::Cgroup;
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill as send};
use nix::unistd::Pid;
use std::path::{Path, PathBuf};

/// Sends a signal to every process of the cgroup and of those below it. SIGKILL goes through `cgroup.kill` (Linux 5.14),
/// which no fork escapes; else the cgroup is frozen meanwhile, so that no pid changes its meaning.
///
/// # Errors
/// Where a process cannot be signalled. A cgroup that is gone has no processes.
pub fn kill(cgroup: &Cgroup, signal: Signal) -> Result<(), Error> {
    if signal == Signal::SIGKILL
        && let Some(group) = &cgroup.v2
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

fn signal_one(pid: u32, signal: Signal) -> Result<(), Error> {
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
    match directory(cgroup) {
        Some(path) => pids_below(&path),
        None => Err(Error::None("asked for its processes")),
    }
}

/// The directory that tells who is in: that of the unified hierarchy, unless a hybrid host did not let us make one.
fn directory(cgroup: &Cgroup) -> Option<PathBuf> {
    let v2 = cgroup.v2.as_ref().map(|group| group.dir());
    let v1 = cgroup.v1("devices").or(cgroup.v1.first()).map(|group| group.dir());
    v2.filter(|dir| v1.is_none() || dir.exists()).or(v1)
}

pub(super) fn pids_below(path: &Path) -> Result<Vec<u32>, Error> {
    let gone = |error: &Error| matches!(error.errno(), Some(libc::ENOENT | libc::ENODEV));
    let mut out = Vec::new();
    let mut todo = vec![path.to_path_buf()];
    while let Some(path) = todo.pop() {
        let text = Dir::open(&path).and_then(|dir| match dir.read("cgroup.procs") {
            // A cgroup of threads.
            Err(error) if error.errno() == Some(libc::EOPNOTSUPP) => dir.read("cgroup.threads"),
            other => other,
        });
        match text {
            Ok(text) => out.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()).filter(|&pid| pid != 0)),
            // Gone while we walked, or before.
            Err(error) if gone(&error) => continue,
            Err(error) => return Err(error),
        }
        todo.extend(dir::children(&path).unwrap_or_default());
    }
    Ok(out)
}
