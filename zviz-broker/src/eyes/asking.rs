//! Calls that are held until somebody outside has decided about them.

use super::Eyes;
use super::serve::Stage;
use crate::ask::Incoming;
use crate::hands;
use crate::policy::ask::Asking;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};
use zviz_sys::{fd, rights};

/// Bytes of questions that a client has not read yet. Whoever asks beyond them is refused.
const UNREAD: usize = 64 << 10;

/// Questions that are open at once. As many again may be held for other reasons.
const MOST: usize = 128;

/// One question.
struct Question {
    /// The call that is held.
    call: u64,
    deadline: Instant,
}

/// What somebody, or nobody, has decided about a call.
pub(super) struct Decided {
    call: u64,
    question: u64,
    verdict: Result<(), Errno>,
    by: &'static str,
}

/// The client, and what it was asked.
pub(super) struct Asker {
    /// None without a client, and once it is gone.
    client: Option<OwnedFd>,
    incoming: Incoming,
    outgoing: Vec<u8>,
    open: BTreeMap<u64, Question>,
    last: u64,
    timeout: Duration,
    errno: Errno,
}

impl Asker {
    pub(super) fn new(asking: Option<&Asking>, client: Option<OwnedFd>) -> Self {
        let default = Asking::default();
        let asking = asking.unwrap_or(&default);
        Asker {
            client,
            incoming: Incoming::default(),
            outgoing: Vec::new(),
            open: BTreeMap::new(),
            last: 0,
            timeout: Duration::from_millis(asking.timeout_ms.into()),
            errno: asking.errno.into(),
        }
    }

    /// What to wait for, while anything is asked.
    pub(super) fn waits(&self) -> Option<PollFd<'_>> {
        let client = self.client.as_ref().filter(|_| !self.open.is_empty())?;
        let writes = if self.outgoing.is_empty() { PollFlags::empty() } else { PollFlags::POLLOUT };
        Some(PollFd::new(client.as_fd(), PollFlags::POLLIN | writes))
    }

    /// When the next question has waited long enough.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.open.values().map(|question| question.deadline).min()
    }

    /// Asks; a refusal if nobody can be asked.
    fn ask(&mut self, call: u64, line: &[u8], now: Instant) -> Result<(), Errno> {
        if self.client.is_none() || self.open.len() >= MOST || self.outgoing.len() + line.len() > UNREAD {
            return Err(self.errno);
        }
        self.outgoing.extend_from_slice(line);
        self.open.insert(self.last, Question { call, deadline: now + self.timeout });
        Ok(())
    }

    /// Reads and writes what can be, without waiting.
    fn exchange(&mut self) -> Vec<Decided> {
        let mut decided = Vec::new();
        let kept = self.write().and_then(|()| self.read(&mut decided));
        if kept.is_err() {
            // Gone, or not to be understood: nobody decides any more.
            (self.client, self.outgoing) = (None, Vec::new());
            let errno = self.errno;
            let open = std::mem::take(&mut self.open).into_iter();
            decided.extend(open.map(|(question, Question { call, .. })| Decided {
                call,
                question,
                verdict: Err(errno),
                by: "nobody: the client is gone",
            }));
        }
        decided
    }

    fn write(&mut self) -> Result<(), Errno> {
        let client = self.client.as_ref().ok_or(Errno::EPIPE)?;
        while !self.outgoing.is_empty() {
            match rights::send_with(client.as_fd(), &self.outgoing, &[]) {
                Ok(sent) => drop(self.outgoing.drain(..sent.min(self.outgoing.len()))),
                Err(Errno::EAGAIN) => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    fn read(&mut self, decided: &mut Vec<Decided>) -> Result<(), Errno> {
        let client = self.client.as_ref().ok_or(Errno::EPIPE)?;
        let mut buffer = [0u8; 4096];
        // One that talks for ever is heard again later.
        for _ in 0..16 {
            let got = match fd::read(client.as_fd(), &mut buffer) {
                Ok(0) => return Err(Errno::EPIPE),
                Ok(got) => got,
                Err(Errno::EAGAIN) => return Ok(()),
                Err(errno) => return Err(errno),
            };
            let replies = self.incoming.take(buffer.get(..got).unwrap_or_default()).ok_or(Errno::EPROTO)?;
            for reply in replies {
                // To a question that is not open: late, or never asked.
                let Some(Question { call, .. }) = self.open.remove(&reply.id) else { continue };
                let verdict = reply.verdict.map_err(|errno| errno.unwrap_or(self.errno));
                decided.push(Decided { call, question: reply.id, verdict, by: "client" });
            }
        }
        Ok(())
    }

    fn late(&mut self, now: Instant) -> Vec<Decided> {
        let late = self.open.extract_if(.., |_, question| question.deadline <= now);
        let errno = self.errno;
        late.map(|(question, Question { call, .. })| Decided { call, question, verdict: Err(errno), by: "timeout" })
            .collect()
    }

    /// Whether a question about a call is open.
    pub(super) fn is_asked(&self, call: u64) -> bool {
        self.open.values().any(|question| question.call == call)
    }

    /// Nobody waits for the answer any more.
    pub(super) fn forget(&mut self, call: u64) {
        self.open.retain(|_, question| question.call != call);
    }
}

impl Eyes {
    /// Asks about a call, which waits.
    pub(super) fn put_question(&mut self, id: u64) {
        // What was said before the question is no answer to it.
        self.heard();
        let Some(pending) = self.pending.get_mut(&id) else { return };
        pending.deadline = None;
        self.asker.last += 1;
        let question_id = self.asker.last;
        let line = self.log.asked(&pending.call, question_id);
        match self.asker.ask(id, &line, Instant::now()) {
            Ok(()) => self.heard(),
            Err(errno) => {
                self.decided(Decided { call: id, question: question_id, verdict: Err(errno), by: "nobody" });
            }
        }
    }

    /// The client may have said something.
    pub(super) fn heard(&mut self) {
        if self.asker.client.is_some() {
            self.asker.exchange().into_iter().for_each(|decided| self.decided(decided));
        }
    }

    /// Gives up on questions that nobody answers.
    pub(super) fn stop_waiting_for_answers(&mut self) {
        if self.asker.deadline().is_some() {
            self.asker.late(Instant::now()).into_iter().for_each(|decided| self.decided(decided));
        }
    }

    fn decided(&mut self, decided: Decided) {
        let Decided { call: id, question, verdict, by } = decided;
        let deadline = Instant::now() + Duration::from_millis(self.policy.pace.deadline_ms.into());
        let Some(pending) = self.pending.get_mut(&id) else { return };
        self.log.decided(&pending.call, question, verdict, by);
        pending.deadline = Some(deadline);
        match (&pending.stage, verdict) {
            (Stage::Asked, Ok(())) => self.proceed(id),
            (Stage::Asked, Err(errno)) => self.finish(id, Err(errno)),
            // A hand holds the file, and waits for this.
            _ => {
                let hand = self.crew.at_work().find(|(busy, _)| *busy == id);
                if hand.is_some_and(|(_, socket)| hands::send_verdict(socket, verdict).is_err()) {
                    self.failed(id);
                }
            }
        }
    }
}
