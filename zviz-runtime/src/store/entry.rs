//! One container's directory, with and without its lock.

use super::Error;
use super::text::{PlanText, ROOM};
use crate::container::{Id, State, Status};
use crate::plan::Plan;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{Mode, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::sync::Arc;

const STATE: &str = "state.json";
const NEW_STATE: &str = "state.json.new";
/// In its place until `create` is through. Under a name of its own, since replacing a file makes ext4 write it out.
const CREATING: &str = "creating.json";
/// Init waits on it until `start`, which takes it away.
pub const EXEC_FIFO: &str = "exec.fifo";
/// Which limit has ended the container, in a word; there only where one could.
pub const ENDED: &str = "ended";
/// Locked by a runtime that stays until the end of what it has started, and takes that away itself.
const RUNTIME: &str = "runtime";
/// Far above any plan that config.json can ask for.
const MAX_STATE: u64 = 64 << 20;

/// A container's directory.
#[derive(Debug)]
pub struct Entry {
    id: Id,
    dir: File,
}

impl Entry {
    pub(super) fn new(id: Id, dir: OwnedFd) -> Self {
        Self { id, dir: dir.into() }
    }

    /// The container's.
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// The directory, for [`EXEC_FIFO`] and other files that belong to the container. Names are to be used relative to it.
    pub fn dir(&self) -> &File {
        &self.dir
    }

    /// What was last saved.
    ///
    /// # Errors
    /// `Absent` if nothing was, `State` if it cannot be read.
    pub fn load(&self) -> Result<State, Error> {
        let file = self.open_state()?;
        // Room for most, so that it is read at once.
        let mut text = Vec::with_capacity(ROOM);
        file.take(MAX_STATE).read_to_end(&mut text).map_err(|error| self.failed("read state.json", error))?;
        let state: State =
            serde_json::from_slice(&text).map_err(|source| Error::State { id: self.id.clone(), source })?;
        if state.id != self.id {
            let source = serde::de::Error::custom(format_args!("it belongs to {}", state.id));
            return Err(Error::State { id: self.id.clone(), source });
        }
        Ok(state)
    }

    /// Which limit has ended the container, if one has.
    #[must_use]
    pub fn ended(&self) -> Option<String> {
        let file = openat(&self.dir, ENDED, OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty());
        let mut text = String::new();
        File::from(file.ok()?).take(64).read_to_string(&mut text).ok()?;
        Some(text).filter(|text| !text.is_empty())
    }

    /// Whether a runtime that lives waits for its end, to take it away: it is not left behind, whatever has ended.
    ///
    /// # Errors
    /// `Entry` if it cannot be looked at.
    pub fn is_tended(&self) -> Result<bool, Error> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = match openat(&self.dir, RUNTIME, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::ENOENT) => return Ok(false),
            Err(errno) => return Err(self.failed("open runtime", errno)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(self.failed("lock runtime", error)),
        }
    }

    /// The newest file. It is looked for again at last: the first may have come while the second went.
    fn open_state(&self) -> Result<File, Error> {
        for name in [STATE, CREATING, STATE] {
            match openat(&self.dir, name, OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty()) {
                Ok(file) => return Ok(File::from(file)),
                Err(Errno::ENOENT) => {}
                Err(errno) => return Err(self.failed("open state.json", errno)),
            }
        }
        Err(Error::Absent(self.id.clone()))
    }

    /// The status that a state and the machine show now.
    ///
    /// # Errors
    /// `Entry` if the directory cannot be looked into.
    pub fn status(&self, state: &State) -> Result<Status, Error> {
        // The one who creates holds the lock. If nobody does, it died on the way.
        if state.creating && self.held_by_another()? {
            return Ok(Status::Creating);
        }
        self.settled(state, State::frozen)
    }

    /// The status of a container that nobody is creating. `frozen` is asked only if it runs.
    pub(super) fn settled(&self, state: &State, frozen: impl FnOnce(&State) -> bool) -> Result<Status, Error> {
        if state.live_init().is_none() {
            return Ok(Status::Stopped);
        }
        // Frozen is asked before the fifo is: a created container can be paused too.
        if frozen(state) {
            return Ok(Status::Paused);
        }
        match fstatat(&self.dir, EXEC_FIFO, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(Status::Created),
            Err(Errno::ENOENT) => Ok(Status::Running),
            Err(errno) => Err(self.failed("stat exec.fifo", errno)),
        }
    }

    fn held_by_another(&self) -> Result<bool, Error> {
        match self.dir.try_lock_shared() {
            Ok(()) => self.dir.unlock().map(|()| false).map_err(|error| self.failed("unlock its directory", error)),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(self.failed("lock its directory", error)),
        }
    }

    fn failed(&self, what: &'static str, source: impl Into<io::Error>) -> Error {
        Error::Entry { id: self.id.clone(), what, source: source.into() }
    }
}

/// A container that no other command changes until this is dropped.
#[derive(Debug)]
pub struct Locked {
    entry: Entry,
    root: Arc<OwnedFd>,
}

impl Deref for Locked {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        &self.entry
    }
}

impl Locked {
    pub(super) fn new(entry: Entry, root: Arc<OwnedFd>) -> Self {
        Self { entry, root }
    }

    /// What leads back to this very container when its lock was given up. Until then it is tended: [`Entry::is_tended`].
    ///
    /// # Errors
    /// `Entry` if there is no descriptor left.
    pub fn way_back(&self) -> Result<Left, Error> {
        let dir = self.entry.dir.try_clone().map_err(|error| self.failed("keep its directory", error))?;
        let flags = OFlag::O_RDONLY | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let runtime = openat(&self.dir, RUNTIME, flags, Mode::S_IRUSR | Mode::S_IWUSR)
            .map(File::from)
            .map_err(|errno| self.failed("make runtime", errno))?;
        // Again after a signal.
        while let Err(error) = runtime.try_lock().map_err(io::Error::from) {
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(self.failed("lock runtime", error));
            }
        }
        Ok(Left { entry: Entry { id: self.id.clone(), dir }, root: Arc::clone(&self.root), runtime })
    }

    /// The status now. Nobody else can be creating it.
    ///
    /// # Errors
    /// `Entry` if the directory cannot be looked into.
    pub fn status(&self, state: &State) -> Result<Status, Error> {
        self.settled(state, State::frozen)
    }

    /// Whether the directory still has a name: it may have been removed while its lock was waited for.
    pub(super) fn linked(&self) -> Result<bool, Error> {
        let stat = fstat(&self.entry.dir).map_err(|errno| self.failed("stat its directory", errno))?;
        Ok(stat.st_nlink > 0)
    }

    /// Replaces what is remembered: a reader sees the former or the new state whole.
    ///
    /// # Errors
    /// `Entry` if it cannot be written; the former state stays.
    pub fn save(&self, state: &State) -> Result<(), Error> {
        // Room for most, so that it need not grow.
        let mut text = Vec::with_capacity(ROOM);
        serde_json::to_writer(&mut text, state).map_err(|source| Error::State { id: self.id.clone(), source })?;
        self.replace(&text, state.creating)
    }

    /// A plan as `save_with` takes it: for who has time now, and none later.
    ///
    /// # Errors
    /// `State` if it cannot be written down.
    pub fn text_of(&self, plan: &Plan) -> Result<PlanText, Error> {
        PlanText::of(plan).map_err(|source| Error::State { id: self.id.clone(), source })
    }

    /// As `save`, with the text of the state's own plan.
    ///
    /// # Errors
    /// As `save`.
    pub fn save_with(&self, state: &State, plan: PlanText) -> Result<(), Error> {
        let text = plan.with(state).map_err(|source| Error::State { id: self.id.clone(), source })?;
        self.replace(&text, state.creating)
    }

    fn replace(&self, text: &[u8], creating: bool) -> Result<(), Error> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut file = openat(&self.dir, NEW_STATE, flags, Mode::S_IRUSR | Mode::S_IWUSR)
            .map(File::from)
            .map_err(|errno| self.failed("make state.json", errno))?;
        // Not synced: the root is on a tmpfs, and no container outlives the machine.
        file.write_all(text).map_err(|error| self.failed("write state.json", error))?;
        let name = if creating { CREATING } else { STATE };
        renameat(&self.dir, NEW_STATE, &self.dir, name).map_err(|errno| self.failed("replace state.json", errno))?;
        if creating {
            return Ok(());
        }
        self.unlink(CREATING)
    }

    fn unlink(&self, name: &str) -> Result<(), Error> {
        match unlinkat(&self.dir, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(self.failed("remove state.json", errno)),
        }
    }

    /// Forgets the container: removes its files and its directory. Others that wait for the lock will find it gone.
    ///
    /// # Errors
    /// `Entry` if something cannot be removed.
    pub fn remove(self) -> Result<(), Error> {
        self.unlink(STATE)?;
        self.unlink(RUNTIME)?;
        match self.remove_directory() {
            // A container that ended before it was started has its fifo still.
            Err(Errno::ENOTEMPTY) => self.empty()?,
            removed => return removed.map_err(|errno| self.failed("remove its directory", errno)),
        }
        self.remove_directory().map_err(|errno| self.failed("remove its directory", errno))
    }

    fn remove_directory(&self) -> Result<(), Errno> {
        unlinkat(&*self.root, self.id.as_str(), UnlinkatFlags::RemoveDir)
    }

    fn empty(&self) -> Result<(), Error> {
        let broken = |errno: Errno| self.failed("list its directory", errno);
        let mut dir = Dir::openat(&self.dir, ".", super::DIRECTORY, Mode::empty()).map_err(broken)?;
        let mut names = Vec::new();
        for entry in dir.iter() {
            let name = entry.map_err(broken)?.file_name().to_owned();
            if !matches!(name.to_bytes(), b"." | b"..") {
                names.push(name);
            }
        }
        for name in names {
            unlinkat(&self.dir, name.as_c_str(), UnlinkatFlags::NoRemoveDir)
                .map_err(|errno| self.failed("remove a file", errno))?;
        }
        Ok(())
    }
}

/// A container whose lock was given up: its own descriptor tells it from one that is created under its name after it was
/// deleted.
#[derive(Debug)]
pub struct Left {
    entry: Entry,
    root: Arc<OwnedFd>,
    /// Unlocked with the last descriptor, which nobody inherits who is executed.
    runtime: File,
}

impl Left {
    /// Takes the lock again. None if the container has been deleted meanwhile.
    ///
    /// # Errors
    /// `Busy` if another command does not finish.
    pub fn lock(self) -> Result<Option<Locked>, Error> {
        let Left { entry, root, runtime } = self;
        super::lock::exclusive(&entry, super::lock::PATIENCE)?;
        drop(runtime);
        let locked = Locked::new(entry, root);
        Ok(locked.linked()?.then_some(locked))
    }
}

impl Drop for Locked {
    /// Unlocks for all who share the description: init inherits it, and must not keep the container locked until it
    /// closes what it does not need.
    fn drop(&mut self) {
        // There is nothing to be done if it does not succeed, and closing the last descriptor unlocks too.
        let _ = self.entry.dir.unlock();
    }
}
