//! The sections of a profile.
#![allow(missing_docs, reason = "the schema has a sentence about each key")]

use serde::{Deserialize, Serialize};

/// Whether a part of the host may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    Required,
    Optional,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Requirements {
    /// Required without `lsm` is whatever the host has.
    pub lsm: Option<Need>,
    pub seccomp_notify: Option<Need>,
    pub network_policy: Option<Need>,
    pub landlock: Option<Need>,
    pub cgroup: Option<Need>,
    pub user_namespaces: Option<Need>,
    pub backend: Option<Backend>,
}

/// What a sandbox is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    Namespaces,
    Landlock,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Syscalls {
    /// Names and groups; none is the default ones.
    pub allow: Option<Vec<String>>,
    pub deny: Vec<String>,
    pub broker: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ioctl {
    pub allowlists: Vec<AllowList>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AllowList {
    pub subsystem: Option<String>,
    pub commands: Vec<u32>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filesystem {
    pub rootfs: Option<Rootfs>,
    pub base: Option<Base>,
    pub readonly: Vec<String>,
    pub writable: Option<Vec<String>>,
    pub tmpfs: Vec<String>,
    /// Paths, and patterns where one has a `*`.
    pub hidden: Vec<String>,
    pub executable: Option<Vec<String>>,
    pub set_id_bits: Option<bool>,
    pub patterns: Patterns,
    pub workspace: Option<Workspace>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rootfs {
    Readonly,
    Writable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Base {
    System,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputAction {
    Kill,
    Truncate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Workspace {
    Writable,
    Readonly,
    None,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Patterns {
    pub deny_read: Vec<String>,
    pub deny_write: Vec<String>,
    pub audit: Vec<String>,
    pub allow_read: Vec<String>,
    pub allow_write: Vec<String>,
    pub ask: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lsm {
    #[serde(rename = "type")]
    pub kind: Option<LsmKind>,
    pub profile: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LsmKind {
    Apparmor,
    Selinux,
    Landlock,
    None,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    pub mode: Option<NetworkMode>,
    pub allow_cidrs: Option<Vec<String>>,
    pub allow_domains: Vec<String>,
    pub egress: Egress,
    pub ingress: Ingress,
    pub dns: Dns,
    pub sockets: Sockets,
    pub ports: Ports,
    pub connections_max: Option<u32>,
    pub connections_rate: Option<u32>,
    pub log: Option<ConnectionLog>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkMode {
    None,
    Host,
    AllowCidr,
    Bridge,
    Pasta,
    Private,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConnectionLog {
    None,
    Denied,
    All,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Egress {
    pub allow: Option<Vec<String>>,
    pub deny: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ingress {
    pub deny_all: Option<bool>,
    pub allow: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dns {
    pub allow: Option<bool>,
    pub proxy: Proxy,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Proxy {
    pub enabled: Option<bool>,
    pub upstream: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sockets {
    pub allow: Option<Vec<SocketKind>>,
    pub deny: Vec<SocketKind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SocketKind {
    Tcp,
    Udp,
    Unix,
    Netlink,
    Icmp,
    Raw,
    Packet,
    Vsock,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ports {
    /// From and to, both included.
    pub allow_bind: Option<Vec<(u16, u16)>>,
    pub allow_connect: Option<Vec<(u16, u16)>>,
    pub deny_connect: Vec<(u16, u16)>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Resources {
    /// Bytes.
    pub memory_max: Option<u64>,
    /// Bytes, memory included.
    pub memory_swap_max: Option<u64>,
    /// Bytes.
    pub memory_high: Option<u64>,
    /// Quota and period in microseconds.
    pub cpu_max: Option<(u64, u64)>,
    pub cpu_weight: Option<u64>,
    pub pids_max: Option<u64>,
    pub io_max: Vec<Io>,
    pub open_files: Option<u64>,
    /// Bytes.
    pub file_size: Option<u64>,
    /// Bytes.
    pub tmpfs_max: Option<u64>,
    pub tmpfs_inodes_max: Option<u64>,
    pub ptys_max: Option<u64>,
    /// Bytes.
    pub output_max: Option<u64>,
    pub output_action: Option<OutputAction>,
    /// Milliseconds.
    pub cpu_time: Option<u64>,
    /// Milliseconds.
    pub cpu_time_total: Option<u64>,
    /// Milliseconds.
    pub wall_time: Option<u64>,
    pub core_dumps: Option<bool>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Io {
    /// Major and minor number.
    pub device: Option<(u32, u32)>,
    pub rbps: Option<u64>,
    pub wbps: Option<u64>,
    pub riops: Option<u64>,
    pub wiops: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Capabilities {
    pub drop_all: Option<bool>,
    pub keep: Vec<String>,
    pub ambient: Vec<String>,
    pub bounding: Bounding,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bounding {
    pub drop: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Broker {
    pub max_inflight: Option<u32>,
    pub rate: Option<u32>,
    pub timeout_ms: Option<u64>,
    pub death: Option<Death>,
    /// Milliseconds.
    pub ask_timeout: Option<u64>,
    pub mount_types: Option<Vec<String>>,
    /// Bytes.
    pub tmpfs_max: Option<u64>,
    pub uname: Uname,
    pub unix_sockets: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Death {
    Kill,
    Degrade,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Uname {
    pub release: Option<String>,
    pub version: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    pub level: Option<AuditLevel>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditLevel {
    None,
    Denials,
    Full,
}
