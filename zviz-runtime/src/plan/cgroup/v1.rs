//! Resources as the settings of cgroup v1. Documentation/admin-guide/cgroup-v1/.

use super::resources::{Rate, Resources, Throttle, WeightDevice};
use super::v2::rdma;

/// One setting of a controller of version 1.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the file of the kernel's documentation that it is named after")]
pub enum Setting {
    MemoryLimit(i64),
    /// Memory and swap; `false`: only where the kernel accounts for swap.
    MemorySwap(i64, bool),
    MemoryReservation(i64),
    Swappiness(u64),
    DisableOomKiller,
    RealtimePeriod(u64),
    RealtimeRuntime(i64),
    Shares(u64),
    Period(u64),
    Quota(i64),
    Burst(u64),
    Idle(i64),
    Cpus(String),
    Mems(String),
    Pids(i64),
    Weight(u16),
    LeafWeight(u16),
    WeightDevice(WeightDevice),
    Throttle(Throttle),
    Hugepages(String, u64),
    Rdma(String),
    ClassId(u32),
    Priority(String, u32),
}

impl Setting {
    /// The controller that has it.
    pub fn controller(&self) -> &'static str {
        use Setting::*;
        match self {
            MemoryLimit(_) | MemorySwap(..) | MemoryReservation(_) | Swappiness(_) | DisableOomKiller => "memory",
            RealtimePeriod(_) | RealtimeRuntime(_) | Shares(_) | Period(_) | Quota(_) | Burst(_) | Idle(_) => "cpu",
            Cpus(_) | Mems(_) => "cpuset",
            Pids(_) => "pids",
            Weight(_) | LeafWeight(_) | WeightDevice(_) | Throttle(_) => "blkio",
            Hugepages(..) => "hugetlb",
            Rdma(_) => "rdma",
            ClassId(_) => "net_cls",
            Priority(..) => "net_prio",
        }
    }
}

/// The settings, in an order that a fresh cgroup takes.
pub fn settings(resources: &Resources) -> Vec<Setting> {
    let Resources { memory, cpu, block_io, .. } = resources;
    let mut out = Vec::new();
    out.extend(memory.limit.map(Setting::MemoryLimit));
    match memory.swap {
        Some(swap) => out.push(Setting::MemorySwap(swap, true)),
        None if memory.limit == Some(-1) => out.push(Setting::MemorySwap(-1, false)),
        None => {}
    }
    out.extend(memory.reservation.map(Setting::MemoryReservation));
    out.extend(memory.disable_oom_killer.then_some(Setting::DisableOomKiller));
    out.extend(memory.swappiness.map(Setting::Swappiness));
    out.extend(cpu.shares.map(Setting::Shares));
    out.extend(cpu.period.map(Setting::Period));
    out.extend(cpu.quota.map(Setting::Quota));
    out.extend(cpu.burst.map(Setting::Burst));
    out.extend(cpu.idle.map(Setting::Idle));
    out.extend(cpu.realtime_period.map(Setting::RealtimePeriod));
    out.extend(cpu.realtime_runtime.map(Setting::RealtimeRuntime));
    out.extend(cpu.cpus.clone().map(Setting::Cpus));
    out.extend(cpu.mems.clone().map(Setting::Mems));
    out.extend(resources.pids.map(Setting::Pids));
    out.extend(block_io.weight.map(Setting::Weight));
    out.extend(block_io.leaf_weight.map(Setting::LeafWeight));
    out.extend(block_io.weight_device.iter().cloned().map(Setting::WeightDevice));
    out.extend(block_io.throttle.iter().cloned().map(Setting::Throttle));
    out.extend(resources.hugepages.iter().map(|(size, &bytes)| Setting::Hugepages(size.clone(), bytes)));
    out.extend(resources.rdma.iter().map(|(device, &limits)| Setting::Rdma(rdma(device, limits))));
    out.extend(resources.class_id.map(Setting::ClassId));
    out.extend(resources.priorities.iter().map(|(name, &priority)| Setting::Priority(name.clone(), priority)));
    out
}

/// The file of a throttle.
pub fn throttle_file(of: Rate) -> &'static str {
    match of {
        Rate::ReadBps => "blkio.throttle.read_bps_device",
        Rate::WriteBps => "blkio.throttle.write_bps_device",
        Rate::ReadIops => "blkio.throttle.read_iops_device",
        Rate::WriteIops => "blkio.throttle.write_iops_device",
    }
}
