//! What a cgroup uses, in the shape that `events --stats` prints: runc's, which containerd and others read.

use super::{Error, stats_v1, stats_v2};
use crate::plan::cgroup::Cgroup;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Processor time.
    pub cpu: Cpu,
    /// Processors and nodes; filled on version 1 only.
    pub cpuset: CpuSet,
    /// Memory.
    pub memory: Memory,
    /// Processes and threads.
    pub pids: Pids,
    /// Block devices.
    pub blkio: Blkio,
    /// By page size.
    pub hugetlb: BTreeMap<String, Hugetlb>,
    /// Not gathered.
    pub intel_rdt: BTreeMap<String, ()>,
    /// Not gathered.
    pub network_interfaces: Option<Vec<()>>,
}

fn zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Processor time.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names are the documentation that runc gives")]
pub struct Cpu {
    #[serde(skip_serializing_if = "zero")]
    pub usage: CpuUsage,
    #[serde(skip_serializing_if = "zero")]
    pub throttling: Throttling,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Psi>,
}

/// In nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "as above")]
pub struct CpuUsage {
    #[serde(skip_serializing_if = "zero")]
    pub total: u64,
    #[serde(skip_serializing_if = "zero")]
    pub percpu: Vec<u64>,
    #[serde(skip_serializing_if = "zero")]
    pub percpu_kernel: Vec<u64>,
    #[serde(skip_serializing_if = "zero")]
    pub percpu_user: Vec<u64>,
    pub kernel: u64,
    pub user: u64,
}

/// How the quota held.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "as above")]
pub struct Throttling {
    #[serde(skip_serializing_if = "zero")]
    pub periods: u64,
    #[serde(skip_serializing_if = "zero")]
    pub throttled_periods: u64,
    /// Nanoseconds.
    #[serde(skip_serializing_if = "zero")]
    pub throttled_time: u64,
}

/// Pressure stall information. Documentation/accounting/psi.rst.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "as above")]
pub struct Psi {
    #[serde(skip_serializing_if = "zero")]
    pub some: Pressure,
    #[serde(skip_serializing_if = "zero")]
    pub full: Pressure,
}

/// Shares of time in percent, and microseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "as above")]
pub struct Pressure {
    pub avg10: f64,
    pub avg60: f64,
    pub avg300: f64,
    pub total: u64,
}

/// The settings of a cpuset of version 1.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "as above")]
pub struct CpuSet {
    #[serde(skip_serializing_if = "zero")]
    pub cpus: Vec<u16>,
    pub cpu_exclusive: u64,
    #[serde(skip_serializing_if = "zero")]
    pub mems: Vec<u16>,
    pub mem_hardwall: u64,
    pub mem_exclusive: u64,
    pub memory_migrate: u64,
    pub memory_spread_page: u64,
    pub memory_spread_slab: u64,
    pub memory_pressure: u64,
    pub sched_load_balance: u64,
    pub sched_relax_domain_level: i64,
}

/// In bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "as above")]
pub struct Memory {
    #[serde(skip_serializing_if = "zero")]
    pub cache: u64,
    #[serde(skip_serializing_if = "zero")]
    pub usage: MemoryEntry,
    #[serde(skip_serializing_if = "zero")]
    pub swap: MemoryEntry,
    #[serde(skip_serializing_if = "zero")]
    pub kernel: MemoryEntry,
    #[serde(rename = "kernelTCP", skip_serializing_if = "zero")]
    pub kernel_tcp: MemoryEntry,
    #[serde(skip_serializing_if = "zero")]
    pub raw: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Psi>,
}

/// One sort of memory.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "as above")]
pub struct MemoryEntry {
    pub limit: u64,
    #[serde(skip_serializing_if = "zero")]
    pub usage: u64,
    #[serde(skip_serializing_if = "zero")]
    pub max: u64,
    pub failcnt: u64,
}

/// Processes and threads; no limit is 0.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "as above")]
pub struct Pids {
    #[serde(skip_serializing_if = "zero")]
    pub current: u64,
    #[serde(skip_serializing_if = "zero")]
    pub limit: u64,
}

/// Block devices.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "as above")]
pub struct Blkio {
    #[serde(skip_serializing_if = "zero")]
    pub io_service_bytes_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "zero")]
    pub io_serviced_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "zero")]
    pub io_queue_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "zero")]
    pub io_service_time_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "zero")]
    pub io_wait_time_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "zero")]
    pub io_merged_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "zero")]
    pub io_time_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "zero")]
    pub sectors_recursive: Vec<BlkioEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Psi>,
}

/// One operation on one device.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "as above")]
pub struct BlkioEntry {
    #[serde(skip_serializing_if = "zero")]
    pub major: u64,
    #[serde(skip_serializing_if = "zero")]
    pub minor: u64,
    #[serde(skip_serializing_if = "zero")]
    pub op: String,
    #[serde(skip_serializing_if = "zero")]
    pub value: u64,
}

/// Huge pages of one size, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "as above")]
pub struct Hugetlb {
    #[serde(skip_serializing_if = "zero")]
    pub usage: u64,
    #[serde(skip_serializing_if = "zero")]
    pub max: u64,
    pub failcnt: u64,
}

/// Gathers. A controller that is not there counts nothing.
///
/// # Errors
/// Where the cgroup is gone, or there is none.
pub fn stats(cgroup: &Cgroup) -> Result<Stats, Error> {
    let mut stats = Stats::default();
    for group in &cgroup.v1 {
        stats_v1::add(group, &mut stats)?;
    }
    match &cgroup.v2 {
        Some(group) => stats_v2::add(group, cgroup, &mut stats)?,
        None if cgroup.is_unified() => return Err(Error::None("measured")),
        None => {}
    }
    Ok(stats)
}

/// The file that counts the processor time of a cgroup, open, and whether it is one of version 2.
///
/// # Errors
/// There is none.
pub fn time_file(cgroup: &Cgroup) -> Result<(File, bool), Error> {
    let (group, name, unified) = match (cgroup.v1("cpuacct"), &cgroup.v2) {
        (Some(group), _) => (group, "cpuacct.usage", false),
        // It counts time whatever controllers there are. Documentation/admin-guide/cgroup-v2.rst, cpu.stat.
        (None, Some(group)) => (group, "cpu.stat", true),
        (None, None) => return Err(Error::None("measured")),
    };
    let path = group.dir().join(name);
    File::open(&path).map(|file| (file, unified)).map_err(|source| Error::Call { call: "open", path, source })
}

/// The sizes of huge pages that this machine has, as the kernel names them in its files: `2MB`, `1GB`.
pub(super) fn huge_page_sizes() -> Vec<String> {
    let names = std::fs::read_dir("/sys/kernel/mm/hugepages").into_iter().flatten().flatten();
    let size = |name: String| {
        let kilobytes: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
        Some(match kilobytes {
            k if k >= 1 << 20 => format!("{}GB", k >> 20),
            k if k >= 1 << 10 => format!("{}MB", k >> 10),
            k => format!("{k}KB"),
        })
    };
    names.filter_map(|entry| size(entry.file_name().into_string().ok()?)).collect()
}
