//! `update`

use clap::Args;
use std::path::PathBuf;

/// `update`
#[derive(Debug, Default, Args)]
#[command(
    allow_negative_numbers = true,
    after_long_help = "--resources has the form of `linux.resources` in config.json."
)]
pub struct Update {
    /// Read the limits from this file, or from standard input with -; other flags are then ignored
    #[arg(short, long, value_name = "FILE", allow_hyphen_values = true)]
    pub resources: Option<PathBuf>,
    /// Block I/O weight, 10 to 1000
    #[arg(long, value_name = "N", default_value_t, hide_default_value = true)]
    pub blkio_weight: u16,
    /// CFS period in microseconds
    #[arg(long, value_name = "N")]
    pub cpu_period: Option<u64>,
    /// CFS quota in microseconds
    #[arg(long, value_name = "N")]
    pub cpu_quota: Option<i64>,
    /// Unused quota that may be saved up, in microseconds
    #[arg(long, value_name = "N")]
    pub cpu_burst: Option<u64>,
    /// Weight against other containers, 2 to 262144
    #[arg(long, value_name = "N", visible_alias = "cpu-shares")]
    pub cpu_share: Option<u64>,
    /// Real-time period in microseconds
    #[arg(long, value_name = "N")]
    pub cpu_rt_period: Option<u64>,
    /// Real-time quota in microseconds
    #[arg(long, value_name = "N")]
    pub cpu_rt_runtime: Option<i64>,
    /// 1 runs it only when nothing else wants to run
    #[arg(long, value_name = "N")]
    pub cpu_idle: Option<i64>,
    /// Processors: 0-3,8
    #[arg(long, value_name = "LIST")]
    pub cpuset_cpus: Option<String>,
    /// NUMA nodes: 0,1
    #[arg(long, value_name = "LIST")]
    pub cpuset_mems: Option<String>,
    /// Memory: bytes, with a unit as in 512M, or -1
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub memory: Option<String>,
    /// Memory that is left to it under pressure
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub memory_reservation: Option<String>,
    /// Memory and swap together, or -1
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub memory_swap: Option<String>,
    /// Processes and threads, or -1
    #[arg(long, value_name = "N")]
    pub pids_limit: Option<i64>,
    /// Accepted for callers of runc, and ignored by kernels since 5.4
    #[arg(long, hide = true, allow_hyphen_values = true)]
    pub kernel_memory: Option<String>,
    /// Accepted for callers of runc, and ignored by kernels since 5.4
    #[arg(long, hide = true, allow_hyphen_values = true)]
    pub kernel_memory_tcp: Option<String>,
    /// Intel RDT cache schema
    #[arg(long, value_name = "SCHEMA")]
    pub l3_cache_schema: Option<String>,
    /// Intel RDT memory bandwidth schema
    #[arg(long, value_name = "SCHEMA")]
    pub mem_bw_schema: Option<String>,
    /// The container
    #[arg(value_name = "ID")]
    pub id: String,
}
