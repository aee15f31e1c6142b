//! What a hand has done, and what the caller is told of it.

use super::Eyes;
use super::log::{Answered, Call};
use crate::decision::{BROKEN_PIPE, Op};
use crate::hands::{self, Told};
use crate::policy::Uname;
use nix::errno::Errno;
use std::os::fd::AsFd;
use std::time::Instant;
use zviz_sys::{machine, notify};

impl Eyes {
    /// A hand has something to say about a call, or has died over it.
    pub(super) fn done(&mut self, id: u64) {
        let socket = self.crew.at_work().find(|(busy, _)| *busy == id).map(|(_, socket)| hands::read_told(socket));
        let done = match socket {
            Some(Ok(Some(Told::Done(done)))) => done,
            Some(Ok(Some(Told::File(file)))) => {
                if let Some(pending) = self.pending.get_mut(&id) {
                    pending.file = Some(file);
                }
                return self.done(id);
            }
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
}

/// The names with those replaced that the policy replaces: the third and fourth of `struct new_utsname`.
fn masked(mut names: Vec<u8>, policy: Option<&Uname>) -> Vec<u8> {
    const NAME: usize = machine::NAMES / 6;
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
        let names = masked(vec![b'x'; machine::NAMES], Some(&uname));
        let name = |i: usize| String::from_utf8_lossy(&names[i * 65..(i + 1) * 65]).trim_end_matches('\0').to_owned();
        assert_eq!([name(2), name(3)], ["6.1.0", "#1"]);
        assert!([0, 1, 4, 5].iter().all(|i| name(*i) == "x".repeat(65)));
    }
}
