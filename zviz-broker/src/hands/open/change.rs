//! Changing files other than by opening them: removed, made, cut short, given another mode.
//!
//! ```text
//! remove, make:  O_PATH of the directory ──► its name + last component ──► rules ──► unlinkat, mkdirat or mknodat there
//! cut, chmod:    O_PATH of the file ──► its name ──► rules ──► this very file, by its number in /proc/self/fd
//! ```

use super::super::wire::Report;
use super::give::{Judged, Place};
use super::{Found, Opener, name};
use crate::decision::{Op, Work};
use crate::handlers::changes::OF_DESCRIPTOR;
use nix::errno::Errno;
use nix::sys::stat::Mode;
use std::os::fd::{AsFd, BorrowedFd};
use zviz_sys::path::{self, resolve};
use zviz_sys::{fd, process};

/// One call.
pub(super) struct Change<'w> {
    pub work: &'w Work,
    pub thread: i32,
    /// Where its path begins, or the descriptor that it is about.
    pub from: BorrowedFd<'w>,
}

impl Opener<'_> {
    pub(super) fn change(&self, change: &Change<'_>, judged: &mut Judged, report: &Report<'_>) -> Result<(), Errno> {
        let Change { work, thread, from } = *change;
        let path = work.texts[1].as_deref().unwrap_or_default();
        let number = |at: usize| u32::try_from(work.numbers.get(at).copied().unwrap_or_default());
        let write = (false, true);
        match work.op {
            Op::Remove => {
                let flags = i32::try_from(work.numbers[0]).map_err(|_| Errno::EINVAL)?;
                let place = self.place(thread, from, path, nothing(path, flags))?;
                if !place.exists()? {
                    return Err(Errno::ENOENT);
                }
                self.consider(&fd::stat(place.directory.as_fd())?, place.name, write, judged, report)?;
                path::unlinkat(place.directory.as_fd(), &place.last, flags)
            }
            Op::Make => {
                let mode = number(0).map_err(|_| Errno::EINVAL)?;
                let place = self.place(thread, from, path, Errno::EEXIST)?;
                if place.exists()? {
                    return Err(Errno::EEXIST);
                }
                self.consider(&fd::stat(place.directory.as_fd())?, place.name, write, judged, report)?;
                process::set_umask(self.proc.umask(thread).map_err(|_| Errno::EACCES)?);
                let directory = place.directory.as_fd();
                if mode & libc::S_IFMT == libc::S_IFDIR {
                    let _turn = self.turns.wait()?;
                    path::mkdirat(directory, &place.last, mode & !libc::S_IFMT)
                } else {
                    path::mknodat(directory, &place.last, mode, 0, 0)
                }
            }
            Op::Truncate => {
                let length = i64::try_from(work.numbers[0]).map_err(|_| Errno::EINVAL)?;
                let file = self.existing(thread, from, path, libc::AT_SYMLINK_FOLLOW)?;
                let stat = fd::stat(file.file.as_fd())?;
                match stat.st_mode & libc::S_IFMT {
                    libc::S_IFREG => {}
                    libc::S_IFDIR => return Err(Errno::EISDIR),
                    _ => return Err(Errno::EINVAL),
                }
                self.consider(&stat, self.name(&file, &stat)?, write, judged, report)?;
                if length > stat.st_size && !self.may_be_as_long(thread, length)? {
                    return Err(Errno::EFBIG);
                }
                let file = self.again(&file, libc::O_WRONLY | libc::O_NONBLOCK)?;
                nix::unistd::ftruncate(file, length)
            }
            Op::Chmod => {
                let mode = number(0).map_err(|_| Errno::EINVAL)?;
                let of_descriptor = work.numbers[2] == OF_DESCRIPTOR;
                let flags = if of_descriptor { libc::AT_EMPTY_PATH } else { number(2).map_or(0, u32::cast_signed) };
                let follow = if flags & libc::AT_SYMLINK_NOFOLLOW == 0 { libc::AT_SYMLINK_FOLLOW } else { 0 };
                let file = self.existing(thread, from, path, flags | follow)?;
                let stat = fd::stat(file.file.as_fd())?;
                self.consider(&stat, self.name(&file, &stat)?, write, judged, report)?;
                if stat.st_mode & libc::S_IFMT == libc::S_IFLNK {
                    return Err(Errno::EOPNOTSUPP);
                }
                if of_descriptor {
                    // With an O_PATH descriptor it fails, as it would.
                    return nix::sys::stat::fchmod(&file.file, Mode::from_bits_truncate(mode));
                }
                path::chmodat(self.own.as_fd(), &name::number(file.file.as_fd())?, mode)
            }
            _ => Err(Errno::ENOSYS),
        }
    }

    fn again(&self, file: &Found, flags: i32) -> Result<std::os::fd::OwnedFd, Errno> {
        path::openat(self.own.as_fd(), &name::number(file.file.as_fd())?, flags, 0)
    }

    /// Whether the caller's own limit lets a file be so long: this process has none. getrlimit(2), RLIMIT_FSIZE.
    fn may_be_as_long(&self, thread: i32, length: i64) -> Result<bool, Errno> {
        let limits = self.proc.text(thread, "limits").map_err(|_| Errno::EACCES)?;
        let most = limits.lines().find_map(|line| line.strip_prefix("Max file size")?.split_ascii_whitespace().next());
        match most {
            Some("unlimited") => Ok(true),
            Some(most) => Ok(most.parse::<i64>().is_ok_and(|most| length <= most)),
            None => Err(Errno::EACCES),
        }
    }
}

impl Place {
    /// Whether something has this name. It decides nothing but which error there is.
    fn exists(&self) -> Result<bool, Errno> {
        let last = self.last.to_bytes();
        let last = last.strip_suffix(b"/").unwrap_or(last);
        let last = std::ffi::CString::new(last).map_err(|_| Errno::EINVAL)?;
        let flags = libc::O_PATH | libc::O_NOFOLLOW;
        match path::openat2(self.directory.as_fd(), &last, flags, 0, resolve::NO_MAGICLINKS) {
            Ok(_) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            // The name is too long, or the directory not to be searched.
            Err(errno) => Err(errno),
        }
    }
}

/// What the kernel says to the removal of what is no name in a directory.
fn nothing(path: &[u8], flags: i32) -> Errno {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |at| at + 1);
    let whole = path.get(..end).unwrap_or_default();
    if flags & libc::AT_REMOVEDIR == 0 {
        Errno::EISDIR
    } else if whole.is_empty() {
        Errno::EBUSY
    } else if whole == b".." || whole.ends_with(b"/..") {
        Errno::ENOTEMPTY
    } else {
        Errno::EINVAL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_name_is_not_removed_as_by_the_kernel() {
        for (path, file, folder) in [
            ("/", Errno::EISDIR, Errno::EBUSY),
            (".", Errno::EISDIR, Errno::EINVAL),
            ("a/./", Errno::EISDIR, Errno::EINVAL),
            ("../..", Errno::EISDIR, Errno::ENOTEMPTY),
        ] {
            assert_eq!(nothing(path.as_bytes(), 0), file, "{path}");
            assert_eq!(nothing(path.as_bytes(), libc::AT_REMOVEDIR), folder, "{path}");
        }
    }
}
