//! A sandbox from what was asked for to its end, in the foreground of the calling process.

use super::probe::probe_in_place;
use super::temporary::Folder;
use super::{Lowered, Sandbox, Userns, enforceable, lower, probe, subids};
use crate::console::{self, Relay, Terminal};
use crate::container::{Id, id};
use crate::doctor::{self, Forbidden};
use crate::foreground::{self, Budget, Meter, Outcome, Output, Payload, Watch};
use crate::host::Host;
use crate::launch;
use crate::ledger;
use crate::network;
use crate::network::events::{Tell as TellEvent, Tells};
use crate::plan::{Backend, Note, Plan, Problems};
use crate::receipt::{Asked, Machine, Receipt};
use crate::start::{self, Container, TakeMaster};
use crate::store::Store;
use std::io::{self, stderr, stdin, stdout};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use zviz_observe::{Call, Observer, Report, Reporting, Summary};
use zviz_sys::process::pidfd_send_signal;
use zviz_sys::tend;

/// Below the store, under a name that is no id.
const SUBIDS: &str = ".subids";
/// The same, for records of private folders.
const TEMPORARY: &str = ".temporary";

/// Why a sandbox did not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something that was asked for makes no sense, or cannot be had here.
    #[error(transparent)]
    Problems(#[from] Problems),
    /// The id.
    #[error(transparent)]
    Id(#[from] id::Error),
    /// The machine cannot be looked at.
    #[error(transparent)]
    Host(io::Error),
    /// No range of user ids.
    #[error("user ids for the sandbox")]
    Ids(#[source] io::Error),
    /// The private folder of a sandbox without mounts.
    #[error("make the temporary folder")]
    Temporary(#[source] io::Error),
    /// No sandbox of namespaces can be made here.
    #[error("{0}; zviz run --backend landlock does without, and keeps less (docs/landlock.md)")]
    Forbidden(Forbidden),
    /// The sandbox cannot be made, or not be undone.
    #[error(transparent)]
    Start(start::Error),
    /// A folder that is shared writable cannot be, under ids of the sandbox's own.
    #[error(
        "{origin}: the file system of {path} cannot translate user ids: share it read-only, or do without ids of the \
         sandbox's own (--userns identity)"
    )]
    Untranslated {
        /// What it was shared for.
        origin: String,
        /// On the host.
        path: String,
    },
    /// The caller's terminal.
    #[error(transparent)]
    Terminal(#[from] console::Error),
    /// The receipt cannot be given.
    #[error("--receipt")]
    Receipt(#[source] io::Error),
    /// The command cannot be waited for.
    #[error(transparent)]
    Wait(#[from] foreground::Error),
    /// It cannot be observed.
    #[error(transparent)]
    Observe(#[from] zviz_observe::Error),
}

impl From<start::Error> for Error {
    fn from(error: start::Error) -> Self {
        match error {
            start::Error::Launch(launch::Error::Untranslated { origin, path, .. }) => {
                Error::Untranslated { origin, path }
            }
            other => Error::Start(other),
        }
    }
}

impl Error {
    /// What a shell answers where it is the command itself that cannot be run: 127 if it is not there, else 126.
    #[must_use]
    pub fn program_status(&self) -> Option<u8> {
        match self {
            Error::Start(error) => error.program_status(),
            _ => None,
        }
    }
}

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
}

/// As in `Observed`: who was told, what was counted, the most memory, kills for want of it.
type Seen<R> = (R, Summary, Option<u64>, u64);

/// A sandbox that was decided on, and is not made yet.
#[derive(Debug)]
pub struct Decided {
    /// Everything that will be done.
    pub plan: Plan,
    id: Id,
    host: Host,
    asked: Asked,
    lowered: Lowered,
    // Held for the sandbox's life.
    _ids: Option<subids::Range>,
    /// Why it is without namespaces although nobody asked for that.
    forced: Option<Forbidden>,
    /// Without mounts: where its private folder will be.
    temporary: Option<PathBuf>,
    /// Who is told what of its network.
    tells: Tells,
}

impl Sandbox {
    /// Runs the command and waits for its end, as `Command::status` does. While it runs, the signals of the calling
    /// thread go to the command, so that this is for programs with one thread.
    ///
    /// # Errors
    /// Everything that keeps the command from running; nothing is left behind then.
    pub fn status(&self, store: &Store) -> Result<Outcome, Error> {
        self.decide(store, Host::probe().map_err(Error::Host)?)?.run(store, None)
    }

    /// Whether the sandbox has a range of ids that nobody else has: where the caller is root of the first user namespace,
    /// which may map any. Without one, the ids inside are those that may write the calling program's own file:
    /// `sealed::ensure` is for that.
    #[must_use]
    pub fn has_ids_of_its_own(&self, host: &Host) -> bool {
        may_map_any(host) && self.userns == Userns::Auto && self.backend != Some(Backend::Landlock)
    }

    /// Looks at the machine and decides what will be done.
    ///
    /// # Errors
    /// What was asked for makes no sense or cannot be had.
    pub fn decide(&self, store: &Store, host: Host) -> Result<Decided, Error> {
        let id = Id::new(self.id.clone().unwrap_or_else(made_up))?;
        let forced = self.forced();
        if forced.is_some() || self.backend == Some(Backend::Landlock) {
            return self.decide_in_place(id, host, forced);
        }
        let limits = enforceable::limits(&host, &host.cgroup);
        let ids =
            may_map_any(&host).then(|| subids::take(&store.path().join(SUBIDS))).transpose().map_err(Error::Ids)?;
        let sandbox = self.under_profile();
        let mut facts = probe(&sandbox, limits, ids.as_ref().map(subids::Range::base));
        facts.is_root = !host.rootless;
        facts.state = store.path().join(id.as_str()).into_os_string().into_string().ok();
        let lowered = lower(&sandbox, &facts)?;
        if sandbox.stage.is_some() {
            lowered.places_exist()?;
        }
        let plan = lowered.plan(&self.profile, &host, id.as_str())?;
        let asked = self.asked();
        Ok(Decided {
            plan,
            id,
            host,
            asked,
            lowered,
            _ids: ids,
            forced: None,
            temporary: None,
            tells: Tells::default(),
        })
    }

    /// What keeps namespaces from being made, where the profile agrees to do without and nobody has said otherwise.
    fn forced(&self) -> Option<Forbidden> {
        let agreed = self.backend.is_none() && self.profile.requirements.backend == Some(Backend::Landlock);
        if agreed { doctor::forbidden() } else { None }
    }

    fn decide_in_place(&self, id: Id, host: Host, forced: Option<Forbidden>) -> Result<Decided, Error> {
        let mut sandbox = self.under_profile();
        // Those of the profile are the planner's, with their own reasons.
        (sandbox.memory, sandbox.pids, sandbox.cpus) = (self.memory, self.pids, self.cpus);
        sandbox.tmpfs.clone_from(&self.tmpfs);
        sandbox.backend = Some(Backend::Landlock);
        let facts = probe_in_place(&sandbox).map_err(Error::Host)?;
        let temporary = facts.temporary.clone().map(PathBuf::from);
        let lowered = lower(&sandbox, &facts)?;
        let mut plan = lowered.plan(&self.profile, &host, id.as_str())?;
        plan.notes.extend(forced.iter().map(|why| Note(format!("backend landlock: {why}"))));
        let (asked, tells) = (self.asked(), Tells::default());
        Ok(Decided { plan, id, host, asked, lowered, _ids: None, forced, temporary, tells })
    }
}

fn may_map_any(host: &Host) -> bool {
    !host.rootless && !host.user_namespace
}

/// Unique in a store: of the processes with one number, only one lives at a time.
fn made_up() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("run-{}-{:x}", std::process::id(), now.as_nanos())
}

impl Decided {
    /// Why it is without namespaces, where nobody has asked for that but the profile agreed to it.
    #[must_use]
    pub fn forced(&self) -> Option<&Forbidden> {
        self.forced.as_ref()
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// Has somebody told of its connections, where it was asked for with their log.
    pub fn tell_connections(&mut self, tell: TellEvent) {
        self.tells.connections = Some(tell);
    }

    /// Has somebody told when the network goes before the sandbox does.
    pub fn tell_of_network(&mut self, tell: TellEvent) {
        self.tells.end = Some(tell);
    }

    /// When everything inside is killed.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.lowered.timeout
    }

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
        let (report, summary, memory_peak, memory_kills) = seen.ok_or(zviz_observe::Error::Died)?;
        Ok(Observed { outcome, ended, report, summary, memory_peak, memory_kills })
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
        if let Err(error) = container.unlock() {
            start::abandon(container);
            return Err(error.into());
        }
        if let Some(tell) = tell
            && let Err(error) = told(&container, tell)
        {
            start::abandon(container);
            return Err(Error::Receipt(error));
        }
        let budget = limits.cpu_total.map(Duration::from_millis);
        let budget = match budget.map(|most| Budget::open(&container.state.plan.cgroup, most)).transpose() {
            Ok(budget) => budget,
            Err(error) => {
                start::abandon(container);
                return Err(Error::Start(error.into()));
            }
        };
        // A thread, so after the last fork of the start.
        let reporting = match observer.zip(report).map(|(observer, report)| observer.report_to(report)).transpose() {
            Ok(reporting) => reporting,
            Err(error) => {
                start::abandon(container);
                return Err(error.into());
            }
        };
        let following = container.network.events.take();
        let trail = following.is_some().then(|| network::trail(&container.state.plan)).transpose();
        let trail = match trail {
            Ok(trail) => trail.flatten(),
            Err(error) => {
                start::abandon(container);
                return Err(Error::Start(error.into()));
            }
        };
        let following = following.map(|events| network::events::follow(events, self.tells.connections, trail));
        let watching = match network::watch::watch(&container.network.link, self.tells.end) {
            Ok(watching) => watching,
            Err(errno) => {
                start::abandon(container);
                return Err(pipes(errno));
            }
        };
        let pidfd = container.pidfd.as_fd();
        let mut kill = || if in_place { tend::end(pidfd) } else { pidfd_send_signal(pidfd, libc::SIGKILL) };
        let mut payload = Payload::new(container.pid, pidfd);
        (payload.output, payload.meter, payload.budget) = (lines, meter.as_mut(), budget);
        payload.relay = relay;
        payload.broker = container.vital_broker();
        payload.deadline = deadline;
        payload.kill = Some(&mut kill);
        let outcome = match watch.until_end(payload) {
            Ok(outcome) => outcome,
            Err(error) => {
                // The tracer lives until init is reaped, which it sees first.
                start::abandon(container);
                return Err(error.into());
            }
        };
        // Before it is ended here.
        let lost = watching.and_then(network::watch::Watching::end);
        let seen = reporting.map(Reporting::finish).transpose();
        let peak = container.memory_peak();
        // Who asks for it asks out of curiosity.
        let kills = if seen.as_ref().is_ok_and(Option::is_some) { container.memory_kills() } else { 0 };
        let mut ended = ledger::Report::of(&container.state, outcome, begun.elapsed(), meter, all);
        ended.refused = following.map(network::events::Following::refused).unwrap_or_default();
        ended.refused.extend(lost);
        start::finish(container)?;
        Ok((outcome, ended, seen?.map(|(report, summary)| (report, summary, peak, kills))))
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

/// The error, or what is behind it: that this host lets nobody have namespaces.
fn explained(error: start::Error, in_place: bool) -> Error {
    if in_place
        || error.program_status().is_some()
        || !matches!(error, start::Error::Launch(_) | start::Error::Prepare(_))
    {
        return error.into();
    }
    match doctor::forbidden() {
        Some(forbidden) => Error::Forbidden(forbidden),
        None => error.into(),
    }
}
