//! What a profile lets a container use up.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Limits; none is as the spec has it, and where both have one the lower holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Bytes of memory and swap together.
    pub memory_and_swap: Option<u64>,
    /// Bytes of memory above which it is slowed down; cgroup v2.
    pub memory_high: Option<u64>,
    /// Processor time: quota and period in microseconds.
    pub cpu: Option<(u64, u64)>,
    /// Its part of the processors beside others, from 1 to 10000.
    pub cpu_weight: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// Of block devices.
    pub io: Vec<Io>,
    /// Open files of a process.
    pub open_files: Option<u64>,
    /// Bytes of a file.
    pub file_size: Option<u64>,
    /// Bytes of each folder in memory.
    pub tmpfs: Option<u64>,
    /// Files of each folder in memory.
    pub tmpfs_inodes: Option<u64>,
    /// Pseudo-terminals of each devpts.
    pub ptys: Option<u64>,
    /// Bytes that go to standard output and error together.
    pub output: Option<u64>,
    /// What comes after these is thrown away; else everything is killed then.
    pub output_truncated: bool,
    /// Processor time of a process, in seconds.
    pub cpu_time: Option<u64>,
    /// Processor time of all together, in milliseconds.
    pub cpu_total: Option<u64>,
    /// Time until everything ends, in milliseconds.
    pub wall_time: Option<u64>,
    /// Whether core files are written; none is as the spec has it.
    pub core_files: Option<bool>,
    /// Whether a limit that this host cannot set is left out with a note.
    pub optional: bool,
    /// Where a limit is written, by its key without `resources.`: file and line.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub places: BTreeMap<String, String>,
}

/// Limits of one block device, a second.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Io {
    /// Major and minor number.
    pub device: (u32, u32),
    /// Bytes read.
    pub read_bytes: Option<u64>,
    /// Bytes written.
    pub written_bytes: Option<u64>,
    /// Reads.
    pub reads: Option<u64>,
    /// Writes.
    pub writes: Option<u64>,
}
