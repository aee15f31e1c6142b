//! A sandbox from what was asked for to its end, in the foreground of the calling process.

use super::error::explained;
use super::temporary::Folder;
use super::{Decided, Error, Sandbox, streams};
use crate::console::{Relay, Terminal};
use crate::foreground::{self, Budget, Meter, Outcome, Output, Payload, Watch};
use crate::host::Host;
use crate::ledger;
use crate::network;
use crate::plan::Backend;
use crate::receipt::{Machine, Receipt};
use crate::records;
use crate::start::{self, Container, TakeMaster};
use crate::store::Store;
use std::io::{self, stderr, stdin, stdout};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};
use zviz_observe::{Call, Observer, Report, Reporting, Summary};
use zviz_sys::process::pidfd_send_signal;
use zviz_sys::tend;

/// Below the store, under a name that is no id: records of private folders.
const TEMPORARY: &str = ".temporary";

/// A command that was observed, and has ended.
#[derive(Debug)]
pub struct Observed<R> {
    /// How.
    pub outcome: Outcome,
    /// What it used, and which limits did something.
    pub ended: ledger::Report,
    /// Who was told.
    pub report: R,
    /// What was counted.
    pub summary: Summary,
    /// The most memory that its cgroup was charged with, in bytes, where it has one of version 2 (memory.peak, Linux 5.19).
    pub memory_peak: Option<u64>,
    /// Processes that the kernel has killed for want of memory, as far as it counts.
    pub memory_kills: u64,
    /// What the kernel has recorded of denials, where refusals are remembered.
    pub recorded: records::Kept,
}

/// As in `Observed`: who was told, what was counted, the most memory, kills for want of it, records.
type Seen<R> = (R, Summary, Option<u64>, u64, records::Kept);

impl Sandbox {
    /// Runs the command and waits for its end, as `Command::status` does. While it runs, the signals of the calling
    /// thread go to the command, so that this is for programs with one thread.
    ///
    /// # Errors
    /// Everything that keeps the command from running; nothing is left behind then.
    pub fn status(&self, store: &Store) -> Result<Outcome, Error> {
        self.decide(store, Host::probe().map_err(Error::Host)?)?.run(store, None)
    }
}

impl Decided {
    /// Runs the command and waits for its end. `terminal` is the caller's, where the command gets one of its own: standard
    /// input and output are tied to it.
    ///
    /// # Errors
    /// Everything that keeps the command from running, or its sandbox from being undone.
    pub fn run(self, store: &Store, terminal: Option<Terminal>) -> Result<Outcome, Error> {
        Ok(self.run_and_tell(store, terminal, None, false)?.0)
    }

    /// As [`Decided::run`]; `tell` is given the receipt as soon as the command runs. If it cannot take that, the command is
    /// ended. The report says which limit ended it, if one did; with `all` it counts all that can be counted.
    ///
    /// # Errors
    /// As [`Decided::run`], and what `tell` says.
    pub fn run_and_tell(
        self,
        store: &Store,
        terminal: Option<Terminal>,
        tell: Option<&Tell<'_>>,
        all: bool,
    ) -> Result<(Outcome, ledger::Report), Error> {
        self.go(store, terminal, tell, None::<fn(&Call)>, all).map(|(outcome, ended, _)| (outcome, ended))
    }

    /// As [`Decided::run_and_tell`], and `report` is told of every system call that the command, and what it starts, makes. It
    /// is several times slower, and what is run cannot trace (ptrace(2)) itself.
    ///
    /// # Errors
    /// As [`Decided::run_and_tell`]; `Error::Observe` too.
    pub fn observe<R: Report>(
        self,
        store: &Store,
        terminal: Option<Terminal>,
        tell: Option<&Tell<'_>>,
        report: R,
    ) -> Result<Observed<R>, Error> {
        let (outcome, ended, seen) = self.go(store, terminal, tell, Some(report), true)?;
        let (report, summary, memory_peak, memory_kills, recorded) = seen.ok_or(zviz_observe::Error::Died)?;
        Ok(Observed { outcome, ended, report, summary, memory_peak, memory_kills, recorded })
    }

    fn go<R: Report>(
        self,
        store: &Store,
        terminal: Option<Terminal>,
        tell: Option<&Tell<'_>>,
        report: Option<R>,
        all: bool,
    ) -> Result<(Outcome, ledger::Report, Option<Seen<R>>), Error> {
        let begun = Instant::now();
        // Further away than the clock reaches is never.
        let deadline = self.lowered.timeout.and_then(|after| begun.checked_add(after));
        let folder = self.temporary.map(|path| Folder::make(&store.path().join(TEMPORARY), &path));
        let _folder = folder.transpose().map_err(Error::Temporary)?;
        let in_place = self.plan.backend == Backend::Landlock;
        let mut watch = Watch::start(false)?;
        let observer = report.is_some().then(Observer::start).transpose()?;
        // Before there is anything to record. Who may not hear it does without.
        let hears = report.is_some() && self.lowered.refusals && records::unheard().is_none();
        let socket = hears.then(records::Socket::open).and_then(Result::ok);
        let (input, output, error) = (stdin(), stdout(), stderr());
        let mut relay = None;
        // While init waits: the command's first bytes, and its first look at the size, meet what holds for all others.
        let tie: TakeMaster<'_> = Box::new(|master| {
            relay = Some(Relay::new(master, terminal, input.as_fd(), output.as_fd())?);
            Ok(())
        });
        let limits = self.plan.profile.limits.clone();
        let mut meter = limits.output.map(|most| Meter::new(most, limits.output_truncated));
        // A terminal of the command's own is relayed anyway.
        let piped = meter.filter(|_| !self.plan.process.terminal);
        let piped = piped.map(|_| Output::new([output.as_fd(), error.as_fd()])).transpose();
        let (lines, theirs) = piped.map_err(pipes)?.unzip();
        let outputs = theirs.as_ref().map_or([output.as_fd(), error.as_fd()], |[out, err]| [out.as_fd(), err.as_fd()]);
        streams::open_to_payload(&self.plan.namespaces.user, input.as_fd(), outputs);
        let mut container = start::run(start::Request {
            store,
            id: self.id,
            oci_version: crate::features::OCI_VERSION_MAX,
            bundle: Path::new("/"),
            asked: self.asked,
            plan: self.plan,
            host: &self.host,
            console: Some(tie),
            output: theirs,
            preserve_fds: 0,
            die_with_parent: true,
            observer: observer.as_ref(),
            // A sandbox has no hooks.
            warn: &|_| (),
        })
        .map_err(|error| explained(error, in_place))?;
        let unlocked = container.unlock();
        let (container, ()) = or_abandon(container, unlocked)?;
        let receipt = tell.map_or(Ok(()), |tell| told(&container, tell));
        let (container, ()) = or_abandon(container, receipt.map_err(Error::Receipt))?;
        let budget = limits.cpu_total.map(Duration::from_millis);
        let budget = budget.map(|most| Budget::open(&container.state.plan.cgroup, most)).transpose();
        let (container, budget) = or_abandon(container, budget.map_err(start::Error::from))?;
        // A thread, so after the last fork of the start.
        let reporting = observer.zip(report).map(|(observer, report)| observer.report_to(report)).transpose();
        let (mut container, reporting) = or_abandon(container, reporting)?;
        let whose = records::whose(&container.state.plan, container.pid, 0);
        let recording = socket.and_then(|socket| records::follow(socket, whose).ok());
        let following = container.network.events.take();
        let trail = following.is_some().then(|| network::trail(&container.state.plan)).transpose();
        let (container, trail) = or_abandon(container, trail.map_err(start::Error::from))?;
        let following =
            following.map(|events| network::events::follow(events, self.tells.connections, trail.flatten()));
        let watching = network::watch::watch(&container.network.link, self.tells.end, &container.state);
        let (container, watching) = or_abandon(container, watching.map_err(pipes))?;
        let pidfd = container.pidfd.as_fd();
        let mut kill = || if in_place { tend::end(pidfd) } else { pidfd_send_signal(pidfd, libc::SIGKILL) };
        let mut payload = Payload::new(container.pid, pidfd);
        (payload.output, payload.meter, payload.budget) = (lines, meter.as_mut(), budget);
        payload.relay = relay;
        payload.broker = container.vital_broker();
        payload.deadline = deadline;
        payload.kill = Some(&mut kill);
        // The tracer lives until init is reaped, which it sees first.
        let outcome = watch.until_end(payload);
        let (container, outcome) = or_abandon(container, outcome)?;
        // Before it is ended here.
        let lost = watching.and_then(network::watch::Watching::end);
        let seen = reporting.map(Reporting::finish).transpose();
        let peak = container.memory_peak();
        // Who asks for it asks out of curiosity.
        let kills = if seen.as_ref().is_ok_and(Option::is_some) { container.memory_kills() } else { 0 };
        let mut ended = ledger::Report::of(&container.state, outcome, begun.elapsed(), meter, all);
        ended.refused = following.map(network::events::Following::refused).unwrap_or_default();
        ended.refused.extend(lost);
        let recorded = recording.map(records::Following::finish).unwrap_or_default();
        start::finish(container)?;
        Ok((outcome, ended, seen?.map(|(report, summary)| (report, summary, peak, kills, recorded))))
    }
}

/// A container, and what was made for it or came of it; without that, the container is ended.
fn or_abandon<T, E: Into<Error>>(container: Container, made: Result<T, E>) -> Result<(Container, T), Error> {
    match made {
        Ok(made) => Ok((container, made)),
        Err(error) => {
            start::abandon(container);
            Err(error.into())
        }
    }
}

fn pipes(errno: zviz_sys::Errno) -> Error {
    Error::Wait(foreground::Error { what: "pipe2", errno })
}

/// Who is given a receipt.
pub type Tell<'a> = dyn Fn(&Receipt<'_>) -> io::Result<()> + 'a;

/// Gives the receipt of a container to who wants it.
fn told(container: &Container, tell: &Tell<'_>) -> io::Result<()> {
    let machine = Machine::look()?;
    let receipt = Receipt::of(&container.state, &machine);
    tell(&receipt.ok_or_else(|| io::Error::other("init has not reported what is in force"))?)
}
