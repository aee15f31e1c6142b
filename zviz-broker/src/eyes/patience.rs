//! How long is waited: for hands, for callers that may be gone, for peers.

use super::serve::Stage;
use super::{Eyes, TICK};
use nix::errno::Errno;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};
use zviz_sys::notify;

/// How long a call on a socket takes that does not wait for a peer.
const SLOW: Duration = Duration::from_millis(20);

impl Eyes {
    /// Gives up on what takes too long, on callers that have died, and on hands that nobody needs; and finds hands for calls
    /// that wait for one.
    pub(super) fn look_after(&mut self) {
        for _ in 0..self.queue.len() {
            if let Some(id) = self.queue.pop_front() {
                self.assign(id);
            }
        }
        self.look_after_alone();
        if self.pending.is_empty() && self.crew.is_small() {
            return;
        }
        let now = Instant::now();
        if now.duration_since(self.looked) < TICK {
            return;
        }
        self.looked = now;
        self.stop_waiting_for_answers();
        let late: Vec<u64> = self
            .pending
            .iter()
            .filter(|(_, p)| p.deadline.is_some_and(|deadline| deadline <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            let _ = self.crew.end(id);
            self.finish(id, Err(Errno::ETIMEDOUT));
        }
        let asked = self.pending.iter().filter(|(_, pending)| matches!(pending.stage, Stage::Asked)).map(|(id, _)| *id);
        let held: Vec<u64> = self.crew.at_work().map(|(id, _)| id).chain(asked).collect();
        for id in held {
            if !notify::is_waiting(self.listener.as_fd(), id) {
                let _ = self.crew.end(id);
                self.gone(id);
            }
        }
        self.be_patient(now);
        self.let_stop();
        self.crew.shrink(now);
    }

    /// Finds the calls on sockets that wait for a peer, as they would without a broker.
    fn be_patient(&mut self, now: Instant) {
        for (id, pending) in &mut self.pending {
            let held = pending.deadline.is_some() && matches!(pending.stage, Stage::Working);
            let of_peer = held && pending.work.op.is_of_socket();
            // Where too many do already, the deadline stays.
            if of_peer && now.duration_since(pending.call.received) >= SLOW && self.crew.blocks(*id) {
                pending.deadline = None;
            }
        }
    }
}
