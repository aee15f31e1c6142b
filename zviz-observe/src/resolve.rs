//! Where a path leads, inside of the root of the process that named it.
//!
//! The kernel is asked for what it knows without asking a file system (RESOLVE_CACHED): a file system may be served by a
//! process that is traced, and stands still until this one goes on. Right after the call that is nearly everything; the rest,
//! such as a link that was first followed within a tick of the clock in which it was made, is put together by its text.

use std::ffi::{CString, OsStr};
use std::fs::read_link;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use zviz_sys::path::{open_path, openat2_cached, resolve::IN_ROOT, resolve::NO_MAGICLINKS};
use zviz_sys::{Errno, Result};

/// How often the kernel is asked.
const TRIES: u32 = 4;

/// The process's working folder.
pub fn working_folder(task: i32) -> Option<PathBuf> {
    absolute(read_link(format!("/proc/{task}/cwd")))
}

/// What a descriptor of the process's is; None for what has no path.
pub fn descriptor(task: i32, fd: i32) -> Option<PathBuf> {
    absolute(read_link(format!("/proc/{task}/fd/{fd}")))
}

/// The program that the process runs; empty if that cannot be told.
pub fn program(task: i32) -> PathBuf {
    absolute(read_link(format!("/proc/{task}/exe"))).unwrap_or_default()
}

/// The path of a link of /proc: those of pipes and sockets have none, and those of removed files a word at their end.
fn absolute(link: std::io::Result<PathBuf>) -> Option<PathBuf> {
    let mut path = link.ok()?.into_os_string().into_vec();
    if let Some(before) = path.strip_suffix(b" (deleted)") {
        path.truncate(before.len());
    }
    path.starts_with(b"/").then(|| PathBuf::from(std::ffi::OsString::from_vec(path)))
}

/// Resolves a path. `base` is where a relative one begins.
pub fn resolve(task: i32, base: Option<&Path>, text: &[u8], follow: bool) -> PathBuf {
    let root = absolute(read_link(format!("/proc/{task}/root"))).unwrap_or_else(|| "/".into());
    let text = Path::new(OsStr::from_bytes(text));
    // The path below the process's root: what begins outside of it cannot be looked up from there.
    let base = base.unwrap_or(&root);
    let below = match (text.is_absolute(), base.strip_prefix(&root)) {
        (true, _) => Some(text.to_path_buf()),
        (false, Ok(base)) => Some(Path::new("/").join(base).join(text)),
        (false, Err(_)) => None,
    };
    let Some(below) = below else { return plain(&base.join(text)) };
    let by_text = || plain(&root.join(below.strip_prefix("/").unwrap_or(&below)));
    // Of proc, `self` would be this very process.
    if below.starts_with("/proc") {
        return match own_link(task, &below) {
            Some((there, rest)) if follow || !rest.as_os_str().is_empty() => {
                resolve(task, Some(&there), rest.as_os_str().as_bytes(), follow)
            }
            _ => by_text(),
        };
    }
    known(task, &below, follow).unwrap_or_else(|_| by_text())
}

/// Where a link of proc leads that the process has of itself, and what comes after it in the path.
fn own_link(task: i32, below: &Path) -> Option<(PathBuf, PathBuf)> {
    let whole = plain(below);
    let mut parts = whole.strip_prefix("/proc").ok()?.components();
    parts.next().filter(|part| matches!(part.as_os_str().as_bytes(), b"self" | b"thread-self"))?;
    let there = match parts.next()?.as_os_str().as_bytes() {
        b"cwd" => working_folder(task),
        b"root" => absolute(read_link(format!("/proc/{task}/root"))),
        b"fd" => descriptor(task, parts.next()?.as_os_str().to_str()?.parse().ok()?),
        _ => None,
    };
    Some((there?, parts.as_path().to_path_buf()))
}

fn known(task: i32, below: &Path, follow: bool) -> Result<PathBuf> {
    let root = CString::new(format!("/proc/{task}/root")).map_err(|_| Errno::EINVAL)?;
    let root = open_path(&root, libc::O_DIRECTORY)?;
    match look_up(root.as_fd(), below, follow) {
        Err(Errno::ENOENT | Errno::EAGAIN) => {}
        other => return other.and_then(path_of),
    }
    // Not there, or not any more: its folder may be.
    let (Some(folder), Some(Component::Normal(name))) = (below.parent(), below.components().next_back()) else {
        return Err(Errno::ENOENT);
    };
    Ok(path_of(look_up(root.as_fd(), folder, true)?)?.join(name))
}

fn look_up(root: BorrowedFd<'_>, below: &Path, follow: bool) -> Result<OwnedFd> {
    let path = CString::new(below.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)?;
    let flags = libc::O_PATH | if follow { 0 } else { libc::O_NOFOLLOW };
    let mut tries = 0;
    loop {
        tries += 1;
        match openat2_cached(root, &path, flags, IN_ROOT | NO_MAGICLINKS) {
            // Also where anybody's rename or mount raced with a `..`.
            Err(Errno::EAGAIN) if tries < TRIES => {}
            other => return other,
        }
    }
}

fn path_of(fd: OwnedFd) -> Result<PathBuf> {
    absolute(read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))).ok_or(Errno::ENOENT)
}

/// Without `.`, and with `..` taken as text.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => drop(plain.pop()),
            _ => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_where_the_kernel_says() {
        let dir = tempfile::tempdir().expect("a folder");
        let dir = dir.path().canonicalize().expect("a path");
        std::fs::create_dir(dir.join("a")).expect("a folder");
        std::os::unix::fs::symlink("a", dir.join("link")).expect("a link");
        // Followed within the tick in which it was made, a link is to be marked as read again in the next one (relatime), and
        // that is more than RESOLVE_CACHED does.
        std::thread::sleep(std::time::Duration::from_millis(30));
        let me = i32::try_from(std::process::id()).expect("a number");
        let there = |text: &str, follow| {
            // As the call itself does.
            let _ = std::fs::metadata(dir.join(text));
            resolve(me, Some(&dir), text.as_bytes(), follow)
        };
        assert_eq!(there("link", true), dir.join("a"));
        assert_eq!(there("link", false), dir.join("link"));
        assert_eq!(there("link/../link/new", false), dir.join("a/new"));
        assert_eq!(there("nowhere/../a/./b", true), dir.join("a/b"));
        assert_eq!(there("/proc/self/maps", true), Path::new("/proc/self/maps"));
        assert_eq!(there("/proc/self/cwd", false), Path::new("/proc/self/cwd"));
        assert_eq!(there("/proc/self/cwd/x", true), working_folder(me).expect("a folder").join("x"));
        let in_root = format!("/proc/thread-self/root{}/link/b", dir.to_str().expect("text"));
        assert_eq!(there(&in_root, true), dir.join("a/b"));
        let open = std::fs::File::open(&dir).expect("a folder");
        assert_eq!(there(&format!("/proc/self/fd/{}/link/b", open.as_raw_fd()), true), dir.join("a/b"));
    }
}
