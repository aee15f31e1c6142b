//! Giving files names: rename and link. Both places are found and named as those of files that are opened; the call is done
//! in the directories that were found, so that nothing that happens to paths in between matters.
//!
//! ```text
//! rename: O_PATH of both directories ──► their names + last components ──► rules ──► renameat2 there
//! link:   O_PATH of the file ──► its name, and that of the new place as above ──► rules ──► linkat of this very file
//! symlink: O_PATH of the directory ──► its name + last component ──► rules, about what may be below too ──► symlinkat there
//! ```

use super::super::wire::Report;
use super::change::Change;
use super::{Call, Found, Opener, create, inside, name};
use crate::decision::{Op, Work};
use crate::handlers::files::THREAD;
use crate::handlers::names::{NEW, OLD};
use crate::policy::files::Ruling;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, RenameFlags, renameat2};
use nix::unistd::{linkat, symlinkat};
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use zviz_sys::fd;
use zviz_sys::path::{self, resolve};

/// What the rules said, about which name.
pub(super) type Judged = Option<(Ruling, Vec<u8>)>;

/// Where a name is, or is to be.
pub(super) struct Place {
    pub(super) directory: OwnedFd,
    /// With a slash behind it where the caller has one, of which the kernel makes what it will.
    pub(super) last: CString,
    /// The whole of it.
    pub(super) name: Vec<u8>,
}

impl Opener<'_> {
    /// Does it. `here` is the caller's working directory, `given` are its descriptors that the work speaks of.
    pub(in super::super) fn give(
        &self,
        work: &Work,
        here: BorrowedFd<'_>,
        given: &[OwnedFd],
        judged: &mut Judged,
        report: &Report<'_>,
    ) -> Result<(), Errno> {
        let thread = i32::try_from(work.numbers[THREAD]).map_err(|_| Errno::ESRCH)?;
        let mut rest = given.iter();
        let mut of = |which: u64| match work.numbers[1] & which {
            0 => Ok(here),
            _ => rest.next().map(AsFd::as_fd).ok_or(Errno::EBADF),
        };
        let (from, to) = (of(OLD)?, of(NEW)?);
        if !matches!(work.op, Op::Rename | Op::Link | Op::Symlink) {
            return self.change(&Change { work, thread, from: to }, judged, report);
        }
        let flags = i32::try_from(work.numbers[0]).map_err(|_| Errno::EINVAL)?;
        let text = |at: usize| work.texts.get(at).and_then(Option::as_deref).ok_or(Errno::EFAULT);
        let (old, new) = (text(0)?, text(1)?);
        if work.op == Op::Link {
            let file = self.existing(thread, from, old, flags)?;
            let stat = fd::stat(file.file.as_fd())?;
            self.consider(&stat, self.name(&file, &stat)?, (true, true), judged, report)?;
            let new = self.place(thread, to, new, Errno::EEXIST)?;
            self.consider(&fd::stat(new.directory.as_fd())?, new.name, (false, true), judged, report)?;
            // By its number: AT_EMPTY_PATH asks for a right that the caller does not need who names it so.
            let number = name::number(file.file.as_fd())?;
            return linkat(&self.own, &*number, &new.directory, &*new.last, AtFlags::AT_SYMLINK_FOLLOW);
        }
        if work.op == Op::Symlink {
            let new = self.place(thread, to, new, Errno::EEXIST)?;
            self.consider(&fd::stat(new.directory.as_fd())?, new.name.clone(), (false, true), judged, report)?;
            // Whatever is below it has this name as well, for whoever follows it outside.
            if !self.rules.alike_anywhere(&new.name) {
                return Err(Errno::EPERM);
            }
            return symlinkat(old, &new.directory, &*new.last);
        }
        let flags = RenameFlags::from_bits_retain(flags.cast_unsigned());
        let swaps = flags.contains(RenameFlags::RENAME_EXCHANGE);
        let old = self.place(thread, from, old, Errno::EBUSY)?;
        let new = self.place(thread, to, new, Errno::EBUSY)?;
        for (place, reads) in [(&old, true), (&new, swaps)] {
            let stat = fd::stat(place.directory.as_fd())?;
            self.consider(&stat, place.name.clone(), (reads, true), judged, report)?;
        }
        // What is in a directory gets other names with it, and nobody puts one there from here on.
        let _turn = self.turns.wait()?;
        let free = || [&old, &new].iter().all(|place| self.rules.leave_all_below(&place.name));
        if (old.is_directory() || swaps && new.is_directory())
            && !free()
            && !self.rules.alike_below(&old.name, &new.name)
        {
            return Err(Errno::EPERM);
        }
        renameat2(&old.directory, &*old.last, &new.directory, &*new.last, flags)
    }

    /// Judges one of two names; what was said of the stricter one is kept.
    pub(super) fn consider(
        &self,
        stat: &libc::stat,
        name: Vec<u8>,
        access: (bool, bool),
        judged: &mut Judged,
        report: &Report<'_>,
    ) -> Result<(), Errno> {
        let mut now = None;
        let result = self.judge_name(stat, name, access, &mut now, report);
        let kept = judged.take().filter(|(before, _)| {
            let now = now.as_ref().map_or(*before, |(now, _): &(Ruling, _)| *now);
            before.stricter(now) != now
        });
        *judged = kept.or(now);
        result
    }

    /// The file that a link is to be of, or that is changed.
    pub(super) fn existing(&self, thread: i32, from: BorrowedFd<'_>, path: &[u8], flags: i32) -> Result<Found, Errno> {
        if path.is_empty() {
            let file = from.try_clone_to_owned().map_err(|_| Errno::EMFILE)?;
            return Ok(Found { file, jumped: true });
        }
        stand(from, path)?;
        let follow = if flags & libc::AT_SYMLINK_FOLLOW == 0 { libc::O_NOFOLLOW } else { 0 };
        self.find(&Call { path, flags: 0, mode: 0, resolve: 0, thread }, path, follow)
    }

    /// The place of a path; `odd` where its last component names nothing in a directory.
    pub(super) fn place(&self, thread: i32, from: BorrowedFd<'_>, path: &[u8], odd: Errno) -> Result<Place, Errno> {
        let end = path.iter().rposition(|byte| *byte != b'/').ok_or(odd)? + 1;
        let (whole, slashes) = path.split_at(end);
        let (directory, last) = create::split(whole);
        if matches!(last, b"." | b"..") {
            return Err(odd);
        }
        stand(from, path)?;
        let found = self.find(&Call { path, flags: 0, mode: 0, resolve: 0, thread }, directory, libc::O_DIRECTORY)?;
        let stat = fd::stat(found.file.as_fd())?;
        let name = name::below(self.name(&found, &stat)?, last);
        let slash: &[u8] = if slashes.is_empty() { b"" } else { b"/" };
        let last = CString::new([last, slash].concat()).map_err(|_| Errno::EINVAL)?;
        Ok(Place { directory: found.file, last, name })
    }
}

impl Place {
    /// Whether a directory has this name. One cannot come to have it later without another call like this one, or one that makes it:
    /// both wait for their turn.
    fn is_directory(&self) -> bool {
        let flags = libc::O_PATH | libc::O_NOFOLLOW;
        path::openat2(self.directory.as_fd(), &self.last, flags, 0, resolve::NO_MAGICLINKS)
            .and_then(|file| fd::stat(file.as_fd()))
            .is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFDIR)
    }
}

/// Goes where a path begins.
fn stand(from: BorrowedFd<'_>, path: &[u8]) -> Result<(), Errno> {
    if path.starts_with(b"/") {
        return Ok(());
    }
    path::enter(from)?;
    inside()
}
