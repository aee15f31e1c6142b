//! Who a thread is: its namespaces, its root, its ids and its capabilities. While the thread waits for an answer to its call
//! nobody can change any of them, since the kernel lets a thread change its own only.

use super::label;
use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::unistd::{Gid, Uid, setresgid, setresuid};
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use zviz_sys::path;
use zviz_sys::{fd, ids, mount, process};

/// The host's proc.
pub(super) struct Proc(pub OwnedFd);

/// What was joined.
pub(super) enum Joined {
    /// A user namespace: this process has every right in it, and none elsewhere.
    Users,
    /// None, since the container has the same one: this process has the rights that it had.
    NoUsers,
}

/// CLONE_NEW*, and its file below /proc/PID/ns. The user namespace is last: it is joined when the others are. The pid
/// namespace is where a thread is, not where its children will be: a proc shows that of whoever mounts it.
const NAMESPACES: [(i32, &str); 7] = [
    (libc::CLONE_NEWNS, "mnt"),
    (libc::CLONE_NEWNET, "net"),
    (libc::CLONE_NEWIPC, "ipc"),
    (libc::CLONE_NEWUTS, "uts"),
    (libc::CLONE_NEWCGROUP, "cgroup"),
    (libc::CLONE_NEWPID, "pid"),
    (libc::CLONE_NEWUSER, "user"),
];
const PID: usize = 5;
const USER: usize = 6;

/// What two threads have in common that may share a hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    namespaces: [u64; 7],
    root: (u64, u64, u64),
    /// The lines of /proc/PID/status that say who may do what.
    rights: Rights,
    label: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rights {
    /// Real, effective, saved, file system.
    uids: [u32; 4],
    gids: [u32; 4],
    groups: Vec<u32>,
    effective: u64,
    permitted: u64,
}

/// What is known of a thread.
pub(super) struct Seen {
    pub identity: Identity,
    pub umask: u32,
    pub directory: OwnedFd,
    /// The number of its process.
    pub process: i32,
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
        Ok(read_status(&self.open(thread, "status", libc::O_RDONLY)?)?.1)
    }

    fn own(&self, file: &str) -> Result<OwnedFd, Errno> {
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
    fn raise(&self) -> Result<(), Errno> {
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
    use std::os::fd::AsRawFd;
    let text = read_all(&proc.own(&format!("fdinfo/{}", pidfd.as_raw_fd()))?)?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pid:"));
    line.and_then(|pid| pid.trim().parse().ok()).filter(|pid| *pid > 0).ok_or(Errno::ESRCH)
}

/// Who a thread is. It must be waiting; the caller asks the listener afterwards whether it still was.
pub(super) fn look(proc: &Proc, thread: i32) -> Result<Seen, Errno> {
    let mut namespaces = [0; 7];
    for (place, (_, file)) in namespaces.iter_mut().zip(NAMESPACES) {
        *place = inode(&proc.open(thread, &format!("ns/{file}"), libc::O_RDONLY)?)?;
    }
    let root = place(&proc.open(thread, "root", libc::O_PATH | libc::O_DIRECTORY)?)?;
    let status = read_all(&proc.open(thread, "status", libc::O_RDONLY)?)?;
    let (rights, umask) = parse_status(&status).ok_or(Errno::EINVAL)?;
    let process = status.lines().find_map(|line| line.strip_prefix("Tgid:")).and_then(|line| line.trim().parse().ok());
    let directory = proc.open(thread, "cwd", libc::O_PATH | libc::O_DIRECTORY)?;
    let label = label::of(proc, thread)?;
    let identity = Identity { namespaces, root, rights, label };
    Ok(Seen { identity, umask, directory, process: process.ok_or(Errno::EINVAL)? })
}

/// Becomes `identity`, which `thread` has, but for its pid namespace: a process cannot join one itself, and what it forks is
/// seen inside. That is given back, if it is another.
pub(super) fn assume(proc: &Proc, thread: i32, identity: &Identity) -> Result<Option<OwnedFd>, Errno> {
    let root = proc.open(thread, "root", libc::O_PATH | libc::O_DIRECTORY)?;
    // Who shares its root with a process can change it for both (CLONE_FS).
    if place(&root)? != identity.root {
        return Err(Errno::ESTALE);
    }
    let mut joins = Vec::new();
    for (i, (flag, file)) in NAMESPACES.into_iter().enumerate() {
        let theirs = proc.open(thread, &format!("ns/{file}"), libc::O_RDONLY)?;
        if inode(&theirs)? != identity.namespaces.get(i).copied().unwrap_or_default() {
            return Err(Errno::ESTALE);
        }
        if inode(&proc.own(&format!("ns/{file}"))?)? != inode(&theirs)? {
            joins.push((i, flag, theirs));
        }
    }
    let own = read_status(&proc.own("status")?)?.0;
    let label = label::change(proc, &identity.label)?;
    // Everything but the user namespace while this process has every right in the container's.
    for (_, flag, namespace) in joins.iter().filter(|(i, ..)| !matches!(*i, USER | PID)) {
        process::setns(namespace.as_fd(), u64::from(flag.cast_unsigned()))?;
    }
    path::enter(root.as_fd())?;
    path::chroot_to_cwd()?;
    let theirs = &identity.rights;
    ids::keep_capabilities(true)?;
    if theirs.groups != own.groups {
        ids::set_groups(&theirs.groups)?;
    }
    let [real, effective, saved, of_files] = theirs.gids.map(Gid::from_raw);
    setresgid(real, effective, saved)?;
    nix::unistd::setfsgid(of_files);
    let [real, effective, saved, of_files] = theirs.uids.map(Uid::from_raw);
    setresuid(real, effective, saved)?;
    nix::unistd::setfsuid(of_files);
    proc.raise()?;
    // The last two calls report nothing; and all of these ids are numbers of the namespace that is left now.
    let own = read_status(&proc.own("status")?)?.0;
    if (own.uids, own.gids, &own.groups) != (theirs.uids, theirs.gids, &theirs.groups) {
        return Err(Errno::EPERM);
    }
    for (_, flag, namespace) in joins.iter().filter(|(i, ..)| *i == USER) {
        process::setns(namespace.as_fd(), u64::from(flag.cast_unsigned()))?;
    }
    ids::set_capabilities(theirs.effective, theirs.effective, 0)?;
    ids::set_no_new_privs()?;
    ids::set_dumpable(false)?;
    label.make()?;
    Ok(joins.into_iter().find_map(|(i, _, namespace)| (i == PID).then_some(namespace)))
}

impl Identity {
    /// Every capability that it has, as a mask.
    pub(super) fn permitted(&self) -> u64 {
        self.rights.permitted
    }

    /// Whether a capability is effective, by number.
    pub(super) fn may(&self, capability: u32) -> bool {
        self.rights.effective & (1 << capability) != 0
    }

    /// Whether this process still has its root.
    pub(super) fn has_root(&self) -> bool {
        let root = path::openat2(AT_FDCWD.as_fd(), c"/", libc::O_PATH | libc::O_DIRECTORY, 0, 0);
        root.and_then(|root| place(&root)) == Ok(self.root)
    }

    /// The mount namespace.
    #[cfg(test)]
    pub(super) fn mounts(&self) -> u64 {
        self.namespaces[0]
    }
}

/// What tells a directory from all others: its file, and the mount that it is seen through.
fn place(directory: &OwnedFd) -> Result<(u64, u64, u64), Errno> {
    let stat = fd::stat(directory.as_fd())?;
    Ok((stat.st_dev, stat.st_ino, mount::id(directory.as_fd())?))
}

fn inode(namespace: &OwnedFd) -> Result<u64, Errno> {
    Ok(fd::stat(namespace.as_fd())?.st_ino)
}

pub(super) fn read_all(file: &OwnedFd) -> Result<String, Errno> {
    let mut text = Vec::new();
    let mut chunk = [0u8; 4096];
    loop {
        match fd::read(file.as_fd(), &mut chunk)? {
            0 => return String::from_utf8(text).map_err(|_| Errno::EINVAL),
            got => text.extend_from_slice(chunk.get(..got).unwrap_or_default()),
        }
    }
}

/// The rights and the umask in a status file. proc_pid_status(5).
fn read_status(file: &OwnedFd) -> Result<(Rights, u32), Errno> {
    parse_status(&read_all(file)?).ok_or(Errno::EINVAL)
}

fn parse_status(text: &str) -> Option<(Rights, u32)> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    let numbers = |name: &str| -> Option<Vec<u32>> {
        field(name)?.split_ascii_whitespace().map(|number| number.parse().ok()).collect()
    };
    let hex = |name: &str| u64::from_str_radix(field(name)?, 16).ok();
    let rights = Rights {
        uids: numbers("Uid")?.try_into().ok()?,
        gids: numbers("Gid")?.try_into().ok()?,
        groups: numbers("Groups")?,
        effective: hex("CapEff")?,
        permitted: hex("CapPrm")?,
    };
    Some((rights, u32::from_str_radix(field("Umask")?, 8).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proc() -> Proc {
        Proc(path::open(c"/proc", libc::O_PATH | libc::O_DIRECTORY).unwrap())
    }

    #[test]
    fn a_thread_is_itself() {
        let own = i32::try_from(std::process::id()).unwrap();
        let (first, second) = (look(&proc(), own).unwrap(), look(&proc(), own).unwrap());
        assert_eq!(first.identity, second.identity);
        assert_eq!(first.process, own);
        assert_ne!(first.identity.mounts(), 0);
        assert!(look(&proc(), i32::MAX).is_err());
    }

    #[test]
    fn a_root_is_told_from_another() {
        let own = i32::try_from(std::process::id()).unwrap();
        let mut identity = look(&proc(), own).unwrap().identity;
        assert!(identity.has_root());
        identity.root.1 += 1;
        assert!(!identity.has_root());
        assert_eq!(assume(&proc(), own, &identity).err(), Some(Errno::ESTALE));
    }

    #[test]
    fn a_status_is_read_or_refused() {
        let text = "Umask:\t0022\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t9 10 \nCapPrm:\t00f0\nCapEff:\t0010\n";
        let (rights, umask) = parse_status(text).unwrap();
        assert_eq!((umask, rights.uids, rights.groups), (0o22, [1, 2, 3, 4], vec![9, 10]));
        assert_eq!((rights.effective, rights.permitted), (0x10, 0xf0));
        for line in text.lines() {
            assert!(parse_status(&text.replace(line, "")).is_none(), "{line}");
        }
    }

    #[test]
    fn a_pidfd_has_its_number() {
        let own = i32::try_from(std::process::id()).unwrap();
        let pidfd = process::pidfd_open(own).unwrap();
        assert_eq!(pid_of(&proc(), pidfd.as_fd()), Ok(own));
        assert!(pid_of(&proc(), proc().0.as_fd()).is_err());
    }
}
