//! What wakes the eyes: the listener, those whose answers are outstanding, and time.

use super::{Eyes, MOST_PENDING, TICK};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;
use std::time::Duration;

/// What woke the eyes.
#[derive(Default)]
pub(super) struct Woken {
    pub call: bool,
    pub ended: bool,
    pub hands: bool,
    pub client: bool,
    pub loader: bool,
    /// The hand that answers by itself has something to say.
    pub left: bool,
    pub done: Vec<u64>,
}

impl Eyes {
    /// Whether nothing can happen but a call, or what the watch tells. One hand is kept however long it is idle. The watch does not
    /// look at a loader.
    pub(super) fn waits_for_calls_alone(&self) -> bool {
        self.hands.is_some()
            && self.alone.waits().is_none()
            && self.pending.is_empty()
            && self.asked.is_empty()
            && self.loading.is_none()
            && self.crew.is_small()
    }

    /// Waits for something to happen.
    pub(super) fn wait(&self, delay: Option<Duration>) -> Result<Woken, Errno> {
        // Who was given up may still be asked about, and what is asked has to fit the socket.
        let takes = delay.is_none() && self.pending.len().max(self.asked.len()) < MOST_PENDING;
        // Without POLLIN the end of the listener is told all the same.
        let alone = self.alone.waits().filter(|_| takes);
        let call = if takes && !self.alone.serves() { PollFlags::POLLIN } else { PollFlags::empty() };
        let mut fds = vec![PollFd::new(self.listener.as_fd(), call)];
        fds.extend(self.hands.iter().map(|hands| PollFd::new(hands.as_fd(), PollFlags::POLLIN)));
        let asked = self.asker.waits();
        let asks = asked.is_some();
        fds.extend(asked);
        let loader = self.loading.waits();
        let loads = loader.is_some();
        fds.extend(loader);
        fds.extend(alone.map(|hand| PollFd::new(hand, PollFlags::POLLIN)));
        let at_work: Vec<_> = self.crew.at_work().collect();
        fds.extend(at_work.iter().map(|(_, socket)| PollFd::new(*socket, PollFlags::POLLIN)));
        match poll(&mut fds, self.timeout(delay)) {
            Err(Errno::EINTR) => return Ok(Woken::default()),
            other => other?,
        };
        let mut happened = fds.iter().map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
        let listener = happened.next().unwrap_or(PollFlags::empty());
        let hands = self.hands.is_some() && happened.next().is_some_and(|events| !events.is_empty());
        let client = asks && happened.next().is_some_and(|events| !events.is_empty());
        let loader = loads && happened.next().is_some_and(|events| !events.is_empty());
        let left = alone.is_some() && happened.next().is_some_and(|events| !events.is_empty());
        let done = at_work.iter().zip(happened).filter(|(_, events)| !events.is_empty()).map(|((id, _), _)| *id);
        Ok(Woken {
            call: listener.contains(PollFlags::POLLIN),
            ended: listener.intersects(PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL),
            hands,
            client,
            loader,
            left,
            done: done.collect(),
        })
    }

    fn timeout(&self, delay: Option<Duration>) -> PollTimeout {
        // While another takes the calls, one hand is kept however long it is idle, as where this process waits in the listener.
        let kept = self.crew.is_empty() || self.alone.serves() && self.crew.is_small();
        let idle = self.pending.is_empty() && kept && !self.alone.is_away();
        match (delay, idle) {
            // Rounded up: poll(2) counts milliseconds, and a throttled caller has time.
            (Some(delay), _) => {
                PollTimeout::try_from(delay.min(TICK) + Duration::from_millis(1)).unwrap_or(PollTimeout::ZERO)
            }
            (None, true) => PollTimeout::NONE,
            (None, false) => PollTimeout::try_from(TICK).unwrap_or(PollTimeout::ZERO),
        }
    }
}
