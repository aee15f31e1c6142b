//! Namespaces: which are joined, which are new, and what is set in the new ones.

use super::mounts::PROC_SUPER_MAGIC;
use crate::failure::{Failure, Stage, at, at_item};
use crate::plan::{Names, Namespace, Namespaces, Net, Time, User, Uts};
use crate::prepare::{Error, cstring};
use nix::errno::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use zviz_sys::path::{self, resolve};
use zviz_sys::{fd, ids, machine, net, process};

/// Namespaces to join, in order, and to make.
pub(crate) struct PreparedNamespaces {
    /// Opened, with their type; joined by the trampoline.
    pub joins: Vec<(OwnedFd, u64)>,
    /// `CLONE_NEW*` that init is cloned with.
    pub clone: u64,
    /// Made by init itself: a cgroup namespace is rooted where init is by then.
    cgroup: bool,
    /// Made by init itself, since its offsets must be set before anything is in it. Text for timens_offsets.
    time: Option<Vec<u8>>,
    /// The new user namespace has a root, whose id init takes.
    root_id: bool,
    loopback: bool,
    hostname: Option<CString>,
    domainname: Option<CString>,
}

fn flag(value: libc::c_int) -> u64 {
    u64::from(value.cast_unsigned())
}

/// Opens what is joined. A user namespace is joined last by a privileged runtime, which has rights over the others only
/// as long as it has not, and first by an ordinary user, who gets such rights only there.
pub(crate) fn prepare(plan: &Namespaces, privileged: bool) -> Result<PreparedNamespaces, Error> {
    let mut joins = Vec::new();
    let mut clone = 0;
    let mut simple = |ns: &Namespace, kind: libc::c_int| -> Result<bool, Error> {
        match ns {
            Namespace::Host => Ok(false),
            Namespace::New => Ok(true),
            Namespace::Join(path) => {
                joins.push((open(path)?, flag(kind)));
                Ok(false)
            }
        }
    };
    for (ns, kind) in [(&plan.ipc, libc::CLONE_NEWIPC), (&plan.pid, libc::CLONE_NEWPID)] {
        if simple(ns, kind)? {
            clone |= flag(kind);
        }
    }
    let cgroup = simple(&plan.cgroup, libc::CLONE_NEWCGROUP)?;
    let unnamed = Names::default();
    let names = match &plan.uts {
        Uts::Host => &unnamed,
        Uts::Join { path, names } => {
            joins.push((open(path)?, flag(libc::CLONE_NEWUTS)));
            names
        }
        Uts::New(names) => {
            clone |= flag(libc::CLONE_NEWUTS);
            names
        }
    };
    let hostname = names.hostname.as_deref().map(cstring).transpose()?;
    let domainname = names.domainname.as_deref().map(cstring).transpose()?;
    match &plan.net {
        Net::Host => {}
        Net::Join { path, .. } => joins.push((open(path)?, flag(libc::CLONE_NEWNET))),
        Net::New { .. } => clone |= flag(libc::CLONE_NEWNET),
    }
    let time = match &plan.time {
        Time::Host => None,
        Time::Join(path) => {
            joins.push((open(path)?, flag(libc::CLONE_NEWTIME)));
            None
        }
        Time::New { offsets } => {
            let lines = offsets.iter().map(|(clock, secs, nanos)| format!("{clock} {secs} {nanos}\n"));
            Some(lines.collect::<String>().into_bytes())
        }
    };
    // The mount namespace comes last of these: with it, the root and the working directory change.
    match &plan.mount {
        Namespace::Host => {}
        Namespace::New => clone |= flag(libc::CLONE_NEWNS),
        Namespace::Join(path) => joins.push((open(path)?, flag(libc::CLONE_NEWNS))),
    }
    let mut root_id = false;
    match &plan.user {
        User::Host => {}
        User::Join(path) => {
            let user = (open(path)?, flag(libc::CLONE_NEWUSER));
            if privileged {
                joins.push(user);
            } else {
                joins.insert(0, user);
            }
        }
        User::New { uids, .. } => {
            clone |= flag(libc::CLONE_NEWUSER);
            root_id = uids.iter().any(|map| map.inside == 0);
        }
    }
    let loopback = matches!(plan.net, Net::New { .. });
    Ok(PreparedNamespaces { joins, clone, cgroup, time, root_id, loopback, hostname, domainname })
}

fn open(path: &str) -> Result<OwnedFd, Error> {
    path::open(cstring(path)?.as_c_str(), libc::O_RDONLY)
        .map_err(|errno| Error::Namespace { path: path.to_owned(), errno })
}

impl PreparedNamespaces {
    /// Joins them. By the trampoline: what it joins, it passes on to init.
    pub(crate) fn join(&self) -> Result<(), Failure> {
        for (i, (fd, kind)) in self.joins.iter().enumerate() {
            at_item(Stage::Join, i, process::setns(fd.as_fd(), *kind))?;
        }
        Ok(())
    }

    /// Becomes root inside a new user namespace. From here on the host's files are seen with that id.
    pub(crate) fn take_root_id(&self) -> Result<(), Failure> {
        if self.root_id {
            at(Stage::UserNamespace, ids::set_gid(0))?;
            at(Stage::UserNamespace, ids::set_uid(0))?;
        }
        Ok(())
    }

    /// Makes the namespaces that init makes itself. `proc` is the host's.
    pub(crate) fn make(&self, proc: BorrowedFd<'_>) -> Result<(), Failure> {
        if self.cgroup {
            at(Stage::Namespaces, process::unshare(flag(libc::CLONE_NEWCGROUP)))?;
        }
        if let Some(offsets) = &self.time {
            at(Stage::Namespaces, enter_time(proc, offsets))?;
        }
        Ok(())
    }

    /// Brings up what is in the new ones, and names them.
    pub(crate) fn furnish(&self) -> Result<(), Failure> {
        if self.loopback {
            at(Stage::Loopback, net::bring_loopback_up())?;
        }
        if let Some(name) = &self.hostname {
            at_item(Stage::Names, 0, machine::set_hostname(name))?;
        }
        if let Some(name) = &self.domainname {
            at_item(Stage::Names, 1, machine::set_domainname(name))?;
        }
        Ok(())
    }
}

fn enter_time(proc: BorrowedFd<'_>, offsets: &[u8]) -> Result<(), Errno> {
    process::unshare(flag(libc::CLONE_NEWTIME))?;
    if !offsets.is_empty() {
        write_proc(proc, c"self/timens_offsets", offsets)?;
    }
    let ns = path::openat2(proc, c"self/ns/time_for_children", libc::O_RDONLY, 0, 0)?;
    process::setns(ns.as_fd(), flag(libc::CLONE_NEWTIME))
}

/// Writes a file of the host's proc, which no container can have put something else in the place of (CVE-2025-52881).
pub(crate) fn write_proc(proc: BorrowedFd<'_>, file: &CStr, text: &[u8]) -> Result<(), Errno> {
    let file = path::openat2(proc, file, libc::O_WRONLY, 0, resolve::BENEATH | resolve::NO_MAGICLINKS)?;
    zviz_sys::fd::write_value(file.as_fd(), text)
}

/// The host's proc, seen to be its root.
pub(crate) fn open_proc() -> Result<OwnedFd, Error> {
    const PROC_ROOT_INO: u64 = 1;
    let proc = path::open_path(c"/proc", libc::O_DIRECTORY | libc::O_NOFOLLOW).map_err(Error::Proc)?;
    let is_root = fd::filesystem_magic(proc.as_fd()).map_err(Error::Proc)? == PROC_SUPER_MAGIC
        && fd::stat(proc.as_fd()).map_err(Error::Proc)?.st_ino == PROC_ROOT_INO;
    if is_root { Ok(proc) } else { Err(Error::Proc(Errno::ENODEV)) }
}
