//! Pseudo-terminals, for use inside a container. Nothing here allocates. pty(7), ioctl_tty(2).
//!
//! Everything below the container's root belongs to its image until proven otherwise, so both ends are taken by
//! descriptor: the master out of a directory that is seen to be a devpts, the other end from the master itself. A path
//! such as /dev/pts/0 is never opened, for it can be a link to anything (CVE-2025-52565).

use crate::path::{openat2, resolve};
use crate::{Errno, Result, fd, mount, owned, path, ret};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

const DEVPTS_SUPER_MAGIC: i64 = 0x1cd1;
/// Unix98 terminals have had these majors since the numbering had only eight bits of minor. devices.txt.
const PEER_MAJORS: std::ops::RangeInclusive<u32> = 136..=143;
const PTMX: (u32, u32) = (5, 2);

/// Opens a new pseudo-terminal of the devpts at dev/pts below `root`, and unlocks its other end. Returns the master.
///
/// # Errors
/// ENOENT if there is no dev/pts/ptmx, ENODEV if what is there is not the ptmx of a devpts; ELOOP if it is reached by a
/// symbolic link; EACCES where the mount has `ptmxmode=000` and the caller no CAP_DAC_OVERRIDE.
pub fn open_in(root: BorrowedFd<'_>) -> Result<OwnedFd> {
    let inside = resolve::IN_ROOT | resolve::NO_MAGICLINKS | resolve::NO_SYMLINKS;
    let devpts = openat2(root, c"dev/pts", libc::O_PATH | libc::O_DIRECTORY, 0, inside)?;
    if fd::filesystem_magic(devpts.as_fd())? != DEVPTS_SUPER_MAGIC {
        return Err(Errno::ENODEV);
    }
    // Without crossing a mount this can only be a node of the devpts itself, where nobody can make one: opening it has
    // no effect but the wanted one.
    let here = resolve::BENEATH | resolve::NO_XDEV | resolve::NO_SYMLINKS;
    let master = openat2(devpts.as_fd(), c"ptmx", libc::O_RDWR | libc::O_NOCTTY, 0, here)?;
    let stat = fd::stat(&master)?;
    if !is_device(&stat) || (libc::major(stat.st_rdev), libc::minor(stat.st_rdev)) != PTMX {
        return Err(Errno::ENODEV);
    }
    unlock(master.as_fd())?;
    Ok(master)
}

/// Opens a new pseudo-terminal of the caller's own /dev, and unlocks its other end. Returns the master.
///
/// # Errors
/// Those of open(2); ENODEV if /dev/ptmx is another device.
pub fn open_own() -> Result<OwnedFd> {
    let master = path::open(c"/dev/ptmx", libc::O_RDWR | libc::O_NOCTTY)?;
    let stat = fd::stat(&master)?;
    if !is_device(&stat) || (libc::major(stat.st_rdev), libc::minor(stat.st_rdev)) != PTMX {
        return Err(Errno::ENODEV);
    }
    unlock(master.as_fd())?;
    Ok(master)
}

/// Lets the other end be opened. TIOCSPTLCK.
fn unlock(master: BorrowedFd<'_>) -> Result<()> {
    let locked: libc::c_int = 0;
    // SAFETY: this request reads one int.
    ret(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK as _, &raw const locked) }.into()).map(drop)
}

/// Opens the other end, from the master. TIOCGPTPEER; it does not become the controlling terminal.
///
/// # Errors
/// ENODEV if what the kernel gives is not a terminal on a devpts.
pub fn peer(master: BorrowedFd<'_>) -> Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: this request takes an integer, and returns a new descriptor.
    let peer = owned(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER as _, flags) }.into())?;
    let stat = fd::stat(&peer)?;
    let known = is_device(&stat) && PEER_MAJORS.contains(&libc::major(stat.st_rdev));
    if !known || fd::filesystem_magic(peer.as_fd())? != DEVPTS_SUPER_MAGIC {
        return Err(Errno::ENODEV);
    }
    Ok(peer)
}

fn is_device(stat: &libc::stat) -> bool {
    stat.st_mode & libc::S_IFMT == libc::S_IFCHR
}

/// The N of /dev/pts/N, in the devpts that the master belongs to. TIOCGPTN.
pub fn number(master: BorrowedFd<'_>) -> Result<u32> {
    let mut number: libc::c_uint = 0;
    // SAFETY: this request writes one unsigned int.
    ret(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTN as _, &raw mut number) }.into())?;
    Ok(number)
}

/// Rows and columns of a terminal, from either end. TIOCGWINSZ.
pub fn size(terminal: BorrowedFd<'_>) -> Result<(u16, u16)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: this request writes one winsize.
    ret(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ as _, &raw mut size) }.into())?;
    Ok((size.ws_row, size.ws_col))
}

/// Sets rows and columns; the foreground group gets SIGWINCH if they change. TIOCSWINSZ.
pub fn set_size(terminal: BorrowedFd<'_>, (rows, columns): (u16, u16)) -> Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: this request reads one winsize.
    ret(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ as _, &raw const size) }.into()).map(drop)
}

/// Makes a terminal the controlling one of the calling session leader. TIOCSCTTY; it is never taken from another session.
pub fn make_controlling(terminal: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: this request takes an integer.
    ret(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY as _, 0) }.into()).map(drop)
}

/// Makes a terminal the standard streams. dup3(2).
pub fn make_stdio(terminal: BorrowedFd<'_>) -> Result<()> {
    (0..=2).try_for_each(|stream| fd::dup_onto_stdio(terminal, stream))
}

/// Puts a terminal on dev/console below `root`, in the caller's mount namespace, making the file that it covers if there
/// is none. open_tree(2), move_mount(2): both places by descriptor.
///
/// # Errors
/// ELOOP if dev/console is a symbolic link.
pub fn mount_on_console(root: BorrowedFd<'_>, terminal: BorrowedFd<'_>) -> Result<()> {
    let inside = resolve::IN_ROOT | resolve::NO_MAGICLINKS | resolve::NO_SYMLINKS;
    let dev = openat2(root, c"dev", libc::O_PATH | libc::O_DIRECTORY, 0, inside)?;
    let here = resolve::BENEATH | resolve::NO_SYMLINKS;
    // Without O_NOFOLLOW, which would give a link itself.
    let open = || openat2(dev.as_fd(), c"console", libc::O_PATH, 0, here);
    let console = match open() {
        Err(Errno::ENOENT) => {
            // A plain file, made without opening it: O_CREAT would open a device that had appeared meanwhile.
            match path::mknodat(dev.as_fd(), c"console", libc::S_IFREG | 0o666, 0, 0) {
                Err(Errno::EEXIST) | Ok(()) => open()?,
                Err(errno) => return Err(errno),
            }
        }
        other => other?,
    };
    mount::attach(mount::clone_tree(terminal, false)?.as_fd(), console.as_fd())
}

/// Gives the standard streams to `uid`, so that the payload can open /dev/stdout again after it has dropped the
/// runtime's identity. Only pipes are given, and terminals where `terminal` says that they are the container's own: a
/// file that the caller has redirected from or to, or the terminal that the caller sits at, would stay the payload's
/// after its end. What cannot be given (EPERM, EINVAL for an unmapped id, EROFS) is left as it is. fchown(2).
///
/// # Errors
/// Any other errno of fstat(2) or fchown(2); a stream that is closed is not an error. EISDIR if a stream is a directory:
/// it would be a way into the host's files, whatever the root is.
pub fn give_stdio(uid: u32, terminal: bool) -> Result<()> {
    for stream in 0..=2 {
        // SAFETY: borrowed only for this turn; a closed number makes fstat say EBADF, which is handled.
        let stream = unsafe { BorrowedFd::borrow_raw(stream) };
        let stat = match fd::stat(stream) {
            Err(Errno::EBADF) => continue,
            other => other?,
        };
        let kind = stat.st_mode & libc::S_IFMT;
        if kind == libc::S_IFDIR {
            return Err(Errno::EISDIR);
        }
        let ours = kind == libc::S_IFIFO || terminal && PEER_MAJORS.contains(&libc::major(stat.st_rdev));
        if stat.st_uid == uid || !ours {
            continue;
        }
        // SAFETY: integers only; -1 leaves the group.
        match ret(unsafe { libc::fchown(stream.as_raw_fd(), uid, u32::MAX) }.into()) {
            Ok(_) | Err(Errno::EPERM | Errno::EINVAL | Errno::EROFS) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
