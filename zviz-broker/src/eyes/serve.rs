//! One call, from its receipt to its answer.

use super::crew::MOST_OF_ONE;
use super::log::{Answered, Call};
use super::target::Target;
use super::{Eyes, Identities, TICK};
use crate::decision::{BROKEN_PIPE, Op, Step, UNKNOWN, Work};
use crate::handlers::files::THREAD;
use crate::hands::{self, Answer, Asked, More, Told, Who};
use crate::held::Held;
use crate::policy::Uname;
use crate::table::Entry;
use nix::errno::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};
use zviz_sys::notify::{self, Notification};
use zviz_sys::{process, rights};

/// How long a call on a socket waits for a hand, where too many wait for their peers: as long as the kernel tries to connect
/// (tcp_syn_retries).
const PEERS: Duration = Duration::from_secs(130);
/// How long a call on a socket takes that does not wait for a peer.
const SLOW: Duration = Duration::from_millis(20);

/// A call that the hands are busy with.
pub(super) struct Pending {
    pub call: Call,
    pub work: Work,
    /// Where the hand's text goes, for `uname`; how much was sent, for `sendmmsg`.
    write_to: Option<u64>,
    /// None where it may take for ever.
    pub deadline: Option<Instant>,
    pub stage: Stage,
    /// Its hand was told to stop waiting.
    pub interrupted: bool,
}

/// How far it is.
pub(super) enum Stage {
    /// Somebody outside is asked whether it is done at all.
    Asked,
    /// Its identity is asked for.
    Unknown,
    /// It needs a hand of this identity: one is being made for it, or all are busy.
    Waiting { identity: u64, umask: u32, directory: Option<OwnedFd>, making: bool },
    /// A hand works on it.
    Working,
    /// The loader does, or will.
    Loading,
}

impl Pending {
    /// Of which identity a hand is being made for it.
    fn making(&self) -> Option<u64> {
        match self.stage {
            Stage::Waiting { identity, making: true, .. } => Some(identity),
            _ => None,
        }
    }
}

impl Eyes {
    /// Takes the next call, and waits for one. When it came, if there was one.
    pub(super) fn take(&mut self) -> Option<Instant> {
        // It may be gone already: killed, or told to others by a spurious wake-up.
        let Ok(call) = self.waits.during(|| notify::receive(self.listener.as_fd())) else { return None };
        let received = Instant::now();
        let known = self.calls.iter().find(|(arch, number, _)| (*arch, *number) == (call.arch, call.nr));
        let Some((_, _, entry)) = known.copied() else {
            // Not in this policy: the filter of another.
            let _ = notify::refuse(self.listener.as_fd(), call.id, Errno::ENOSYS);
            return Some(received);
        };
        self.decide(&call, entry, received);
        Some(received)
    }

    fn decide(&mut self, notified: &Notification, entry: &'static Entry, received: Instant) {
        // 0 is a caller that this process cannot see.
        let Some(thread) = i32::try_from(notified.pid).ok().filter(|thread| *thread > 0) else {
            let _ = notify::refuse(self.listener.as_fd(), notified.id, Errno::EPERM);
            return;
        };
        let mut target = Target { thread, process: None };
        let decision = (entry.decide)(&self.policy, Held::new(notified.args, &mut target));
        let call = Call { thread, process: None, name: entry.name, received, rule: decision.rule, seen: decision.seen };
        let (id, listener) = (notified.id, self.listener.as_fd());
        match decision.step {
            Step::LetRun(_) => {
                let answered = if notify::let_run(listener, id).is_ok() { Answered::LetRun } else { Answered::Gone };
                self.log.answered(&call, answered);
            }
            Step::Refuse(errno) => self.respond(id, &call, Err(errno)),
            Step::Sysinfo(address) => {
                let told = self.told.sysinfo(&self.facts, self.started, received).and_then(|bytes| {
                    if notify::is_waiting(listener, id) { target.write(address, &bytes) } else { Ok(()) }
                });
                self.respond(id, &call, told.map(|()| 0));
            }
            Step::Uname(address) => self.delegate(id, call, Work::new(Op::Uname), Some(address)),
            Step::Do(work) => self.delegate(id, call, work, None),
            Step::Count(work, address) => self.delegate(id, call, work, Some(address)),
        }
    }

    /// Gives a call to the hands.
    fn delegate(&mut self, id: u64, mut call: Call, mut work: Work, write_to: Option<u64>) {
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
        self.pending.insert(id, Pending { call, work, write_to, deadline, stage: Stage::Asked, interrupted: false });
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
            (Some((stage @ Stage::Unknown, place)), Some(directory), _) => {
                *place = Some(process);
                *stage = Stage::Waiting { identity, umask, directory: Some(directory), making: false };
            }
            (Some((Stage::Waiting { identity: own, making, .. }, _)), socket, pidfd) => {
                (*own, *making) = (identity, false);
                if let Some((socket, pidfd)) = socket.zip(pidfd) {
                    self.crew.add(identity, socket, pidfd, Instant::now());
                    // Everybody's, if it is that of a caller: one that waits still had its number all the time.
                    if self.identities != Identities::Many && notify::is_waiting(self.listener.as_fd(), id) {
                        self.identities = Identities::One(Some(identity));
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
    fn assign(&mut self, id: u64) {
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

    fn ask(&mut self, id: u64, question: &Asked<'_>) {
        let Some(hands) = &self.hands else { return self.finish(id, Err(Errno::ENOSYS)) };
        match hands::ask(hands.as_fd(), question) {
            Ok(()) => self.asked.push_back(id),
            // Whoever calls without a pause would keep this process from seeing it in any other way.
            Err(_) => self.hands_died(),
        }
    }

    /// A hand has something to say about a call, or has died over it.
    pub(super) fn done(&mut self, id: u64) {
        let socket = self.crew.at_work().find(|(busy, _)| *busy == id).map(|(_, socket)| hands::read_told(socket));
        let done = match socket {
            Some(Ok(Some(Told::Done(done)))) => done,
            Some(Ok(Some(Told::Blocks))) => return self.blocks(id),
            Some(Ok(Some(Told::Asks(text)))) => return self.hand_asks(id, &text),
            Some(Ok(Some(Told::Stale))) => return self.again(id),
            Some(Err(Errno::EAGAIN)) => return,
            _ => return self.failed(id),
        };
        self.crew.release(id, Instant::now());
        if done.result.is_err_and(|errno| self.was_interrupted(id, errno)) {
            return self.begin_again(id);
        }
        let Some(pending) = self.pending.get_mut(&id) else { return };
        match pending.work.op {
            Op::Open => return self.opened(id, done),
            Op::Devices => return self.devices(id, done),
            _ => {}
        }
        let (op, target) = (pending.work.op, pending.call.target());
        if pending.work.makes_file_system() && done.result.is_err() {
            // Of a hand that says nothing, it is not known.
            self.file_systems = self.file_systems.saturating_sub(1);
        }
        if op.names() {
            pending.call.judged(&done.text);
        }
        if op.is_of_socket() {
            pending.call.learn(&done.text);
        }
        if op == Op::Send && done.text == BROKEN_PIPE && notify::is_waiting(self.listener.as_fd(), id) {
            // As with the kernel's own EPIPE. One that cannot be signalled has the errno.
            let _ = target.signal(libc::SIGPIPE);
        }
        let result = match (pending.write_to, done.result) {
            (Some(address), Ok(value)) => {
                let (text, value) = match op {
                    Op::Send => (u32::try_from(value).unwrap_or(u32::MAX).to_ne_bytes().to_vec(), 1),
                    _ => (masked(done.text, self.policy.uname.as_ref()), value),
                };
                if notify::is_waiting(self.listener.as_fd(), id) {
                    target.write(address, &text).map(|()| value)
                } else {
                    Ok(value)
                }
            }
            (_, result) => result,
        };
        self.finish(id, result);
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

    /// The hand's root has changed under it: the call goes to another.
    fn again(&mut self, id: u64) {
        let _ = self.crew.end(id);
        self.look_up(id);
    }

    /// The hand that worked on a call is of no use any more.
    pub(super) fn failed(&mut self, id: u64) {
        let _ = self.crew.end(id);
        if self.hands_are_gone() {
            // It has ended with whoever made it.
            return self.hands_died();
        }
        self.finish(id, Err(if self.hands.is_some() { Errno::EPERM } else { Errno::ENOSYS }));
    }

    /// Answers a call that the hands were asked about.
    pub(super) fn finish(&mut self, id: u64, result: Result<i64, Errno>) {
        if let Some(pending) = self.pending.remove(&id) {
            self.asker.forget(id);
            self.respond(id, &pending.call, result);
        }
    }

    /// Forgets a call whose caller is gone.
    pub(super) fn gone(&mut self, id: u64) {
        if let Some(pending) = self.pending.remove(&id) {
            self.asker.forget(id);
            self.log.answered(&pending.call, Answered::Gone);
        }
    }

    pub(super) fn respond(&self, id: u64, call: &Call, result: Result<i64, Errno>) {
        let listener = self.listener.as_fd();
        let answered = match result {
            Ok(value) => notify::answer(listener, id, value),
            Err(errno) => notify::refuse(listener, id, errno),
        };
        // A caller that is gone needs no answer.
        let told = if answered.is_ok() { Answered::Result(result) } else { Answered::Gone };
        self.log.answered(call, told);
    }

    /// Gives up on what takes too long, on callers that have died, and on hands that nobody needs; and finds hands for calls
    /// that wait for one.
    pub(super) fn look_after(&mut self) {
        for _ in 0..self.queue.len() {
            if let Some(id) = self.queue.pop_front() {
                self.assign(id);
            }
        }
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
}

/// The names with those replaced that the policy replaces: the third and fourth of `struct new_utsname`.
fn masked(mut names: Vec<u8>, policy: Option<&Uname>) -> Vec<u8> {
    const NAME: usize = process::NAMES / 6;
    for (i, text) in policy.iter().flat_map(|uname| [(2, &uname.release), (3, &uname.version)]) {
        if let Some(place) = names.get_mut(i * NAME..(i + 1) * NAME) {
            place.fill(0);
            place.iter_mut().zip(text.bytes().take(NAME - 1)).for_each(|(place, byte)| *place = byte);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_of_six_names_are_replaced() {
        let uname = Uname { release: "6.1.0".into(), version: "#1".into() };
        let names = masked(vec![b'x'; process::NAMES], Some(&uname));
        let name = |i: usize| String::from_utf8_lossy(&names[i * 65..(i + 1) * 65]).trim_end_matches('\0').to_owned();
        assert_eq!([name(2), name(3)], ["6.1.0", "#1"]);
        assert!([0, 1, 4, 5].iter().all(|i| name(*i) == "x".repeat(65)));
    }
}
