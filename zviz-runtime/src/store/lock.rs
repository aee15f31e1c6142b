//! Waiting for a container's lock.

use super::{Entry, Error};
use std::fs::TryLockError;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

/// How long a command waits for another one on the same container: longer than `delete --force` waits for the end of
/// a payload, or `create` for usual hooks.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Takes the lock of whoever opened the directory. flock(2) has no deadline, so it is asked for again and again; the
/// first attempt nearly always succeeds.
pub fn exclusive(entry: &Entry, patience: Duration) -> Result<(), Error> {
    let start = Instant::now();
    let mut pause = Duration::from_micros(200);
    loop {
        match entry.dir().try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if start.elapsed() < patience => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Busy { id: entry.id().clone(), seconds: patience.as_secs() });
            }
            Err(TryLockError::Error(source)) if source.kind() == ErrorKind::Interrupted => continue,
            Err(TryLockError::Error(source)) => {
                return Err(Error::Entry { id: entry.id().clone(), what: "lock its directory", source });
            }
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}
