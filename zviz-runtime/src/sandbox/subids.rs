//! Ids for a sandbox of root: a range that no user, no service and no other sandbox has.
//!
//! systemd's table of ids (docs/UIDS-GIDS.md there) leaves 1879048192 to 2147352575 to nobody: 4,094 ranges of 65,536.
//! A range is taken by a lock on a file named after it; the kernel drops the lock whatever becomes of the holder.

use super::ids::RANGE;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, fstat};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The first id of the first range.
pub const FIRST: u32 = 0x7000_0000;
/// How many ranges there are.
pub const SLOTS: u32 = 4094;
/// What is read of subuid(5), in bytes.
const SUBID_MAX: u64 = 1 << 20;

/// A range of ids, ours until it is dropped.
#[derive(Debug)]
pub struct Range {
    base: u32,
    path: PathBuf,
    /// Locked. Not nix's `Flock`, which panics where a lock cannot be given back; the kernel does that at the close.
    _lock: File,
}

impl Range {
    /// The first of its 65,536 ids.
    pub fn base(&self) -> u32 {
        self.base
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        // Under the lock, so that who waits for it sees a file without a name and looks again. What cannot be removed
        // costs an empty file, which the next holder uses.
        let _ = fs::remove_file(&self.path);
    }
}

/// Takes a free range. `folder` holds the locks; it is made where absent, for us alone.
///
/// # Errors
/// If the folder cannot be used, or all ranges are taken.
pub fn take(folder: &Path) -> io::Result<Range> {
    match DirBuilder::new().recursive(true).mode(0o700).create(folder) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    let granted = granted();
    // Each process begins elsewhere: a hundred that start at once do not meet at the same file.
    let start = std::process::id() % SLOTS;
    for slot in (start..SLOTS).chain(0..start) {
        let base = FIRST + slot * RANGE;
        if granted.iter().any(|(first, count)| overlap(*first, *count, base)) {
            continue;
        }
        if let Some(range) = try_take(folder, slot, base)? {
            return Ok(range);
        }
    }
    Err(io::Error::new(io::ErrorKind::QuotaExceeded, "all ranges of user ids for sandboxes are taken"))
}

fn try_take(folder: &Path, slot: u32, base: u32) -> io::Result<Option<Range>> {
    let path = folder.join(slot.to_string());
    // A name may vanish between open and lock, by its last holder; then it is made again.
    for _ in 0..8 {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(Mode::S_IRUSR.bits() | Mode::S_IWUSR.bits())
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(TryLockError::Error(error)) => return Err(error),
        }
        if fstat(&file)?.st_nlink > 0 {
            return Ok(Some(Range { base, path, _lock: file }));
        }
    }
    Ok(None)
}

/// What an administrator has given away by hand.
fn granted() -> Vec<(u64, u64)> {
    let mut ranges = Vec::new();
    for file in ["/etc/subuid", "/etc/subgid"] {
        let mut text = String::new();
        if let Ok(file) = File::open(file)
            && file.take(SUBID_MAX).read_to_string(&mut text).is_ok()
        {
            ranges.extend(parse(&text));
        }
    }
    ranges
}

/// The lines of subuid(5): `user:first:count`.
fn parse(text: &str) -> impl Iterator<Item = (u64, u64)> {
    text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':').skip(1);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}

fn overlap(first: u64, count: u64, base: u32) -> bool {
    let base = u64::from(base);
    first < base + u64::from(RANGE) && base < first.saturating_add(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_apart_and_come_back() {
        let folder = std::env::temp_dir().join(format!("zviz-subids-{}", std::process::id()));
        let first = take(&folder).unwrap();
        let second = take(&folder).unwrap();
        assert_ne!(first.base(), second.base());
        assert_eq!(first.base() % RANGE, 0);
        let base = first.base();
        drop(first);
        assert_eq!(take(&folder).unwrap().base(), base);
        drop(second);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "locks leave no file behind");
        fs::remove_dir(&folder).unwrap();
    }

    #[test]
    fn the_last_range_ends_below_the_foreign_ids() {
        assert_eq!(u64::from(FIRST) + u64::from(SLOTS) * u64::from(RANGE), 2_147_352_576);
    }

    #[test]
    fn granted_ranges_are_left_alone() {
        let ranges: Vec<_> = parse("bob:1879048200:10\nbroken\n\nx:1:y\n").collect();
        assert_eq!(ranges, [(1_879_048_200, 10)]);
        assert!(overlap(1_879_048_200, 10, FIRST));
        assert!(!overlap(100_000, 65_536, FIRST));
        assert!(overlap(0, u64::MAX, FIRST));
    }
}
