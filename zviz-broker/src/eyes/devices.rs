//! Programs about devices: a hand has said whether the caller may have them, and the loader has the right to load them.

use super::Eyes;
use super::log::Answered;
use super::serve::{Pending, Stage};
use crate::decision::Work;
use crate::handlers::bpf::{ATTRIBUTES, COMMAND, NUMBERS, PROGRAM, field};
use crate::hands::Done;
use crate::loader::{self, Answer, Loader, Request};
use crate::policy::Death;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};
use zviz_sys::bpf::command::{PROG_ATTACH, PROG_DETACH, PROG_LOAD, PROG_QUERY};
use zviz_sys::notify;
use zviz_sys::process::pidfd_send_signal;

/// The loader, and the calls that it is asked about, one at a time.
pub(super) struct Loading {
    /// None where the policy has none, and when it has died.
    loader: Option<Loader>,
    asked: Option<u64>,
    queue: VecDeque<(u64, Vec<OwnedFd>)>,
}

impl Loading {
    pub(super) fn new(loader: Option<Loader>) -> Self {
        Loading { loader, asked: None, queue: VecDeque::new() }
    }

    /// What to wait for.
    pub(super) fn waits(&self) -> Option<PollFd<'_>> {
        // It says nothing unasked, but it can die.
        self.loader.as_ref().map(|loader| PollFd::new(loader.socket.as_fd(), PollFlags::POLLIN))
    }

    /// Whether there is no loader that could die.
    pub(super) fn is_none(&self) -> bool {
        self.loader.is_none()
    }

    /// Ends the loader.
    pub(super) fn end(&mut self) {
        let _ = self.loader.take().map(Loader::end);
    }
}

impl Eyes {
    /// A hand has judged the caller, and has given back the cgroup that it is about.
    pub(super) fn devices(&mut self, id: u64, done: Done) {
        let Some(Pending { call, work, stage, .. }) = self.pending.get_mut(&id) else { return };
        *stage = Stage::Loading;
        let mut fds: Vec<OwnedFd> = Vec::new();
        let given = done.result.and_then(|_| {
            if work.descriptor.is_some() {
                fds.push(done.file.ok_or(Errno::EBADF)?);
            }
            if is(work, PROG_ATTACH) || is(work, PROG_DETACH) {
                fds.push(call.target().descriptor(number(work, PROGRAM)?.cast_signed()).map_err(|_| Errno::EBADF)?);
            }
            Ok(())
        });
        if let Err(errno) = given {
            return self.finish(id, Err(errno));
        }
        // What was learnt by the thread's number was about this caller, if it still waits now.
        if !notify::is_waiting(self.listener.as_fd(), id) {
            return self.gone(id);
        }
        self.loading.queue.push_back((id, fds));
        self.ask_the_loader();
    }

    /// Gives it the next call that is still waited for.
    fn ask_the_loader(&mut self) {
        while self.loading.asked.is_none() {
            let Some((id, fds)) = self.loading.queue.pop_front() else { return };
            let Some(Pending { work, .. }) = self.pending.get(&id) else { continue };
            let request = match number(work, COMMAND) {
                Ok(PROG_LOAD) => Request::Load(work.texts[0].as_deref().unwrap_or_default()),
                Ok(PROG_ATTACH) => Request::Attach,
                Ok(PROG_DETACH) => Request::Detach,
                _ => Request::Query,
            };
            let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
            let asked = self.loading.loader.as_ref().ok_or(Errno::ENOSYS);
            match asked.and_then(|loader| loader::ask(loader.socket.as_fd(), request, &fds)) {
                Ok(()) => self.loading.asked = Some(id),
                Err(_) => self.finish(id, Err(Errno::ENOSYS)),
            }
        }
    }

    /// The loader has answered, or has died.
    pub(super) fn loader_has_answered(&mut self) {
        let Some(loader) = &self.loading.loader else { return };
        let answer = match loader::read_answer(loader.socket.as_fd()) {
            Ok(answer) if self.loading.asked.is_some() => answer,
            _ => return self.loader_died(),
        };
        if let Some(id) = self.loading.asked.take()
            && let Some(Pending { work, .. }) = self.pending.get(&id)
        {
            let work = (number(work, COMMAND), work.numbers);
            match (answer, work) {
                (Err(errno), _) => self.finish(id, Err(errno)),
                (Ok(answer), (Ok(PROG_LOAD), _)) => self.loaded(id, answer),
                (Ok(answer), (Ok(PROG_QUERY), numbers)) => self.queried(id, &answer, numbers),
                (Ok(_), _) => self.finish(id, Ok(0)),
            }
        }
        self.ask_the_loader();
    }

    /// The caller gets the program, closed when it executes another, as the kernel has it.
    fn loaded(&mut self, id: u64, answer: Answer) {
        let listener = self.listener.as_fd();
        let given = answer.program.ok_or(Errno::EPERM);
        match given.and_then(|program| notify::answer_with(listener, id, program.as_fd(), true)) {
            Err(errno) => self.finish(id, Err(errno)),
            Ok(()) => {
                let Some(Pending { call, .. }) = self.pending.remove(&id) else { return };
                self.asker.forget(id);
                self.log.answered(&call, Answered::Result(Ok(0)));
            }
        }
    }

    /// Writes what is attached into the caller's attributes.
    fn queried(&mut self, id: u64, answer: &Answer, numbers: [u64; 4]) {
        let Some(Pending { call, .. }) = self.pending.get(&id) else { return };
        if !notify::is_waiting(self.listener.as_fd(), id) {
            return self.gone(id);
        }
        let target = call.target();
        let [attributes, to] = [ATTRIBUTES, NUMBERS].map(|at| numbers.get(at).copied().unwrap_or_default());
        let room = numbers.get(PROGRAM).map_or(0, |room| usize::try_from(*room).unwrap_or(usize::MAX));
        let count = u32::try_from(answer.ids.len()).unwrap_or(u32::MAX);
        let ids: Vec<u8> = answer.ids.iter().take(room).flat_map(|id| id.to_ne_bytes()).collect();
        let at = |field: u64| attributes.checked_add(field).ok_or(Errno::EFAULT);
        let told = at(field::QUERY_FLAGS)
            .and_then(|at| target.write(at, &answer.flags.to_ne_bytes()))
            .and_then(|()| target.write(at(field::QUERY_COUNT)?, &count.to_ne_bytes()))
            .and_then(|()| match (room, to) {
                // Only how many was asked.
                (0, _) | (_, 0) => Ok(0),
                _ if ids.is_empty() => Ok(0),
                _ => target.write(to, &ids).and(if answer.ids.len() > room { Err(Errno::ENOSPC) } else { Ok(0) }),
            });
        self.finish(id, told);
    }

    fn loader_died(&mut self) {
        self.loading.end();
        self.log.loader_died(self.policy.death);
        if self.policy.death == Death::Kill {
            let _ = pidfd_send_signal(self.init.as_fd(), libc::SIGKILL);
        }
        let asked = self.loading.asked.take();
        let waiting = asked.into_iter().chain(self.loading.queue.drain(..).map(|(id, _)| id));
        for id in waiting.collect::<Vec<u64>>() {
            self.finish(id, Err(Errno::ENOSYS));
        }
    }
}

fn number(work: &Work, at: usize) -> Result<u32, Errno> {
    work.numbers.get(at).and_then(|number| u32::try_from(*number).ok()).ok_or(Errno::EBADF)
}

fn is(work: &Work, command: u32) -> bool {
    number(work, COMMAND) == Ok(command)
}
