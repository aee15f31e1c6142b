//! The part of the broker that sees: it holds the listener, reads what waiting calls point to, and decides. It has no
//! right over the host, opens no file, and does nothing itself: what has to be done goes to the hands.

mod alone;
mod answer;
mod asking;
mod crew;
mod delegate;
mod devices;
mod facts;
mod files;
mod log;
mod pace;
mod patience;
mod pause;
mod serve;
mod target;
mod watch;
mod woken;

pub use facts::Facts;
pub(crate) use files::give_file;
pub(crate) use log::Log;
pub(crate) use pace::Bucket;
pub(crate) use pause::Pause;
pub(crate) use target::Target;
pub(crate) use watch::Watch;

use crate::hands::{self, Asked};
use crate::loader::Loader;
use crate::policy::{Death, Policy};
use crate::table::{Entry, TABLE};
use alone::Alone;
use asking::Asker;
use crew::Crew;
use delegate::Seen;
use devices::Loading;
use facts::Told;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::gettid;
use serve::Pending;
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};
use watch::Waits;
use zviz_seccomp::Arch;
use zviz_sys::process::{exit, pidfd_open_thread, pidfd_send_signal};
use zviz_sys::{notify, wait};

/// Calls that are held at once. More wait in the kernel, whose list makes each of them dearer the longer it is.
const MOST_PENDING: usize = 256;
/// How long the hands may take to end, in milliseconds.
const PATIENCE: u16 = 500;
/// How often is looked after callers that have died.
const TICK: Duration = Duration::from_millis(100);

/// What the eyes are started with.
pub(crate) struct Eyes {
    listener: Arc<OwnedFd>,
    /// The hands; none once they have died.
    hands: Option<OwnedFd>,
    /// The same as a child of this process.
    hands_pid: Arc<OwnedFd>,
    init: OwnedFd,
    policy: Policy,
    facts: Facts,
    told: Told,
    calls: Vec<(u32, i32, &'static Entry)>,
    pending: BTreeMap<u64, Pending>,
    /// Calls whose answer from the hands is outstanding, in the order in which they were asked.
    asked: VecDeque<u64>,
    /// Calls that wait for a hand to be free.
    queue: VecDeque<u64>,
    crew: Crew,
    bucket: Bucket,
    /// File systems that were made, or are being made.
    file_systems: u32,
    started: Instant,
    /// When callers that have died were last looked for.
    looked: Instant,
    identities: Identities,
    /// The kernel gives a thread's descriptors by its own number.
    threads: bool,
    asker: Asker,
    loading: Loading,
    pause: Pause,
    log: Log,
    waits: Waits,
    alone: Alone,
    /// Of a call that is being decided about: who makes it, where the hands have said so.
    seen: Option<(u64, Seen)>,
}

/// What a hand that waits for somebody is interrupted by, and the first thread of the eyes.
pub(crate) const WAKE: i32 = libc::SIGUSR1;

/// What the eyes are told to do.
pub(crate) struct Orders {
    pub policy: Policy,
    /// See [`crate::start::Settings`].
    pub one_identity: bool,
    /// Who decides about what no rule decides.
    pub client: Option<OwnedFd>,
    /// The loader, where the policy has one.
    pub loader: Option<Loader>,
    /// Who tells that the container is stopped.
    pub pause: Pause,
    /// A hand is to answer calls by itself.
    pub alone: bool,
}

/// How many identities the callers may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Identities {
    /// Any: each call is asked about.
    Many,
    /// One, by its number once it is known.
    One(Option<u64>),
}

impl Eyes {
    pub(crate) fn new(
        orders: Orders,
        facts: Facts,
        log: Log,
        listener: OwnedFd,
        init: OwnedFd,
        hands: (OwnedFd, OwnedFd),
        watch: Watch,
    ) -> Self {
        let Orders { policy, one_identity, client, loader, pause, alone } = orders;
        let asker = Asker::new(policy.ask.as_ref(), client);
        let (listener, hands_pid) = (Arc::new(listener), Arc::new(hands.1));
        let waits = watch.over(&listener, &hands_pid);
        let started = Instant::now();
        // Before Linux 6.6 there is no such thing; it is only faster with it.
        let _ = notify::wake_synchronously(listener.as_fd());
        let calls = calls(&policy);
        let bucket = Bucket::new(policy.pace, started);
        Eyes {
            listener,
            hands: Some(hands.0),
            hands_pid,
            init,
            policy,
            facts,
            told: Told::default(),
            calls,
            pending: BTreeMap::new(),
            asked: VecDeque::new(),
            queue: VecDeque::new(),
            crew: Crew::default(),
            bucket,
            file_systems: 0,
            started,
            looked: started,
            threads: pidfd_open_thread(gettid().as_raw()).is_ok(),
            identities: if one_identity { Identities::One(None) } else { Identities::Many },
            asker,
            loading: Loading::new(loader),
            pause,
            log,
            waits,
            alone: Alone::new(alone),
            seen: None,
        }
    }

    /// Serves until the last process with the filter is gone.
    pub(crate) fn run(mut self) -> ! {
        self.log.started();
        let mut now = Instant::now();
        loop {
            let delay = self.bucket.wait(now);
            if delay.is_none()
                && self.waits_for_calls_alone()
                && let Some(received) = self.take()
            {
                self.bucket.take();
                now = received;
                self.look_after();
                continue;
            }
            let Ok(woken) = self.wait(delay) else { exit(1) };
            if woken.ended {
                self.farewell();
                self.log.ended();
                exit(0);
            }
            for id in woken.done {
                self.done(id);
            }
            if woken.client {
                self.heard();
            }
            if woken.loader {
                self.loader_has_answered();
            }
            if woken.hands {
                self.answered();
            }
            if woken.left {
                self.hear_of_calls();
            }
            // A hand that was made meanwhile may have taken the call, and this process would wait for the next one.
            if woken.call && !self.alone.serves() {
                self.bucket.take();
                self.take();
            }
            self.look_after();
            now = Instant::now();
        }
    }

    /// Ends the hands, and waits for that: whoever waits for this process wants nothing left.
    fn farewell(&mut self) {
        self.loading.end();
        if let Some(hands) = &self.hands {
            let _ = hands::ask(hands.as_fd(), &Asked::Farewell);
            let mut fds = [PollFd::new(self.hands_pid.as_fd(), PollFlags::POLLIN)];
            if !poll(&mut fds, PollTimeout::from(PATIENCE)).is_ok_and(|count| count > 0) {
                let _ = pidfd_send_signal(self.hands_pid.as_fd(), libc::SIGKILL);
            }
        }
        let _ = wait::wait(self.hands_pid.as_fd());
    }

    /// Whether the hands have closed their end.
    fn hands_are_gone(&self) -> bool {
        let Some(hands) = &self.hands else { return false };
        let mut fds = [PollFd::new(hands.as_fd(), PollFlags::empty())];
        poll(&mut fds, PollTimeout::ZERO).is_ok_and(|count| count > 0)
    }

    /// The hands have died: nothing that needs them can be done any more.
    fn hands_died(&mut self) {
        self.hands = None;
        self.log.hands_died(self.policy.death);
        if self.alone.waits().is_some() {
            self.give_up()
        }
        if self.policy.death == Death::Kill {
            let _ = pidfd_send_signal(self.init.as_fd(), libc::SIGKILL);
        }
        let waiting: Vec<u64> = self.pending.keys().copied().collect();
        for id in waiting {
            self.finish(id, Err(Errno::ENOSYS));
        }
    }
}

/// The numbers that the policy's calls have on this machine.
fn calls(policy: &Policy) -> Vec<(u32, i32, &'static Entry)> {
    let arch = Arch::native();
    let wanted = TABLE.iter().filter(|entry| (entry.wanted)(policy));
    wanted
        .filter_map(|entry| {
            let number = i32::try_from(zviz_seccomp::number_of(entry.name, arch)?).ok()?;
            Some((arch.audit(), number, entry))
        })
        .collect()
}
