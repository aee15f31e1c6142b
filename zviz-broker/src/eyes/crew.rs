//! The hands that there are, by identity.

use nix::errno::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};
use zviz_sys::process::pidfd_send_signal;

/// Hands that one identity may have at once: as many of its calls may block.
pub(super) const MOST_OF_ONE: usize = 8;
/// Hands that there may be at once.
const MOST: usize = 24;
/// Hands that may wait for the other ends of FIFOs, and for the peers of sockets, beside those.
const MOST_BLOCKED: usize = 64;
/// How long one that is not needed is kept.
const IDLE: Duration = Duration::from_secs(10);

/// One hand.
pub(super) struct Hand {
    pub socket: OwnedFd,
    pidfd: OwnedFd,
    identity: u64,
    /// The call that it works on.
    pub busy: Option<u64>,
    /// It waits for somebody else, and is not counted.
    blocks: bool,
    since: Instant,
}

#[derive(Default)]
pub(super) struct Crew(Vec<Hand>);

impl Crew {
    pub(super) fn add(&mut self, identity: u64, socket: OwnedFd, pidfd: OwnedFd, now: Instant) {
        self.0.push(Hand { socket, pidfd, identity, busy: None, blocks: false, since: now });
    }

    /// One that is free, and how many there are.
    pub(super) fn free(&mut self, identity: u64) -> (Option<&mut Hand>, usize) {
        let count = self.0.iter().filter(|hand| hand.identity == identity && !hand.blocks).count();
        (self.0.iter_mut().find(|hand| hand.identity == identity && hand.busy.is_none()), count)
    }

    fn counted(&self) -> usize {
        self.0.iter().filter(|hand| !hand.blocks).count()
    }

    /// The one that works on a call waits for somebody else. False if too many do.
    pub(super) fn blocks(&mut self, id: u64) -> bool {
        let room = self.0.iter().filter(|hand| hand.blocks).count() < MOST_BLOCKED;
        match self.0.iter_mut().find(|hand| hand.busy == Some(id)) {
            Some(hand) if hand.blocks || room => hand.blocks = true,
            _ => return false,
        }
        true
    }

    /// Whether there may be one more beside `coming` that are being made; the one that was idle for longest goes for it.
    pub(super) fn make_room(&mut self, coming: usize) -> bool {
        if self.counted() + coming < MOST {
            return true;
        }
        let idle = self.0.iter().enumerate().filter(|(_, hand)| hand.busy.is_none());
        let longest = idle.min_by_key(|(_, hand)| hand.since).map(|(i, _)| i);
        longest.map(|i| self.0.swap_remove(i)).is_some()
    }

    /// Those at work.
    pub(super) fn at_work(&self) -> impl Iterator<Item = (u64, BorrowedFd<'_>)> {
        self.0.iter().filter_map(|hand| Some((hand.busy?, hand.socket.as_fd())))
    }

    /// The one that works on a call is free again.
    pub(super) fn release(&mut self, id: u64, now: Instant) {
        if let Some(hand) = self.0.iter_mut().find(|hand| hand.busy == Some(id)) {
            (hand.busy, hand.blocks, hand.since) = (None, false, now);
        }
    }

    /// The one that works on a call is ended: it may be blocked for ever, or has died.
    pub(super) fn end(&mut self, id: u64) -> Result<(), Errno> {
        let Some(at) = self.0.iter().position(|hand| hand.busy == Some(id)) else { return Ok(()) };
        let hand = self.0.swap_remove(at);
        match pidfd_send_signal(hand.pidfd.as_fd(), libc::SIGKILL) {
            Err(Errno::ESRCH) => Ok(()),
            other => other,
        }
    }

    /// The one that works on a call, and waits for somebody else, is to say how far it came. Whether it waits.
    pub(super) fn interrupt(&self, id: u64, signal: i32) -> bool {
        let waits = self.0.iter().find(|hand| hand.busy == Some(id) && hand.blocks);
        waits.is_some_and(|hand| pidfd_send_signal(hand.pidfd.as_fd(), signal).is_ok())
    }

    /// Lets those go that nobody needs.
    pub(super) fn shrink(&mut self, now: Instant) {
        self.0.retain(|hand| hand.busy.is_some() || now.duration_since(hand.since) < IDLE);
    }

    pub(super) fn is_small(&self) -> bool {
        self.0.len() <= 1
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
