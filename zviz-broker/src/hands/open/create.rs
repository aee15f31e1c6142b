//! Opening what may have to be made first: O_CREAT. Its name is that of its directory and the last component, which is opened
//! without following a link, so that it is made, or opened, there and nowhere else.

use super::super::wire::Report;
use super::{Call, Opener, blocks, name, open_now};
use crate::policy::files::Ruling;
use nix::errno::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use zviz_sys::fd;
use zviz_sys::path::{self, resolve};

/// MAXSYMLINKS of the kernel.
const LINKS: usize = 40;
/// PROC_SUPER_MAGIC, linux/magic.h.
pub(super) const PROC: i64 = 0x9fa0;

impl Opener<'_> {
    pub(super) fn create(
        &self,
        call: &Call<'_>,
        judged: &mut Option<(Ruling, Vec<u8>)>,
        report: &Report<'_>,
    ) -> Result<OwnedFd, Errno> {
        let mut path = call.path.to_vec();
        let only_new = call.flags & libc::O_EXCL != 0;
        for _ in 0..=LINKS {
            let (directory, last) = split(&path);
            let directory = self.find(call, directory, libc::O_DIRECTORY)?;
            if matches!(last, b"" | b"." | b"..") {
                // Who may not search it is not told what is in it.
                path::openat2(directory.file.as_fd(), c".", libc::O_PATH, 0, resolve::NO_MAGICLINKS)?;
                return Err(if only_new && !last.is_empty() { Errno::EEXIST } else { Errno::EISDIR });
            }
            let text = CString::new(last).map_err(|_| Errno::EINVAL)?;
            let here = call.resolve & (resolve::NO_XDEV | resolve::NO_SYMLINKS) | resolve::NO_MAGICLINKS;
            let there = match path::openat2(directory.file.as_fd(), &text, libc::O_PATH | libc::O_NOFOLLOW, 0, here) {
                Ok(file) => Some((fd::stat(file.as_fd())?, file)),
                Err(Errno::ENOENT) => None,
                Err(errno) => return Err(errno),
            };
            let is_link = |stat: &libc::stat| stat.st_mode & libc::S_IFMT == libc::S_IFLNK;
            if let Some((_, link)) = there.as_ref().filter(|(stat, _)| is_link(stat) && !only_new) {
                if call.flags & libc::O_NOFOLLOW != 0 {
                    return Err(Errno::ELOOP);
                }
                if fd::filesystem_magic(link.as_fd())? == PROC {
                    // There is something behind it, or nothing can be made there.
                    let found = self.find(call, &path, 0)?;
                    return self.reopen(call, &found, judged, report);
                }
                path = self.follow(call, &path, link)?;
                continue;
            }
            let of_directory = fd::stat(directory.file.as_fd())?;
            let full = name::below(self.name(&directory, &of_directory)?, last);
            self.judge(call, there.as_ref().map_or(&of_directory, |(stat, _)| stat), full, judged, report)?;
            if there.is_some_and(|(stat, _)| blocks(&stat)) && call.flags & libc::O_NONBLOCK == 0 {
                report.blocks()?;
            }
            // Not by O_NOFOLLOW, which the caller would see on the descriptor.
            let (at, no_link) = (directory.file.as_fd(), resolve::NO_MAGICLINKS | resolve::NO_SYMLINKS);
            let open = |flags| path::openat2_once(at, &text, flags, call.mode, no_link);
            match open_now(call.flags, report, libc::S_IFREG, open) {
                // A link has appeared there.
                Err(Errno::ELOOP) if call.flags & libc::O_NOFOLLOW == 0 => {}
                other => return other,
            }
        }
        Err(Errno::ELOOP)
    }

    /// The path that a link at the end of a path stands for.
    fn follow(&self, call: &Call<'_>, path: &[u8], link: &OwnedFd) -> Result<Vec<u8>, Errno> {
        // Whether the caller may follow it at all is the kernel's to say (fs.protected_symlinks), not what is behind it.
        match self.find(call, path, 0) {
            // What ends with a slash is no file's name, which is said in another way of what may have to be made.
            Ok(_) | Err(Errno::ENOENT | Errno::ELOOP | Errno::ENOTDIR) => {}
            Err(errno) => return Err(errno),
        }
        let mut buffer = [0u8; 4097];
        let text = path::readlinkat(link.as_fd(), c"", &mut buffer)?;
        let mut target = if text.starts_with(b"/") { Vec::new() } else { split(path).0.to_vec() };
        if !target.is_empty() {
            target.push(b'/');
        }
        target.extend_from_slice(text);
        // From the root of the call, if it has one of its own, and not out of it.
        if text.starts_with(b"/") && call.resolve & resolve::BENEATH != 0 {
            return Err(Errno::EXDEV);
        }
        if target.len() >= crate::memory::PATH_MAX { Err(Errno::ENAMETOOLONG) } else { Ok(target) }
    }
}

/// The directory, and the last component, which is empty where a slash ends the path.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |at| at + 1);
    let (whole, slashes) = path.split_at(end);
    match whole.iter().rposition(|byte| *byte == b'/') {
        _ if whole.is_empty() => (path, b""),
        Some(at) => {
            let (directory, last) = whole.split_at(at + 1);
            (directory, if slashes.is_empty() { last } else { b"" })
        }
        None => (b".", if slashes.is_empty() { path } else { b"" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_split_at_their_last_component() {
        for (path, directory, last) in [
            ("a", ".", "a"),
            ("/a", "/", "a"),
            ("a/b", "a/", "b"),
            ("a//", ".", ""),
            ("/a/b/", "/a/", ""),
            ("//", "//", ""),
        ] {
            assert_eq!(split(path.as_bytes()), (directory.as_bytes(), last.as_bytes()), "{path}");
        }
    }
}
