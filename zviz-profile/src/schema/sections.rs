//! The table itself.

use super::{Does, Key, Kind};

pub(crate) const fn holds(name: &'static str, kind: Kind, about: &'static str) -> Key {
    Key { name, kind, about, does: Does::Holds }
}

pub(crate) const fn tells(name: &'static str, kind: Kind, about: &'static str) -> Key {
    Key { name, kind, about, does: Does::Describes }
}

pub(crate) const fn key(name: &'static str, kind: Kind, by: &'static str, about: &'static str) -> Key {
    Key { name, kind, about, does: Does::Enforced(by) }
}

pub(crate) const fn refused(name: &'static str, kind: Kind, why: &'static str, about: &'static str) -> Key {
    Key { name, kind, about, does: Does::Refused(why) }
}

const NEED: Kind = Kind::Word(&["required", "optional"]);
const PATHS: Kind = Kind::List(&Kind::Path);
const GLOBS: Kind = Kind::List(&Kind::Glob);
const CALLS: Kind = Kind::List(&Kind::Call);
const CAPABILITIES: Kind = Kind::List(&Kind::Capability);
const NETWORKS: Kind = Kind::List(&Kind::Peers);
const PORTS: Kind = Kind::List(&Kind::Port);
/// What is written in a file of ten years ago is still read then.
pub(crate) const VERSIONS: Kind = Kind::Word(&["1.0", "1", "0.1"]);

/// The keys of a profile.
#[rustfmt::skip]
pub const ROOT: &[Key] = &[
    tells("schema_version", VERSIONS, "which version of this schema it is written for"),
    tells("name", Kind::Name, "its name"),
    tells("version", Kind::Text, "its author's version"),
    tells("description", Kind::Text, "what it is for"),
    tells("mode", Kind::Word(&["high-density"]), "accepted for older profiles: there is one mode"),
    key("extends", Kind::Name, "profile", "another profile, whose lists come before these and whose values hold where none is here"),
    holds("requirements", Kind::Map(REQUIREMENTS), "what the host must have, and what may be left out with a note where it is missing"),
    holds("syscalls", Kind::Map(SYSCALLS), "which system calls get which answer"),
    holds("ioctl", Kind::Map(IOCTL), "driver calls, by command"),
    holds("filesystem", Kind::Map(FILESYSTEM), "which files there are, and what may be done with them"),
    holds("lsm", Kind::Map(LSM), "AppArmor or SELinux"),
    holds("network", Kind::Map(NETWORK), "which network there is"),
    holds("resources", Kind::Map(RESOURCES), "limits"),
    holds("capabilities", Kind::Map(CAPABILITY), "capabilities that may be kept"),
    holds("broker", Kind::Map(BROKER), "the process that answers some system calls in the kernel's place"),
    holds("audit", Kind::Map(AUDIT), "what is recorded"),
    key("nested", Kind::Flag, "namespaces, seccomp, broker", "sandboxes and containers inside: new namespaces, a proc without masks, mounts by way of the broker"),
];

#[rustfmt::skip]
const REQUIREMENTS: &[Key] = &[
    key("lsm", NEED, "plan", "AppArmor or SELinux, as `lsm` says"),
    key("seccomp_notify", NEED, "plan", "a kernel on which a broker can answer system calls"),
    key("network_policy", NEED, "plan", "that the rules of `network` are in force"),
    key("landlock", NEED, "plan", "Landlock, for rules about files and ports"),
    key("cgroup", NEED, "plan", "cgroup controllers for the limits of `resources`"),
    key("user_namespaces", NEED, "plan", "a user namespace of its own"),
    key("backend", Kind::Word(&["namespaces", "landlock"]), "plan", "what `zviz run` may make a sandbox of; landlock: where the host gives no namespaces, Landlock and seccomp are enough"),
];

#[rustfmt::skip]
const SYSCALLS: &[Key] = &[
    key("allow", CALLS, "seccomp", "calls that the kernel serves, and no others; @default is what the default profile allows"),
    key("deny", CALLS, "seccomp", "calls that fail with EPERM, whatever `allow` says"),
    key("broker", CALLS, "seccomp, broker, landlock", "calls that the broker answers, or the kernel by rules of the same meaning"),
];

#[rustfmt::skip]
const IOCTL: &[Key] = &[
    holds("allowlists", Kind::List(&Kind::Map(ALLOWLIST)), "with any of these, driver calls that none names fail with ENOTTY"),
];

#[rustfmt::skip]
const ALLOWLIST: &[Key] = &[
    tells("subsystem", Kind::Text, "whose commands these are"),
    key("commands", Kind::List(&Kind::Command), "seccomp", "commands, by name or number"),
];

#[rustfmt::skip]
const FILESYSTEM: &[Key] = &[
    key("rootfs", Kind::Word(&["readonly", "writable"]), "mounts, landlock", "whether the root may be written where nothing else says"),
    key("base", Kind::Word(&["system", "none"]), "mounts, landlock", "what is there beside what the lists name: the system's folders (of an image, all of it), or nothing"),
    key("readonly", PATHS, "mounts, landlock", "what is there to be read, and is not written even where a mount would let it"),
    key("writable", PATHS, "mounts, landlock", "what is there to be read and written; with it, nothing else is written"),
    key("tmpfs", PATHS, "mounts", "empty folders in memory"),
    key("hidden", GLOBS, "mounts, broker", "what is not there, whatever else says; a pattern is looked after by the broker"),
    key("executable", PATHS, "landlock, mounts, seccomp", "where programs and libraries may be executed; with it, nowhere else"),
    key("set_id_bits", Kind::Flag, "seccomp", "whether files can be given set-user-ID and set-group-ID bits, which count wherever they are seen; true without it"),
    holds("patterns", Kind::Map(PATTERNS), "rules for opening files by name, in the order of this table; the broker's"),
    key("workspace", Kind::Word(&["writable", "readonly", "none"]), "mounts", "the folder that `zviz run` is called in"),
];

#[rustfmt::skip]
const PATTERNS: &[Key] = &[
    key("allow_read", GLOBS, "broker", "is read although a pattern below says otherwise"),
    key("allow_write", GLOBS, "broker", "is written although a pattern below says otherwise"),
    key("deny_read", GLOBS, "broker", "is not read"),
    key("deny_write", GLOBS, "broker", "is not written, made, renamed, replaced, removed or given another mode"),
    key("ask", GLOBS, "broker", "somebody is asked about, as --ask says"),
    key("audit", GLOBS, "broker", "is recorded when it is opened"),
];

#[rustfmt::skip]
const LSM: &[Key] = &[
    key("type", Kind::Word(&["apparmor", "selinux", "landlock", "none"]), "lsm", "which one; apparmor without `profile` is an AppArmor profile that is made of this one"),
    key("profile", Kind::Text, "lsm", "a SELinux label, or the name of an AppArmor profile that is loaded; generate is the one that is made of this"),
];

#[rustfmt::skip]
const NETWORK: &[Key] = &[
    key("mode", Kind::Word(&["none", "host", "allow-cidr", "bridge", "pasta", "private"]), "namespaces", "no network but a loopback device; the host's; allow-cidr is the host's within allow_cidrs; one of its own at a bridge of the host (root's) or by pasta (ordinary users'); private is whichever of the two the caller can have"),
    key("allow_cidrs", NETWORKS, "nftables, broker", "networks that may be reached, and no others"),
    key("allow_domains", Kind::List(&Kind::Host), "nftables, resolver", "hosts that may be reached by name, and no others"),
    holds("egress", Kind::Map(EGRESS), "connections to the outside; what is denied is denied whatever is allowed"),
    holds("ingress", Kind::Map(INGRESS), "connections from the outside"),
    holds("dns", Kind::Map(DNS), "names"),
    holds("sockets", Kind::Map(SOCKETS), "kinds of sockets"),
    holds("ports", Kind::Map(PORT), "TCP ports"),
    key("connections_max", Kind::Count(1, 1 << 24), "nftables", "connections to the outside at a time"),
    key("connections_rate", Kind::Count(1, 1_000_000), "nftables", "new connections to the outside in a second"),
    key("log", Kind::Word(&["none", "denied", "all"]), "nftables", "which connections are reported: none, those that are refused, or those that are let through as well"),
];

#[rustfmt::skip]
const EGRESS: &[Key] = &[
    key("allow", NETWORKS, "nftables, broker", "networks that may be reached, and no others"),
    key("deny", NETWORKS, "nftables, broker", "networks that may not; 0.0.0.0/0 beside `allow` says what holds anyway"),
];

#[rustfmt::skip]
const INGRESS: &[Key] = &[
    key("deny_all", Kind::Flag, "namespaces, nftables", "nobody connects, but to published ports"),
    key("allow", NETWORKS, "nftables", "networks that may connect, and no others; ports are the container's"),
];

#[rustfmt::skip]
const DNS: &[Key] = &[
    key("allow", Kind::Flag, "nftables, broker", "whether port 53 may be reached"),
    holds("proxy", Kind::Map(PROXY), "a resolver of zviz's own, in the container's network; there is one with allow_domains, too"),
];

#[rustfmt::skip]
const PROXY: &[Key] = &[
    key("enabled", Kind::Flag, "resolver", "whether there is one"),
    key("upstream", Kind::Server, "resolver", "whom it asks, from outside; without it whom the host asks"),
];

const SOCKET: Kind = Kind::List(&Kind::Word(&["tcp", "udp", "unix", "netlink", "icmp", "raw", "packet", "vsock"]));

#[rustfmt::skip]
const SOCKETS: &[Key] = &[
    key("allow", SOCKET, "seccomp", "kinds that there are, and no others; never more than the default profile's: tcp, udp, unix, netlink"),
    key("deny", SOCKET, "seccomp", "kinds that there are not"),
];

#[rustfmt::skip]
const PORT: &[Key] = &[
    key("allow_bind", PORTS, "landlock", "TCP ports that may be listened at, and no others"),
    key("allow_connect", PORTS, "landlock", "TCP ports that may be connected to, and no others"),
    key("deny_connect", PORTS, "nftables, broker", "TCP and UDP ports that may not be reached"),
];

#[rustfmt::skip]
const RESOURCES: &[Key] = &[
    key("memory_max", Kind::Size, "cgroup", "memory; what asks for more is killed"),
    key("memory_swap_max", Kind::Size, "cgroup", "memory and swap together"),
    key("memory_high", Kind::Size, "cgroup", "memory above which it is slowed down"),
    key("cpu_max", Kind::Cpu, "cgroup", "processor time"),
    key("cpu_weight", Kind::Count(1, 10_000), "cgroup", "its part of the processors beside others; 100 is ordinary"),
    key("pids_max", Kind::Count(1, 4_194_304), "cgroup", "processes and threads"),
    holds("io_max", Kind::List(&Kind::Map(IO)), "limits of block devices"),
    key("open_files", Kind::Count(1, 1_048_576), "rlimits", "open files of a process"),
    key("file_size", Kind::Size, "rlimits", "the largest file that is written"),
    key("tmpfs_max", Kind::Size, "mounts", "the most that each folder in memory holds"),
    key("tmpfs_inodes_max", Kind::Count(1, 1 << 40), "mounts", "the most files that each folder in memory holds"),
    refused("disk_max", Kind::Size, NO_QUOTA, "bytes of what is written to the host's folders"),
    refused("disk_inodes_max", Kind::Count(1, u64::MAX), NO_QUOTA, "files that are made in the host's folders"),
    key("ptys_max", Kind::Count(1, 1 << 20), "mounts", "pseudo-terminals of each devpts"),
    key("output_max", Kind::Size, "runtime", "bytes on standard output and error together, in the foreground"),
    key("output_action", Kind::Word(&["kill", "truncate"]), "runtime", "at output_max everything inside is killed, or the rest is thrown away"),
    key("cpu_time", Kind::Time, "rlimits", "processor time of a process, after which it is killed"),
    key("cpu_time_total", Kind::Time, "runtime", "processor time of all together, after which everything inside is killed"),
    key("wall_time", Kind::Time, "runtime", "after which everything inside is killed"),
    key("core_dumps", Kind::Flag, "rlimits", "whether core files are written; not unless it says so"),
];

/// Quotas are of users and projects, on file systems that are mounted for them. quotactl(2).
const NO_QUOTA: &str = "a folder of the host has no quota of its own; file_size bounds each file, filesystem.tmpfs and tmpfs_max a folder in memory";

const PER_SECOND: Kind = Kind::Count(1, u64::MAX);

#[rustfmt::skip]
const IO: &[Key] = &[
    key("device", Kind::Device, "cgroup", "the device"),
    key("rbps", PER_SECOND, "cgroup", "bytes read a second"),
    key("wbps", PER_SECOND, "cgroup", "bytes written a second"),
    key("riops", PER_SECOND, "cgroup", "reads a second"),
    key("wiops", PER_SECOND, "cgroup", "writes a second"),
];

#[rustfmt::skip]
const CAPABILITY: &[Key] = &[
    key("drop_all", Kind::Flag, "capabilities", "none but those of `keep`; false keeps what the container's configuration gives"),
    key("keep", CAPABILITIES, "capabilities", "capabilities that may be kept"),
    key("ambient", CAPABILITIES, "capabilities", "of these, what a program of an ordinary user has as well"),
    holds("bounding", Kind::Map(BOUNDING), "the bounding set"),
];

#[rustfmt::skip]
const BOUNDING: &[Key] = &[
    key("drop", CAPABILITIES, "capabilities", "capabilities that are dropped whatever `keep` says"),
];

#[rustfmt::skip]
const BROKER: &[Key] = &[
    key("max_inflight", Kind::Count(1, 100_000), "broker", "calls that may come at once before the rate counts"),
    key("rate", Kind::Count(1, 1_000_000), "broker", "calls a second over a longer time; what comes faster is delayed"),
    key("timeout_ms", Kind::Milliseconds, "broker", "after which a call that is being served fails"),
    key("death", Kind::Word(&["kill", "degrade"]), "broker", "what happens to the container when the broker dies"),
    key("ask_timeout", Kind::Time, "broker", "how long an answer is waited for, of whoever is asked"),
    key("mount_types", Kind::List(&Kind::Word(MOUNTABLE)), "broker", "what may be mounted, with mount among syscalls.broker"),
    key("tmpfs_max", Kind::Size, "broker", "the most that a tmpfs holds that is mounted inside"),
    holds("uname", Kind::Map(UNAME), "what uname(2) tells, with uname among syscalls.broker"),
    key("unix_sockets", PATHS, "broker", "sockets that may be connected to, with connect among syscalls.broker; sockets of Docker and agents are refused unless named"),
];

const MOUNTABLE: &[&str] = &["cgroup2", "devpts", "mqueue", "overlay", "proc", "sysfs", "tmpfs"];

#[rustfmt::skip]
const UNAME: &[Key] = &[
    key("release", Kind::Text, "broker", "the release, at most 64 characters"),
    key("version", Kind::Text, "broker", "the version, at most 64 characters"),
];

#[rustfmt::skip]
const AUDIT: &[Key] = &[
    key("level", Kind::Word(&["none", "denials", "full"]), "broker, landlock", "which decisions of the broker are recorded; but for none the kernel records what Landlock denies"),
];
