//! Opening a file to read it by a path that is its name: from the root, without `.` and `..`, and without links. It is what
//! most openings are, and takes half of what others do, since nothing has to be asked about the name.
//!
//! ```text
//! path ──► rules ──► lstat ──► openat2 without links ──► fstat
//!                     │
//!                     └─ENOENT──► openat2 without links, O_PATH ──► ENOENT
//! ```
//!
//! That the kernel has come to the file without a link says that this was its name while it was looked for. No directory on
//! the way gets another name meanwhile by which rules would say something else of what is in it: the container's own renames of
//! such directories are refused (`give`).
//!
//! Whatever is not as expected is left to the other way, which finds out why. Nothing has happened then: opening a file or a
//! directory to read it leaves no trace. That of a FIFO or a device may, which is what lstat is for. One may appear in its place
//! before it is opened, but not be given to anybody, and who put it there had it opened by whoever opened this path then.

use super::{Opened, Opener};
use crate::decision::Work;
use crate::handlers::files::{FLAGS, O_LARGEFILE, RESOLVE_AT};
use crate::policy::files::Verdict;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, FcntlArg, OFlag, fcntl};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use zviz_sys::fd;
use zviz_sys::path::{self, resolve};

/// What an opening to read may ask for beside that.
const FLAGS_KNOWN: i32 =
    libc::O_CLOEXEC | libc::O_DIRECTORY | libc::O_NOCTTY | libc::O_NOFOLLOW | libc::O_NONBLOCK | O_LARGEFILE;
/// ELOOP at the first link.
const NO_LINKS: u64 = resolve::NO_MAGICLINKS | resolve::NO_SYMLINKS;

impl Opener<'_> {
    /// Opens it; none if it takes more than this. It may be about a caller that is gone: all that comes of it is a descriptor.
    pub(in super::super) fn open_plain(&self, work: &Work) -> Option<Opened> {
        let path = work.texts[0].as_deref().filter(|path| is_plain(path))?;
        let flags = i32::try_from(*work.numbers.get(FLAGS)?).ok()?;
        // Of O_RDONLY no bit is set.
        if flags & !FLAGS_KNOWN != 0 || work.numbers.get(RESOLVE_AT) != Some(&0) {
            return None;
        }
        let ruling = self.rules.ask(path, true, false);
        if !matches!(ruling.verdict, Verdict::Allow | Verdict::Audit) {
            return None;
        }
        let text = CString::new(path).ok()?;
        match path::stat_link(&text) {
            Ok(stat) if self.is_quiet(&stat) => {
                let file = self.open_quiet(&text, flags)?;
                Some(Opened { result: Ok(file), judged: Some((ruling, path.to_vec())) })
            }
            Err(Errno::ENOENT) if is_absent(&text) => Some(Opened { result: Err(Errno::ENOENT), judged: None }),
            _ => None,
        }
    }

    fn open_quiet(&self, text: &CStr, flags: i32) -> Option<OwnedFd> {
        // Neither the holder of a lease is waited for, nor whoever may be at the other end of what has just appeared.
        let file = path::openat2_once(AT_FDCWD, text, flags | libc::O_NONBLOCK | libc::O_NOCTTY, NO_LINKS).ok()?;
        if !self.is_quiet(&fd::stat(file.as_fd()).ok()?) {
            return None;
        }
        if flags & libc::O_NONBLOCK == 0 {
            // Programs look at it.
            fcntl(&file, FcntlArg::F_SETFL(OFlag::from_bits_retain(flags))).ok()?;
        }
        Some(file)
    }

    /// Whether opening it to read does nothing to anybody. A proc that shows this process itself is not for this way either.
    fn is_quiet(&self, stat: &libc::stat) -> bool {
        matches!(stat.st_mode & libc::S_IFMT, libc::S_IFREG | libc::S_IFDIR) && stat.st_dev != self.host_proc
    }
}

/// Whether nothing is there for anybody: no link was in the way, of which proc has some that lead each process elsewhere.
fn is_absent(text: &CStr) -> bool {
    path::openat2_once(AT_FDCWD, text, libc::O_PATH | libc::O_NOFOLLOW, NO_LINKS)
        .is_err_and(|errno| errno == Errno::ENOENT)
}

/// Whether a path without links is the name of what it leads to, as the kernel would write it.
fn is_plain(path: &[u8]) -> bool {
    let Some(rest) = path.strip_prefix(b"/") else { return false };
    rest.split(|byte| *byte == b'/').all(|part| !matches!(part, b"" | b"." | b".."))
}

#[cfg(test)]
mod tests {
    use super::*;

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
