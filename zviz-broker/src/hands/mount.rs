//! Mounts for the caller.

use super::hand;
use crate::decision::{Op, Work};
use crate::handlers::mounts::own::{SOURCE, TARGET};
use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::mount::{MntFlags, MsFlags};
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use zviz_sys::mount::{self, MountAttr, attr};
use zviz_sys::path::{self, resolve};
use zviz_sys::{fd, process};

/// SYSFS_MAGIC, linux/magic.h.
const SYSFS: i64 = 0x6265_6572;
/// The kernel takes a page of options, with a terminator.
const OPTIONS_MAX: usize = 4095;

/// Does it, with the caller's descriptors that the work speaks of. The working directory is the caller's.
pub(super) fn act(pids: Option<&OwnedFd>, work: &Work, descriptors: [Option<OwnedFd>; 2]) -> Result<(), Errno> {
    let mut given = descriptors.into_iter().flatten();
    let mut of =
        |which: u64| if work.numbers[1] & which == 0 { Ok(None) } else { given.next().ok_or(Errno::EBADF).map(Some) };
    let (target, source) = (of(TARGET)?, of(SOURCE)?);
    let remounts = work.op == Op::Mount && work.numbers[0] & libc::MS_REMOUNT != 0;
    if target.is_none() && source.is_none() && !remounts {
        return by_path(pids, work);
    }
    let binds = work.op == Op::Mount && work.numbers[0] & (libc::MS_BIND | libc::MS_REMOUNT) == libc::MS_BIND;
    if binds {
        return bind(work, target, source);
    }
    // A path goes through proc's links as mount(2) has it; what begins at a descriptor does not.
    let links = if target.is_none() { 0 } else { resolve::NO_MAGICLINKS };
    let target = place(target, work.texts[1].as_deref().unwrap_or_default(), links)?;
    if remounts && work.numbers[0] & libc::MS_RDONLY == 0 && fd::filesystem_magic(target.as_fd())? == SYSFS {
        // Its files change the machine's devices: no mount of it becomes writable. What was found is what is asked about, and then
        // changed.
        return Err(Errno::EPERM);
    }
    if fd::stat(target.as_fd())?.st_mode & libc::S_IFMT == libc::S_IFDIR {
        path::enter(target.as_fd())?;
        let mut here = work.clone();
        here.texts[1] = Some(b".".to_vec());
        return by_path(pids, &here);
    }
    change(work, &target)
}

/// With strings that nobody can change any more.
fn by_path(pids: Option<&OwnedFd>, work: &Work) -> Result<(), Errno> {
    match work.op {
        Op::MountProc => inside_pid_namespace(pids, || mount(work)),
        Op::Unmount => {
            let flags = i32::try_from(work.numbers[0]).map_err(|_| Errno::EINVAL)?;
            let target = CString::new(work.texts[1].clone().unwrap_or_default()).map_err(|_| Errno::EINVAL)?;
            // Unknown flags are the kernel's to refuse.
            nix::mount::umount2(target.as_c_str(), MntFlags::from_bits_retain(flags))
        }
        _ => mount(work),
    }
}

/// mount(2).
fn mount(work: &Work) -> Result<(), Errno> {
    let [source, target, fstype, options] = work.texts.each_ref().map(|text| text.as_deref().map(OsStr::from_bytes));
    if options.is_some_and(|options| options.len() > OPTIONS_MAX) {
        return Err(Errno::EINVAL);
    }
    let flags = MsFlags::from_bits_retain(work.numbers[0]);
    nix::mount::mount(source, target.ok_or(Errno::EFAULT)?, fstype, flags, options)
}

/// What a path leads to from a descriptor, or from where the caller stands.
fn place(from: Option<OwnedFd>, rest: &[u8], links: u64) -> Result<OwnedFd, Errno> {
    let rest = CString::new(rest).map_err(|_| Errno::EINVAL)?;
    match from {
        Some(from) if rest.is_empty() => Ok(from),
        Some(from) => path::openat2(from.as_fd(), &rest, libc::O_PATH, 0, links),
        None => path::openat2(AT_FDCWD.as_fd(), &rest, libc::O_PATH, 0, links),
    }
}

/// As mount(2) with MS_BIND.
fn bind(work: &Work, target: Option<OwnedFd>, source: Option<OwnedFd>) -> Result<(), Errno> {
    let text = |i: usize| work.texts.get(i).and_then(Option::as_deref).unwrap_or_default();
    let links = resolve::NO_MAGICLINKS;
    let (source, target) = (place(source, text(0), links)?, place(target, text(1), links)?);
    let tree = mount::clone_tree(source.as_fd(), work.numbers[0] & libc::MS_REC != 0)?;
    mount::attach(tree.as_fd(), target.as_fd())
}

/// As mount(2) changes what is mounted on a file: MS_REMOUNT with MS_BIND, or the propagation.
fn change(work: &Work, target: &OwnedFd) -> Result<(), Errno> {
    let flags = work.numbers[0];
    let kinds = flags & (libc::MS_SHARED | libc::MS_PRIVATE | libc::MS_SLAVE | libc::MS_UNBINDABLE);
    let (recursive, attributes) = if flags & libc::MS_REMOUNT != 0 && flags & libc::MS_BIND != 0 {
        // Those that are not named are cleared; how access times are kept stays as it is.
        let pairs = [
            (libc::MS_RDONLY, attr::RDONLY),
            (libc::MS_NOSUID, attr::NOSUID),
            (libc::MS_NODEV, attr::NODEV),
            (libc::MS_NOEXEC, attr::NOEXEC),
        ];
        let of = |set: bool| pairs.iter().filter(|(flag, _)| (flags & flag != 0) == set).map(|(_, attr)| attr).sum();
        (false, MountAttr { set: of(true), clear: of(false), ..MountAttr::default() })
    } else if work.op == Op::Mount && kinds != 0 {
        (flags & libc::MS_REC != 0, MountAttr { propagation: kinds, ..MountAttr::default() })
    } else {
        // umount2 of it, or to change the file system behind it, has no other way than a path; a new one has no place on a file.
        return Err(Errno::EINVAL);
    };
    mount::set_attributes(target.as_fd(), recursive, &attributes)
}

/// Does something in a process of the caller's pid namespace, since proc shows that of whoever mounts it.
///
/// Such a process can be signalled from inside for as long as it takes. It ends with the hand, and when it is stopped. It can
/// be traced only by who has CAP_SYS_PTRACE in the host's user namespace; but once it has given up its memory on its way out
/// nothing tells that it was not dumpable, and who has the same ids may take what it has (__ptrace_may_access, pidfd_getfd(2)).
/// So it is born without descriptors, of a process that is not seen inside and has given them up.
fn inside_pid_namespace(pids: Option<&OwnedFd>, act: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
    let Some(pids) = pids else { return act() };
    hand::in_child(|| {
        fd::close_all_but(0, &[Some(pids.as_fd())])?;
        process::setns(pids.as_fd(), u64::from(libc::CLONE_NEWPID.cast_unsigned()))?;
        fd::close_from(0)?;
        hand::in_child(act)
    })
}
