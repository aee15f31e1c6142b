//! A second thread that looks after what the first cannot see while it waits for a call in the listener itself: the end of
//! the container, and of the hands.
//!
//! Waiting in RECV instead of poll(2) saves a system call for each call that is served, a seventh of the whole. But not
//! every kernel wakes a RECV when nobody is left who could call (Linux 6.11 does).

use super::WAKE;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;
use zviz_sys::signals::{interrupt_by, to_first_thread};

/// A signal that comes just before the wait is lost: it is sent again after this time.
const AGAIN: Duration = Duration::from_millis(20);
/// How often that is done for the hands.
const ENOUGH: u32 = 50;

/// The listener, and the hands as a process.
type Watched = (Arc<OwnedFd>, Arc<OwnedFd>, Waits);

/// The thread; it waits for something to watch.
pub(crate) struct Watch(Sender<Watched>);

/// Whether the first thread waits for a call. At any other time it must not be interrupted: an answer with a descriptor that a
/// signal cuts off lets the call return 0 (seccomp_notify_addfd of kernel/seccomp.c).
#[derive(Clone, Default)]
pub(super) struct Waits(Arc<AtomicBool>);

impl Waits {
    /// Waits for it.
    pub(super) fn during<T>(&self, wait: impl FnOnce() -> T) -> T {
        self.0.store(true, Ordering::SeqCst);
        let got = wait();
        self.0.store(false, Ordering::SeqCst);
        got
    }
}

impl Watch {
    /// Makes the thread: before the filter, which lets nobody make one.
    ///
    /// # Errors
    /// EAGAIN where no more threads are allowed.
    pub(crate) fn start() -> Result<Self, Errno> {
        interrupt_by(WAKE)?;
        let (give, take) = channel();
        let (runs, ready) = channel();
        let body = move || {
            let _ = runs.send(());
            watch(&take);
        };
        let made = thread::Builder::new().name("zviz-watch".into()).stack_size(STACK).spawn(body);
        made.map_err(|error| error.raw_os_error().map_or(Errno::EAGAIN, Errno::from_raw))?;
        // What a thread does first, the filter would not let it.
        ready.recv().map_err(|_| Errno::EAGAIN)?;
        Ok(Watch(give))
    }

    /// From now on the first thread is interrupted where it waits, again and again, once one of these has come to its end.
    pub(super) fn over(self, listener: &Arc<OwnedFd>, hands: &Arc<OwnedFd>) -> Waits {
        let waits = Waits::default();
        // The thread waits for nothing else.
        let _ = self.0.send((Arc::clone(listener), Arc::clone(hands), waits.clone()));
        waits
    }
}

/// It calls poll(2) and tgkill(2), and little more.
const STACK: usize = 64 << 10;

fn watch(take: &Receiver<Watched>) {
    let Ok((listener, hands, waits)) = take.recv() else { return };
    let mut told = 0;
    loop {
        // Without POLLIN the listener tells its end alone. Once the first thread must know of the hands, they are left out.
        let hands = (told < ENOUGH).then(|| PollFd::new(hands.as_fd(), PollFlags::POLLIN));
        let mut fds: Vec<_> = [PollFd::new(listener.as_fd(), PollFlags::empty())].into_iter().chain(hands).collect();
        if poll(&mut fds, PollTimeout::NONE).is_ok_and(|count| count > 0) {
            if waits.0.load(Ordering::SeqCst) {
                let _ = to_first_thread(WAKE);
            }
            told += 1;
            thread::sleep(AGAIN);
        }
    }
}
