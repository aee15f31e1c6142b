//! The resident part: it stays as long as the container, answers for names inside, and tells of connections.
//!
//! ```text
//! container's namespace │ the host's
//!  program ──port 53──► │
//!     redirected to RESOLVER ─► resident ══link══► asker ──► resolver outside
//!     reports of the rules ───►    │ ▲
//!     sets of the rules ◄──────────┘ └─ pidfd: ends with the container
//! ```
//!
//! The resident is in the container's namespace, has the right over that one's packet filter and none else, and no way back;
//! the asker is in the host's, with no right. Both are one thread each, wait for nothing but all at once, and keep a bounded
//! amount of everything.

mod asker;
mod confine;
mod events;
mod frame;
mod known;
mod listen;
mod pins;
mod random;
mod streams;
mod told;

pub use asker::Asker;
pub use events::{Connection, Destination, Line};

use crate::error::{Doing, Error, Result};
use crate::report::Reports;
use frame::{Come, Frame};
use listen::{Listeners, Who};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use pins::Pins;
use random::Random;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;
use streams::Streams;
use told::Told;
use zviz_dns::{Reply, Step};
use zviz_network::wire::{self, Up};

/// How often reports are read after the container has ended: no more come than the kernel has kept.
const MOST_LEFT: u32 = 1024;
/// For how long one is waited for then, in milliseconds: more than the kernel keeps them.
const LAST: u8 = 50;

/// Everything that a resident holds.
#[derive(Debug)]
pub struct Resident {
    process: OwnedFd,
    names: Option<Names>,
    told: Told,
}

/// The resolver and what it works with.
#[derive(Debug)]
struct Names {
    resolver: zviz_dns::Resolver<Who>,
    listeners: Listeners,
    streams: Streams,
    /// None once it has died: then nothing is asked outside any more, and everything that would be fails.
    asker: Option<Asker>,
    pins: Option<Pins>,
    buffer: Vec<u8>,
}

impl Resident {
    /// Prepares it: in the container's namespace, before anything of the container runs, so that no other can listen where it
    /// does. `asker` was started in the host's; reports are told where `events` leads. None is: nothing has to stay.
    ///
    /// # Errors
    /// What is missing of the request, and of the sockets.
    pub fn prepare(
        up: &Up,
        asker: Option<Asker>,
        process: Option<OwnedFd>,
        (reports, events): (Option<Reports>, Option<Destination>),
    ) -> Result<Option<Resident>> {
        let now = Instant::now();
        if up.resolver.is_none() && reports.is_none() {
            return Ok(None);
        }
        let process = process.ok_or_else(|| Error::new("no process came with the request, with which to end"))?;
        let told = Told::new(&up.container, reports, events, now)?;
        let table = up.inside.as_ref().map(|inside| inside.table.as_str());
        let names = up.resolver.as_ref().map(|policy| Names::prepare(policy, table, asker, now)).transpose()?;
        Ok(Some(Resident { process, names, told }))
    }

    /// Gives up what it needs no more: from here on this process opens and makes nothing, and has the right over the packet
    /// filter only. Before it is said that the network is there, so that no container runs with one that could not.
    ///
    /// # Errors
    /// What could not be given up.
    pub fn confined(self) -> Result<Resident> {
        confine::resident(self.told.writes_files())?;
        Ok(self)
    }

    /// Stays until the container has ended.
    ///
    /// # Errors
    /// Of poll(2).
    pub fn run(mut self) -> Result<()> {
        loop {
            let now = Instant::now();
            let due = self.names.as_mut().and_then(|names| names.due(now)).into_iter().chain(self.told.due(now)).min();
            let ready = self.wait(due)?;
            self.told.flush();
            if let Some(names) = &mut self.names {
                names.serve(&ready, &mut self.told);
            }
            if ready.reports {
                self.told.reports(Instant::now());
            }
            if ready.process {
                self.tell_the_rest();
                self.told.finish();
                return Ok(());
            }
        }
    }

    /// Tells of the container's last connections: it may have ended right behind them, and the kernel keeps reports for a moment.
    fn tell_the_rest(&mut self) {
        for _ in 0..MOST_LEFT {
            let Some(fd) = self.told.fd() else { return };
            if poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], PollTimeout::from(LAST)) != Ok(1) {
                return;
            }
            self.told.reports(Instant::now());
        }
    }

    fn wait(&self, due: Option<Instant>) -> Result<Ready> {
        let mut fds: Vec<(BorrowedFd<'_>, PollFlags)> = vec![(self.process.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.told.fd().map(|fd| (fd, PollFlags::POLLIN)));
        if let Some(names) = &self.names {
            fds.extend(names.asker.iter().map(|asker| (asker.as_fd(), PollFlags::POLLIN)));
            fds.extend(names.listeners.fds().map(|fd| (fd, PollFlags::POLLIN)));
            fds.extend(names.streams.wants());
        }
        let mut fds: Vec<PollFd<'_>> = fds.into_iter().map(|(fd, wants)| PollFd::new(fd, wants)).collect();
        // A millisecond more, as the time that is waited is cut to whole ones.
        let timeout = due.map_or(PollTimeout::NONE, |due| {
            let left = due.saturating_duration_since(Instant::now()).as_millis() + 1;
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno).doing(|| "wait for questions"),
        }
        let mut happened = fds.iter().map(|fd| fd.any().unwrap_or(false));
        let mut next = || happened.next().unwrap_or(false);
        let mut ready = Ready { process: next(), reports: self.told.fd().is_some() && next(), ..Ready::default() };
        if let Some(names) = &self.names {
            ready.asker = names.asker.is_some() && next();
            ready.listeners = names.listeners.fds().map(|_| next()).collect();
            ready.streams = names.streams.keys().into_iter().filter(|_| next()).collect();
        }
        Ok(ready)
    }
}

/// What has something for us.
#[derive(Debug, Default)]
struct Ready {
    process: bool,
    reports: bool,
    asker: bool,
    listeners: Vec<bool>,
    streams: Vec<u64>,
}

impl Names {
    fn prepare(policy: &wire::Resolver, table: Option<&str>, asker: Option<Asker>, now: Instant) -> Result<Names> {
        // Init does so later, but an address of a device that is down cannot be listened at.
        zviz_sys::net::bring_loopback_up().doing(|| "bring the loopback device up")?;
        let mut random = Random::open().doing(|| "/dev/urandom")?;
        let resolver = zviz_dns::Resolver::new(policy, now, move || random.next());
        let pins = match (&policy.names, table) {
            (None, _) => None,
            (Some(_), Some(table)) => Some(Pins::open(table)?),
            (Some(_), None) => return Err(Error::new("names without rules, into which their addresses would go")),
        };
        Ok(Names {
            resolver: resolver.map_err(|error| Error::new(error.to_string()))?,
            listeners: Listeners::bind()?,
            streams: Streams::default(),
            asker: Some(asker.ok_or_else(|| Error::new("names without anyone who asks outside"))?),
            pins,
            buffer: vec![0; frame::LONGEST],
        })
    }

    /// When something is to be done though nothing comes.
    fn due(&mut self, now: Instant) -> Option<Instant> {
        [self.resolver.next_deadline(), self.streams.expire(now)].into_iter().flatten().min()
    }

    fn serve(&mut self, ready: &Ready, told: &mut Told) {
        let now = Instant::now();
        let steps = self.resolver.expire(now);
        self.follow(now, steps, told);
        if ready.asker {
            self.hear(now, told);
        }
        for (at, _) in ready.listeners.iter().enumerate().filter(|(_, ready)| **ready) {
            for (who, length) in self.listeners.receive(now, at, &mut self.buffer, &mut self.streams) {
                let packet = self.buffer.get(length).unwrap_or_default().to_vec();
                let steps = self.resolver.query(now, who, false, &packet);
                self.follow(now, steps, told);
            }
        }
        for key in &ready.streams {
            for packet in self.streams.ready(now, *key) {
                let steps = self.resolver.query(now, Who::Stream(*key), true, &packet);
                self.follow(now, steps, told);
            }
        }
    }

    /// What the asker has come back with.
    fn hear(&mut self, now: Instant, told: &mut Told) {
        while let Some(asker) = &self.asker {
            let steps = match asker.hear(&mut self.buffer) {
                Come::Nothing => return,
                Come::Frame(Frame::Answer { token, packet }) => self.resolver.answer(now, token, &packet),
                Come::Frame(Frame::Failed(token)) => self.resolver.failed(now, token),
                Come::Frame(Frame::Ask { .. } | Frame::Close(_)) | Come::End => {
                    self.asker = None;
                    return;
                }
            };
            self.follow(now, steps, told);
        }
    }

    fn follow(&mut self, now: Instant, steps: Vec<Step<Who>>, told: &mut Told) {
        for step in steps {
            match step {
                Step::Reply(reply) => self.reply(now, &reply),
                Step::Ask { token, upstream, stream, packet } => {
                    let upstream = u8::try_from(upstream).unwrap_or(u8::MAX);
                    let frame = Frame::Ask { token, upstream, stream, packet };
                    if !self.asker.as_ref().is_some_and(|asker| asker.tell(&frame)) {
                        // As often as there are resolvers to try, which are few.
                        let steps = self.resolver.failed(now, token);
                        self.follow(now, steps, told);
                    }
                }
                Step::Close(token) => {
                    // One that is not told keeps a socket until it has an answer; its number is not used again.
                    let _ = self.asker.as_ref().is_some_and(|asker| asker.tell(&Frame::Close(token)));
                }
                Step::Pin { pins, then, otherwise, refusal } => {
                    let done = self.pins.as_mut().is_some_and(|sets| sets.put(now, &pins).is_ok());
                    if !done {
                        told.name(now, &refusal);
                    }
                    for reply in if done { &then } else { &otherwise } {
                        self.reply(now, reply);
                    }
                }
                Step::Event(event) => told.name(now, &event),
            }
        }
    }

    fn reply(&mut self, now: Instant, reply: &Reply<Who>) {
        match reply.client {
            Who::Datagram { at, from } => self.listeners.send(at, from, &reply.packet),
            Who::Stream(key) => self.streams.send(now, key, &reply.packet),
        }
    }
}
