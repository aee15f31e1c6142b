//! What happens to a cgroup's memory: how often the kernel killed for it, and being told when it does.

use super::{Error, dir, dir::Dir};
use crate::plan::cgroup::Cgroup;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// How many processes of the cgroup the kernel has killed for want of memory. 0 where it does not count.
///
/// # Errors
/// Where the cgroup is gone.
pub fn kills(cgroup: &Cgroup) -> Result<u64, Error> {
    Source::find(cgroup).map_or(Ok(0), |source| source?.kills())
}

/// Where the count is kept.
struct Source {
    dir: Dir,
    file: &'static str,
    v1: bool,
}

impl Source {
    fn find(cgroup: &Cgroup) -> Option<Result<Self, Error>> {
        let v1 = cgroup.v1("memory").map(|group| (group, "memory.oom_control", true));
        let v2 = cgroup.v2.as_ref().map(|group| (group, "memory.events", false));
        let (group, file, v1) = v1.or(v2)?;
        Some(Dir::open(&group.dir()).map(|dir| Source { dir, file, v1 }))
    }

    fn kills(&self) -> Result<u64, Error> {
        match self.dir.read(self.file) {
            Ok(text) => Ok(value(&text, "oom_kill").unwrap_or(0)),
            Err(error) if error.errno() == Some(libc::ENOENT) => Ok(0),
            Err(error) => Err(error),
        }
    }
}

/// The number behind a key, on a line of its own.
pub(crate) fn value(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Something that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The kernel found no memory, and killed or stopped a process.
    Oom,
    /// Nothing runs in it any more: there will be no further event.
    Empty,
}

/// Waits for events. Its descriptor can be polled for reading; [`Watch::take`] then says what there was.
#[derive(Debug)]
pub struct Watch {
    way: Way,
    seen: u64,
}

#[derive(Debug)]
enum Way {
    /// inotify on `memory.events` and `cgroup.events`.
    V2 { inotify: Inotify, dir: Dir },
    /// An eventfd that the kernel writes to, also when the directory is removed.
    V1 { eventfd: EventFd, dir: Dir, _control: OwnedFd },
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.way {
            Way::V2 { inotify, .. } => inotify.as_fd(),
            Way::V1 { eventfd, .. } => eventfd.as_fd(),
        }
    }
}

impl Watch {
    /// Begins to watch.
    ///
    /// # Errors
    /// Where the cgroup is gone, or has no memory controller.
    pub fn open(cgroup: &Cgroup) -> Result<Self, Error> {
        let source = Source::find(cgroup).ok_or(Error::None("watched"))??;
        let failed = |call, errno| dir::call(call, source.dir.path(), errno);
        let seen = source.kills()?;
        let way = if source.v1 {
            let control = source.dir.file(source.file, OFlag::O_RDONLY).map_err(|e| failed("open", e))?;
            let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
            let eventfd = EventFd::from_flags(flags).map_err(|e| failed("watch", e))?;
            let line = format!("{} {}", eventfd.as_fd().as_raw_fd(), control.as_raw_fd());
            source.dir.write("cgroup.event_control", &line).map_err(|e| failed("watch", e))?;
            Way::V1 { eventfd, dir: source.dir, _control: control }
        } else {
            let flags = InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK;
            let inotify = Inotify::init(flags).map_err(|e| failed("watch", e))?;
            for file in [source.file, "cgroup.events"] {
                let path = source.dir.path().join(file);
                inotify.add_watch(&path, AddWatchFlags::IN_MODIFY).map_err(|e| dir::call("watch", &path, e))?;
            }
            Way::V2 { inotify, dir: source.dir }
        };
        Ok(Self { way, seen })
    }

    /// What has happened since the last time, without waiting.
    ///
    /// # Errors
    /// Where the descriptor cannot be read.
    pub fn take(&mut self) -> Result<Vec<Event>, Error> {
        let mut events = Vec::new();
        match &self.way {
            Way::V1 { eventfd, dir, .. } => match eventfd.read() {
                Err(Errno::EAGAIN) => {}
                Err(errno) => return Err(dir::call("read", dir.path(), errno)),
                Ok(_) if !dir.path().exists() => events.push(Event::Empty),
                Ok(_) => events.push(Event::Oom),
            },
            Way::V2 { inotify, dir } => {
                match inotify.read_events() {
                    Err(Errno::EAGAIN) => return Ok(events),
                    Err(errno) => return Err(dir::call("read", dir.path(), errno)),
                    Ok(_) => {}
                }
                // A directory that is gone can tell nothing more.
                let kills = dir.read("memory.events").ok().and_then(|text| value(&text, "oom_kill"));
                if kills.is_some_and(|n| n > self.seen) {
                    events.push(Event::Oom);
                }
                self.seen = kills.unwrap_or(self.seen);
                let populated = dir.read("cgroup.events").ok().and_then(|text| value(&text, "populated"));
                if populated.is_none_or(|n| n == 0) {
                    events.push(Event::Empty);
                }
            }
        }
        Ok(events)
    }
}
