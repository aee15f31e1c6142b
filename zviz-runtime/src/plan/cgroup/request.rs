//! From `linux.resources` of a config.json to [`Resources`]: every value is looked at once, here.

use super::resources::{BlockDevice, BlockIo, Cpu, Memory, Rate, Resources, Throttle, WeightDevice};
use crate::plan::{Note, Problems};
use oci_spec::runtime as oci;
use std::collections::{BTreeMap, HashMap};

const PLACE: &str = "linux.resources";

/// Reads and checks what does not depend on the host.
pub fn read(asked: &oci::LinuxResources, problems: &mut Problems, notes: &mut Vec<Note>) -> Resources {
    let mut p = At { problems };
    let mut resources = Resources {
        memory: asked.memory().as_ref().map_or_else(Memory::default, |m| memory(m, &mut p, notes)),
        cpu: asked.cpu().as_ref().map_or_else(Cpu::default, |c| cpu(c, &mut p)),
        // 0 would let nothing run; systemd takes 1 as the least, and runc follows it.
        pids: asked.pids().as_ref().map(|pids| p.limit("pids.limit", Some(pids.limit())).unwrap_or(1)),
        block_io: asked.block_io().as_ref().map_or_else(BlockIo::default, |b| block_io(b, &mut p)),
        ..Resources::default()
    };
    for (i, limit) in asked.hugepage_limits().iter().flatten().enumerate() {
        let place = format!("hugepageLimits[{i}]");
        if !is_page_size(limit.page_size()) {
            p.add(&place, format!("{:?} is not a page size such as \"2MB\"", limit.page_size()));
        }
        match u64::try_from(limit.limit()) {
            Ok(bytes) => drop(resources.hugepages.insert(limit.page_size().clone(), bytes)),
            Err(_) => p.add(&place, format!("a limit of {} is negative", limit.limit())),
        }
    }
    for (device, limits) in in_order(asked.rdma()) {
        p.word(&format!("rdma[{device:?}]"), device);
        resources.rdma.insert(device.clone(), (limits.hca_handles(), limits.hca_objects()));
    }
    if let Some(network) = asked.network() {
        resources.class_id = network.class_id().filter(|&id| id != 0);
        for (i, priority) in network.priorities().iter().flatten().enumerate() {
            p.word(&format!("network.priorities[{i}].name"), priority.name());
            resources.priorities.insert(priority.name().clone(), priority.priority());
        }
    }
    for (file, value) in in_order(asked.unified()) {
        unified(file, value, &mut p);
        resources.unified.insert(file.clone(), value.clone());
    }
    resources
}

/// A hash map has another order each time; what is said of its faults is to have one.
fn in_order<T>(map: &Option<HashMap<String, T>>) -> BTreeMap<&String, &T> {
    map.iter().flatten().collect()
}

fn memory(m: &oci::LinuxMemory, p: &mut At<'_>, notes: &mut Vec<Note>) -> Memory {
    if m.kernel().is_some() || m.kernel_tcp().is_some() {
        let text = "linux.resources.memory.kernel, kernelTCP: ignored, as kernels since 5.16 have no such limits";
        notes.push(Note(text.to_owned()));
    }
    let swappiness = m.swappiness().filter(|&s| s != u64::MAX);
    if swappiness.is_some_and(|s| s > 100) {
        p.add("memory.swappiness", "must be between 0 and 100".to_owned());
    }
    Memory {
        limit: p.limit("memory.limit", m.limit()),
        reservation: p.limit("memory.reservation", m.reservation()),
        swap: p.limit("memory.swap", m.swap()),
        swappiness,
        disable_oom_killer: m.disable_oom_killer().unwrap_or(false),
        check_before_update: m.check_before_update().unwrap_or(false),
    }
}

fn cpu(c: &oci::LinuxCpu, p: &mut At<'_>) -> Cpu {
    let period = c.period().filter(|&n| n != 0);
    if period.is_some_and(|n| !(1_000..=1_000_000).contains(&n)) {
        p.add("cpu.period", "must be between 1000 and 1000000 microseconds".to_owned());
    }
    // The kernel takes any negative quota for none (cpu.cfs_quota_us), and so does every runtime.
    let quota = p.limit("cpu.quota", c.quota().map(|quota| quota.max(-1)));
    if quota.is_some_and(|q| (1..1_000).contains(&q)) {
        p.add("cpu.quota", "must be at least 1000 microseconds".to_owned());
    }
    if c.idle().is_some_and(|idle| idle != 0 && idle != 1) {
        p.add("cpu.idle", "must be 0 or 1".to_owned());
    }
    Cpu {
        shares: c.shares().filter(|&n| n != 0),
        quota,
        period,
        burst: c.burst(),
        realtime_runtime: p.limit("cpu.realtimeRuntime", c.realtime_runtime()),
        realtime_period: c.realtime_period().filter(|&n| n != 0),
        idle: c.idle(),
        cpus: p.list("cpu.cpus", c.cpus().as_deref()),
        mems: p.list("cpu.mems", c.mems().as_deref()),
    }
}

fn block_io(b: &oci::LinuxBlockIo, p: &mut At<'_>) -> BlockIo {
    let mut out = BlockIo {
        weight: p.weight("blockIO.weight", b.weight()),
        leaf_weight: p.weight("blockIO.leafWeight", b.leaf_weight()),
        ..BlockIo::default()
    };
    for (i, w) in b.weight_device().iter().flatten().enumerate() {
        let place = format!("blockIO.weightDevice[{i}]");
        let weight = p.weight(&place, w.weight());
        let leaf_weight = p.weight(&place, w.leaf_weight());
        if let Some(device) = p.device(&place, w.major(), w.minor()) {
            out.weight_device.push(WeightDevice { device, weight, leaf_weight });
        }
    }
    let lists = [
        (Rate::ReadBps, "throttleReadBpsDevice", b.throttle_read_bps_device()),
        (Rate::WriteBps, "throttleWriteBpsDevice", b.throttle_write_bps_device()),
        (Rate::ReadIops, "throttleReadIOPSDevice", b.throttle_read_iops_device()),
        (Rate::WriteIops, "throttleWriteIOPSDevice", b.throttle_write_iops_device()),
    ];
    for (of, name, list) in lists {
        for (i, t) in list.iter().flatten().enumerate() {
            if let Some(device) = p.device(&format!("blockIO.{name}[{i}]"), t.major(), t.minor()) {
                out.throttle.push(Throttle { of, device, rate: t.rate() });
            }
        }
    }
    out
}

fn unified(file: &str, value: &str, p: &mut At<'_>) {
    // These change who is in the cgroup or what it is, which is not a limit and not the container's to ask for.
    const NOT_LIMITS: [&str; 5] =
        ["cgroup.procs", "cgroup.threads", "cgroup.kill", "cgroup.type", "cgroup.subtree_control"];
    let place = format!("unified[{file:?}]");
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.' || c == '-';
    let parts = file.split_once('.').filter(|(controller, parameter)| !controller.is_empty() && !parameter.is_empty());
    if parts.is_none() || !file.chars().all(word) || file.contains("..") {
        p.add(&place, "is not the name of a cgroup file such as \"memory.high\"".to_owned());
    } else if NOT_LIMITS.contains(&file) {
        p.add(&place, "is not a limit".to_owned());
    }
    if value.contains('\0') {
        p.add(&place, "holds a zero byte".to_owned());
    }
}

/// `[1-9][0-9]*[KMG]B`, as the specification wants it.
fn is_page_size(size: &str) -> bool {
    let number = size.strip_suffix('B').and_then(|s| s.strip_suffix(['K', 'M', 'G'])).unwrap_or_default();
    !number.is_empty() && !number.starts_with('0') && number.bytes().all(|b| b.is_ascii_digit())
}

/// Problems, all below `linux.resources`.
struct At<'a> {
    problems: &'a mut Problems,
}

impl At<'_> {
    fn add(&mut self, place: &str, what: String) {
        self.problems.add(format!("{PLACE}.{place}"), what);
    }

    /// A limit: 0 is none given, -1 none wanted.
    fn limit(&mut self, place: &str, value: Option<i64>) -> Option<i64> {
        let value = value.filter(|&v| v != 0)?;
        if value < -1 {
            self.add(place, format!("{value} is negative; no limit is -1"));
        }
        Some(value)
    }

    fn weight(&mut self, place: &str, value: Option<u16>) -> Option<u16> {
        let value = value.filter(|&v| v != 0)?;
        if !(10..=1000).contains(&value) {
            self.add(place, format!("a weight of {value} is not between 10 and 1000"));
        }
        Some(value)
    }

    fn device(&mut self, place: &str, major: i64, minor: i64) -> Option<BlockDevice> {
        match (u32::try_from(major), u32::try_from(minor)) {
            (Ok(major), Ok(minor)) => Some(BlockDevice { major, minor }),
            _ => {
                self.add(place, format!("{major}:{minor} is not a device number"));
                None
            }
        }
    }

    /// A list of processors or nodes: `0-2,7`, and the kernel's `0-15:2/4`.
    fn list(&mut self, place: &str, value: Option<&str>) -> Option<String> {
        let value = value.map(str::trim).filter(|v| !v.is_empty())?;
        if !value.split(',').all(|item| item.trim().is_empty() || is_range(item.trim())) {
            self.add(place, format!("{value:?} is not a list such as \"0-2,7\""));
        }
        Some(value.to_owned())
    }

    fn word(&mut self, place: &str, value: &str) {
        if value.is_empty() || value.contains(|c: char| c.is_whitespace() || c == '\0') {
            self.add(place, format!("{value:?} is not a name"));
        }
    }
}

fn is_range(item: &str) -> bool {
    let (range, group) = item.split_once(':').map_or((item, None), |(range, group)| (range, Some(group)));
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let number = |s: &str| s.parse::<u32>().ok().filter(|_| s.bytes().all(|b| b.is_ascii_digit()));
    let ordered = matches!((number(first), number(last)), (Some(a), Some(b)) if a <= b);
    let grouped = group.is_none_or(|g| {
        g.split_once('/')
            .is_some_and(|(used, size)| matches!((number(used), number(size)), (Some(u), Some(s)) if u <= s && s > 0))
    });
    ordered && grouped
}
