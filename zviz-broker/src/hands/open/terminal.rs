//! /dev/tty: the terminal of whoever opens it. A hand has none; the caller's is found by its number.

use super::super::proc::Proc;
use nix::errno::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use zviz_sys::fd;
use zviz_sys::path::{self, resolve};

/// Documentation/admin-guide/devices.txt: /dev/tty, and the first of the eight majors of pseudo terminals.
const TTY: u64 = 0x500;
const PTS: u32 = 136;
const MAJORS: u32 = 8;
/// `tty_nr` among the fields after the command's name. proc_pid_stat(5).
const FIELD: usize = 4;

/// If `stat` is of /dev/tty, the caller's terminal, not opened.
///
/// # Errors
/// ENXIO if it has none, as from the kernel, or one that is not in its /dev/pts.
pub(super) fn of_caller(proc: &Proc, thread: i32, stat: &libc::stat) -> Result<Option<OwnedFd>, Errno> {
    if stat.st_mode & libc::S_IFMT != libc::S_IFCHR || stat.st_rdev != TTY {
        return Ok(None);
    }
    let text = proc.text(thread, "stat").map_err(|_| Errno::ENXIO)?;
    let (major, minor) = parse(&text).ok_or(Errno::ENXIO)?;
    let index = major.checked_sub(PTS).filter(|above| *above < MAJORS).ok_or(Errno::ENXIO)? * 256 + minor;
    let path = CString::new(format!("/dev/pts/{index}")).map_err(|_| Errno::ENXIO)?;
    let file = path::openat2(
        nix::fcntl::AT_FDCWD,
        &path,
        libc::O_PATH | libc::O_NOFOLLOW,
        0,
        resolve::NO_MAGICLINKS | resolve::NO_SYMLINKS,
    );
    let file = file.map_err(|_| Errno::ENXIO)?;
    let same = fd::stat(file.as_fd()).is_ok_and(|stat| stat.st_rdev == libc::makedev(major, minor));
    if same { Ok(Some(file)) } else { Err(Errno::ENXIO) }
}

/// Major and minor number of the terminal. The name, in parentheses, may hold anything.
fn parse(stat: &str) -> Option<(u32, u32)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let number: i32 = fields.split_ascii_whitespace().nth(FIELD)?.parse().ok()?;
    let number = number.cast_unsigned();
    (number != 0).then_some((number >> 8 & 0xfff, number & 0xff | number >> 12 & 0xfff00))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_found_behind_any_name() {
        assert_eq!(parse("7 (a) b) S 1 7 7 34818 9 4194304"), Some((136, 2)));
        assert_eq!(parse("7 (sh) S 1 7 7 0 -1 4194304"), None);
        assert_eq!(parse("7 (sh"), None);
    }
}
