//! Which hand does a call: one of the caller's identity, which is asked for where it may be any.

use super::crew::MOST_OF_ONE;
use super::log::Call;
use super::serve::{Pending, Stage};
use super::{Eyes, Identities};
use crate::decision::{Op, UNKNOWN, Work};
use crate::handlers::files::THREAD;
use crate::hands::{self, Answer, Asked, More, Who};
use nix::errno::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};
use zviz_sys::{notify, rights};

/// How long a call on a socket waits for a hand, where too many wait for their peers: as long as the kernel tries to connect
/// (tcp_syn_retries).
const PEERS: Duration = Duration::from_secs(130);

/// What the hands say of a caller.
pub(super) struct Seen {
    identity: u64,
    umask: u32,
    process: i32,
    directory: OwnedFd,
}

impl Eyes {
    /// Gives a call to the hands.
    pub(super) fn delegate(&mut self, id: u64, mut call: Call, mut work: Work, write_to: Option<u64>) {
        if work.makes_file_system() {
            if self.file_systems >= self.policy.mounts.as_ref().map_or(0, |mounts| mounts.most) {
                call.rule = "mounts.most".into();
                return self.respond(id, &call, Err(Errno::ENOSPC));
            }
            self.file_systems += 1;
        }
        let by_path = work.op == Op::Open || work.op.names() || work.op.is_of_socket();
        if let (true, Some(place)) = (by_path, work.numbers.get_mut(THREAD)) {
            *place = u64::from(call.thread.cast_unsigned());
        }
        let patience = Duration::from_millis(self.policy.pace.deadline_ms.into());
        let patience = if work.op.is_of_socket() { patience.max(PEERS) } else { patience };
        let deadline = Some(call.received + patience);
        let asks = self.policy.ask.as_ref().is_some_and(|asking| asking.calls.iter().any(|name| *name == call.name));
        self.pending.insert(
            id,
            Pending { call, work, write_to, deadline, stage: Stage::Asked, interrupted: false, file: None },
        );
        if asks { self.put_question(id) } else { self.proceed(id) }
    }

    /// Gives a call to a hand, or finds out which.
    pub(super) fn proceed(&mut self, id: u64) {
        let Some(pending) = self.pending.get_mut(&id) else { return };
        let work = &pending.work;
        // A hand that opens files finds the umask and the directory by itself, if it needs them; a socket without a name of a
        // file needs neither.
        let alone = work.op == Op::Open || work.op.is_of_socket() && work.op != Op::Bind && work.texts[1].is_none();
        let alone = alone && (self.threads || work.descriptor.is_none());
        if let (Identities::One(Some(identity)), true) = (self.identities, alone) {
            pending.stage = Stage::Waiting { identity, umask: UNKNOWN, directory: None, making: false };
            return self.assign(id);
        }
        self.look_up(id);
    }

    /// Asks who the caller is.
    pub(super) fn look_up(&mut self, id: u64) {
        let Some(pending) = self.pending.get_mut(&id) else { return };
        if let Some((_, Seen { identity, umask, process, directory })) = self.seen.take_if(|(of, _)| *of == id) {
            pending.call.process = Some(process);
            pending.stage = Stage::Waiting { identity, umask, directory: Some(directory), making: false };
            return self.assign(id);
        }
        pending.stage = Stage::Unknown;
        let question = Asked::Who(Who(pending.call.thread));
        self.ask(id, &question);
    }

    /// The hands have answered the oldest question.
    pub(super) fn answered(&mut self) {
        let Some(hands) = &self.hands else { return };
        let Ok(Some(answer)) = hands::read_answer(hands.as_fd()) else { return self.hands_died() };
        let Some(id) = self.asked.pop_front() else { return self.hands_died() };
        let Answer { errno, identity, umask, process, fds: [first, second] } = answer;
        let pending = self.pending.get_mut(&id).map(|pending| (&mut pending.stage, &mut pending.call.process));
        match (pending, first, second) {
            (Some((Stage::Passed(_), _)), Some(directory), _) if errno.is_none() => {
                return self.is_of_container(id, Seen { identity, umask, process, directory });
            }
            (Some((stage @ Stage::Unknown, place)), Some(directory), _) => {
                *place = Some(process);
                *stage = Stage::Waiting { identity, umask, directory: Some(directory), making: false };
            }
            (Some((Stage::Waiting { identity: own, making, .. }, _)), socket, pidfd) => {
                (*own, *making) = (identity, false);
                if let Some((socket, pidfd)) = socket.zip(pidfd) {
                    // Everybody's, if it is that of a caller: one that waits still had its number all the time.
                    let known = self.identities != Identities::Many && notify::is_waiting(self.listener.as_fd(), id);
                    if known {
                        self.identities = Identities::One(Some(identity));
                    }
                    let hand = if known { self.entrust(socket, pidfd) } else { Some((socket, pidfd)) };
                    if let Some((socket, pidfd)) = hand {
                        self.crew.add(identity, socket, pidfd, Instant::now());
                    }
                }
            }
            // It was given up meanwhile. Which question it was cannot be told any more, nor does it matter: a hand that
            // came along is closed.
            _ => {}
        }
        if errno.is_some() {
            // The thread is gone, or something about it cannot be had.
            return self.finish(id, Err(Errno::EPERM));
        }
        self.assign(id);
    }

    /// Finds a hand for a call whose identity is known.
    pub(super) fn assign(&mut self, id: u64) {
        let Some(Pending { call, work, stage: Stage::Waiting { identity, umask, directory, making: false }, .. }) =
            self.pending.get(&id)
        else {
            return;
        };
        let (thread, target, identity) = (call.thread, call.target(), *identity);
        let (free, count) = self.crew.free(identity);
        let Some(hand) = free else {
            let making = || self.pending.values().filter_map(Pending::making);
            let of_one = count + making().filter(|of| *of == identity).count();
            if of_one < MOST_OF_ONE && self.crew.make_room(making().count()) {
                return self.make(id, thread);
            }
            return self.queue.push_back(id);
        };
        let descriptor = match work.descriptor.map(|number| target.descriptor(number)).transpose() {
            Ok(descriptor) => descriptor,
            Err(_) => return self.finish(id, Err(Errno::EBADF)),
        };
        let passed: Result<Vec<_>, _> = work.passed.iter().map(|number| target.descriptor(*number)).collect();
        let Ok(passed) = passed else { return self.finish(id, Err(Errno::EBADF)) };
        // All that was learnt by the thread's number was about this caller, if it still waits now.
        if !notify::is_waiting(self.listener.as_fd(), id) {
            return self.gone(id);
        }
        let own = [directory, &descriptor].into_iter().flatten();
        let fds: Vec<_> = own.chain(&passed).map(AsFd::as_fd).collect();
        let sent = rights::send_with(hand.socket.as_fd(), &work.encode(*umask), &fds);
        hand.busy = Some(id);
        if sent.is_err() {
            return self.failed(id);
        }
        if let Some(pending) = self.pending.get_mut(&id) {
            pending.stage = Stage::Working;
        }
        if self.pending.len() == 1 && self.asked.is_empty() && self.queue.is_empty() {
            // Nobody else waits: a short while only for this hand saves a system call.
            self.done(id);
        }
    }

    fn make(&mut self, id: u64, thread: i32) {
        if !notify::is_waiting(self.listener.as_fd(), id) {
            return self.gone(id);
        }
        self.ask(id, &Asked::More(More(thread)));
        if let Some(Pending { stage: Stage::Waiting { making, .. }, .. }) = self.pending.get_mut(&id) {
            *making = true;
        }
    }

    pub(super) fn ask(&mut self, id: u64, question: &Asked<'_>) {
        let Some(hands) = &self.hands else { return self.finish(id, Err(Errno::ENOSYS)) };
        match hands::ask(hands.as_fd(), question) {
            Ok(()) => self.asked.push_back(id),
            // Whoever calls without a pause would keep this process from seeing it in any other way.
            Err(_) => self.hands_died(),
        }
    }
}
