//! What the container may know of the machine: its own limits.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};
use zviz_sys::Errno;
use zviz_sys::machine;

/// Where the numbers come from. Files are opened before the eyes lose the right to.
#[derive(Debug, Default)]
pub struct Facts {
    /// Bytes; none where memory is not limited.
    pub memory: Option<u64>,
    /// Bytes of swap beside it; none where swap is not limited.
    pub swap: Option<u64>,
    /// A file with the bytes in use.
    pub usage: Option<File>,
    /// A file with the number of tasks.
    pub tasks: Option<File>,
}

/// `struct sysinfo`.
pub(super) type Sysinfo = [u8; size_of::<libc::sysinfo>()];

/// How old an answer may be: it counts seconds, and pages that change all the time.
const FRESH: Duration = Duration::from_millis(10);

/// The last answer.
#[derive(Default)]
pub(super) struct Told(Option<(Instant, Sysinfo)>);

impl Told {
    /// The answer to sysinfo(2) at a time.
    pub(super) fn sysinfo(&mut self, facts: &Facts, started: Instant, now: Instant) -> Result<Sysinfo, Errno> {
        if let Some((at, told)) = &self.0
            && now.duration_since(*at) < FRESH
        {
            return Ok(*told);
        }
        let told = sysinfo(facts, started)?;
        self.0 = Some((now, told));
        Ok(told)
    }
}

/// With its numbers in bytes.
fn sysinfo(facts: &Facts, started: Instant) -> Result<Sysinfo, Errno> {
    let mut machine = machine::sysinfo()?;
    let unit = u64::from(machine.mem_unit.max(1));
    #[allow(clippy::useless_conversion)] // narrower on some architectures
    let bytes = |amount: libc::c_ulong| u64::from(amount).saturating_mul(unit);
    let total = facts.memory.map_or(bytes(machine.totalram), |limit| limit.min(bytes(machine.totalram)));
    let free = match facts.usage.as_ref().and_then(number) {
        Some(used) => total.saturating_sub(used),
        None => bytes(machine.freeram).min(total),
    };
    let swap = facts.swap.map_or(bytes(machine.totalswap), |limit| limit.min(bytes(machine.totalswap)));
    machine.freeswap = bytes(machine.freeswap).min(swap) as libc::c_ulong;
    (machine.totalram, machine.freeram, machine.totalswap) =
        (total as libc::c_ulong, free as libc::c_ulong, swap as libc::c_ulong);
    (machine.sharedram, machine.bufferram, machine.totalhigh, machine.freehigh, machine.mem_unit) = (0, 0, 0, 0, 1);
    // How busy the host is, and since when it runs, is not the container's business.
    machine.loads = [0; 3];
    machine.uptime = libc::c_long::try_from(started.elapsed().as_secs()).unwrap_or(libc::c_long::MAX);
    machine.procs = facts.tasks.as_ref().and_then(number).map_or(1, |tasks| u16::try_from(tasks).unwrap_or(u16::MAX));
    Ok(machine::sysinfo_bytes(&machine))
}

/// The number in a file of the cgroup.
fn number(file: &File) -> Option<u64> {
    let mut text = [0u8; 32];
    let length = file.read_at(&mut text, 0).ok()?;
    std::str::from_utf8(text.get(..length)?).ok()?.trim().parse().ok()
}
