//! Paths that were opened before, and what need not be asked again about them: programs open the same libraries, headers and
//! modules over and over.
//!
//! What the rules say to a path is the same each time. And where a path has led to a file or a directory on a mount that is
//! read-only, nobody in the container puts a FIFO or a device in its place, which to open would do something. Whether it may be
//! opened, and what it is once it is open, is asked of the kernel each time.

use crate::policy::files::Ruling;
use nix::errno::Errno;
use nix::sys::statvfs::{FsFlags, fstatvfs};
use std::cell::RefCell;
use std::os::fd::OwnedFd;

/// How many.
const PLACES: usize = 256;
/// The longest path: all together take 64 KiB.
const LONGEST: usize = 256;

/// What is known of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// What the rules say to reading it.
    pub ruling: Ruling,
    /// Whether it has led to a file or a directory that stays what it is: seen when it was opened for the second time, since most
    /// paths are opened once.
    pub keeps: Option<bool>,
}

/// Each path has one place, which it shares with others: the latest has it.
pub(super) struct Paths(RefCell<Vec<Option<Place>>>);

#[derive(Clone)]
struct Place {
    path: Box<[u8]>,
    known: Known,
}

impl Default for Paths {
    fn default() -> Self {
        Paths(RefCell::new(vec![None; PLACES]))
    }
}

impl Paths {
    pub(super) fn find(&self, path: &[u8]) -> Option<Known> {
        let places = self.0.borrow();
        let place = places.get(place(path))?.as_ref()?;
        (*place.path == *path).then_some(place.known)
    }

    /// It was opened, and was a file or a directory.
    ///
    /// # Errors
    /// Those of fstatvfs(3).
    pub(super) fn opened(
        &self,
        path: &[u8],
        before: Option<Known>,
        ruling: Ruling,
        file: &OwnedFd,
    ) -> Result<(), Errno> {
        let keeps = match before {
            Some(Known { keeps: Some(_), .. }) => return Ok(()),
            Some(_) => Some(fstatvfs(file)?.flags().contains(FsFlags::ST_RDONLY)),
            None => None,
        };
        if path.len() <= LONGEST
            && let Some(place) = self.0.borrow_mut().get_mut(place(path))
        {
            *place = Some(Place { path: path.into(), known: Known { ruling, keeps } });
        }
        Ok(())
    }

    /// It is not what it was.
    pub(super) fn forget(&self, path: &[u8]) {
        if let Some(place) = self.0.borrow_mut().get_mut(place(path)) {
            *place = None;
        }
    }
}

/// FNV-1a. Who has paths share a place on purpose has them asked about again.
fn place(path: &[u8]) -> usize {
    let hash = path
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    (hash ^ hash >> 32) as usize % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::files::Verdict;
    use std::fs::File;

    const RULING: Ruling = Ruling { verdict: Verdict::Audit, rule: Some(7) };

    #[test]
    fn a_path_is_known_once_opened_and_whether_it_stays_once_opened_again() {
        let (paths, file) = (Paths::default(), OwnedFd::from(File::open("/dev/null").unwrap()));
        assert_eq!(paths.find(b"/a"), None);
        paths.opened(b"/a", None, RULING, &file).unwrap();
        let once = paths.find(b"/a");
        assert_eq!(once, Some(Known { ruling: RULING, keeps: None }));
        paths.opened(b"/a", once, RULING, &file).unwrap();
        assert!(paths.find(b"/a").is_some_and(|known| known.keeps.is_some()));
        paths.forget(b"/a");
        assert_eq!(paths.find(b"/a"), None);
    }

    #[test]
    fn no_path_is_taken_for_another_and_few_are_kept() {
        let (paths, file) = (Paths::default(), OwnedFd::from(File::open("/dev/null").unwrap()));
        let of = |number: usize| Ruling { verdict: Verdict::Allow, rule: u16::try_from(number).ok() };
        let name = |number: usize| format!("/usr/include/{number}.h").into_bytes();
        for number in 0..10_000 {
            paths.opened(&name(number), None, of(number), &file).unwrap();
        }
        let known: Vec<usize> = (0..10_000).filter(|number| paths.find(&name(*number)).is_some()).collect();
        assert!(!known.is_empty() && known.len() <= PLACES);
        assert!(known.iter().all(|number| paths.find(&name(*number)).is_some_and(|known| known.ruling == of(*number))));
        let long = [b'/'; LONGEST + 1];
        paths.opened(&long, None, RULING, &file).unwrap();
        assert_eq!(paths.find(&long), None);
    }
}
