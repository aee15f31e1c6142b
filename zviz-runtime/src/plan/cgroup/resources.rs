//! What a container may use, with the meanings of the specification: `config-linux.md`, "Control groups".
//!
//! A value of 0 that the specification takes for "not set" (runc's reading) is absent here; -1 stays, for "no limit".

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Every limit that was asked for. What is absent is left as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// `memory`.
    #[serde(skip_serializing_if = "is_default")]
    pub memory: Memory,
    /// `cpu`.
    #[serde(skip_serializing_if = "is_default")]
    pub cpu: Cpu,
    /// `pids.limit`: at least 1, or -1.
    #[serde(skip_serializing_if = "is_default")]
    pub pids: Option<i64>,
    /// `blockIO`.
    #[serde(skip_serializing_if = "is_default")]
    pub block_io: BlockIo,
    /// `hugepageLimits`: page size (`2MB`) to bytes.
    #[serde(skip_serializing_if = "is_default")]
    pub hugepages: BTreeMap<String, u64>,
    /// `rdma`: device to its two limits, handles and objects.
    #[serde(skip_serializing_if = "is_default")]
    pub rdma: BTreeMap<String, (Option<u32>, Option<u32>)>,
    /// `network.classID`.
    #[serde(skip_serializing_if = "is_default")]
    pub class_id: Option<u32>,
    /// `network.priorities`: interface to priority.
    #[serde(skip_serializing_if = "is_default")]
    pub priorities: BTreeMap<String, u32>,
    /// `unified`: file of cgroup v2 to what is written into it.
    #[serde(skip_serializing_if = "is_default")]
    pub unified: BTreeMap<String, String>,
}

/// `memory`, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// Hard limit.
    pub limit: Option<i64>,
    /// Soft limit; on v2 `memory.low`.
    pub reservation: Option<i64>,
    /// Memory and swap together.
    pub swap: Option<i64>,
    /// 0 to 100, v1 only.
    pub swappiness: Option<u64>,
    /// v1 only.
    pub disable_oom_killer: bool,
    /// Refuse a new limit below what is in use, rather than have the kernel kill.
    pub check_before_update: bool,
}

/// `cpu`, in microseconds where it is time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cpu {
    /// Weight on the scale of v1: 2 to 262144, 1024 by default.
    pub shares: Option<u64>,
    /// Time in each period, or -1.
    pub quota: Option<i64>,
    /// The period of the quota.
    pub period: Option<u64>,
    /// How much unused quota may be saved up.
    pub burst: Option<u64>,
    /// Real-time quota, v1 only.
    pub realtime_runtime: Option<i64>,
    /// Real-time period, v1 only.
    pub realtime_period: Option<u64>,
    /// 1: run only where no one else wants to.
    pub idle: Option<i64>,
    /// Processors, as `0-2,7`.
    pub cpus: Option<String>,
    /// Memory nodes.
    pub mems: Option<String>,
}

/// `blockIO`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlockIo {
    /// 10 to 1000.
    pub weight: Option<u16>,
    /// 10 to 1000, v1 only.
    pub leaf_weight: Option<u16>,
    /// By device.
    pub weight_device: Vec<WeightDevice>,
    /// Bytes or operations in a second, by device.
    pub throttle: Vec<Throttle>,
}

/// A block device by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BlockDevice {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

impl std::fmt::Display for BlockDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// Weights on one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightDevice {
    /// Which.
    pub device: BlockDevice,
    /// 10 to 1000.
    pub weight: Option<u16>,
    /// 10 to 1000, v1 only.
    pub leaf_weight: Option<u16>,
}

/// A rate on one device; 0 lifts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttle {
    /// What is counted.
    pub of: Rate,
    /// Which device.
    pub device: BlockDevice,
    /// In a second.
    pub rate: u64,
}

/// What a throttle counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rate {
    /// Bytes read.
    ReadBps,
    /// Bytes written.
    WriteBps,
    /// Read operations.
    ReadIops,
    /// Write operations.
    WriteIops,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A need for a controller: the place in config.json that asks, the controller's name on v1, and on v2 if it is there.
pub type Need = (&'static str, &'static str, Option<&'static str>);

impl Resources {
    /// The controllers that it takes to enforce this.
    pub fn needs(&self) -> Vec<Need> {
        let Self { memory, cpu, block_io, .. } = self;
        let bandwidth = Cpu { cpus: None, mems: None, ..cpu.clone() };
        let set = [
            (!is_default(&Memory { check_before_update: false, ..memory.clone() }), "memory", "memory", Some("memory")),
            (!is_default(&bandwidth), "cpu", "cpu", Some("cpu")),
            (cpu.cpus.is_some(), "cpu.cpus", "cpuset", Some("cpuset")),
            (cpu.mems.is_some(), "cpu.mems", "cpuset", Some("cpuset")),
            (self.pids.is_some(), "pids.limit", "pids", Some("pids")),
            (!is_default(block_io), "blockIO", "blkio", Some("io")),
            (!self.hugepages.is_empty(), "hugepageLimits", "hugetlb", Some("hugetlb")),
            (!self.rdma.is_empty(), "rdma", "rdma", Some("rdma")),
            (self.class_id.is_some(), "network.classID", "net_cls", None),
            (!self.priorities.is_empty(), "network.priorities", "net_prio", None),
        ];
        set.into_iter().filter(|n| n.0).map(|(_, place, v1, v2)| (place, v1, v2)).collect()
    }

    /// Whether anything at all was asked for.
    pub fn is_empty(&self) -> bool {
        self.needs().is_empty() && self.unified.is_empty()
    }
}
