//! One hand: a process with one identity of the container's, which does one call at a time in the place of threads with
//! that identity. The kernel judges it as it would judge them.

use super::identity::{self, Identity};
use super::open::{Opened, Opener};
use super::proc::Proc;
use super::turn::Turns;
use super::{alone, devices, mount, node, socket, wire};
use crate::decision::{Op, UNKNOWN, Work};
use crate::eyes::WAKE;
use crate::handlers::files::is_callers_alone;
use crate::policy::files::Rules;
use crate::policy::sockets::Sockets;
use nix::errno::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use zviz_sys::process::{self, Cloned};
use zviz_sys::{fd, ids, machine, path, rights, signals, wait};

/// What a hand goes by.
pub(super) struct Told<'h> {
    pub rules: Option<&'h Rules>,
    pub sockets: Option<&'h Sockets>,
    pub turns: &'h Turns,
    /// Where one hand is to answer by itself.
    pub alone: Option<&'h alone::Orders>,
}

/// Works until the eyes are gone, or `parent`, which has forked it. In a process of its own.
pub(super) fn run(
    proc: &Proc,
    Told { rules, sockets, turns, alone }: Told<'_>,
    thread: i32,
    identity: &Identity,
    eyes: &OwnedFd,
    parent: u32,
) -> ! {
    let names = rules.is_some() || sockets.is_some();
    // The other hands' sockets, and the eyes' to all of them, are not this one's.
    let ready = (|| {
        fd::close_all_but(0, &[Some(proc.0.as_fd()), Some(eyes.as_fd()), Some(turns.0.as_fd())])?;
        // What waits for somebody can be told to stop.
        signals::interrupt_by(WAKE)?;
        let pids = identity::assume(proc, thread, identity)?;
        forget(proc)?;
        // It ends with whoever made it, even while it waits for the other end of a FIFO. Changing ids would have undone this.
        ids::set_parent_death_signal(libc::SIGKILL)?;
        if nix::unistd::getppid().as_raw().cast_unsigned() != parent {
            return Err(Errno::ESRCH);
        }
        if !names {
            // From here on it holds nothing of the host that could be got out of it, but what it names files with.
            fd::close_all_but(0, &[Some(eyes.as_fd()), pids.as_ref().map(AsFd::as_fd)])?;
        }
        Ok((rules.map(|rules| Opener::new(proc, rules, turns)).transpose()?, pids))
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
        if work == alone::ALONE {
            let (Some(listener), Some(opener), Some(orders)) = (fds.next(), &opener, alone) else {
                alone::leave(eyes);
                process::exit(0)
            };
            alone::serve(opener, orders, eyes, listener)
        }
        let mut text = Vec::new();
        let mut file = None;
        let mut moved = true;
        let decoded = Work::decode(work).ok_or(Errno::EPROTO);
        // pivot_root(2) gives another root to whoever stood in the old one, so to the hands too. Where there is one identity, of
        // which the eyes do not ask the umask for every call, no caller can do it: it takes a capability, and so does chroot(2)
        // (start::Settings::one_identity). Somebody with more rights who was put into the container moves the callers' root with
        // this process's own, and both are still the same.
        let checks = |(_, umask): &(Work, u32)| *umask != UNKNOWN;
        if decoded.as_ref().is_ok_and(checks) && !identity.has_root() {
            let _ = wire::send_stale(eyes.as_fd());
            process::exit(0);
        }
        // What nobody else may have open when the caller hears of it.
        let first = alone.is_some() || decoded.as_ref().is_ok_and(|(work, _)| is_callers_alone(work));
        let result = decoded.and_then(|(work, umask)| {
            if let (Op::Open, opener) = (work.op, &opener) {
                let opener = opener.as_ref().ok_or(Errno::ENOSYS)?;
                let place = fds.last();
                let umask = (umask != UNKNOWN).then_some(umask);
                let report = wire::Report::Eyes(eyes.as_fd());
                let Opened { result, judged } = opener.open(&work, place.as_ref().map(AsFd::as_fd), umask, &report);
                text = judged.map(wire::encode_judged).unwrap_or_default();
                moved = false;
                file = Some(result?);
                return Ok(0);
            }
            if work.op.names() {
                let opener = opener.as_ref().ok_or(Errno::ENOSYS)?;
                let here = fds.next().ok_or(Errno::EBADF)?;
                let (given, mut judged): (Vec<OwnedFd>, _) = (fds.collect(), None);
                let done = opener.give(&work, here.as_fd(), &given, &mut judged, &wire::Report::Eyes(eyes.as_fd()));
                text = judged.map(wire::encode_judged).unwrap_or_default();
                // Who the caller is was asked already.
                return done.map(|()| 0).map_err(|errno| if errno == wire::NOT_SEEN { Errno::EACCES } else { errno });
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
            if work.op == Op::Devices {
                // After the directory where the caller stands.
                file = devices::may(identity, fds.nth(1))?;
                return Ok(0);
            }
            process::set_umask(umask);
            if work.op.mounts() {
                path::enter(fds.next().ok_or(Errno::EBADF)?.as_fd())?;
                return mount::act(pids.as_ref(), &work, [fds.next(), fds.next()]).map(|()| 0);
            }
            // Where the caller stands, or the directory that its descriptor names.
            path::enter(fds.last().ok_or(Errno::EBADF)?.as_fd())?;
            act(identity, &work, &mut text)
        });
        if moved {
            // Nothing of the container is kept busy between calls, and the caller's next close of a socket is the last one.
            let _ = path::change_directory(c"/");
        }
        let sent_ahead = match file.take_if(|_| first) {
            Some(file) => wire::send_file(eyes.as_fd(), file),
            None => Ok(()),
        };
        let file = file.as_ref().map(AsFd::as_fd);
        if sent_ahead.and_then(|()| wire::send_done(eyes.as_fd(), result, &text, file)).is_err() {
            process::exit(0);
        }
    }
}

/// A process that stands in the container's pid namespace for a moment must not show there how the runtime was called.
fn forget(proc: &Proc) -> Result<(), Errno> {
    process::forget_arguments(&proc.own_text("stat")?)
}

fn act(identity: &Identity, work: &Work, text: &mut Vec<u8>) -> Result<i64, Errno> {
    let [first, second, ..] = &work.texts;
    let path = |text: &Option<Vec<u8>>| CString::new(text.clone().unwrap_or_default()).map_err(|_| Errno::EINVAL);
    match work.op {
        Op::PivotRoot => nix::unistd::pivot_root(path(first)?.as_c_str(), path(second)?.as_c_str())?,
        Op::Node => node::make(identity, work)?,
        Op::Open | Op::Rename | Op::Link | Op::Symlink => return Err(Errno::ENOSYS),
        Op::Remove | Op::Make | Op::Truncate | Op::Chmod => return Err(Errno::ENOSYS),
        Op::Uname => text.extend_from_slice(&machine::names()?),
        Op::Connect | Op::Bind | Op::Send => return Err(Errno::ENOTSOCK),
        Op::Devices | Op::Mount | Op::MountProc | Op::Unmount => return Err(Errno::EPROTO),
    }
    Ok(0)
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
