//! From the plan to what init needs: every string made, every descriptor open. The last point of return: nothing of the
//! machine has been changed yet.

use crate::apply::mounts::{Opener, PreparedMount};
use crate::apply::namespaces::PreparedNamespaces;
use crate::apply::paths::PreparedPaths;
use crate::apply::process::PreparedProcess;
use crate::apply::rootfs::PreparedRoot;
use crate::apply::{devices, landlock, mounts, namespaces, paths, process, rootfs, shared};
use crate::failure::{Failure, Stage, at};
use crate::plan::{Backend, Plan, Seccomp};
use nix::errno::Errno;
use std::ffi::CString;
use std::os::fd::OwnedFd;
use zviz_seccomp::Cache;
use zviz_sys::mount::MountAttr;
use zviz_sys::seccomp::{self, Instruction, flag};

/// What could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A string that the kernel cannot be given.
    #[error("{0:?} holds a NUL byte")]
    Nul(String),
    /// A namespace to join.
    #[error("open namespace {path}: {}", errno.desc())]
    Namespace {
        /// Which.
        path: String,
        /// Why.
        errno: Errno,
    },
    /// A kernel parameter of a joined namespace that is the runtime's own.
    #[error("linux.sysctl.{parameter}: the namespace {path} is the host's own")]
    SharedParameter {
        /// Its name.
        parameter: String,
        /// The namespace.
        path: String,
    },
    /// The source of a bind.
    #[error("{origin}: bind source {path}: {}", errno.desc())]
    Source {
        /// Its place in the input.
        origin: String,
        /// Which.
        path: String,
        /// Why.
        errno: Errno,
    },
    /// The container's root.
    #[error("rootfs {path}: {}", errno.desc())]
    Rootfs {
        /// Which.
        path: String,
        /// Why.
        errno: Errno,
    },
    /// The host's proc.
    #[error("open /proc of the host as a proc file system: {}", .0.desc())]
    Proc(Errno),
    /// The affinity mask.
    #[error("process.execCPUAffinity: a CPU above 8191: {}", .0.desc())]
    Affinity(Errno),
    /// The Landlock ruleset.
    #[error("landlock: {what}")]
    Landlock {
        /// Why.
        what: String,
    },
    /// The seccomp program.
    #[error("linux.seccomp")]
    Seccomp(#[from] zviz_seccomp::Error),
}

/// A string for the kernel.
pub(crate) fn cstring(s: &str) -> Result<CString, Error> {
    CString::new(s).map_err(|_| Error::Nul(s.to_owned()))
}

/// A seccomp program and how to load it.
pub(crate) struct Filter {
    pub program: Vec<Instruction>,
    pub flags: u64,
}

impl Filter {
    /// Whether it has a listener.
    pub(crate) fn notifies(&self) -> bool {
        self.flags & flag::NEW_LISTENER != 0
    }

    /// Puts it in force; the listener comes back if there is one.
    pub(crate) fn load(&self) -> Result<Option<OwnedFd>, Failure> {
        at(Stage::Seccomp, seccomp::load(&self.program, self.flags))
    }
}

/// What the caller wants beside the plan.
#[derive(Debug)]
pub struct Options {
    /// Descriptors after 2 that the payload inherits (`--preserve-fds`).
    pub preserve_fds: u32,
    /// The payload dies with the runtime.
    pub die_with_parent: bool,
    /// Init waits for a byte in it before it becomes the payload.
    pub fifo: Option<OwnedFd>,
    /// Where compiled filters are kept.
    pub cache: Cache,
    /// The `tasks` files of cgroup v1 that init writes itself into.
    pub cgroup_tasks: Vec<OwnedFd>,
    /// The root of a container without a mount namespace, for one more process of it.
    pub root: Option<OwnedFd>,
    /// Standard output and error, in place of the runtime's.
    pub output: Option<[OwnedFd; 2]>,
}

/// What keeps a payload from its reaper, where no pid namespace does.
pub(crate) struct Tends {
    /// One more Landlock domain for the payload, from which no signal leaves; absent before ABI 6.
    pub scope: Option<OwnedFd>,
}

/// All that init needs.
pub(crate) struct Prepared {
    pub namespaces: PreparedNamespaces,
    pub rootfs: Option<PreparedRoot>,
    /// Entered by chroot(2), where no namespace that is joined has it.
    pub root: Option<OwnedFd>,
    pub mounts: Vec<PreparedMount>,
    pub devices: Vec<devices::PreparedDevice>,
    pub links: Vec<devices::PreparedLink>,
    pub paths: PreparedPaths,
    pub process: PreparedProcess,
    pub filter: Option<Filter>,
    pub landlock: Option<landlock::PreparedLandlock>,
    /// There is no pid namespace that ends with the reaper: it ends everything itself.
    pub tends: Option<Tends>,
    /// The host's, for what only init itself may write there.
    pub proc: OwnedFd,
    pub fifo: Option<OwnedFd>,
    pub cgroup_tasks: Vec<OwnedFd>,
    pub output: Option<[OwnedFd; 2]>,
    pub terminal: bool,
    pub console_size: Option<(u16, u16)>,
    /// Hooks run between the mounts and the change of the root: init waits for them.
    pub hooked: bool,
    pub parent_death_signal: Option<i32>,
    pub reaper: bool,
    pub preserved: u32,
}

/// Prepares a plan. `privileged`: the runtime may change mounts in its own namespaces.
pub(crate) fn prepare(
    plan: &Plan,
    options: Options,
    privileged: bool,
    last_capability: u32,
) -> Result<Prepared, Error> {
    shared::check(plan)?;
    let opener = if privileged { Opener::Parent } else { Opener::Init };
    let inherited = plan.rootfs.as_ref().map_or(MountAttr::default(), |r| rootfs::outer_propagation(r).0);
    Ok(Prepared {
        namespaces: namespaces::prepare(&plan.namespaces, privileged)?,
        rootfs: plan.rootfs.as_ref().map(|r| rootfs::prepare(r, &plan.namespaces.mount, opener)).transpose()?,
        mounts: plan.mounts.iter().map(|m| mounts::prepare(m, opener, inherited)).collect::<Result<_, _>>()?,
        devices: plan.devices.iter().map(devices::prepare).collect::<Result<_, _>>()?,
        links: plan.symlinks.iter().map(devices::prepare_link).collect::<Result<_, _>>()?,
        paths: paths::prepare(&plan.masked_paths, &plan.readonly_paths)?,
        process: process::prepare(&plan.process, &plan.sysctl, last_capability)?,
        filter: plan.seccomp.as_ref().map(|s| filter(s, &options.cache)).transpose()?,
        landlock: plan.landlock.as_ref().map(landlock::prepare).transpose()?,
        tends: (plan.backend == Backend::Landlock).then(|| tends(plan)).transpose()?,
        proc: namespaces::open_proc()?,
        root: options.root,
        fifo: options.fifo,
        cgroup_tasks: options.cgroup_tasks,
        output: options.output,
        terminal: plan.process.terminal,
        console_size: plan.process.console_size,
        hooked: [&plan.hooks.prestart, &plan.hooks.create_runtime, &plan.hooks.create_container]
            .iter()
            .any(|hooks| !hooks.is_empty()),
        parent_death_signal: options.die_with_parent.then_some(libc::SIGKILL),
        reaper: plan.process.reaper,
        preserved: options.preserve_fds,
    })
}

fn tends(plan: &Plan) -> Result<Tends, Error> {
    let scoped = plan.landlock.as_ref().is_some_and(|landlock| landlock.scoped);
    let scope = scoped.then(zviz_sys::landlock::signal_scope).transpose();
    let scope = scope.map_err(|errno| Error::Landlock { what: format!("scope of signals: {}", errno.desc()) })?;
    Ok(Tends { scope })
}

pub(crate) fn filter(plan: &Seccomp, cache: &Cache) -> Result<Filter, Error> {
    let compiled = match &plan.program {
        Some(program) => program.clone(),
        None => cache.load_or_compile(&plan.policy)?.program,
    };
    let wanted = &plan.policy.flags;
    let notifies = plan.policy.notifies();
    let mut flags = 0;
    for (asked, bit) in [
        (wanted.tsync, flag::TSYNC),
        (wanted.log, flag::LOG),
        (wanted.spec_allow, flag::SPEC_ALLOW),
        (notifies, flag::NEW_LISTENER),
        (notifies && wanted.tsync, flag::TSYNC_ESRCH),
        (notifies && wanted.wait_killable_recv, flag::WAIT_KILLABLE_RECV),
    ] {
        if asked {
            flags |= bit;
        }
    }
    let instructions = compiled.instructions().iter();
    Ok(Filter {
        program: instructions.map(|i| Instruction { code: i.code, jt: i.jt, jf: i.jf, k: i.k }).collect(),
        flags,
    })
}
