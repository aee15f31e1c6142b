//! Opening a file for the caller: found first without opening it, named by the kernel, judged by that name, and then this very
//! file is opened, so that nothing that happens to paths in between matters.
//!
//! ```text
//! path ──► O_PATH ──► its name in /proc/self/fd ──► rules ──► open /proc/self/fd/N
//! path of what is made ──► O_PATH of its directory ──► name of that + last component ──► rules ──► openat(directory, last)
//! ```
//!
//! A path in which there are no links takes less: `plain` for what is only read, `written` for what is written.

mod change;
mod create;
mod give;
mod known;
mod name;
mod plain;
mod terminal;
mod walk;
mod written;

use super::proc::Proc;
use super::turn::Turns;
use super::wire::{NOT_SEEN, Report};
use crate::decision::Work;
use crate::handlers::files::{FLAGS, MODE_AT, O_ACCMODE, RESOLVE_AT, THREAD, nameless};
use crate::policy::files::{Rules, Ruling, Verdict};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use zviz_sys::path::{self, resolve};
use zviz_sys::{fd, process};

/// null, zero, full, random and urandom, which nobody waits for. Documentation/admin-guide/devices.txt.
const MEMORY: [u64; 5] = [0x103, 0x105, 0x107, 0x108, 0x109];

/// What a hand needs to open files.
pub(super) struct Opener<'p> {
    rules: &'p Rules,
    proc: &'p Proc,
    turns: &'p Turns,
    /// The file system of the host's proc, in which this process could be seen.
    host_proc: u64,
    /// Whose files this hand makes.
    uid: u32,
    /// This process's own descriptors, in the host's proc.
    own: OwnedFd,
    linked: plain::Linked,
    paths: known::Paths,
}

/// One call.
struct Call<'w> {
    path: &'w [u8],
    flags: i32,
    mode: u32,
    resolve: u64,
    thread: i32,
}

/// What came of it.
pub(super) struct Opened {
    pub result: Result<OwnedFd, Errno>,
    /// What the rules said, about which name; none if it did not come to that.
    pub judged: Option<(Ruling, Vec<u8>)>,
}

/// A file that was found, and is not open.
struct Found {
    file: OwnedFd,
    /// By one of proc's links, which lead anywhere.
    jumped: bool,
}

impl<'p> Opener<'p> {
    /// After root and ids are the caller's.
    pub(super) fn new(proc: &'p Proc, rules: &'p Rules, turns: &'p Turns) -> Result<Self, Errno> {
        let own = path::openat2(proc.0.as_fd(), c"self/fd", libc::O_PATH | libc::O_DIRECTORY, 0, 0)?;
        Ok(Opener {
            rules,
            proc,
            turns,
            host_proc: fd::stat(proc.0.as_fd())?.st_dev,
            uid: nix::unistd::geteuid().as_raw(),
            own,
            linked: plain::Linked::default(),
            paths: known::Paths::default(),
        })
    }

    /// Opens it, as [`Self::open_plain`] if that does.
    pub(super) fn open(
        &self,
        work: &Work,
        place: Option<BorrowedFd<'_>>,
        umask: Option<u32>,
        report: &Report<'_>,
    ) -> Opened {
        self.open_plain(work).unwrap_or_else(|| self.open_any(work, place, umask, report))
    }

    /// Opens whatever it is. `place` is where a path that is not absolute begins: none is the caller's working directory, which is looked
    /// up then. `umask` is none where it is not known. `report` hears of what takes long.
    pub(super) fn open_any(
        &self,
        work: &Work,
        place: Option<BorrowedFd<'_>>,
        umask: Option<u32>,
        report: &Report<'_>,
    ) -> Opened {
        let mut judged = None;
        let result = self.prepare(work, place, umask).and_then(|call| {
            if call.flags & libc::O_CREAT != 0 {
                self.create(&call, &mut judged, report)
            } else {
                let found = self.find(&call, call.path, call.flags & (libc::O_NOFOLLOW | libc::O_DIRECTORY))?;
                self.reopen(&call, &found, &mut judged, report)
            }
        });
        if enters(work) {
            // Nothing of the container is kept busy between calls.
            let _ = path::change_directory(c"/");
        }
        Opened { result, judged }
    }

    fn prepare<'w>(
        &self,
        work: &'w Work,
        place: Option<BorrowedFd<'_>>,
        umask: Option<u32>,
    ) -> Result<Call<'w>, Errno> {
        let path = work.texts[0].as_deref().ok_or(Errno::EFAULT)?;
        let number = |at: usize| work.numbers.get(at).copied().unwrap_or_default();
        let flags = i32::try_from(number(FLAGS)).map_err(|_| Errno::EINVAL)?;
        let mode = u32::try_from(number(MODE_AT)).map_err(|_| Errno::EINVAL)?;
        let thread = i32::try_from(number(THREAD)).map_err(|_| Errno::ESRCH)?;
        let call = Call { path, flags, mode, resolve: number(RESOLVE_AT), thread };
        if enters(work) {
            match place {
                Some(place) => path::enter(place)?,
                None => {
                    let place = self.proc.open(thread, "cwd", libc::O_PATH | libc::O_DIRECTORY);
                    path::enter(place.map_err(|_| NOT_SEEN)?.as_fd())?;
                }
            }
            inside()?;
        }
        if flags & libc::O_CREAT != 0 || nameless(number(FLAGS)) {
            process::set_umask(match umask {
                Some(umask) => umask,
                None => self.proc.umask(thread).map_err(|_| NOT_SEEN)?,
            });
        }
        Ok(call)
    }

    /// Finds what a path names, without opening it.
    fn find(&self, call: &Call<'_>, path: &[u8], flags: i32) -> Result<Found, Errno> {
        let text = CString::new(path).map_err(|_| Errno::EINVAL)?;
        let here = nix::fcntl::AT_FDCWD;
        match path::openat2(here, &text, libc::O_PATH | flags, 0, call.resolve | resolve::NO_MAGICLINKS) {
            Ok(file) => Ok(Found { file, jumped: false }),
            // Programs look in many places for what is in one.
            Err(Errno::ENOENT) if is_absent(path) => Err(Errno::ENOENT),
            // `self` in a proc is nobody for this process, and what is beyond proc's links is not found either.
            Err(Errno::ENOENT | Errno::ELOOP) if call.resolve & !resolve::NO_MAGICLINKS == 0 => {
                self.walk(call, path, flags)
            }
            Err(errno) => Err(errno),
        }
    }

    /// Judges a file that was found, and opens it.
    fn reopen(
        &self,
        call: &Call<'_>,
        found: &Found,
        judged: &mut Option<(Ruling, Vec<u8>)>,
        report: &Report<'_>,
    ) -> Result<OwnedFd, Errno> {
        let stat = fd::stat(found.file.as_fd())?;
        let mut name = self.name(found, &stat)?;
        let nameless = nameless(u64::from(call.flags.cast_unsigned()));
        if nameless {
            // A name that no file of the directory need have.
            name = name::below(name, b"#");
        }
        self.judge(call, &stat, name, judged, report)?;
        if blocks(&stat) && call.flags & libc::O_NONBLOCK == 0 {
            report.blocks()?;
        }
        let terminal = terminal::of_caller(self.proc, call.thread, &stat)?;
        let file = terminal.as_ref().unwrap_or(&found.file);
        let once = libc::O_CREAT | libc::O_NOFOLLOW | if nameless { 0 } else { libc::O_EXCL };
        let kind = stat.st_mode & libc::S_IFMT;
        let number = name::number(file.as_fd())?;
        let open = |flags| path::openat(self.own.as_fd(), &number, flags, call.mode);
        open_now(call.flags & !once, report, kind, open)
    }

    /// Asks the rules.
    fn judge(
        &self,
        call: &Call<'_>,
        stat: &libc::stat,
        name: Vec<u8>,
        judged: &mut Option<(Ruling, Vec<u8>)>,
        report: &Report<'_>,
    ) -> Result<(), Errno> {
        let access = call.flags & O_ACCMODE;
        let changes = libc::O_CREAT | libc::O_TRUNC;
        let writes = access != libc::O_RDONLY || call.flags & changes != 0;
        self.judge_name(stat, name, (access != libc::O_WRONLY, writes), judged, report)
    }

    /// As `judge`, for reading and for writing what has this name or is to have it.
    fn judge_name(
        &self,
        stat: &libc::stat,
        name: Vec<u8>,
        (reads, writes): (bool, bool),
        judged: &mut Option<(Ruling, Vec<u8>)>,
        report: &Report<'_>,
    ) -> Result<(), Errno> {
        if stat.st_dev == self.host_proc {
            // A proc that shows this process itself, which may open its own memory there.
            return Err(Errno::EACCES);
        }
        let ruling = match name.first() {
            // A pipe, by the descriptor that somebody has of it: it is in no directory.
            Some(first) if *first != b'/' => Ruling { verdict: Verdict::Allow, rule: None },
            _ => self.rules.ask(&name, reads, writes),
        };
        *judged = Some((ruling, name.clone()));
        match ruling.verdict {
            Verdict::Deny(reason) => Err(reason.into()),
            Verdict::Ask => report.asks((ruling, name)),
            Verdict::Allow | Verdict::Audit => Ok(()),
        }
    }
}

/// Opens something of this kind, by `open` with such flags. Who has a lease on a file is waited for by somebody else, where this
/// hand must not wait.
fn open_now(
    flags: i32,
    report: &Report<'_>,
    kind: u32,
    open: impl Fn(i32) -> Result<OwnedFd, Errno>,
) -> Result<OwnedFd, Errno> {
    if !report.hurries() || kind != libc::S_IFREG || flags & libc::O_NONBLOCK != 0 {
        return open(flags);
    }
    let file = open(flags | libc::O_NONBLOCK);
    let file = file.map_err(|errno| if errno == Errno::EWOULDBLOCK { NOT_SEEN } else { errno })?;
    fcntl(&file, FcntlArg::F_SETFL(OFlag::from_bits_retain(flags)))?;
    Ok(file)
}

/// What is outside the root has no name that a rule could be about.
fn inside() -> Result<(), Errno> {
    path::working_directory_is_inside().map_err(|errno| match errno {
        Errno::EXDEV => Errno::EACCES,
        other => other,
    })
}

/// Whether opening it may take for ever: a FIFO waits for its other end, a terminal for its line.
fn blocks(stat: &libc::stat) -> bool {
    match stat.st_mode & libc::S_IFMT {
        libc::S_IFIFO => true,
        libc::S_IFCHR => !MEMORY.contains(&stat.st_rdev),
        _ => false,
    }
}

/// Whether it is about a path below some directory, and not below the root.
fn enters(work: &Work) -> bool {
    let absolute = work.texts[0].as_ref().is_some_and(|path| path.starts_with(b"/"));
    let within = work.numbers.get(RESOLVE_AT).is_some_and(|flags| flags & (resolve::BENEATH | resolve::IN_ROOT) != 0);
    !absolute || within
}

/// Whether nothing is there for anybody: its directory is found without proc's links, and holds no such name.
fn is_absent(path: &[u8]) -> bool {
    let (directory, last) = create::split(path);
    let (Ok(directory), Ok(last)) = (CString::new(directory), CString::new(last)) else { return false };
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    let Ok(directory) = path::openat2(nix::fcntl::AT_FDCWD, &directory, flags, 0, resolve::NO_MAGICLINKS) else {
        return false;
    };
    let there = path::openat2(directory.as_fd(), &last, libc::O_PATH | libc::O_NOFOLLOW, 0, resolve::NO_MAGICLINKS);
    !last.is_empty()
        && there.is_err_and(|errno| errno == Errno::ENOENT)
        && fd::filesystem_magic(directory.as_fd()).is_ok_and(|magic| magic != create::PROC)
}
