//! The host's proc, where the hands look up threads and themselves, and the container's namespaces, which they join by way
//! of it.

use super::status::{read_status, umask_in};
use nix::errno::Errno;
use nix::unistd::{Gid, Uid, setresgid, setresuid};
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use zviz_sys::path;
use zviz_sys::{fd, ids, process};

/// The host's proc.
pub(super) struct Proc(pub OwnedFd);

/// What was joined.
pub(super) enum Joined {
    /// A user namespace: this process has every right in it, and none elsewhere.
    Users,
    /// None, since the container has the same one: this process has the rights that it had.
    NoUsers,
}

impl Proc {
    pub(super) fn open(&self, thread: i32, file: &str, flags: i32) -> Result<OwnedFd, Errno> {
        let name = CString::new(format!("{thread}/{file}")).map_err(|_| Errno::EINVAL)?;
        // Beneath, but for the last component, which may be one of proc's own links.
        path::openat2(self.0.as_fd(), &name, flags, 0, 0)
    }

    /// One of a thread's files, whole.
    pub(super) fn text(&self, thread: i32, file: &str) -> Result<String, Errno> {
        read_all(&self.open(thread, file, libc::O_RDONLY)?)
    }

    /// A thread's umask.
    pub(super) fn umask(&self, thread: i32) -> Result<u32, Errno> {
        let status = self.open(thread, "status", libc::O_RDONLY)?;
        // Its second line, after a name of at most 16 bytes, each of which is four where it would end the line.
        let mut begin = [0u8; 128];
        let length = fd::read(status.as_fd(), &mut begin)?;
        umask_in(begin.get(..length).unwrap_or_default()).ok_or(Errno::EINVAL)
    }

    /// One of this process's own files.
    pub(super) fn own(&self, file: &str) -> Result<OwnedFd, Errno> {
        let name = CString::new(format!("self/{file}")).map_err(|_| Errno::EINVAL)?;
        path::openat2(self.0.as_fd(), &name, libc::O_RDONLY, 0, 0)
    }

    /// One of this process's own files, whole.
    pub(super) fn own_text(&self, file: &str) -> Result<String, Errno> {
        read_all(&self.own(file)?)
    }

    /// One of this process's own files, to be written.
    pub(super) fn own_writable(&self, file: &str) -> Result<OwnedFd, Errno> {
        let name = CString::new(format!("self/{file}")).map_err(|_| Errno::EINVAL)?;
        path::openat2(self.0.as_fd(), &name, libc::O_WRONLY, 0, 0)
    }

    /// Joins the user and mount namespaces of the container's init, both or none.
    pub(super) fn join(&self, init: BorrowedFd<'_>) -> Result<Joined, Errno> {
        let pid = pid_of(self, init)?;
        let of = |flag: i32, file: &str| -> Result<u64, Errno> {
            let theirs = inode(&self.open(pid, &format!("ns/{file}"), libc::O_RDONLY)?)?;
            let differs = theirs != inode(&self.own(&format!("ns/{file}"))?)?;
            Ok(if differs { u64::from(flag.cast_unsigned()) } else { 0 })
        };
        let new_user = of(libc::CLONE_NEWUSER, "user")?;
        let flags = new_user | of(libc::CLONE_NEWNS, "mnt")?;
        if flags != 0 {
            process::setns(init, flags)?;
        }
        Ok(if new_user == 0 { Joined::NoUsers } else { Joined::Users })
    }

    /// Becomes somebody in the user namespace that was joined.
    pub(super) fn settle(&self) -> Result<(), Errno> {
        // The host's root is nobody in there, and yet the owner of the host's files: it must not be who acts here.
        let (uid, gid) = (self.first_mapped("uid_map")?, self.first_mapped("gid_map")?);
        ids::keep_capabilities(true)?;
        match ids::set_groups(&[]) {
            // A namespace of one id, whose processes keep the groups of who made it.
            Err(Errno::EPERM) => {}
            other => other?,
        }
        setresgid(Gid::from_raw(gid), Gid::from_raw(gid), Gid::from_raw(gid))?;
        setresuid(Uid::from_raw(uid), Uid::from_raw(uid), Uid::from_raw(uid))?;
        self.raise()
    }

    /// The bounding set and the permitted set of the process of a pidfd, or of this one.
    pub(super) fn sets(&self, of: Option<BorrowedFd<'_>>) -> Result<(u64, u64), Errno> {
        let status = match of {
            Some(pidfd) => self.open(pid_of(self, pidfd)?, "status", libc::O_RDONLY)?,
            None => self.own("status")?,
        };
        let text = read_all(&status)?;
        let set = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).ok_or(Errno::EINVAL)
        };
        Ok((set("CapBnd")?, set("CapPrm")?))
    }

    /// Makes effective what is permitted.
    pub(super) fn raise(&self) -> Result<(), Errno> {
        let permitted = read_status(&self.own("status")?)?.0.permitted;
        ids::set_capabilities(permitted, permitted, 0)?;
        // Changing ids has made it dumpable, where the host is set up so.
        ids::set_dumpable(false)
    }

    fn first_mapped(&self, file: &str) -> Result<u32, Errno> {
        let text = read_all(&self.own(file)?)?;
        text.split_ascii_whitespace().next().and_then(|first| first.parse().ok()).ok_or(Errno::EINVAL)
    }
}

/// The number that a pidfd stands for. pidfd_open(2): `Pid:` in its fdinfo, in the pid namespace of the proc.
fn pid_of(proc: &Proc, pidfd: BorrowedFd<'_>) -> Result<i32, Errno> {
    let text = read_all(&proc.own(&format!("fdinfo/{}", pidfd.as_raw_fd()))?)?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pid:"));
    line.and_then(|pid| pid.trim().parse().ok()).filter(|pid| *pid > 0).ok_or(Errno::ESRCH)
}

/// What tells a namespace from all others.
pub(super) fn inode(namespace: &OwnedFd) -> Result<u64, Errno> {
    Ok(fd::stat(namespace.as_fd())?.st_ino)
}

/// A file, whole. A thread's name may be in it, which is any bytes: programs cut names at 15, and so within characters.
pub(super) fn read_all(file: &OwnedFd) -> Result<String, Errno> {
    read_bytes(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// A file, whole, as it is.
pub(super) fn read_bytes(file: &OwnedFd) -> Result<Vec<u8>, Errno> {
    let mut text = Vec::new();
    let mut chunk = [0u8; 4096];
    loop {
        match fd::read(file.as_fd(), &mut chunk)? {
            0 => return Ok(text),
            got => text.extend_from_slice(chunk.get(..got).unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pidfd_has_its_number() {
        let own = i32::try_from(std::process::id()).unwrap();
        let pidfd = process::pidfd_open(own).unwrap();
        assert_eq!(pid_of(&host(), pidfd.as_fd()), Ok(own));
        assert!(pid_of(&host(), host().0.as_fd()).is_err());
    }

    fn host() -> Proc {
        Proc(path::open(c"/proc", libc::O_PATH | libc::O_DIRECTORY).unwrap())
    }
}
