//! The second thread of a hand that answers by itself: it sees the end of the container, that of the eyes, and that a call
//! takes long.

use super::SLOW;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use zviz_sys::process::exit;
use zviz_sys::{fd, rights};

/// How often is looked, while there are calls. One that is seen twice takes long.
const TICK: u16 = 100;
/// How soon is looked again whether the first thread has come to the end of a call.
const AGAIN: Duration = Duration::from_millis(1);
/// How often.
const ENOUGH: u32 = 1000;
/// It calls poll(2) and sendmsg(2), and little more.
const STACK: usize = 64 << 10;

/// How far the first thread is.
#[derive(Default)]
struct State {
    /// It waits for a call. Whoever takes this back decides: the first thread to answer what it has received, or the second that
    /// both end, with whatever was received.
    waits: AtomicBool,
    /// The call that it works on, or did.
    call: AtomicU64,
    /// Whether it works on it: `IDLE`, `WORKS`, or `GIVEN`.
    phase: AtomicU8,
    /// Held until the eyes have heard of it.
    telling: Mutex<()>,
    /// Calls that it has begun.
    count: AtomicU64,
    /// The second thread does not look, since there were no calls for a while.
    asleep: AtomicBool,
    /// It is to take no other call.
    ends: AtomicBool,
}

const IDLE: u8 = 0;
const WORKS: u8 = 1;
/// It does, and the eyes take all others.
const GIVEN: u8 = 2;

/// The first thread's side of it.
pub(super) struct Progress {
    state: Arc<State>,
    wakes: OwnedFd,
}

impl Progress {
    /// Waits for a call.
    pub(super) fn during<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.state.waits.store(true, SeqCst);
        let got = wait();
        if !self.state.waits.swap(false, SeqCst) {
            exit(0)
        }
        got
    }

    pub(super) fn begins(&self, call: u64) {
        self.state.call.store(call, SeqCst);
        self.state.phase.store(WORKS, SeqCst);
        self.state.count.fetch_add(1, SeqCst);
        if self.state.asleep.load(SeqCst) && self.state.asleep.swap(false, SeqCst) {
            let _ = rights::send_with(self.wakes.as_fd(), &[0], &[]);
        }
    }

    /// It is at the end of a call. Whether the eyes were told meanwhile to take all others.
    pub(super) fn was_slow(&self) -> bool {
        let slow = self.state.phase.swap(IDLE, SeqCst) == GIVEN;
        if slow {
            drop(self.state.telling.lock().unwrap_or_else(PoisonError::into_inner));
        }
        slow
    }

    pub(super) fn ends(&self) -> bool {
        self.state.ends.load(SeqCst)
    }
}

/// Makes the thread: before the filter, which lets nobody make one.
///
/// # Errors
/// EAGAIN where no more threads are allowed.
pub(super) fn start(listener: &Arc<OwnedFd>, eyes: OwnedFd) -> Result<Progress, Errno> {
    let (wakes, woken) = fd::packet_pair()?;
    let state = Arc::new(State::default());
    let (runs, ready) = channel();
    let watch = Watch { listener: Arc::clone(listener), eyes, woken, state: Arc::clone(&state) };
    let body = move || {
        let _ = runs.send(());
        watch.run()
    };
    let made = thread::Builder::new().name("zviz-watch".into()).stack_size(STACK).spawn(body);
    made.map_err(|error| error.raw_os_error().map_or(Errno::EAGAIN, Errno::from_raw))?;
    // What a thread does first, the filter would not let it.
    ready.recv().map_err(|_| Errno::EAGAIN)?;
    Ok(Progress { state, wakes })
}

struct Watch {
    listener: Arc<OwnedFd>,
    eyes: OwnedFd,
    woken: OwnedFd,
    state: Arc<State>,
}

impl Watch {
    fn run(self) -> ! {
        let mut last = 0;
        loop {
            let asleep = self.state.asleep.load(SeqCst);
            let timeout = if asleep { PollTimeout::NONE } else { PollTimeout::from(TICK) };
            // Without POLLIN the first two tell their end alone.
            let mut fds = [
                PollFd::new(self.listener.as_fd(), PollFlags::empty()),
                PollFd::new(self.eyes.as_fd(), PollFlags::empty()),
                PollFd::new(self.woken.as_fd(), PollFlags::POLLIN),
            ];
            if poll(&mut fds, timeout).is_err() {
                continue;
            }
            let [listener, eyes, woken] = fds.map(|fd| fd.revents().is_some_and(|events| !events.is_empty()));
            if listener || eyes {
                self.end()
            }
            if woken {
                let _ = rights::receive(self.woken.as_fd(), &mut [0]);
            }
            let (count, phase) = (self.state.count.load(SeqCst), self.state.phase.load(SeqCst));
            if woken || count != last {
                last = count;
            } else if phase == IDLE {
                self.state.asleep.store(true, SeqCst);
                if self.state.count.load(SeqCst) != count {
                    // It may have looked before.
                    self.state.asleep.store(false, SeqCst);
                }
            } else if phase == WORKS {
                self.give_away();
            }
        }
    }

    /// A call takes long: the eyes are to take all others, and end this one if it takes too long.
    fn give_away(&self) {
        // The first thread says that it is free only after this.
        let _telling = self.state.telling.lock().unwrap_or_else(PoisonError::into_inner);
        if self.state.phase.compare_exchange(WORKS, GIVEN, SeqCst, SeqCst).is_ok() {
            // Only the first thread changes it, at the beginning of another.
            let call = self.state.call.load(SeqCst);
            let _ = rights::send_with(self.eyes.as_fd(), &[&[SLOW], &call.to_le_bytes()[..]].concat(), &[]);
        }
    }

    /// The first thread ends after the call that it answers; if it never does, with this one. No signal is sent, which could cut
    /// off an answer.
    fn end(&self) -> ! {
        self.state.ends.store(true, SeqCst);
        for _ in 0..ENOUGH {
            if self.state.waits.swap(false, SeqCst) {
                exit(0)
            }
            thread::sleep(AGAIN);
        }
        exit(0)
    }
}
