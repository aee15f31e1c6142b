//! What version 2 counts, under the names of version 1.

use super::stats::{BlkioEntry, Hugetlb, MemoryEntry, Pressure, Psi, Stats, huge_page_sizes};
use super::{Error, dir::Dir, oom::value};
use crate::plan::cgroup::{Cgroup, Group};

/// Adds what this hierarchy counts and none of version 1 does.
pub fn add(group: &Group, cgroup: &Cgroup, stats: &mut Stats) -> Result<(), Error> {
    let dir = match Dir::open(&group.dir()) {
        // Beside version 1 it need not have been made.
        Err(_) if !cgroup.is_unified() => return Ok(()),
        other => other?,
    };
    if cgroup.v1("pids").is_none() {
        let payload = match &cgroup.payload().v2 {
            Some(group) if cgroup.parted => Dir::open(&group.dir()).ok(),
            _ => None,
        };
        pids(payload.as_ref().unwrap_or(&dir), stats);
    }
    if cgroup.v1("memory").is_none() {
        memory(&dir, stats);
    }
    if cgroup.v1("blkio").is_none() {
        io(&dir, stats);
    }
    if cgroup.v1("cpuacct").is_none() && cgroup.v1("cpu").is_none() {
        cpu(&dir, stats);
    }
    if cgroup.v1("hugetlb").is_none() {
        hugetlb(&dir, stats);
    }
    Ok(())
}

/// A file of one number; `max` is the greatest. Absent: no such file, so no such controller.
fn number(dir: &Dir, file: &str) -> Option<u64> {
    let text = dir.read(file).ok()?;
    if text.trim() == "max" { Some(u64::MAX) } else { text.trim().parse().ok() }
}

fn pids(dir: &Dir, stats: &mut Stats) {
    match number(dir, "pids.current") {
        Some(current) => {
            stats.pids.current = current;
            stats.pids.limit = number(dir, "pids.max").filter(|&n| n != u64::MAX).unwrap_or(0);
        }
        None => {
            let text = dir.read("cgroup.procs").or_else(|_| dir.read("cgroup.threads")).unwrap_or_default();
            stats.pids.current = text.lines().count() as u64;
        }
    }
}

fn memory(dir: &Dir, stats: &mut Stats) {
    let memory = &mut stats.memory;
    let text = dir.read("memory.stat").unwrap_or_default();
    for line in text.lines() {
        if let Some((key, value)) = line.split_once(' ').and_then(|(k, v)| Some((k, v.parse().ok()?))) {
            memory.raw.insert(key.to_owned(), value);
        }
    }
    memory.cache = memory.raw.get("file").copied().unwrap_or(0);
    let entry = |name: &str| {
        number(dir, &format!("{name}.current")).map(|usage| MemoryEntry {
            usage,
            limit: number(dir, &format!("{name}.max")).unwrap_or(0),
            max: number(dir, &format!("{name}.peak")).unwrap_or(0),
            failcnt: 0,
        })
    };
    memory.usage = entry("memory").unwrap_or_default();
    // Version 1 counts memory and swap together. Their peaks do not add up.
    memory.swap = entry("memory.swap").unwrap_or_default();
    memory.swap.usage = memory.swap.usage.saturating_add(memory.usage.usage);
    memory.swap.limit = memory.swap.limit.saturating_add(memory.usage.limit);
    memory.swap.max = 0;
    memory.psi = psi(dir, "memory.pressure");
}

fn io(dir: &Dir, stats: &mut Stats) {
    let text = dir.read("io.stat").unwrap_or_default();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let device = words.next().and_then(|d| d.split_once(':'));
        let Some((Ok(major), Ok(minor))) = device.map(|(a, b)| (a.parse(), b.parse())) else { continue };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let (list, op) = match key {
                "rbytes" => (&mut stats.blkio.io_service_bytes_recursive, "Read"),
                "wbytes" => (&mut stats.blkio.io_service_bytes_recursive, "Write"),
                "rios" => (&mut stats.blkio.io_serviced_recursive, "Read"),
                "wios" => (&mut stats.blkio.io_serviced_recursive, "Write"),
                _ => continue,
            };
            list.push(BlkioEntry { major, minor, op: op.to_owned(), value: value.parse().unwrap_or(0) });
        }
    }
    stats.blkio.psi = psi(dir, "io.pressure");
}

fn cpu(dir: &Dir, stats: &mut Stats) {
    let text = dir.read("cpu.stat").unwrap_or_default();
    let nanoseconds = |key| value(&text, key).unwrap_or(0).saturating_mul(1000);
    let cpu = &mut stats.cpu;
    cpu.usage.total = nanoseconds("usage_usec");
    cpu.usage.user = nanoseconds("user_usec");
    cpu.usage.kernel = nanoseconds("system_usec");
    cpu.throttling.periods = value(&text, "nr_periods").unwrap_or(0);
    cpu.throttling.throttled_periods = value(&text, "nr_throttled").unwrap_or(0);
    cpu.throttling.throttled_time = nanoseconds("throttled_usec");
    cpu.psi = psi(dir, "cpu.pressure");
}

fn hugetlb(dir: &Dir, stats: &mut Stats) {
    for size in huge_page_sizes() {
        // What is reserved counts, where the kernel counts that (5.7).
        let reserved = number(dir, &format!("hugetlb.{size}.rsvd.current"));
        let Some(usage) = reserved.or_else(|| number(dir, &format!("hugetlb.{size}.current"))) else { continue };
        let events = dir.read(&format!("hugetlb.{size}.events")).unwrap_or_default();
        stats.hugetlb.insert(size, Hugetlb { usage, max: 0, failcnt: value(&events, "max").unwrap_or(0) });
    }
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, and the same for `full`. Absent where it is switched off.
fn psi(dir: &Dir, file: &str) -> Option<Psi> {
    parse_psi(&dir.read(file).ok()?)
}

fn parse_psi(text: &str) -> Option<Psi> {
    let pressure = |name: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(name))?;
        let mut out = Pressure::default();
        for (key, value) in line.split_ascii_whitespace().filter_map(|word| word.split_once('=')) {
            match key {
                "avg10" => out.avg10 = value.parse().ok()?,
                "avg60" => out.avg60 = value.parse().ok()?,
                "avg300" => out.avg300 = value.parse().ok()?,
                "total" => out.total = value.parse().ok()?,
                _ => {}
            }
        }
        Some(out)
    };
    Some(Psi { some: pressure("some ")?, full: pressure("full ").unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure() {
        let psi =
            parse_psi("some avg10=1.50 avg60=0.25 avg300=0.00 total=4321\nfull avg10=0 avg60=0 avg300=0 total=7\n");
        let psi = psi.unwrap();
        assert_eq!((psi.some.avg10, psi.some.total, psi.full.total), (1.5, 4321, 7));
        assert_eq!(parse_psi(""), None);
    }
}
