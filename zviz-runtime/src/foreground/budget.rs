//! A limit of the processor time of a whole container: its cgroup counts, and is looked at when so much could have been used.

use crate::apply::cgroup::{self, Error};
use crate::plan::cgroup::Cgroup;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// Between two looks at least.
const SHORTEST: Duration = Duration::from_millis(10);

/// Processor time that may be used.
#[derive(Debug)]
pub struct Budget {
    file: File,
    unified: bool,
    limit: Duration,
    /// How much can be used in a second, in seconds.
    processors: u32,
    next: Instant,
}

impl Budget {
    /// Of the processes of a cgroup.
    ///
    /// # Errors
    /// There is nobody who counts.
    pub fn open(cgroup: &Cgroup, limit: Duration) -> Result<Budget, Error> {
        let (file, unified) = cgroup::time_file(cgroup)?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let processors = u32::try_from(processors).unwrap_or(u32::MAX);
        Ok(Budget { file, unified, limit, processors, next: Instant::now() })
    }

    /// The file that is read, for who closes all others.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// When to look again.
    #[must_use]
    pub fn next(&self) -> Instant {
        self.next
    }

    /// Whether it is used up. Looks, if it is time to.
    pub fn is_spent(&mut self, now: Instant) -> bool {
        if now < self.next {
            return false;
        }
        // Once it is gone, nobody uses any more.
        let used = self.used().unwrap_or_default();
        let left = self.limit.saturating_sub(used);
        self.next = now + (left / self.processors).max(SHORTEST);
        left.is_zero()
    }

    fn used(&self) -> Option<Duration> {
        let mut text = [0; 512];
        let count = self.file.read_at(&mut text, 0).ok()?;
        let text = std::str::from_utf8(text.get(..count)?).ok()?;
        match self.unified {
            true => cgroup::value(text, "usage_usec").map(Duration::from_micros),
            false => text.trim().parse().ok().map(Duration::from_nanos),
        }
    }
}
