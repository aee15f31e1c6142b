//! Clocks.

use crate::{Result, ret};

/// The time as file systems write it into files, in seconds and nanoseconds: it moves on with the kernel's ticks.
/// clock_gettime(2), CLOCK_REALTIME_COARSE.
pub fn of_files() -> Result<(i64, i64)> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a structure of ours that lives through the call.
    ret(unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &mut time) }.into())?;
    Ok((time.tv_sec, time.tv_nsec))
}
