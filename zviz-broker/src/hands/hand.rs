//! One hand: a process with one identity of the container's, which does one call at a time in the place of threads with
//! that identity. The kernel judges it as it would judge them.

use super::identity::{self, Identity, Proc};
use super::open::{Opened, Opener};
use super::{node, socket, wire};
use crate::decision::{Op, UNKNOWN, Work};
use crate::policy::files::Rules;
use crate::policy::sockets::Sockets;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags};
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use zviz_sys::process::{self, Cloned};
use zviz_sys::{fd, ids, path, rights, wait};

/// The kernel takes a page of options, with a terminator.
const OPTIONS_MAX: usize = 4095;

/// Works until the eyes are gone. In a process of its own.
pub(super) fn run(
    proc: &Proc,
    (rules, sockets): (Option<&Rules>, Option<&Sockets>),
    thread: i32,
    identity: &Identity,
    eyes: &OwnedFd,
) -> ! {
    let names = rules.is_some() || sockets.is_some();
    // The other hands' sockets, and the eyes' to all of them, are not this one's.
    let ready = (|| {
        fd::close_all_but(0, &[Some(proc.0.as_fd()), Some(eyes.as_fd())])?;
        let pids = identity::assume(proc, thread, identity)?;
        forget(proc)?;
        if !names {
            // From here on it holds nothing of the host that could be got out of it, but what it names files with.
            fd::close_all_but(0, &[Some(eyes.as_fd()), pids.as_ref().map(AsFd::as_fd)])?;
        }
        Ok((rules.map(|rules| Opener::new(proc, rules)).transpose()?, pids))
    })();
    let _ = ids::set_name(c"zviz-hand");
    let told = wire::send_done(eyes.as_fd(), ready.as_ref().map(|_| 0).map_err(|errno| *errno), &[], None);
    let (Ok((opener, pids)), Ok(())) = (ready, told) else { process::exit(1) };
    let mut packet = vec![0u8; wire::PACKET];
    loop {
        let Ok(received) = rights::receive(eyes.as_fd(), &mut packet) else { process::exit(1) };
        let work = packet.get(..received.bytes).filter(|bytes| !bytes.is_empty() && !received.truncated);
        let Some(work) = work else { process::exit(0) };
        let mut fds = received.fds.into_iter().flatten();
        let mut text = Vec::new();
        let mut file = None;
        let mut moved = true;
        let decoded = Work::decode(work).ok_or(Errno::EPROTO);
        // pivot_root(2) gives another root to whoever stood in the old one, so to the hands too. Where it cannot be done at all
        // the eyes have not asked for the umask.
        let checks = |(_, umask): &(Work, u32)| *umask != UNKNOWN;
        if decoded.as_ref().is_ok_and(checks) && !identity.has_root() {
            let _ = wire::send_stale(eyes.as_fd());
            process::exit(0);
        }
        let result = decoded.and_then(|(work, umask)| {
            if let (Op::Open, opener) = (work.op, &opener) {
                let opener = opener.as_ref().ok_or(Errno::ENOSYS)?;
                let place = fds.last();
                let umask = (umask != UNKNOWN).then_some(umask);
                let report = wire::Report(eyes.as_fd());
                let Opened { result, judged } = opener.open(&work, place.as_ref().map(AsFd::as_fd), umask, &report);
                text = judged.map(wire::encode_judged).unwrap_or_default();
                moved = false;
                file = Some(result?);
                return Ok(0);
            }
            if work.op.is_of_socket() {
                if umask != UNKNOWN {
                    process::set_umask(umask);
                    path::enter(fds.next().ok_or(Errno::EBADF)?.as_fd())?;
                }
                let socket = fds.next().ok_or(Errno::EBADF)?;
                let passed: Vec<OwnedFd> = fds.collect();
                return socket::act(proc, sockets, &work, (socket.as_fd(), &passed), &mut text);
            }
            process::set_umask(umask);
            // Where the caller stands, or the directory that its descriptor names.
            path::enter(fds.last().ok_or(Errno::EBADF)?.as_fd())?;
            act(identity, pids.as_ref(), &work, &mut text)
        });
        if moved {
            // Nothing of the container is kept busy between calls, and the caller's next close of a socket is the last one.
            let _ = path::change_directory(c"/");
        }
        if wire::send_done(eyes.as_fd(), result, &text, file.as_ref().map(AsFd::as_fd)).is_err() {
            process::exit(0);
        }
    }
}

/// A process that stands in the container's pid namespace for a moment must not show there how the runtime was called.
fn forget(proc: &Proc) -> Result<(), Errno> {
    process::forget_arguments(&proc.own_text("stat")?)
}

fn act(identity: &Identity, pids: Option<&OwnedFd>, work: &Work, text: &mut Vec<u8>) -> Result<i64, Errno> {
    let [first, second, ..] = &work.texts;
    let path = |text: &Option<Vec<u8>>| CString::new(text.clone().unwrap_or_default()).map_err(|_| Errno::EINVAL);
    match work.op {
        Op::Mount => mount(work)?,
        Op::MountProc => inside_pid_namespace(pids, || mount(work))?,
        Op::Unmount => {
            let flags = i32::try_from(work.numbers[0]).map_err(|_| Errno::EINVAL)?;
            // Unknown flags are the kernel's to refuse.
            nix::mount::umount2(path(first)?.as_c_str(), MntFlags::from_bits_retain(flags))?;
        }
        Op::PivotRoot => nix::unistd::pivot_root(path(first)?.as_c_str(), path(second)?.as_c_str())?,
        Op::Node => node::make(identity, work)?,
        Op::Open => return Err(Errno::ENOSYS),
        Op::Uname => text.extend_from_slice(&zviz_sys::process::names()?),
        Op::Connect | Op::Bind | Op::Send => return Err(Errno::ENOTSOCK),
    }
    Ok(0)
}

/// mount(2), with strings that nobody can change any more.
fn mount(work: &Work) -> Result<(), Errno> {
    let [source, target, fstype, options] = work.texts.each_ref().map(|text| text.as_deref().map(OsStr::from_bytes));
    if options.is_some_and(|options| options.len() > OPTIONS_MAX) {
        return Err(Errno::EINVAL);
    }
    let flags = MsFlags::from_bits_retain(work.numbers[0]);
    nix::mount::mount(source, target.ok_or(Errno::EFAULT)?, fstype, flags, options)
}

/// Does something in a process of the caller's pid namespace, since proc shows that of whoever mounts it.
///
/// Such a process can be signalled from inside for as long as it takes. It ends with the hand, and when it is stopped. It can
/// be traced only by who has CAP_SYS_PTRACE in the host's user namespace; but once it has given up its memory on its way out
/// nothing tells that it was not dumpable, and who has the same ids may take what it has (__ptrace_may_access, pidfd_getfd(2)).
/// So it is born without descriptors, of a process that is not seen inside and has given them up.
fn inside_pid_namespace(pids: Option<&OwnedFd>, act: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
    let Some(pids) = pids else { return act() };
    in_child(|| {
        fd::close_all_but(0, &[Some(pids.as_fd())])?;
        process::setns(pids.as_fd(), u64::from(libc::CLONE_NEWPID.cast_unsigned()))?;
        fd::close_from(0)?;
        in_child(act)
    })
}

/// Does something in a child of this process.
pub(super) fn in_child(act: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
    match process::fork()? {
        Cloned::Child => {
            let done = ids::set_parent_death_signal(libc::SIGKILL).and_then(|()| act());
            process::exit(done.err().map_or(0, |errno| errno as i32))
        }
        Cloned::Parent { pidfd, .. } => match wait::wait_running(pidfd.as_fd())? {
            wait::Exit::Code(0) => Ok(()),
            // Errnos of mount(2) fit an exit code.
            wait::Exit::Code(code) => Err(Errno::from_raw(code)),
            wait::Exit::Signal(_) => Err(Errno::EPERM),
        },
    }
}
