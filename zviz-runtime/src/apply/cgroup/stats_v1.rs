//! What version 1 counts.

use super::stats::{Blkio, BlkioEntry, Hugetlb, MemoryEntry, Stats, huge_page_sizes};
use super::{Error, dir::Dir, oom::value};
use crate::plan::cgroup::Group;

/// Adds what the controllers of one hierarchy count.
pub fn add(group: &Group, stats: &mut Stats) -> Result<(), Error> {
    let dir = Dir::open(&group.dir())?;
    for controller in &group.controllers {
        match controller.as_str() {
            "cpu" => cpu(&dir, stats),
            "cpuacct" => cpuacct(&dir, stats),
            "cpuset" => cpuset(&dir, stats),
            "memory" => memory(&dir, stats),
            "pids" => {
                stats.pids.current = number(&dir, "pids.current").unwrap_or(0);
                stats.pids.limit = number(&dir, "pids.max").unwrap_or(0);
            }
            "blkio" => blkio(&dir, &mut stats.blkio),
            "hugetlb" => hugetlb(&dir, stats),
            _ => {}
        }
    }
    Ok(())
}

/// A file of one number; absent also for `max`, and where this kernel has no such file.
fn number(dir: &Dir, file: &str) -> Option<u64> {
    dir.read(file).ok()?.trim().parse().ok()
}

fn cpu(dir: &Dir, stats: &mut Stats) {
    let text = dir.read("cpu.stat").unwrap_or_default();
    let throttling = &mut stats.cpu.throttling;
    throttling.periods = value(&text, "nr_periods").unwrap_or(0);
    throttling.throttled_periods = value(&text, "nr_throttled").unwrap_or(0);
    throttling.throttled_time = value(&text, "throttled_time").unwrap_or(0);
}

fn cpuacct(dir: &Dir, stats: &mut Stats) {
    let usage = &mut stats.cpu.usage;
    usage.total = number(dir, "cpuacct.usage").unwrap_or(0);
    // In ticks, of which the kernel shows a hundred in a second on every architecture of ours (USER_HZ).
    const TICK: u64 = 10_000_000;
    let text = dir.read("cpuacct.stat").unwrap_or_default();
    usage.user = value(&text, "user").unwrap_or(0).saturating_mul(TICK);
    usage.kernel = value(&text, "system").unwrap_or(0).saturating_mul(TICK);
    let numbers = |text: &str| text.split_ascii_whitespace().map_while(|n| n.parse().ok()).collect();
    usage.percpu = numbers(&dir.read("cpuacct.usage_percpu").unwrap_or_default());
    // `cpu user system`, then a line for each.
    let all = dir.read("cpuacct.usage_all").unwrap_or_default();
    for line in all.lines().skip(1) {
        let row: Vec<u64> = numbers(line);
        if let [_, user, system, ..] = row[..] {
            usage.percpu_user.push(user);
            usage.percpu_kernel.push(system);
        }
    }
}

fn cpuset(dir: &Dir, stats: &mut Stats) {
    let get = |name: &str| number(dir, &format!("cpuset.{name}")).unwrap_or(0);
    let list = |name: &str| expand(dir.read(&format!("cpuset.{name}")).unwrap_or_default().trim());
    let set = &mut stats.cpuset;
    set.cpus = list("cpus");
    set.mems = list("mems");
    set.cpu_exclusive = get("cpu_exclusive");
    set.mem_hardwall = get("mem_hardwall");
    set.mem_exclusive = get("mem_exclusive");
    set.memory_migrate = get("memory_migrate");
    set.memory_spread_page = get("memory_spread_page");
    set.memory_spread_slab = get("memory_spread_slab");
    set.memory_pressure = get("memory_pressure");
    set.sched_load_balance = get("sched_load_balance");
    let level = dir.read("cpuset.sched_relax_domain_level").ok().and_then(|text| text.trim().parse().ok());
    set.sched_relax_domain_level = level.unwrap_or(0);
}

/// `0-2,7` as each number.
fn expand(list: &str) -> Vec<u16> {
    list.split(',')
        .filter_map(|item| {
            let (first, last) = item.split_once('-').unwrap_or((item, item));
            Some(first.parse::<u16>().ok()?..=last.parse::<u16>().ok()?)
        })
        .flatten()
        .collect()
}

fn memory(dir: &Dir, stats: &mut Stats) {
    let memory = &mut stats.memory;
    for line in dir.read("memory.stat").unwrap_or_default().lines() {
        if let Some((key, value)) = line.split_once(' ').and_then(|(k, v)| Some((k, v.parse().ok()?))) {
            memory.raw.insert(key.to_owned(), value);
        }
    }
    memory.cache = memory.raw.get("cache").copied().unwrap_or(0);
    let entry = |name: &str| MemoryEntry {
        usage: number(dir, &format!("{name}.usage_in_bytes")).unwrap_or(0),
        max: number(dir, &format!("{name}.max_usage_in_bytes")).unwrap_or(0),
        failcnt: number(dir, &format!("{name}.failcnt")).unwrap_or(0),
        limit: number(dir, &format!("{name}.limit_in_bytes")).unwrap_or(0),
    };
    memory.usage = entry("memory");
    memory.swap = entry("memory.memsw");
    memory.kernel = entry("memory.kmem");
    memory.kernel_tcp = entry("memory.kmem.tcp");
}

type Field = fn(&mut Blkio) -> &mut Vec<BlkioEntry>;
type File = (&'static str, Field);

/// The names that one thing has had, the richest first: BFQ with its debugging counters, BFQ, CFQ (until Linux 5.0), and
/// the throttle, which counts without any scheduler.
const BLKIO: [&[File]; 4] = [
    &[
        ("bfq.sectors_recursive", |b| &mut b.sectors_recursive),
        ("bfq.io_service_time_recursive", |b| &mut b.io_service_time_recursive),
        ("bfq.io_wait_time_recursive", |b| &mut b.io_wait_time_recursive),
        ("bfq.io_merged_recursive", |b| &mut b.io_merged_recursive),
        ("bfq.io_queued_recursive", |b| &mut b.io_queue_recursive),
        ("bfq.time_recursive", |b| &mut b.io_time_recursive),
        ("bfq.io_serviced_recursive", |b| &mut b.io_serviced_recursive),
        ("bfq.io_service_bytes_recursive", |b| &mut b.io_service_bytes_recursive),
    ],
    &[
        ("bfq.io_serviced_recursive", |b| &mut b.io_serviced_recursive),
        ("bfq.io_service_bytes_recursive", |b| &mut b.io_service_bytes_recursive),
    ],
    &[
        ("throttle.io_serviced_recursive", |b| &mut b.io_serviced_recursive),
        ("throttle.io_service_bytes_recursive", |b| &mut b.io_service_bytes_recursive),
    ],
    &[
        ("throttle.io_serviced", |b| &mut b.io_serviced_recursive),
        ("throttle.io_service_bytes", |b| &mut b.io_service_bytes_recursive),
    ],
];

fn blkio(dir: &Dir, blkio: &mut Blkio) {
    for files in BLKIO {
        for (i, (file, field)) in files.iter().enumerate() {
            let entries = entries(&dir.read(&format!("blkio.{file}")).unwrap_or_default());
            if i == 0 && entries.is_empty() {
                break;
            }
            *field(blkio) = entries;
            if i + 1 == files.len() {
                return;
            }
        }
    }
}

/// `8:0 Read 4096`; the sum over all devices has no number and is left out.
fn entries(text: &str) -> Vec<BlkioEntry> {
    let entry = |line: &str| {
        let (device, rest) = line.split_once(' ')?;
        let (major, minor) = device.split_once(':')?;
        let (op, value) = rest.split_once(' ').unwrap_or(("", rest));
        let (major, minor) = (major.parse().ok()?, minor.parse().ok()?);
        Some(BlkioEntry { major, minor, op: op.to_owned(), value: value.trim().parse().ok()? })
    };
    text.lines().filter_map(entry).collect()
}

fn hugetlb(dir: &Dir, stats: &mut Stats) {
    for size in huge_page_sizes() {
        let reserved = format!("hugetlb.{size}.rsvd");
        let name = if number(dir, &format!("{reserved}.usage_in_bytes")).is_some() {
            reserved
        } else {
            format!("hugetlb.{size}")
        };
        let get = |what: &str| number(dir, &format!("{name}.{what}")).unwrap_or(0);
        let entry = Hugetlb { usage: get("usage_in_bytes"), max: get("max_usage_in_bytes"), failcnt: get("failcnt") };
        stats.hugetlb.insert(size, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_entries() {
        assert_eq!(expand("0-2,7"), [0, 1, 2, 7]);
        assert_eq!(expand(""), [] as [u16; 0]);
        let entries = entries("8:0 Read 4096\n8:0 Total 4096\n8:16 77\nTotal 4096\n");
        assert_eq!(entries.len(), 3);
        assert_eq!((entries[2].minor, entries[2].op.as_str(), entries[2].value), (16, "", 77));
    }
}
