//! Init, from clone to exec: what the plan says, in the order below, each step once.
//!
//! The process is a copy of the runtime. Nothing in this file, or called from it, allocates, locks, logs or forks;
//! everything that it needs was made by `prepare`; the debug build's allocator ends it if it allocates. It reports the
//! stage, the item and the errno of what fails, and ends.

use crate::apply::{devices, mounts, process, rootfs};
use crate::failure::{Failure, Stage, at, at_item};
use crate::prepare::{Filter, Prepared, Tends};
use crate::sync::ChildEnd;
use nix::errno::Errno;
use std::convert::Infallible;
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use zviz_sys::process::{Cloned, clone, clone_sibling, exit};
use zviz_sys::{fd, ids, landlock, pty, reaper, signals, tend};

/// Becomes the payload, or says why not and ends.
pub(crate) fn run(prepared: &mut Prepared, sync: ChildEnd) -> ! {
    let failure = match enter(prepared, &sync) {
        Err(failure) => failure,
        Ok(never) => match never {},
    };
    if failure.stage == Stage::Exec && prepared.fifo.is_some() {
        // Not to the sync socket, whose other end is gone: a write would end init by SIGPIPE.
        exit(last_words(prepared, failure));
    }
    sync.failed(failure);
    exit(255)
}

/// After `start` nobody hears from init any more: what cannot be executed is told where the payload would have written,
/// and by the exit code, as a shell does.
fn last_words(p: &Prepared, failure: Failure) -> i32 {
    let stderr = std::io::stderr();
    let program = p.process.name().map_or(&b""[..], CStr::to_bytes);
    for part in [b"zviz: exec ", program, b": ", failure.errno.desc().as_bytes(), b"\n"] {
        // Nowhere is left to tell that this fails.
        let _ = fd::write_all(stderr.as_fd(), part);
    }
    if failure.errno == Errno::ENOENT { 127 } else { 126 }
}

/// Joins what is joined, clones init as the runtime's own child, and ends. What it joins, init inherits.
pub(crate) fn trampoline(prepared: &mut Prepared, sync: ChildEnd) -> ! {
    match spring(prepared, &sync) {
        Ok(Cloned::Child) => run(prepared, sync),
        Ok(Cloned::Parent { pid, .. }) => {
            let told = sync.cloned(pid);
            exit(if told.is_ok() { 0 } else { 255 })
        }
        Err(failure) => {
            sync.failed(failure);
            exit(255)
        }
    }
}

fn spring(prepared: &Prepared, sync: &ChildEnd) -> Result<Cloned, Failure> {
    at(Stage::Sync, sync.wait())?;
    prepared.namespaces.join()?;
    at(Stage::Join, clone_sibling(prepared.namespaces.clone))
}

fn enter(p: &mut Prepared, sync: &ChildEnd) -> Result<Infallible, Failure> {
    at(Stage::Sync, sync.wait())?;
    for (i, tasks) in p.cgroup_tasks.iter().enumerate() {
        at_item(Stage::Cgroup, i, fd::write_all(tasks.as_fd(), b"0"))?;
    }
    at(Stage::Session, signals::reset())?;
    p.process.new_session()?;
    zviz_sys::process::set_umask(0);

    let place = p.rootfs.as_ref().map(|root| root.place()).transpose()?;
    p.namespaces.make(p.proc.as_fd())?;
    p.namespaces.take_root_id()?;
    p.namespaces.furnish()?;
    p.process.write_proc(p.proc.as_fd())?;

    let root = match (&mut p.rootfs, &place) {
        (Some(rootfs), Some(place)) => {
            let root = rootfs.attach(place.as_fd())?;
            mounts::make_all(&mut p.mounts, root.as_fd())?;
            devices::make_all(&p.devices, &p.links, root.as_fd())?;
            if p.hooked {
                at(Stage::Sync, sync.mounted())?;
                at(Stage::Sync, sync.wait())?;
            }
            p.paths.apply(root.as_fd())?;
            p.process.make_cwd(root.as_fd())?;
            root
        }
        _ => {
            if let Some(root) = &p.root {
                at(Stage::Pivot, rootfs::stay(root.as_fd()))?;
            }
            process::open_root()?
        }
    };
    if p.terminal {
        take_terminal(p, root.as_fd(), sync)?;
    } else if let Some([out, err]) = &p.output {
        at(Stage::Console, fd::dup_onto_stdio(out.as_fd(), 1))?;
        at(Stage::Console, fd::dup_onto_stdio(err.as_fd(), 2))?;
    }
    mounts::finish(&mut p.mounts)?;
    if let Some(rootfs) = &p.rootfs {
        rootfs.enter(root.as_fd())?;
    }
    drop(place);

    p.process.find_home(root.as_fd());
    p.process.limit()?;
    if let Some(landlock) = &p.landlock {
        landlock.add_rules(root.as_fd())?;
    }
    drop(root);
    // As the user first; a directory that only root may enter is entered before the rights go.
    let entered = p.process.enter_cwd();
    let_go(p, sync)?;
    at(Stage::Credentials, pty::give_stdio(p.process.uid(), p.terminal))?;
    p.process.become_user()?;
    at(Stage::WorkingDirectory, entered.or_else(|_| p.process.enter_cwd()))?;
    if let Some(landlock) = &p.landlock {
        landlock.restrict()?;
    }
    if let Some(signal) = p.parent_death_signal {
        // Only now: a change of ids clears it. If the parent died before, the next word to it fails.
        at(Stage::Session, ids::set_parent_death_signal(signal))?;
    }
    match &p.tends {
        Some(tends) => tended(p, tends)?,
        None if p.reaper => become_payload(p)?,
        None => {}
    }
    let program = p.process.find_program()?;
    at(Stage::Descriptors, fd::cloexec_from(3 + p.preserved))?;
    load_filter(p.filter.as_ref(), sync)?;
    p.process.give_up_spare_right()?;
    at(Stage::Sync, sync.ready())?;
    // Until it is remembered: a runtime that dies before leaves no init that nobody knows of.
    at(Stage::Sync, sync.wait())?;
    // The filter is on by now, so that a bad one fails `create`. What is left is read, write, execve and exit.
    if let Some(fifo) = &p.fifo {
        wait_for_start(fifo.as_fd())?;
    }
    p.process.exec(program)
}

/// Closes all that leads to the host, before init has ids that others in the container may have too: it may wait for
/// `start` for long. And none of them reads this process, unless an unprivileged runtime has to: to take the filter's
/// listener, or to join it before `start`.
fn let_go(p: &Prepared, sync: &ChildEnd) -> Result<(), Failure> {
    let scope = p.tends.as_ref().and_then(|tends| tends.scope.as_ref());
    let landlock = p.landlock.as_ref().map(AsFd::as_fd);
    let keep = [Some(sync.0.as_fd()), p.fifo.as_ref().map(AsFd::as_fd), landlock, scope.map(AsFd::as_fd)];
    at(Stage::Descriptors, fd::close_all_but(3 + p.preserved, &keep))?;
    if p.fifo.is_none() && p.filter.as_ref().is_none_or(|filter| !filter.notifies()) {
        at(Stage::Credentials, ids::set_dumpable(false))?;
    }
    Ok(())
}

/// The pseudo-terminal: made inside, bound on /dev/console, its master handed to the parent.
fn take_terminal(p: &Prepared, root: BorrowedFd<'_>, sync: &ChildEnd) -> Result<(), Failure> {
    let master = match p.tends {
        // The host's own: its devpts is often closed to ordinary users (ptmxmode=000), and its /dev nobody else's.
        Some(_) => at(Stage::Console, pty::open_own())?,
        None => at(Stage::Console, pty::open_in(root))?,
    };
    let peer = at(Stage::Console, pty::peer(master.as_fd()))?;
    if p.rootfs.is_some() {
        at(Stage::Console, pty::mount_on_console(root, peer.as_fd()))?;
    }
    if let Some(size) = p.console_size {
        at(Stage::Console, pty::set_size(peer.as_fd(), size))?;
    }
    at(Stage::Console, sync.console(master.as_fd()))?;
    // Until its holder has set size and line ends, which the program may look at first of all.
    at(Stage::Sync, sync.wait())?;
    at(Stage::Console, pty::make_controlling(peer.as_fd()))?;
    at(Stage::Console, pty::make_stdio(peer.as_fd()))
}

/// Loads the filter; its listener, if it has one, goes to the parent by number, since only write(2) and read(2) are sure
/// to be allowed by now.
fn load_filter(filter: Option<&Filter>, sync: &ChildEnd) -> Result<(), Failure> {
    let Some(filter) = filter else { return Ok(()) };
    if let Some(listener) = filter.load()? {
        at(Stage::Sync, sync.listener(listener.as_raw_fd()))?;
        at(Stage::Sync, sync.wait())?;
    }
    Ok(())
}

/// Process 1 stays as the reaper; the payload goes on below it.
fn become_payload(p: &Prepared) -> Result<(), Failure> {
    // Before the clone, so that a signal that comes meanwhile waits for the reaper instead of being lost.
    at(Stage::Reaper, signals::block())?;
    match at(Stage::Reaper, clone(0, None))? {
        Cloned::Child => at(Stage::Reaper, signals::unblock()),
        Cloned::Parent { pid, .. } => {
            p.process.give_up_spare_right()?;
            // Nothing of the runtime's stays open in, or can be read from, what the payload sees as process 1.
            at(Stage::Reaper, ids::set_dumpable(false))?;
            at(Stage::Reaper, fd::close_from(0))?;
            reaper::reap_until(pid)
        }
    }
}

/// As `become_payload`, where the reaper is no process 1: it learns of its parent's death, and the payload dies with it.
fn tended(p: &Prepared, tends: &Tends) -> Result<(), Failure> {
    at(Stage::Reaper, signals::block())?;
    let tender = at(Stage::Reaper, tend::prepare(tends.scope.is_some()))?;
    match at(Stage::Reaper, clone(0, None))? {
        Cloned::Child => {
            at(Stage::Reaper, ids::set_parent_death_signal(libc::SIGKILL))?;
            if let Some(scope) = &tends.scope {
                // One domain further in than the reaper, which it cannot signal from there.
                at_item(Stage::Landlock, usize::MAX, landlock::restrict_self(scope.as_fd()))?;
            }
            at(Stage::Reaper, signals::unblock())
        }
        Cloned::Parent { pid, .. } => {
            p.process.give_up_spare_right()?;
            at(Stage::Reaper, ids::set_dumpable(false))?;
            at(Stage::Reaper, fd::close_from(0))?;
            tend::tend_until(pid, tender)
        }
    }
}

/// Waits for the byte that `start` writes. The fifo is open for both ways, so that the wait has no race with its opener.
fn wait_for_start(fifo: BorrowedFd<'_>) -> Result<(), Failure> {
    let mut byte = [0u8; 1];
    match at(Stage::Fifo, fd::read(fifo, &mut byte))? {
        1 => Ok(()),
        _ => at(Stage::Fifo, Err(Errno::EPIPE)),
    }
}
