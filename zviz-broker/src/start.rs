//! Starting a broker beside a container, and giving it the listener.
//!
//! ```text
//! runtime ── fork ──► eyes ── fork ──► hands       while the container's init is made: costs the start a fork
//!         ── Go on ──────────────────────────►    where its cgroup was not there before
//!         ── Serve + listener, init's pidfd ──►    eyes ── Enter + pidfd ──► hands
//!         ◄── errno ─────────────────────────      both serve, or the start fails
//! ```

mod begin;

use crate::audit;
use crate::confine;
use crate::eyes::Facts;
use crate::hands;
use crate::loader;
use crate::policy::ask::Client;
use crate::policy::{Policy, Record, Trail};
use begin::{Filters, Parts, begin};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use zviz_sys::process::{self, Cloned};
use zviz_sys::{fd, path, rights, wait};

/// How long one that is not needed may take to end, in milliseconds.
const PATIENCE: u16 = 500;

/// What a broker is started with.
#[derive(Debug)]
pub struct Settings {
    /// What it does.
    pub policy: Policy,
    /// What it tells of the machine.
    pub facts: Facts,
    /// Capabilities that the eyes keep, as a mask: none where the container has a user namespace, which the runtime's user
    /// owns; else [`FOREIGN`].
    pub capabilities: u64,
    /// Whether no process of the container can ever have other namespaces, another root, other ids or capabilities than the
    /// first: it has no capability, nor may it gain one or make a namespace. Its identity is asked for once then, and one hand
    /// may do with the listener what eyes and hands do together: see `hands::alone`.
    pub one_identity: bool,
    /// The container's name, for the audit.
    pub container: String,
    /// The container may be one that cannot be entered before its program is executed: the runtime's own mark on its init
    /// is its program's memory, which belongs to the host until then. It is entered at the first call that needs it.
    pub patient: bool,
    /// Its place beside the container.
    pub way: Way,
}

impl Settings {
    /// Whether a hand may answer opens by itself: where whoever takes it over has no right that its callers lack. Without a user
    /// namespace of the container's own it would see processes of the host.
    fn answers_alone(&self) -> bool {
        self.one_identity && self.capabilities == 0 && self.policy.only_opens()
    }
}

/// Into the cgroup where a broker is charged. By default it stays where its starter is.
#[derive(Debug, Default)]
pub struct Way {
    /// A directory of version 2.
    pub v2: Option<OwnedFd>,
    /// Files `tasks` of version 1.
    pub tasks: Vec<OwnedFd>,
    /// It is made later, and the eyes are moved: they wait for [`Starting::go_on`].
    pub later: bool,
    /// How much sooner or later than others it is ended where memory is short, if that may be said. proc_pid_oom_score_adj(5)
    pub oom_score_adj: Option<i32>,
    /// Where it is seen that the container is being stopped: `cgroup.freeze`, or `freezer.state` of version 1.
    pub freezer: Option<File>,
}

/// What the eyes need of a container without a user namespace of its own: CAP_SYS_PTRACE, to read memory and descriptors of
/// processes with other ids; CAP_KILL, to end hands that have such ids. linux/capability.h.
pub const FOREIGN: u64 = 1 << 19 | 1 << 5;

/// A broker that serves nothing yet. It ends if this is dropped.
#[derive(Debug)]
pub struct Starting {
    /// None once it is told to end.
    control: Option<OwnedFd>,
    /// None once it serves.
    pidfd: Option<OwnedFd>,
    pid: i32,
    /// The container's, where there is a loader.
    cgroup: Option<OwnedFd>,
    loads: bool,
}

/// A broker that serves until the last process with its filter is gone.
#[derive(Debug)]
pub struct Serving {
    /// The eyes.
    pub pid: i32,
    /// The eyes.
    pub pidfd: OwnedFd,
}

/// Why there is no broker.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call.
    #[error("start the broker: {what}: {}", errno.desc())]
    Call {
        /// Doing what.
        what: &'static str,
        /// Why not.
        errno: Errno,
    },
    /// The policy.
    #[error("the broker's policy: {0}")]
    Policy(#[from] crate::policy::Fault),
    /// One of its own filters.
    #[error("the broker's own filter: {0}")]
    Filter(#[from] zviz_seccomp::Error),
    /// The audit log that was asked for.
    #[error("{0}")]
    Audit(String),
    /// Who was to be asked.
    #[error("{0}")]
    Ask(String),
    /// Programs about devices cannot be loaded by this process.
    #[error("the broker's policy: bpf_devices: takes CAP_BPF and CAP_NET_ADMIN over the host, which only root has: {}", .0.desc())]
    NoLoader(Errno),
    /// Nor is there anything to attach them to.
    #[error("the broker's policy: bpf_devices: the container has no cgroup of version 2 of its own")]
    NoCgroup,
    /// It did not come up, or could not join the container.
    #[error("the broker cannot serve: {}", .0.desc())]
    Unable(Errno),
}

/// Starts a broker. The caller must have one thread only.
///
/// # Errors
/// `Error`; nothing is left then.
pub fn start(settings: Settings) -> Result<Starting, Error> {
    if let Some(fault) = settings.policy.faults().into_iter().next() {
        return Err(fault.into());
    }
    let call = |what| move |errno| Error::Call { what, errno };
    let audit = settings.policy.audit.as_ref().filter(|_| settings.policy.record != Record::Nothing);
    let audit = audit.map(Trail::open).transpose().map_err(Error::Audit)?;
    let client = settings.policy.ask.as_ref().and_then(|asking| asking.client.as_ref());
    let client = client.map(Client::connect).transpose().map_err(Error::Ask)?;
    let loads = settings.policy.bpf_devices;
    if loads {
        loader::is_possible().map_err(Error::NoLoader)?;
    }
    let loader_filter =
        loads.then(|| confine::filter(&[confine::LOADER], &[], &[("bpf", 0, confine::LOADER_COMMANDS)]));
    let loader_filter = loader_filter.transpose()?;
    let eyes_filter =
        confine::filter(&[confine::EYES, audit::SYSCALLS], audit::ATTEMPTS, &[("ioctl", 1, confine::EYES_IOCTLS)])?;
    let alone = settings.answers_alone();
    let requests: &[_] = &[("ioctl", 1, confine::EYES_IOCTLS)];
    let hands_filter = if alone {
        confine::filter(&[confine::HANDS, confine::BECOMING_ALONE], &[], requests)
    } else {
        confine::filter(&[confine::HANDS], &[], &[])
    }?;
    let alone_filter = alone.then(|| confine::filter(&[confine::ALONE], &[], requests)).transpose()?;
    let proc = path::open(c"/proc", libc::O_PATH | libc::O_DIRECTORY).map_err(call("open /proc"))?;
    let (control, theirs) = fd::packet_pair().map_err(call("socketpair"))?;
    let (to_hands, to_eyes) = fd::packet_pair().map_err(call("socketpair"))?;
    let forked = settings.way.v2.as_ref().map_or_else(process::fork, |cgroup| process::fork_into(cgroup.as_fd()));
    match forked.map_err(call("fork"))? {
        Cloned::Parent { pid, pidfd } => {
            Ok(Starting { control: Some(control), pidfd: Some(pidfd), pid, cgroup: None, loads })
        }
        Cloned::Child => {
            drop(control);
            let parts = Parts { control: theirs, to_hands, to_eyes, proc, client };
            let filters = Filters { eyes: &eyes_filter, hands: &hands_filter, loader: loader_filter.as_deref() };
            let alone = alone_filter.map(|filter| hands::Orders { pace: settings.policy.pace, filter });
            begin(settings, audit, parts, &filters, alone)
        }
    }
}

impl Starting {
    /// The container's own cgroup of version 2, which a policy with `bpf_devices` needs: programs may be attached below it, and
    /// what is attached to it, or above, stays in force.
    pub fn set_cgroup(&mut self, directory: OwnedFd) {
        self.cgroup = Some(directory);
    }

    /// Whether [`Starting::set_cgroup`] has to be called.
    #[must_use]
    pub fn needs_cgroup(&self) -> bool {
        self.loads && self.cgroup.is_none()
    }

    /// The eyes.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Its cgroup is made, and it was moved there. `freezer` as in [`Way`].
    ///
    /// # Errors
    /// `Error::Unable` if it has ended.
    pub fn go_on(&self, freezer: Option<&File>) -> Result<(), Error> {
        let control = self.control.as_ref().ok_or(Error::Unable(Errno::EPIPE))?;
        let freezer: Vec<_> = freezer.iter().map(|file| file.as_fd()).collect();
        rights::send_with(control.as_fd(), &[0], &freezer).map(drop).map_err(Error::Unable)
    }

    /// Gives it the listener of a container whose mounts are made, the container's init, and the process that has the filter:
    /// init, or one that can be looked into where init cannot, in the same namespaces. The listener must not be
    /// kept by anybody else: the death of the broker is what makes held calls fail.
    ///
    /// # Errors
    /// `Error::Unable`, `Error::NoCgroup`; the broker ends then.
    pub fn serve(self, listener: OwnedFd, init: BorrowedFd<'_>, payload: BorrowedFd<'_>) -> Result<Serving, Error> {
        let control = self.control.as_ref().ok_or(Error::Unable(Errno::EPIPE))?.as_fd();
        if self.needs_cgroup() {
            return Err(Error::NoCgroup);
        }
        let mut fds = vec![listener.as_fd(), init, payload];
        fds.extend(self.cgroup.as_ref().map(AsFd::as_fd));
        let given = rights::send_with(control, &[1], &fds);
        drop(listener);
        let mut answer = [0u8; 4];
        let received = given.and_then(|_| rights::receive(control, &mut answer));
        match (received.map_err(Error::Unable)?.bytes, i32::from_le_bytes(answer)) {
            (4, 0) => {}
            (4, errno) => return Err(Error::Unable(Errno::from_raw(errno))),
            _ => return Err(Error::Unable(Errno::EPIPE)),
        }
        let mut starting = self;
        let pidfd = starting.pidfd.take().ok_or(Error::Unable(Errno::EBADF))?;
        Ok(Serving { pid: starting.pid, pidfd })
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        let Some(pidfd) = &self.pidfd else { return };
        // It ends by itself, after its hands.
        drop(self.control.take());
        let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
        if !poll(&mut fds, PollTimeout::from(PATIENCE)).is_ok_and(|count| count > 0) {
            let _ = process::pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL);
        }
        // It cannot fail for a child that was not reaped.
        let _ = wait::wait(pidfd.as_fd());
    }
}
