//! A hand that holds the listener, and answers calls that open files without anybody's help: it receives them, reads their
//! paths, asks the rules, opens, and gives the descriptor. Nobody is woken but the caller, which halves what a call takes.
//!
//! Eyes and hands are apart so that whoever takes over one of them gains nothing that the container lacks: who reads what the
//! container has written has no right to act, and who acts reads only what was understood. This hand does both, and that is
//! for containers alone that have a user namespace, and in which every process has one identity without any capability, which is
//! also this hand's (`start::Settings::answers_alone`). Whoever takes it over has the rights of the very processes that did it,
//! and the listener of their own calls: what could be forged are answers to themselves. Whose call it is that it passes on, the
//! eyes do not take from it. The list of system calls is one for opening.
//!
//! ```text
//! eyes ── ALONE + listener ───────►  hand              it takes the calls
//!      ◄── a call as it came ──────                    whatever waits for somebody, or was not understood: the eyes serve it
//!      ◄── SLOW(call) ─────────────                    this one takes long; from here on the eyes take the calls
//!      ◄── FREE ───────────────────                    it was answered all the same
//!      ── GO ──────────────────────►                   it takes the calls again
//!      ◄── LEAVES ─────────────────                    it ends
//! ```
//!
//! Only one of both takes calls at a time: who waits for one in the listener waits for as long as the other takes them.
//!
//! Nobody ends it by force while it answers: the caller would get 0 from a call that did nothing (seccomp_notify_addfd of
//! kernel/seccomp.c). It ends by itself, between two calls, once the eyes have gone.

use super::open::Opener;
use super::wire::{NOT_SEEN, Report};
use crate::confine;
use crate::decision::{Step, Work};
use crate::eyes::{Bucket, Target, give_file};
use crate::handlers::files::{THREAD, is_callers_alone};
use crate::held::Held;
use crate::policy::{Pace, Policy};
use crate::table::{Entry, TABLE};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;
use zviz_seccomp::Arch;
use zviz_sys::notify::{self, Notification};
use zviz_sys::process::{exit, pidfd_open_thread};
use zviz_sys::seccomp::Instruction;
use zviz_sys::{ids, rights};

mod watch;

/// What the eyes send with the listener.
pub(crate) const ALONE: &[u8] = &[0xff];
/// What they send for it to go on.
pub(crate) const GO: &[u8] = &[0xfe];
/// What it sends, by the first byte; the number of a call follows SLOW.
const LEAVES: u8 = 0;
const FREE: u8 = 1;
const SLOW: u8 = 2;
/// Callers in a row that cannot be read (Yama's ptrace_scope, programs that are not dumpable) until it is left to the eyes.
const UNREADABLE: u32 = 16;

/// What such a hand is told beforehand.
pub(crate) struct Orders {
    /// The same that the eyes keep to.
    pub pace: Pace,
    /// Its own list of system calls.
    pub filter: Vec<Instruction>,
}

/// What it says to the eyes.
pub(crate) enum Says {
    /// This call is for the eyes.
    Call(Box<Notification>),
    /// It has been busy with this call for long, and takes no other.
    Slow(u64),
    /// It was, and waits to be told to go on.
    Free,
    /// It ends, and has no call.
    Leaves,
    /// Nothing yet.
    Nothing,
    /// It has ended.
    End,
}

/// Reads what it says.
pub(crate) fn hear(hand: &OwnedFd) -> Says {
    let mut packet = [0u8; Notification::SIZE];
    let received = match rights::receive(hand.as_fd(), &mut packet) {
        Ok(received) if !received.truncated => received.bytes,
        Err(Errno::EAGAIN) => return Says::Nothing,
        _ => return Says::End,
    };
    match (received, packet) {
        (Notification::SIZE, packet) => Says::Call(Box::new(Notification::decode(&packet))),
        (1, [LEAVES, ..]) => Says::Leaves,
        (1, [FREE, ..]) => Says::Free,
        (9, [SLOW, id @ ..]) => Says::Slow(id.first_chunk().map_or(0, |id| u64::from_le_bytes(*id))),
        _ => Says::End,
    }
}

/// Says that it ends.
pub(super) fn leave(eyes: &OwnedFd) {
    // Whoever does not hear it has ended.
    let _ = rights::send_with(eyes.as_fd(), &[LEAVES], &[]);
}

/// What became of a call.
enum Came {
    /// It is answered, or its caller is gone.
    Done,
    /// It is for the eyes.
    Other,
    /// As `Other`: its caller cannot be read.
    Unreadable,
}

struct Alone<'o> {
    opener: &'o Opener<'o>,
    policy: Policy,
    listener: Arc<OwnedFd>,
    calls: Vec<(i32, &'static Entry)>,
    threads: bool,
}

/// Serves until the container has ended, or the eyes have.
pub(super) fn serve(opener: &Opener<'_>, orders: &Orders, eyes: &OwnedFd, listener: OwnedFd) -> ! {
    let listener = Arc::new(listener);
    let ready = eyes
        .try_clone()
        .map_err(|_| Errno::EMFILE)
        .and_then(|eyes| watch::start(&listener, eyes))
        // It sees to its end itself.
        .and_then(|progress| ids::set_parent_death_signal(0).map(|()| progress))
        .and_then(|progress| confine::load(&orders.filter).map(|()| progress));
    let Ok(progress) = ready else {
        leave(eyes);
        exit(0)
    };
    let threads = pidfd_open_thread(nix::unistd::gettid().as_raw()).is_ok();
    let alone = Alone { opener, policy: Policy::default(), listener, calls: calls(), threads };
    let mut now = Instant::now();
    let mut bucket = Bucket::new(orders.pace, now);
    let mut unreadable = 0;
    loop {
        if progress.ends() {
            exit(0)
        }
        if let Some(delay) = bucket.wait(now) {
            std::thread::sleep(delay);
        }
        let call = match progress.during(|| notify::receive(alone.listener.as_fd())) {
            Ok(call) => call,
            Err(Errno::EINTR) => continue,
            Err(_) if has_ended(&alone.listener) => exit(0),
            Err(_) => continue,
        };
        bucket.take();
        progress.begins(call.id);
        let came = alone.answer(&call);
        unreadable = if matches!(came, Came::Unreadable) { unreadable + 1 } else { 0 };
        if !matches!(came, Came::Done) && rights::send_with(eyes.as_fd(), &call.encode(), &[]).is_err() {
            exit(0)
        }
        if progress.was_slow() {
            wait_to_go_on(&progress, eyes);
        }
        if unreadable == UNREADABLE {
            leave(eyes);
            exit(0)
        }
        now = Instant::now();
    }
}

impl Alone<'_> {
    fn answer(&self, call: &Notification) -> Came {
        let known = self.calls.iter().find(|(number, _)| *number == call.nr && call.arch == Arch::native().audit());
        let (Some((_, entry)), Ok(thread @ 1..)) = (known, i32::try_from(call.pid)) else { return Came::Other };
        let mut target = Target { thread, process: None };
        let listener = self.listener.as_fd();
        match (entry.decide)(&self.policy, Held::new(call.args, &mut target)).step {
            Step::LetRun(_) => {
                let _ = notify::let_run(listener, call.id);
                Came::Done
            }
            // What is wrong with the call itself. Anything else is about reading it: a security module has its own errno.
            Step::Refuse(
                errno @ (Errno::E2BIG
                | Errno::EFAULT
                | Errno::EINVAL
                | Errno::ENAMETOOLONG
                | Errno::ENOENT
                | Errno::ENOSYS),
            ) => self.refuse(call, errno),
            Step::Refuse(_) => Came::Unreadable,
            Step::Do(work) => self.open(call, work, target),
            Step::Count(..) | Step::Sysinfo(_) | Step::Uname(_) => Came::Other,
        }
    }

    fn open(&self, call: &Notification, mut work: Work, target: Target) -> Came {
        if let Some(place) = work.numbers.get_mut(THREAD) {
            *place = u64::from(call.pid);
        }
        // Whether its caller still waits need not be asked first: if somebody else had its number when the path was read, what was
        // opened to be read is closed again, since the answer goes to nobody.
        if let Some(opened) = self.opener.open_plain(&work) {
            return self.give(call, &work, opened.result);
        }
        let place = match work.descriptor.map(|number| target.descriptor(number)).transpose() {
            Ok(Some(_)) if !self.threads => return Came::Other,
            Ok(place) => place,
            Err(Errno::EBADF) => return self.refuse(call, Errno::EBADF),
            Err(_) => return Came::Other,
        };
        // What was learnt by the thread's number was about this caller, if it still waits now.
        if !notify::is_waiting(self.listener.as_fd(), call.id) {
            return Came::Done;
        }
        let any = || self.opener.open_any(&work, place.as_ref().map(AsFd::as_fd), None, &Report::Nobody);
        let opened = self.opener.write_plain(&work).unwrap_or_else(any);
        self.give(call, &work, opened.result)
    }

    fn give(&self, call: &Notification, work: &Work, opened: Result<OwnedFd, Errno>) -> Came {
        match opened {
            Err(NOT_SEEN) => Came::Other,
            Err(errno) => self.refuse(call, errno),
            Ok(file) => match give_file(self.listener.as_fd(), call.id, work, file, is_callers_alone(work)) {
                Ok(()) => Came::Done,
                Err(errno) => self.refuse(call, errno),
            },
        }
    }

    fn refuse(&self, call: &Notification, errno: Errno) -> Came {
        // A caller that is gone needs no answer.
        let _ = notify::refuse(self.listener.as_fd(), call.id, errno);
        Came::Done
    }
}

/// The eyes take the calls now, since one took long.
fn wait_to_go_on(progress: &watch::Progress, eyes: &OwnedFd) {
    let mut word = [0u8; 1];
    let told = rights::send_with(eyes.as_fd(), &[FREE], &[])
        .and_then(|_| progress.during(|| rights::receive(eyes.as_fd(), &mut word)));
    if !told.is_ok_and(|received| received.bytes == 1) || word != GO {
        exit(0)
    }
}

/// Whether no process with the filter is left.
pub(crate) fn has_ended(listener: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(listener.as_fd(), PollFlags::empty())];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|count| count > 0)
}

/// The numbers of the calls that open files.
fn calls() -> Vec<(i32, &'static Entry)> {
    let opens = TABLE.iter().filter(|entry| ["creat", "open", "openat", "openat2"].contains(&entry.name));
    let number = |entry: &'static Entry| {
        let number = zviz_seccomp::number_of(entry.name, Arch::native())?;
        Some((i32::try_from(number).ok()?, entry))
    };
    opens.filter_map(number).collect()
}
