//! Who a thread is: its namespaces, its root, its ids and its capabilities. While the thread waits for an answer to its call
//! nobody can change any of them, since the kernel lets a thread change its own only.

use super::label;
use super::proc::{Proc, inode, read_all};
use super::status::{Rights, parse_status, read_status};
use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::unistd::{Gid, Uid, setresgid, setresuid};
use std::os::fd::{AsFd, OwnedFd};
use zviz_sys::path;
use zviz_sys::{fd, ids, mount, process};

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

/// What is known of a thread.
pub(super) struct Seen {
    pub identity: Identity,
    pub umask: u32,
    pub directory: OwnedFd,
    /// The number of its process.
    pub process: i32,
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

#[cfg(test)]
mod tests {
    use super::*;
    use zviz_sys::process::Cloned;
    use zviz_sys::wait::{self, Exit};

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

    /// Hands in a container's user namespace know its threads alone, even among processes of the same user without any
    /// capability: what names another's number is not served.
    #[test]
    fn nobody_outside_is_looked_up() {
        const TEST: &str = "nobody_outside_is_looked_up";
        if !nix::unistd::geteuid().is_root() {
            return println!("SKIP {TEST}: needs root, to map its own id");
        }
        let users = u64::from(libc::CLONE_NEWUSER.cast_unsigned());
        let wait_for_ever = |before: &dyn Fn()| loop {
            before();
            nix::unistd::pause();
        };
        let started = |cloned| match cloned {
            Cloned::Parent { pid, pidfd } => (pid, pidfd),
            Cloned::Child => wait_for_ever(&|| ids::set_capabilities(0, 0, 0).unwrap()),
        };
        let Ok(inside) = process::clone(users, None).map(|cloned| match cloned {
            Cloned::Parent { pid, pidfd } => (pid, pidfd),
            Cloned::Child => wait_for_ever(&|| ()),
        }) else {
            return println!("SKIP {TEST}: no user namespace can be made");
        };
        for map in ["uid_map", "gid_map"] {
            std::fs::write(format!("/proc/{}/{map}", inside.0), "0 0 1").unwrap();
        }
        let outside = started(process::fork().unwrap());
        let has_none =
            || read_status(&proc().open(outside.0, "status", libc::O_RDONLY).unwrap()).unwrap().0.permitted == 0;
        while !has_none() {
            std::thread::yield_now();
        }
        // As hands, and as one without any capability who stays where he is.
        let looked = |act: &dyn Fn(&Proc) -> Result<(), Errno>, at: i32| match process::fork().unwrap() {
            Cloned::Parent { pidfd, .. } => wait::wait(pidfd.as_fd()).unwrap(),
            Cloned::Child => {
                let proc = proc();
                let seen = act(&proc).and_then(|()| look(&proc, at));
                process::exit(seen.err().map_or(0, |errno| errno as i32))
            }
        };
        let joins = |proc: &Proc| proc.join(inside.1.as_fd()).and_then(|_| proc.settle());
        let stays = |_: &Proc| ids::set_capabilities(0, 0, 0);
        let seen = [looked(&joins, inside.0), looked(&joins, outside.0), looked(&stays, outside.0)];
        for (_, pidfd) in [inside, outside] {
            let _ = process::pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL);
            let _ = wait::wait(pidfd.as_fd());
        }
        assert!(matches!(seen, [Exit::Code(0), Exit::Code(libc::EACCES | libc::EPERM), Exit::Code(0)]), "{seen:?}");
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
}
