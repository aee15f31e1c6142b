//! What a profile lets the broker do. Everything is off unless it is named.

pub mod ask;
pub mod files;
pub use zviz_network::address as network;
pub mod sockets;

use crate::audit::{Audit, Event, FileSet, Part, Sink, journal};
use ask::Asking;
use files::Files;
use serde::{Deserialize, Serialize};
use sockets::Sockets;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The rules of one container's broker.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Who decides about what no rule decides.
    pub ask: Option<Asking>,
    /// `bpf` of programs that decide about devices, for cgroups below the container's own. Only root of the machine can give
    /// it.
    pub bpf_devices: bool,
    /// `open`, `openat`, `openat2` and `creat` by rules about names.
    pub files: Option<Files>,
    /// `mount`, `umount2` and `pivot_root`, for sandboxes inside the sandbox.
    pub mounts: Option<Mounts>,
    /// `mknod` and `mknodat` of the harmless devices.
    pub nodes: bool,
    /// `connect`, `bind`, `sendto`, `sendmsg` and `sendmmsg` by rules about addresses.
    pub sockets: Option<Sockets>,
    /// `sysinfo` tells the container's limits instead of the host's memory.
    pub sysinfo: bool,
    /// `uname` tells another release.
    pub uname: Option<Uname>,
    /// What happens to the container when a part of its broker dies.
    pub death: Death,
    /// How fast calls are served, and for how long one is.
    pub pace: Pace,
    /// Where decisions are recorded.
    pub audit: Option<Trail>,
    /// Which of them are.
    pub record: Record,
    /// What the author of a rule calls it, by its name here (`files.rules[3]`): file, line and key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub origins: BTreeMap<String, String>,
}

/// Which decisions are recorded, where any are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Record {
    /// Every one that the broker makes.
    #[default]
    All,
    /// Those that refuse something. What becomes of the broker itself is recorded too.
    Denials,
    /// None.
    Nothing,
}

/// An audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Trail {
    /// A file, and older ones beside it.
    File {
        /// Absolute, on the host.
        path: PathBuf,
        /// The most bytes of one file.
        max_bytes: u64,
        /// How many older ones are kept.
        keep: u8,
    },
    /// A descriptor that the runtime has, by number.
    Descriptor(i32),
    /// The journal of systemd.
    Journal,
}

impl Death {
    /// As the audit has it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Death::Kill => "kill",
            Death::Degrade => "degrade",
        }
    }
}

impl Trail {
    /// Records that the eyes have died, by whoever waited for them. Nothing else can be done about it where that fails.
    pub fn eyes_died(&self, container: &str, how: &str, then: Death) {
        self.died(container, Part::Eyes, how, then.word());
    }

    /// Records that a program has ended, before its sandbox, by which that one's network comes.
    pub fn network_died(&self, container: &str, program: &str) {
        self.died(container, Part::Network, &format!("{program} has ended"), "unreachable");
    }

    fn died(&self, container: &str, part: Part, how: &str, then: &str) {
        let Ok(audit) = self.open().and_then(|sink| Audit::start(sink).map_err(|error| error.to_string())) else {
            return;
        };
        audit.record(&Event::PartDied { container, part, how, then });
    }

    /// Opens it, while everything may be opened still.
    ///
    /// # Errors
    /// In words, with the place.
    pub fn open(&self) -> Result<Sink, String> {
        match self {
            Trail::File { path, max_bytes, keep } => {
                let named = path.file_name().and_then(|name| name.to_str()).zip(path.parent());
                let (name, directory) = named.ok_or_else(|| format!("audit {}: is no file", path.display()))?;
                let files = FileSet::open(directory, name, *max_bytes, *keep);
                files.map(Sink::Files).map_err(|error| format!("audit: {error}"))
            }
            Trail::Descriptor(number) => {
                let fd = zviz_sys::fd::duplicate(*number);
                fd.map(Sink::Descriptor).map_err(|errno| format!("audit: descriptor {number}: {}", errno.desc()))
            }
            Trail::Journal => {
                journal::connect().map(Sink::Journal).map_err(|error| format!("audit: journald: {error}"))
            }
        }
    }
}

/// New mounts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mounts {
    /// File system types that may be mounted, of [`MOUNTABLE`].
    pub types: Vec<String>,
    /// The most that one tmpfs may hold, in bytes; what asks for more, or for no limit, gets this much.
    /// And a file for every eight KiB of that.
    pub tmpfs_bytes: u64,
    /// How many file systems are made for one container as long as it lives; then mount(2) fails with ENOSPC, as at the kernel's
    /// own limit. What is in them is charged to the container, the file systems themselves are not, and the broker cannot
    /// know when one is gone.
    pub most: u32,
}

/// What the broker knows how to mount.
pub const MOUNTABLE: &[&str] = &["cgroup2", "devpts", "mqueue", "overlay", "proc", "sysfs", "tmpfs"];

impl Default for Mounts {
    fn default() -> Self {
        Mounts {
            types: MOUNTABLE.iter().map(|name| (*name).to_owned()).collect(),
            tmpfs_bytes: 512 << 20,
            most: 100_000,
        }
    }
}

/// What uname(2) tells. The rest is the container's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uname {
    /// Of at most 64 bytes.
    pub release: String,
    /// Of at most 64 bytes.
    pub version: String,
}

impl Uname {
    /// Tells the series of the kernel that zviz asks for, and nothing of the build.
    #[must_use]
    pub fn plain() -> Self {
        Uname { release: "6.1.0".into(), version: "#1 SMP".into() }
    }
}

/// The answer to the death of the broker. A mediated call fails with ENOSYS from then on in either case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Death {
    /// The container is ended.
    #[default]
    Kill,
    /// It lives on without what the broker did for it.
    Degrade,
}

/// Bounds on time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pace {
    /// Calls a second over a longer time. Above it they are delayed, never refused.
    ///
    /// A million by default, which no broker serves: nobody is slowed unless a profile says so. A program that opens files is
    /// faster than any number that would keep another from anything, and there is nothing to keep it from: the time
    /// that its broker takes is charged to the container's own cgroup, and the thread that calls does not run meanwhile.
    pub calls_per_second: u32,
    /// How many may come at once before that counts.
    pub burst: u32,
    /// Milliseconds after which a call that is being served fails with ETIMEDOUT.
    pub deadline_ms: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { calls_per_second: 1_000_000, burst: 2_000, deadline_ms: 2_000 }
    }
}

/// A policy that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {why}")]
pub struct Fault {
    /// The key.
    pub place: String,
    /// What is wrong with it.
    pub why: String,
}

/// `__NEW_UTS_LEN`.
const UTS_MAX: usize = 64;

impl Policy {
    /// The system calls that the filter has to send to the broker.
    #[must_use]
    pub fn calls(&self) -> Vec<&'static str> {
        crate::table::TABLE.iter().filter(|entry| (entry.wanted)(self)).map(|entry| entry.name).collect()
    }

    /// Whether anything is served at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.calls().is_empty()
    }

    /// Whether files are all that it is about, and nobody is asked or told about any: then a hand may answer by itself.
    #[must_use]
    pub(crate) fn only_opens(&self) -> bool {
        let files = self.files.clone();
        let asks = files.iter().flat_map(|files| &files.rules).any(|rule| rule.verdict == files::Verdict::Ask);
        let Policy { death, pace, record, .. } = *self;
        let origins = self.origins.clone();
        files.is_some() && !asks && *self == Policy { files, death, pace, record, origins, ..Policy::default() }
    }

    /// Every fault of it, each with its place.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        faults.extend(self.ask.iter().flat_map(|asking| asking.faults(self)));
        faults.extend(self.files.iter().flat_map(Files::faults));
        faults.extend(self.sockets.iter().flat_map(Sockets::faults));
        let mut fault = |place: String, why: String| faults.push(Fault { place, why });
        for (i, name) in self.mounts.iter().flat_map(|mounts| &mounts.types).enumerate() {
            if !MOUNTABLE.contains(&name.as_str()) {
                let why = format!("{name:?} cannot be mounted by the broker, only {}", MOUNTABLE.join(", "));
                fault(format!("mounts.types[{i}]"), why);
            }
        }
        if self.mounts.as_ref().is_some_and(|mounts| mounts.tmpfs_bytes == 0) {
            fault("mounts.tmpfs_bytes".into(), "0 would be no limit".into());
        }
        for (key, text) in self.uname.iter().flat_map(|u| [("release", &u.release), ("version", &u.version)]) {
            if text.len() > UTS_MAX || text.bytes().any(|byte| !(b' '..=b'~').contains(&byte)) {
                fault(format!("uname.{key}"), format!("must be at most {UTS_MAX} printable characters"));
            }
        }
        for (key, value) in [
            ("calls_per_second", self.pace.calls_per_second),
            ("burst", self.pace.burst),
            ("deadline_ms", self.pace.deadline_ms),
        ] {
            if value == 0 {
                fault(format!("pace.{key}"), "must be at least 1".into());
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_served_that_is_not_named() {
        assert!(Policy::default().is_empty());
        let policy = Policy { sysinfo: true, ..Policy::default() };
        assert_eq!(policy.calls(), ["sysinfo"]);
    }

    #[test]
    fn faults_name_their_place() {
        let policy = Policy {
            mounts: Some(Mounts { types: vec!["tmpfs".into(), "ext4".into()], tmpfs_bytes: 0, most: 0 }),
            uname: Some(Uname { release: "x".repeat(65), version: "a\n".into() }),
            pace: Pace { burst: 0, ..Pace::default() },
            ..Policy::default()
        };
        let places: Vec<String> = policy.faults().into_iter().map(|fault| fault.place).collect();
        assert_eq!(places, ["mounts.types[1]", "mounts.tmpfs_bytes", "uname.release", "uname.version", "pace.burst"]);
        assert_eq!(Policy { mounts: Some(Mounts::default()), ..Policy::default() }.faults(), []);
    }
}
