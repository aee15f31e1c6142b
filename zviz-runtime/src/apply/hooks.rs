//! Runs hooks. config.md, "POSIX-platform Hooks".
//!
//! Each gets the container's state on standard input, as a sealed file: it may read it, leave it, or close it, and
//! nothing waits for it. Its output is not passed on; the end of it becomes part of the error.

mod watch;

use crate::plan::Hook;
use std::ffi::CString;
use std::fmt;
use std::io::{Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use zviz_sys::Errno;
use zviz_sys::exec::CStrArray;
use zviz_sys::spawn::{self, Image, Program};
use zviz_sys::wait::Exit;

/// When hooks run, and by that where their paths lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `hooks.prestart`.
    Prestart,
    /// `hooks.createRuntime`.
    CreateRuntime,
    /// `hooks.createContainer`.
    CreateContainer,
    /// `hooks.startContainer`.
    StartContainer,
    /// `hooks.poststart`.
    Poststart,
    /// `hooks.poststop`.
    Poststop,
}

impl Kind {
    /// Every kind, in the order of a container's life.
    pub const ALL: [Kind; 6] = [
        Kind::Prestart,
        Kind::CreateRuntime,
        Kind::CreateContainer,
        Kind::StartContainer,
        Kind::Poststart,
        Kind::Poststop,
    ];

    /// As the specification spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Prestart => "prestart",
            Kind::CreateRuntime => "createRuntime",
            Kind::CreateContainer => "createContainer",
            Kind::StartContainer => "startContainer",
            Kind::Poststart => "poststart",
            Kind::Poststop => "poststop",
        }
    }
}

/// Where hooks run.
pub enum Within<'a> {
    /// In the runtime's namespaces, as the runtime.
    Runtime {
        /// The bundle; none is the runtime's own working directory.
        cwd: Option<&'a Path>,
    },
    /// In the container's namespaces.
    Container(Inside<'a>),
}

/// What a hook enters to be in a container.
#[derive(Default)]
pub struct Inside<'a> {
    /// In this order: a pidfd of init with several `CLONE_NEW*`, or a namespace's own descriptor with one.
    pub join: &'a [(BorrowedFd<'a>, u64)],
    /// The container's root where joining its mount namespace does not give it (a root that was only changed to by
    /// chroot). For startContainer only.
    pub root: Option<BorrowedFd<'a>>,
    /// After the root was entered. Joining a mount namespace leaves a process in its root directory.
    pub cwd: Option<&'a Path>,
    /// The container's cgroup, so that its limits, and which devices it may use, hold for the hook.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// The `tasks` files of its cgroups of version 1.
    pub tasks: &'a [OwnedFd],
    /// Gives up, in the child and without allocating, every right that the payload does not have. A startContainer
    /// hook is a program out of the image: without this it would run with all rights of the runtime.
    pub confine: Option<&'a dyn Fn() -> Result<(), Errno>>,
}

/// A hook that did not do its work.
#[derive(Debug, thiserror::Error)]
#[error("hooks.{}[{index}]: {path}: {fault}{}", kind.name(), Said(said))]
pub struct HookError {
    /// Of which kind.
    pub kind: Kind,
    /// Which one, from 0.
    pub index: usize,
    /// Its path, as given.
    pub path: String,
    /// What happened.
    pub fault: Fault,
    /// The end of its standard error, or of its output where that is empty; at most `watch::KEPT` bytes.
    pub said: String,
}

/// What can happen to a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A string cannot be passed on.
    #[error("path, args or env hold a nul byte")]
    Nul,
    /// The file cannot be opened.
    #[error("open: {}", .0.desc())]
    Open(Errno),
    /// It could not be started.
    #[error("{0}")]
    Start(spawn::Failure),
    /// It ended otherwise than with code 0.
    #[error("{0}")]
    Ended(Exit),
    /// It was killed after so many seconds.
    #[error("killed after its timeout of {0} s")]
    Timeout(u64),
    /// It could not be watched or given its input.
    #[error("{what}: {}", errno.desc())]
    Io {
        /// What was being done.
        what: &'static str,
        /// Why it was not.
        errno: Errno,
    },
}

/// What a hook said, made fit for a terminal and a line of a log.
struct Said<'a>(&'a str);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        f.write_str(": ")?;
        for c in self.0.chars() {
            if c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
        }
        Ok(())
    }
}

/// Runs hooks, one after the other, each to its end.
///
/// Paths of createContainer hooks lead where the runtime's do, whatever the container's namespaces show; those of
/// startContainer hooks lead inside the container.
///
/// # Errors
/// The first that fails; those after it do not run.
pub fn run(kind: Kind, hooks: &[Hook], state_json: &[u8], within: &Within<'_>) -> Result<(), HookError> {
    for (index, hook) in hooks.iter().enumerate() {
        run_one(kind, hook, state_json, within).map_err(|(fault, said)| HookError {
            kind,
            index,
            path: hook.path.clone(),
            fault,
            said,
        })?;
    }
    Ok(())
}

fn run_one(kind: Kind, hook: &Hook, state: &[u8], within: &Within<'_>) -> Result<(), (Fault, String)> {
    let quiet = |fault| (fault, String::new());
    let io = |what| move |errno| quiet(Fault::Io { what, errno });
    let strings = |list: &[String]| list.iter().map(|s| CString::new(s.as_str())).collect::<Result<Vec<_>, _>>();
    let path = CString::new(hook.path.as_str()).map_err(|_| quiet(Fault::Nul))?;
    let mut argv = strings(&hook.args).map_err(|_| quiet(Fault::Nul))?;
    if argv.is_empty() {
        argv.push(path.clone());
    }
    let argv = CStrArray::new(argv);
    let env = CStrArray::new(strings(&hook.env).map_err(|_| quiet(Fault::Nul))?);

    let default = Inside::default();
    let (inside, cwd) = match within {
        Within::Runtime { cwd } => (&default, *cwd),
        Within::Container(inside) => (inside, inside.cwd),
    };
    let cwd = cwd.map(|cwd| CString::new(cwd.as_os_str().as_bytes())).transpose().map_err(|_| quiet(Fault::Nul))?;
    let file = match (kind, within) {
        (Kind::StartContainer, _) | (_, Within::Runtime { .. }) => None,
        (_, Within::Container(_)) => {
            Some(zviz_sys::path::open_path(&path, 0).map_err(|errno| quiet(Fault::Open(errno)))?)
        }
    };
    let image = match &file {
        None => Image::Path(&path),
        Some(file) => Image::Opened { file: file.as_fd(), path: &path },
    };
    let input = sealed(state).map_err(io("give it the state"))?;
    let (mut watch, [output, error]) = watch::Watch::new(hook.timeout).map_err(io("make a pipe"))?;
    let child = spawn::spawn(&Program {
        image,
        argv: &argv,
        env: &env,
        stdio: [input.as_fd(), output.as_fd(), error.as_fd()],
        join: inside.join,
        root: inside.root,
        cwd: cwd.as_deref(),
        cgroup: inside.cgroup,
        tasks: inside.tasks,
        stays: false,
        confine: inside.confine,
    })
    .map_err(|failure| quiet(Fault::Start(failure)))?;
    // The hook alone holds them now, so that their end is seen.
    drop((output, error));
    match watch.until_end(child) {
        Ok(Some(Exit::Code(0))) => Ok(()),
        Ok(Some(exit)) => Err((Fault::Ended(exit), watch.said())),
        Ok(None) => Err((Fault::Timeout(hook.timeout.unwrap_or(0)), watch.said())),
        Err(errno) => Err((Fault::Io { what: "wait", errno }, watch.said())),
    }
}

/// A file in memory that nobody can change, at its beginning. memfd_create(2), F_ADD_SEALS.
fn sealed(bytes: &[u8]) -> Result<std::fs::File, Errno> {
    use nix::fcntl::{FcntlArg, SealFlag, fcntl};
    use nix::sys::memfd::{MFdFlags, memfd_create};
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    // vm.memfd_noexec = 2 refuses a file without this; kernels before 6.3 do not know it.
    let noexec = MFdFlags::from_bits_retain(0x8);
    let fd = match memfd_create(c"state.json", flags | noexec) {
        Err(Errno::EINVAL) => memfd_create(c"state.json", flags),
        other => other,
    }?;
    let mut file = std::fs::File::from(fd);
    let errno = |e: std::io::Error| e.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    file.write_all(bytes).map_err(errno)?;
    file.rewind().map_err(errno)?;
    let seals = SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file)
}
