//! Places inside a root that an image controls: resolved by the kernel inside that root, made where they are missing,
//! and held by descriptor. Nothing here allocates: init calls it.
//!
//! A link in the image may point to something that does not exist (an image's /etc/resolv.conf often does). It is
//! followed by hand then, one component at a time and always from the root's descriptor, so that it cannot lead out.

use nix::errno::Errno;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use zviz_sys::path::{self, resolve};

/// What is made where nothing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Make {
    /// A directory.
    Directory,
    /// An empty file.
    File,
}

/// As the kernel's own limit, MAXSYMLINKS.
const MAX_LINKS: usize = 40;
const PATH_MAX: usize = 4096;

/// Opens a path inside the root with O_PATH; links stay inside, magic links are refused.
pub(crate) fn open(root: BorrowedFd<'_>, path: &CStr, flags: i32) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { c"." } else { path };
    path::openat2(root, path, flags | libc::O_PATH, 0, resolve::IN_ROOT | resolve::NO_MAGICLINKS)
}

/// As `open`, for a path that must not contain any link.
pub(crate) fn open_plain(root: BorrowedFd<'_>, path: &CStr, flags: i32) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { c"." } else { path };
    path::openat2(root, path, flags | libc::O_PATH, 0, resolve::IN_ROOT | resolve::NO_SYMLINKS)
}

/// Opens a path inside the root, making what is missing of it.
pub(crate) fn open_or_make(root: BorrowedFd<'_>, path: &CStr, make: Make) -> Result<OwnedFd, Errno> {
    match open(root, path, 0) {
        Err(Errno::ENOENT) => {}
        other => return other,
    }
    let mut walk = Walk::new(path.to_bytes())?;
    for _ in 0..MAX_LINKS {
        match walk.make(root, make)? {
            Some(fd) => return Ok(fd),
            None => continue, // a dangling link was replaced by its text
        }
    }
    Err(Errno::ELOOP)
}

/// The directory of a path inside the root, made if missing, and the path's last component in `name`.
pub(crate) fn parent_of<'n>(
    root: BorrowedFd<'_>,
    path: &CStr,
    name: &'n mut [u8; 256],
) -> Result<(OwnedFd, &'n CStr), Errno> {
    let bytes = path.to_bytes();
    let cut = bytes.iter().rposition(|b| *b == b'/');
    let (directory, last) = match cut {
        Some(i) => (bytes.get(..i).unwrap_or_default(), bytes.get(i + 1..).unwrap_or_default()),
        None => (&[][..], bytes),
    };
    if last.is_empty() {
        return Err(Errno::EINVAL);
    }
    name.get_mut(..last.len()).ok_or(Errno::ENAMETOOLONG)?.copy_from_slice(last);
    *name.get_mut(last.len()).ok_or(Errno::ENAMETOOLONG)? = 0;
    let mut buffer = [0u8; PATH_MAX];
    buffer.get_mut(..directory.len()).ok_or(Errno::ENAMETOOLONG)?.copy_from_slice(directory);
    let directory = CStr::from_bytes_until_nul(&buffer).map_err(|_| Errno::ENAMETOOLONG)?;
    let fd = open_or_make(root, directory, Make::Directory)?;
    Ok((fd, CStr::from_bytes_until_nul(name).map_err(|_| Errno::ENAMETOOLONG)?))
}

/// A path under way, in a buffer of its own.
struct Walk {
    bytes: [u8; PATH_MAX],
    length: usize,
}

impl Walk {
    fn new(path: &[u8]) -> Result<Walk, Errno> {
        let mut walk = Walk { bytes: [0; PATH_MAX], length: path.len() };
        // The last byte stays 0, so that every prefix can be ended by one.
        walk.bytes
            .get_mut(..path.len())
            .filter(|b| b.len() < PATH_MAX)
            .ok_or(Errno::ENAMETOOLONG)?
            .copy_from_slice(path);
        Ok(walk)
    }

    /// Goes through the components, making what is missing. None if a dangling link was found: the path is then the
    /// link's text and the rest, to be walked anew.
    fn make(&mut self, root: BorrowedFd<'_>, make: Make) -> Result<Option<OwnedFd>, Errno> {
        let mut parent = path::openat2(root, c".", libc::O_PATH | libc::O_DIRECTORY, 0, resolve::IN_ROOT)?;
        let mut start = 0;
        loop {
            while self.bytes.get(start) == Some(&b'/') {
                start += 1;
            }
            if start >= self.length {
                return Ok(Some(parent));
            }
            let rest = self.bytes.get(start..self.length).unwrap_or_default();
            let end = rest.iter().position(|b| *b == b'/').map_or(self.length, |i| start + i);
            let last = self.bytes.get(end..self.length).unwrap_or_default().iter().all(|b| *b == b'/');
            let kind = if last { make } else { Make::Directory };
            match self.step(root, parent.as_fd(), start, end, kind)? {
                Some(fd) => parent = fd,
                None => return Ok(None),
            }
            start = end;
        }
    }

    /// Opens or makes the component from `start` to `end`.
    fn step(
        &mut self,
        root: BorrowedFd<'_>,
        parent: BorrowedFd<'_>,
        start: usize,
        end: usize,
        kind: Make,
    ) -> Result<Option<OwnedFd>, Errno> {
        let after = std::mem::replace(self.bytes.get_mut(end).ok_or(Errno::ENAMETOOLONG)?, 0);
        let result = self.step_named(root, parent, start, kind);
        if let Some(byte) = self.bytes.get_mut(end) {
            *byte = after;
        }
        let mut text = [0u8; PATH_MAX];
        match result? {
            Step::Open(fd) => Ok(Some(fd)),
            Step::Dangling => {
                *self.bytes.get_mut(end).ok_or(Errno::ENAMETOOLONG)? = 0;
                let name = self.name(start)?;
                let length = path::readlinkat(parent, name, &mut text)?.len();
                if let Some(byte) = self.bytes.get_mut(end) {
                    *byte = after;
                }
                self.replace(start, end, text.get(..length).unwrap_or_default())?;
                Ok(None)
            }
        }
    }

    fn name(&self, start: usize) -> Result<&CStr, Errno> {
        CStr::from_bytes_until_nul(self.bytes.get(start..).unwrap_or_default()).map_err(|_| Errno::ENAMETOOLONG)
    }

    fn step_named(
        &self,
        root: BorrowedFd<'_>,
        parent: BorrowedFd<'_>,
        start: usize,
        kind: Make,
    ) -> Result<Step, Errno> {
        let prefix = CStr::from_bytes_until_nul(&self.bytes).map_err(|_| Errno::ENAMETOOLONG)?;
        match open(root, prefix, 0) {
            Err(Errno::ENOENT) => {}
            other => return other.map(Step::Open),
        }
        let name = self.name(start)?;
        if name == c".." || name == c"." {
            return Err(Errno::ENOENT);
        }
        let made = match kind {
            Make::Directory => path::mkdirat(parent, name, 0o755),
            Make::File => path::mknodat(parent, name, libc::S_IFREG | 0o644, 0, 0),
        };
        match made {
            // Something is there, but it could not be opened: a link to nowhere, unless somebody made it just now.
            Err(Errno::EEXIST) => match open(root, prefix, 0) {
                Err(Errno::ENOENT) => return Ok(Step::Dangling),
                other => return other.map(Step::Open),
            },
            other => other?,
        }
        let flags = libc::O_PATH | libc::O_NOFOLLOW;
        path::openat2(parent, name, flags, 0, resolve::BENEATH | resolve::NO_SYMLINKS).map(Step::Open)
    }

    /// Puts the text of the link that stands from `start` to `end` in its place.
    fn replace(&mut self, start: usize, end: usize, text: &[u8]) -> Result<(), Errno> {
        let mut new = [0u8; PATH_MAX];
        let mut length = 0;
        let mut push = |bytes: &[u8]| -> Result<(), Errno> {
            new.get_mut(length..length + bytes.len()).ok_or(Errno::ENAMETOOLONG)?.copy_from_slice(bytes);
            length += bytes.len();
            Ok(())
        };
        if text.first() != Some(&b'/') {
            push(self.bytes.get(..start).unwrap_or_default())?;
        }
        push(text)?;
        push(self.bytes.get(end..self.length).unwrap_or_default())?;
        if length >= PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        self.bytes = new;
        self.length = length;
        Ok(())
    }
}

enum Step {
    Open(OwnedFd),
    Dangling,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn root() -> (tempfile::TempDir, OwnedFd) {
        let dir = tempfile::tempdir().expect("temporary directory");
        let inside = dir.path().join("root");
        fs::create_dir(&inside).expect("root");
        let path = CString::new(inside.to_str().expect("utf-8")).expect("no nul");
        let fd = path::open_path(&path, libc::O_DIRECTORY).expect("open root");
        (dir, fd)
    }

    #[test]
    fn makes_directories_and_a_file() {
        let (dir, fd) = root();
        open_or_make(fd.as_fd(), c"a/b/c", Make::Directory).expect("directory");
        open_or_make(fd.as_fd(), c"a/b/file", Make::File).expect("file");
        assert!(dir.path().join("root/a/b/c").is_dir());
        assert!(dir.path().join("root/a/b/file").is_file());
    }

    #[test]
    fn a_dangling_link_is_followed_inside_the_root() {
        let (dir, fd) = root();
        let inside = dir.path().join("root");
        fs::create_dir(inside.join("etc")).expect("etc");
        symlink("../run/resolv.conf", inside.join("etc/resolv.conf")).expect("link");
        symlink("/../../../outside/x", inside.join("out")).expect("link");
        open_or_make(fd.as_fd(), c"etc/resolv.conf", Make::File).expect("file behind a link");
        open_or_make(fd.as_fd(), c"out/y", Make::Directory).expect("directory behind a link");
        assert!(inside.join("run/resolv.conf").is_file());
        assert!(!dir.path().join("outside").exists());
        assert!(inside.join("outside/x/y").is_dir());
    }

    #[test]
    fn links_that_lead_in_circles_end() {
        let (dir, fd) = root();
        symlink("b", dir.path().join("root/a")).expect("link");
        symlink("a", dir.path().join("root/b")).expect("link");
        assert_eq!(open_or_make(fd.as_fd(), c"a/x", Make::Directory).expect_err("a loop"), Errno::ELOOP);
    }

    #[test]
    fn the_parent_of_a_path_is_made_and_the_name_returned() {
        let (dir, fd) = root();
        let mut name = [0u8; 256];
        let (_parent, last) = parent_of(fd.as_fd(), c"dev/net/tun", &mut name).expect("parent");
        assert_eq!(last, c"tun");
        assert!(dir.path().join("root/dev/net").is_dir());
    }
}
