//! Opening a file to read it by a path that is its name: from the root, without `.` and `..`, and without links. It is what
//! most openings are, and takes half of what others do, since nothing has to be asked about the name.
//!
//! ```text
//! path ──► rules ──► lstat ──► openat2 without links ──► fstat
//!            │        └─ENOENT──► openat2 without links, O_PATH ──► ENOENT
//!            └─ known, and what it is will not change ──► openat2 without links ──► fstat
//! ```
//!
//! That the kernel has come to the file without a link says that this was its name while it was looked for. No directory on
//! the way gets another name meanwhile by which rules would say something else of what is in it: the container's own renames of
//! such directories are refused (`give`).
//!
//! Whatever is not as expected is left to the other way, which finds out why. Nothing has happened then: opening a file or a
//! directory to read it leaves no trace. That of a FIFO or a device may, which is what lstat is for. One may appear in its place
//! before it is opened, but not be given to anybody, and who put it there had it opened by whoever opened this path then. Where a
//! path leads to the same each time, as far as the container goes, it is left out: `known`.

use super::known::Known;
use super::{Opened, Opener, create};
use crate::decision::Work;
use crate::handlers::files::{FLAGS, O_LARGEFILE, RESOLVE_AT};
use crate::policy::files::Verdict;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, FcntlArg, OFlag, fcntl};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use zviz_sys::fd;
use zviz_sys::path::{self, resolve};

/// What an opening to read may ask for beside that.
const FLAGS_KNOWN: i32 =
    libc::O_CLOEXEC | libc::O_DIRECTORY | libc::O_NOCTTY | libc::O_NOFOLLOW | libc::O_NONBLOCK | O_LARGEFILE;

/// What may be read this way.
const READ: &[libc::mode_t] = &[libc::S_IFREG, libc::S_IFDIR];

/// Directories that were not come to without a link, the latest: what is in them is not tried again this way, which would be
/// in vain most of the time. Where a link has gone since, the other way does as well.
#[derive(Default)]
pub(super) struct Linked(RefCell<VecDeque<Vec<u8>>>);

/// How many.
const LINKED: usize = 8;

impl Linked {
    pub(super) fn has(&self, directory: &[u8]) -> bool {
        self.0.borrow().iter().any(|one| one == directory)
    }

    pub(super) fn add(&self, directory: &[u8]) {
        let mut latest = self.0.borrow_mut();
        latest.truncate(LINKED - 1);
        latest.push_front(directory.to_vec());
    }
}

impl Opener<'_> {
    /// Opens it; none if it takes more than this. It may be about a caller that is gone: all that comes of it is a descriptor.
    pub(in super::super) fn open_plain(&self, work: &Work) -> Option<Opened> {
        let path = work.texts[0].as_deref().filter(|path| is_plain(path))?;
        let flags = i32::try_from(*work.numbers.get(FLAGS)?).ok()?;
        // Of O_RDONLY no bit is set.
        if flags & !FLAGS_KNOWN != 0 || work.numbers.get(RESOLVE_AT) != Some(&0) {
            return None;
        }
        let known = self.paths.find(path);
        let (directory, _) = create::split(path);
        if known.is_none() && self.linked.has(directory) {
            return None;
        }
        let ruling = known.map_or_else(|| self.rules.ask(path, true, false), |known| known.ruling);
        if !matches!(ruling.verdict, Verdict::Allow | Verdict::Audit) {
            return None;
        }
        let text = CString::new(path).ok()?;
        let opened = match known {
            Some(Known { keeps: Some(true), .. }) => self.open_quiet(&text, flags, 0, READ),
            _ => self.look_and_open(&text, flags),
        };
        match opened {
            Ok(Some(file)) => {
                self.paths.opened(path, known, ruling, &file).ok()?;
                Some(Opened { result: Ok(file), judged: Some((ruling, path.to_vec())) })
            }
            Ok(None) => {
                self.paths.forget(path);
                None
            }
            // Nothing is there for anybody.
            Err(Errno::ENOENT) => Some(Opened { result: Err(Errno::ENOENT), judged: None }),
            Err(Errno::ELOOP) => {
                self.paths.forget(path);
                self.linked.add(directory);
                None
            }
            Err(_) => None,
        }
    }

    /// None if opening it might do something, or none of the things that are looked for here is there.
    fn look_and_open(&self, text: &CStr, flags: i32) -> Result<Option<OwnedFd>, Errno> {
        match path::stat_link(text) {
            Ok(stat) if self.is_quiet(&stat, READ) => self.open_quiet(text, flags, 0, READ),
            Ok(_) => Ok(None),
            // A link that leads elsewhere for each process, of which proc has some, would be in the way.
            Err(Errno::ENOENT) => without_links(text, libc::O_PATH | libc::O_NOFOLLOW, 0).map(|_| None),
            Err(errno) => Err(errno),
        }
    }

    /// Opens it, or makes it. None if it is something else by now.
    ///
    /// # Errors
    /// Those of `without_links`.
    pub(super) fn open_quiet(
        &self,
        text: &CStr,
        flags: i32,
        mode: u32,
        kinds: &[libc::mode_t],
    ) -> Result<Option<OwnedFd>, Errno> {
        // Neither the holder of a lease is waited for, nor whoever may be at the other end of what has just appeared.
        let file = without_links(text, flags | libc::O_NONBLOCK | libc::O_NOCTTY, mode)?;
        if !self.is_quiet(&fd::stat(file.as_fd())?, kinds) {
            return Ok(None);
        }
        if flags & libc::O_NONBLOCK == 0 {
            // Programs look at it.
            fcntl(&file, FcntlArg::F_SETFL(OFlag::from_bits_retain(flags)))?;
        }
        Ok(Some(file))
    }

    /// Whether opening it does nothing to anybody. A proc that shows this process itself is not for this way either.
    pub(super) fn is_quiet(&self, stat: &libc::stat, kinds: &[libc::mode_t]) -> bool {
        kinds.contains(&(stat.st_mode & libc::S_IFMT)) && stat.st_dev != self.host_proc
    }
}

/// Opens what a path leads to, or makes it, if there is no link on the way.
///
/// # Errors
/// ELOOP if there is; EAGAIN if somebody has a lease on it.
pub(super) fn without_links(text: &CStr, flags: i32, mode: u32) -> Result<OwnedFd, Errno> {
    path::openat2_once(AT_FDCWD, text, flags, mode, resolve::NO_MAGICLINKS | resolve::NO_SYMLINKS)
}

/// Whether a path without links is the name of what it leads to, as the kernel would write it.
pub(super) fn is_plain(path: &[u8]) -> bool {
    let Some(rest) = path.strip_prefix(b"/") else { return false };
    rest.split(|byte| *byte == b'/').all(|part| !matches!(part, b"" | b"." | b".."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_directories_are_known() {
        let linked = Linked::default();
        for number in 0..20 {
            linked.add(format!("/{number}/").as_bytes());
        }
        let known: Vec<i32> = (0..20).filter(|number| linked.has(format!("/{number}/").as_bytes())).collect();
        assert_eq!(known, [12, 13, 14, 15, 16, 17, 18, 19]);
    }

    #[test]
    fn a_path_is_a_name_if_the_kernel_would_write_it_so() {
        for plain in ["/a", "/a/b.c", "/a/...", "/.a/..b", "/a b/\n"] {
            assert!(is_plain(plain.as_bytes()), "{plain}");
        }
        for other in ["", "/", "a", "a/b", "//a", "/a//b", "/a/", "/./a", "/a/.", "/../a", "/a/..", "/a/../b"] {
            assert!(!is_plain(other.as_bytes()), "{other}");
        }
    }
}
