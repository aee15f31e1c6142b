//! What hands say of files.

use super::Eyes;
use super::log::{Answered, Call};
use super::serve::Pending;
use crate::decision::{Argument, Work};
use crate::handlers::files::{FLAGS, RULE, flag, is_callers_alone};
use crate::hands::{self, Done};
use crate::policy::files::Verdict;
use nix::errno::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use zviz_sys::notify;

impl Call {
    /// A hand has found the file, and the rules have judged its name. False if they have nothing to tell about it.
    pub(super) fn judged(&mut self, text: &[u8]) -> bool {
        let Some((ruling, name)) = hands::decode_judged(text) else { return true };
        // Whoever was asked about it knows already.
        if self.rule == RULE {
            self.rule = ruling.rule.map_or("files.default".into(), |rule| format!("files.rules[{rule}]").into());
            self.seen.push(("name", Argument::Path(name.to_vec())));
        }
        ruling.verdict != Verdict::Allow
    }
}

/// Answers a call with the file that was opened for it. `first`: when it is answered, this process has it open no more.
///
/// # Errors
/// Those of `notify::answer_with`.
pub(crate) fn give_file(
    listener: BorrowedFd<'_>,
    id: u64,
    work: &Work,
    file: OwnedFd,
    first: bool,
) -> Result<(), Errno> {
    let close_on_exec = work.numbers.get(FLAGS).is_some_and(|flags| flags & flag(libc::O_CLOEXEC) != 0);
    if !first {
        return notify::answer_with(listener, id, file.as_fd(), close_on_exec);
    }
    let number = notify::give(listener, id, file.as_fd(), close_on_exec)?;
    drop(file);
    notify::answer(listener, id, number)
}

impl Eyes {
    /// A hand has opened a file, or not.
    pub(super) fn opened(&mut self, id: u64, done: Done) {
        if done.result == Err(hands::NOT_SEEN) {
            return self.look_up(id);
        }
        let Some(Pending { mut call, work, file: ahead, .. }) = self.pending.remove(&id) else { return };
        self.asker.forget(id);
        let tells = !self.log.is_none() && call.judged(&done.text);
        let file = done.result.and_then(|_| done.file.or(ahead).ok_or(Errno::EPERM));
        // The caller may execute what it has written, once nobody else has it open. And where another answers the next call, that
        // may be about the other end of a FIFO.
        let first = is_callers_alone(&work) || self.alone.waits().is_some();
        match file.and_then(|file| give_file(self.listener.as_fd(), id, &work, file, first)) {
            Ok(()) if tells => self.log.answered(&call, Answered::Result(Ok(0))),
            Ok(()) => {}
            Err(errno) => self.respond(id, &call, Err(errno)),
        }
    }

    /// A hand waits for somebody else: a FIFO's other end. So would the caller, for as long as it takes.
    pub(super) fn blocks(&mut self, id: u64) {
        if !self.crew.blocks(id) {
            let _ = self.crew.end(id);
            return self.finish(id, Err(Errno::ENFILE));
        }
        if let Some(pending) = self.pending.get_mut(&id) {
            pending.deadline = None;
        }
    }

    /// A hand has found a file that somebody outside decides about, and waits for that.
    pub(super) fn hand_asks(&mut self, id: u64, text: &[u8]) {
        self.blocks(id);
        let Some(pending) = self.pending.get_mut(&id) else { return };
        pending.call.judged(text);
        self.put_question(id);
    }
}
