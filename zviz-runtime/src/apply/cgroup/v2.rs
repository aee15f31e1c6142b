//! The unified hierarchy: directories, controllers, limits.

use super::{Error, dir, dir::Dir, kill};
use crate::plan::cgroup::Group;
use crate::plan::cgroup::v2::{Absent, Write};
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::unistd::{Uid, fchownat};
use std::path::{Path, PathBuf};

/// Makes the cgroup with its controllers enabled.
///
/// # Errors
/// Where it cannot be made, is in use, or can only hold threads.
pub fn make(group: &Group, made: &mut Vec<PathBuf>) -> Result<Dir, Error> {
    let path = group.dir();
    let fresh = dir::make(&group.mount, &path, made)?;
    let leaf = Dir::open(&path)?;
    if !fresh {
        let processes = kill::pids_below(&path)?.len();
        if processes > 0 {
            return Err(Error::InUse { path, processes });
        }
        if leaf.read("cgroup.freeze").is_ok_and(|state| state.trim() == "1") {
            return Err(Error::Frozen { path });
        }
    }
    enable(group)?;
    domain(group, &leaf)?;
    Ok(leaf)
}

/// Gives the directory, and those files in it that delegation is about, to a user. config-linux.md, "Cgroup ownership".
/// The specification leaves it to the runtime; one that may not give (a user without privilege) keeps it.
///
/// # Errors
/// Any but a lack of privilege.
pub fn delegate(leaf: &Dir, uid: u32) -> Result<(), Error> {
    let files = std::fs::read_to_string("/sys/kernel/cgroup/delegate");
    // Before Linux 4.15 the kernel does not list them.
    let files = files.as_deref().unwrap_or("cgroup.procs cgroup.subtree_control cgroup.threads");
    for file in std::iter::once(".").chain(files.split_ascii_whitespace()) {
        match fchownat(leaf, file, Some(Uid::from_raw(uid)), None, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(Errno::EPERM) => return Ok(()),
            Err(errno) => return Err(dir::call("give away", &leaf.path().join(file), errno)),
        }
    }
    Ok(())
}

/// Enables controllers on the way to the cgroup. One that cannot be (not delegated, or processes are in the way) is
/// found out where a limit needs it: many containers have none.
pub fn enable(group: &Group) -> Result<(), Error> {
    if group.controllers.is_empty() {
        return Ok(());
    }
    let path = group.dir();
    let missing = |dir: &Dir| -> Result<Vec<String>, Error> {
        let enabled = dir.read("cgroup.subtree_control")?;
        let enabled: Vec<&str> = enabled.split_ascii_whitespace().collect();
        Ok(group.controllers.iter().filter(|c| !enabled.contains(&c.as_str())).cloned().collect())
    };
    // Nearly always someone has been here before, and one look at the parent is all it takes.
    let parent = path.parent().unwrap_or(&group.mount);
    if missing(&Dir::open(parent)?)?.is_empty() {
        return Ok(());
    }
    let mut ancestors: Vec<&Path> = parent.ancestors().take_while(|p| p.starts_with(&group.mount)).collect();
    ancestors.reverse();
    for ancestor in ancestors {
        let dir = Dir::open(ancestor)?;
        let missing = missing(&dir)?;
        let all: String = missing.iter().map(|c| format!("+{c} ")).collect();
        if !missing.is_empty() && dir.write("cgroup.subtree_control", all.trim_end()).is_err() {
            for controller in missing {
                let _ = dir.write("cgroup.subtree_control", &format!("+{controller}"));
            }
        }
    }
    Ok(())
}

/// Below a cgroup of threads a new one is of no use until it is made one of threads too, which only some controllers
/// bear. cgroups(7), "Thread mode".
fn domain(group: &Group, leaf: &Dir) -> Result<(), Error> {
    const OF_DOMAINS: [&str; 3] = ["memory", "io", "hugetlb"];
    // The root never is one.
    if group.path.components().count() == 1 {
        return Ok(());
    }
    if leaf.read("cgroup.type").is_ok_and(|kind| kind.trim() != "domain invalid") {
        return Ok(());
    }
    if leaf.read("cgroup.controllers")?.split_ascii_whitespace().any(|c| OF_DOMAINS.contains(&c)) {
        return Err(Error::Threaded { path: group.dir() });
    }
    leaf.write("cgroup.type", "threaded").map_err(|e| leaf.refused("cgroup.type", "threaded", e))
}

/// Sets limits. The kernel checks some against each other (quota and burst), so that the order which works depends on
/// what was set before: one that it refuses gets a second go after the rest.
pub fn set(dir: &Dir, writes: &[Write]) -> Result<(), Error> {
    let mut again = Vec::new();
    for write in writes {
        match set_one(dir, write) {
            Err(error) if error.errno() == Some(Errno::EINVAL as i32) => again.push(write),
            other => other?,
        }
    }
    again.into_iter().try_for_each(|write| set_one(dir, write))
}

fn set_one(dir: &Dir, write: &Write) -> Result<(), Error> {
    let set = |file: &str, value: &str| value.lines().try_for_each(|line| dir.write(file, line));
    let absent =
        |file: &str| Error::NoSuchLimit { path: dir.path().join(file), controller: write.controller().to_owned() };
    match (set(&write.file, &write.value), &write.absent) {
        (Ok(()), _) | (Err(Errno::ENOENT), Absent::Skip) => Ok(()),
        (Err(Errno::ENOENT), Absent::Instead(file, value)) => match set(file, value) {
            Err(Errno::ENOENT) => Err(absent(file)),
            other => other.map_err(|errno| dir.refused(file, value, errno)),
        },
        (Err(Errno::ENOENT), Absent::Refuse) => Err(absent(&write.file)),
        (Err(errno), _) => Err(dir.refused(&write.file, &write.value, errno)),
    }
}
