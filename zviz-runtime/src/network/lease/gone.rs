//! Leases of network namespaces that are gone, and with them all that bore the leases' names.

use super::{DIRECTORY, Error, own_folder};
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{Mode, stat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Takes away the folders of namespaces that are none of these, or only looks. `told` is given each, and why it is there still if
/// it is. One in which somebody holds an address is of no namespace that is gone, whoever has seen it or not.
///
/// # Errors
/// The folder of all cannot be read.
pub fn gone(
    root: &Path,
    inhabited: impl FnOnce() -> BTreeSet<u64>,
    looks: bool,
    told: &mut dyn FnMut(PathBuf, Option<Error>),
) -> Result<(), Error> {
    let failed = |errno: Errno| Error::Folder { path: root.to_owned(), what: "read", source: errno.into() };
    let top = openat(AT_FDCWD, "/", DIRECTORY, Mode::empty()).map_err(failed)?;
    let folder = own_folder(&top, root, root)?;
    let mut named = names(&folder).map_err(failed)?;
    named.retain(|name| name.parse().is_ok_and(|inode: u64| inode.to_string() == *name));
    if named.is_empty() {
        return Ok(());
    }
    let inhabited = inhabited();
    for name in named.iter().filter(|name| name.parse().is_ok_and(|inode| !inhabited.contains(&inode))) {
        let path = root.join(name);
        match remove(&folder, name, looks) {
            Ok(true) => told(path, None),
            Ok(false) => {}
            // Another has taken it away meanwhile.
            Err(source) if source.kind() == io::ErrorKind::NotFound => {}
            Err(source) => told(path.clone(), Some(Error::Folder { path, what: "remove it", source })),
        }
    }
    Ok(())
}

/// Whether nobody holds anything in it; then it has been removed, unless it was only looked at.
fn remove(root: &OwnedFd, name: &str, looks: bool) -> io::Result<bool> {
    let folder = openat(root, name, DIRECTORY, Mode::empty())?;
    let door = File::from(openat(&folder, ".", DIRECTORY, Mode::empty())?);
    if door.try_lock().is_err() {
        return Ok(false);
    }
    let mut leases = names(&folder)?;
    leases.retain(|lease| lease.parse::<Ipv4Addr>().is_ok());
    let mut held = Vec::new();
    for lease in &leases {
        let flags = OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = File::from(openat(&folder, lease.as_str(), flags, Mode::empty())?);
        if file.try_lock().is_err() {
            return Ok(false);
        }
        held.push(file);
    }
    if !looks {
        for lease in &leases {
            unlinkat(&folder, lease.as_str(), UnlinkatFlags::NoRemoveDir)?;
        }
        unlinkat(root, name, UnlinkatFlags::RemoveDir)?;
    }
    Ok(true)
}

fn names(folder: &OwnedFd) -> Result<Vec<String>, Errno> {
    let mut dir = Dir::openat(folder, ".", DIRECTORY, Mode::empty())?;
    let mut names = Vec::new();
    for found in dir.iter() {
        names.extend(found?.file_name().to_str().ok().map(str::to_owned));
    }
    Ok(names)
}

/// Numbers of the network namespaces that somebody is in, has mounted, or has open, as far as this /proc shows.
pub fn inhabited() -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes.filter(|entry| entry.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok()))
    {
        let process = process.path();
        for task in fs::read_dir(process.join("task")).into_iter().flatten().flatten() {
            found.extend(stat(&task.path().join("ns/net")).map(|found| found.st_ino));
        }
        for fd in fs::read_dir(process.join("fd")).into_iter().flatten().flatten() {
            let target = fs::read_link(fd.path()).unwrap_or_default();
            found.extend(target.to_str().and_then(number));
        }
        let mounts = fs::read(process.join("mountinfo")).unwrap_or_default();
        found.extend(String::from_utf8_lossy(&mounts).split_ascii_whitespace().filter_map(number));
    }
    found
}

/// `net:[4026531840]`, as namespaces(7) has it.
fn number(text: &str) -> Option<u64> {
    text.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{DirBuilderExt, MetadataExt};

    fn folder(root: &Path, name: &str, leases: &[&str]) -> PathBuf {
        let path = root.join(name);
        fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
        leases.iter().for_each(|lease| fs::write(path.join(lease), "{}").unwrap());
        path
    }

    #[test]
    fn leases_go_with_their_namespace() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("net");
        folder(scratch.path(), "net", &[]);
        let dead = folder(&root, "7", &["10.213.0.7", "10.213.0.8"]);
        let alive = folder(&root, "8", &["10.213.0.7"]);
        let held = folder(&root, "9", &["10.213.0.7", "10.213.0.8"]);
        let strange = folder(&root, "10", &["others"]);
        let other = folder(&root, "x9", &[]);
        let holder = File::open(held.join("10.213.0.8")).unwrap();
        holder.try_lock().unwrap();
        let sweep = |looks| {
            let mut all = Vec::new();
            gone(&root, || BTreeSet::from([8]), looks, &mut |path, error| all.push((path, error.is_none()))).unwrap();
            all.sort();
            all
        };
        assert_eq!(sweep(true), [(strange.clone(), true), (dead.clone(), true)]);
        assert!(dead.join("10.213.0.7").exists());
        assert_eq!(sweep(false), [(strange.clone(), false), (dead.clone(), true)]);
        assert!(!dead.exists());
        assert!([&alive, &strange, &other].iter().all(|path| path.exists()) && held.join("10.213.0.7").exists());
        drop(holder);
        assert!(sweep(false).contains(&(held.clone(), true)) && !held.exists());
    }

    #[test]
    fn what_another_takes_away_is_no_error() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("net");
        folder(scratch.path(), "net", &[]);
        let [first, second] = ["7", "8"].map(|name| folder(&root, name, &["10.213.0.7"]));
        let another = || {
            fs::remove_dir_all(&first).unwrap();
            BTreeSet::new()
        };
        let mut all = Vec::new();
        gone(&root, another, false, &mut |path, error| all.push((path, error.is_none()))).unwrap();
        assert_eq!(all, [(second.clone(), true)]);
    }

    #[test]
    fn who_is_somewhere_is_seen() {
        let own = fs::metadata("/proc/self/ns/net").unwrap().ino();
        assert!(inhabited().contains(&own));
        assert_eq!(number("net:[4026531840]"), Some(4_026_531_840));
        assert_eq!((number("mnt:[4026531840]"), number("net:[]")), (None, None));
    }
}
