//! Which file the path of a socket leads to, and what the kernel calls it.

use super::super::proc::Proc;
use crate::handlers::sockets::address::{Way, of_path};
use crate::handlers::sockets::rules::{self, Ruling, is_below};
use crate::policy::sockets::{Place, Sockets};
use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use zviz_sys::path::resolve;
use zviz_sys::{fd, path};

/// A file, or the place of one that is to be.
pub(super) struct Found {
    /// The file, or the directory of the one that is to be.
    pub file: OwnedFd,
    /// Absolute, without symbolic links, in the root of the caller.
    pub name: Vec<u8>,
    /// The last component, of a file that is to be.
    new: Option<Vec<u8>>,
}

/// What a path leads to, links followed.
///
/// # Errors
/// As open(2); EACCES where the file has no name below the root.
pub(super) fn existing((proc, thread): (&Proc, i32), name: &[u8]) -> Result<Found, Errno> {
    let file = open_as(proc, thread, name, 0)?;
    let name = name_of(proc, &file)?;
    Ok(Found { file, name, new: None })
}

/// Where a path would make a file: bind(2) follows no link of the last component.
///
/// # Errors
/// As open(2), and as bind(2) for names that cannot be made; EACCES where the directory has no name below the root.
pub(super) fn new((proc, thread): (&Proc, i32), name: &[u8]) -> Result<Found, Errno> {
    let (folder, last) = split(name)?;
    let file = open_as(proc, thread, folder, libc::O_DIRECTORY)?;
    let name = join(&name_of(proc, &file)?, last);
    Ok(Found { file, name, new: Some(last.to_vec()) })
}

impl Found {
    /// What leads to this very file, from the host's proc.
    pub(super) fn address(&self) -> Vec<u8> {
        of_path(format!("self/fd/{}", self.file.as_raw_fd()).as_bytes())
    }

    /// What the rules say.
    pub(super) fn judge(&self, proc: &Proc, sockets: &Sockets, way: Way) -> Ruling {
        rules::path(sockets, way, &self.name, |place| self.is_also(proc, place))
    }

    /// Whether a rule's words lead here by other names: through links, or as another name of the same file.
    fn is_also(&self, proc: &Proc, place: &Place) -> bool {
        match (place, &self.new) {
            (Place::Path(path), None) => open(path.as_bytes(), 0).is_ok_and(|file| same(&file, &self.file)),
            (Place::Path(path), Some(new)) => split(path.as_bytes()).is_ok_and(|(folder, last)| {
                last == new && open(folder, libc::O_DIRECTORY).is_ok_and(|folder| same(&folder, &self.file))
            }),
            (Place::Below(folder), _) => {
                let folder = open(folder.as_bytes(), libc::O_DIRECTORY).and_then(|folder| name_of(proc, &folder));
                folder.is_ok_and(|folder| is_below(&self.name, &folder))
            }
            (Place::Net(_) | Place::Abstract(_), _) => false,
        }
    }
}

/// The directory of a path, and its last component.
fn split(name: &[u8]) -> Result<(&[u8], &[u8]), Errno> {
    let (folder, last) = match name.iter().rposition(|byte| *byte == b'/') {
        None => (&b"."[..], name),
        Some(at) => (name.get(..=at).unwrap_or_default(), name.get(at + 1..).unwrap_or_default()),
    };
    match last {
        b"" => Err(Errno::ENOENT),
        b"." | b".." => Err(Errno::EADDRINUSE),
        last => Ok((folder, last)),
    }
}

fn join(folder: &[u8], last: &[u8]) -> Vec<u8> {
    [folder.strip_suffix(b"/").unwrap_or(folder), b"/", last].concat()
}

/// As `open`, where `self` in a proc is the caller. Paths of sockets begin so that are too long for an address.
fn open_as(proc: &Proc, thread: i32, name: &[u8], flags: i32) -> Result<OwnedFd, Errno> {
    let Some((number, rest)) = own(name) else { return open(name, flags) };
    let link = format!("fd/{number}");
    if rest.is_empty() {
        return proc.open(thread, &link, flags | libc::O_PATH);
    }
    let folder = proc.open(thread, &link, libc::O_PATH | libc::O_DIRECTORY)?;
    let rest = CString::new(rest).map_err(|_| Errno::EINVAL)?;
    path::openat2(folder.as_fd(), &rest, flags | libc::O_PATH, 0, 0)
}

/// A descriptor of the caller's that a path begins with, and what comes behind.
fn own(name: &[u8]) -> Option<(u32, &[u8])> {
    let starts = [&b"/proc/self/fd/"[..], b"/proc/thread-self/fd/", b"/dev/fd/"];
    let rest = starts.iter().find_map(|start| name.strip_prefix(*start))?;
    let (number, rest) = rest.split_at(rest.iter().take_while(|byte| byte.is_ascii_digit()).count());
    let number = std::str::from_utf8(number).ok()?.parse().ok()?;
    let first = rest.iter().position(|byte| *byte != b'/').unwrap_or(rest.len());
    (rest.is_empty() || first > 0).then_some((number, rest.get(first..).unwrap_or_default()))
}

fn open(name: &[u8], flags: i32) -> Result<OwnedFd, Errno> {
    let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
    path::openat2(AT_FDCWD, &name, flags | libc::O_PATH, 0, 0)
}

/// The name that leads to a file without any link. The kernel tells names of files that are not below the root too, so it is
/// tried.
fn name_of(proc: &Proc, file: &OwnedFd) -> Result<Vec<u8>, Errno> {
    let link = CString::new(format!("self/fd/{}", file.as_raw_fd())).map_err(|_| Errno::EINVAL)?;
    let mut buffer = [0u8; 4096];
    let name = path::readlinkat(proc.0.as_fd(), &link, &mut buffer)?.to_vec();
    if name.len() == buffer.len() || !name.starts_with(b"/") {
        return Err(Errno::EACCES);
    }
    let there = CString::new(name.clone()).map_err(|_| Errno::EACCES)?;
    let there = path::openat2(AT_FDCWD, &there, libc::O_PATH | libc::O_NOFOLLOW, 0, resolve::NO_SYMLINKS);
    if there.is_ok_and(|there| same(&there, file)) { Ok(name) } else { Err(Errno::EACCES) }
}

fn same(one: &OwnedFd, other: &OwnedFd) -> bool {
    let (one, other) = (fd::stat(one.as_fd()), fd::stat(other.as_fd()));
    one.is_ok_and(|one| other.is_ok_and(|other| (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    fn proc() -> Proc {
        Proc(path::open(c"/proc", libc::O_PATH | libc::O_DIRECTORY).unwrap())
    }

    fn own_pid() -> i32 {
        i32::try_from(std::process::id()).unwrap()
    }

    #[test]
    fn a_descriptor_in_a_path_is_the_callers() {
        assert_eq!(own(b"/proc/self/fd/12//a/b"), Some((12, &b"a/b"[..])));
        assert_eq!([own(b"/dev/fd/3"), own(b"/proc/thread-self/fd/3/")], [Some((3, &b""[..])); 2]);
        for name in
            ["/proc/self/fd/", "/proc/self/fd/3x", "/proc/self/fd//3", "/proc/12/fd/3", "proc/self/fd/3", "/dev/fd/+3"]
        {
            assert_eq!(own(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn a_path_is_split_as_the_kernel_does() {
        assert_eq!(split(b"x"), Ok((&b"."[..], &b"x"[..])));
        assert_eq!(split(b"/x"), Ok((&b"/"[..], &b"x"[..])));
        assert_eq!(split(b"a/b/x"), Ok((&b"a/b/"[..], &b"x"[..])));
        assert_eq!(
            [split(b"a/"), split(b"/a/.."), split(b".")].map(Result::err),
            [Some(Errno::ENOENT), Some(Errno::EADDRINUSE), Some(Errno::EADDRINUSE)]
        );
        assert_eq!([join(b"/", b"x"), join(b"/a", b"x")], [b"/x".to_vec(), b"/a/x".to_vec()]);
    }

    #[test]
    fn a_refusal_holds_by_every_name() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("real")).unwrap();
        symlink("real", root.join("link")).unwrap();
        let _listener = UnixListener::bind(root.join("real/s")).unwrap();
        std::fs::hard_link(root.join("real/s"), root.join("hard")).unwrap();
        symlink("real/s", root.join("soft")).unwrap();
        let name = |path: &str| root.join(path).as_os_str().as_bytes().to_vec();
        let found = |path: &str| existing((&proc(), own_pid()), &name(path)).unwrap();
        assert_eq!(found("link/s").name, name("real/s"));
        assert_eq!(found("soft").name, name("real/s"));
        let place = |path: &str| Place::Path(root.join(path).to_str().unwrap().into());
        let below = |path: &str| Place::Below(root.join(path).to_str().unwrap().into());
        for path in ["real/s", "link/s", "hard", "soft"] {
            assert!(found("hard").is_also(&proc(), &place(path)), "{path}");
        }
        assert!(found("soft").is_also(&proc(), &below("link")));
        assert!(!found("hard").is_also(&proc(), &below("link")));
        let made = new((&proc(), own_pid()), &name("link/new")).unwrap();
        assert_eq!(made.name, name("real/new"));
        assert!(made.is_also(&proc(), &place("link/new")) && !made.is_also(&proc(), &place("link/other")));
        assert!(made.is_also(&proc(), &below("link")));
        std::fs::remove_file(root.join("hard")).unwrap();
        assert_eq!(existing((&proc(), own_pid()), &name("hard")).err(), Some(Errno::ENOENT));
    }

    #[test]
    fn a_file_without_a_name_is_not_judged() {
        let file = OwnedFd::from(tempfile::tempfile().unwrap());
        assert_eq!(name_of(&proc(), &file), Err(Errno::EACCES));
    }
}
