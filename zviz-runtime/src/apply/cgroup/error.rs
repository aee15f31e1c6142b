//! What can go wrong with a cgroup.

use std::io;
use std::path::PathBuf;

/// A cgroup could not be made, set, entered or removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call on a directory or file of a cgroup.
    #[error("{call} {}", path.display())]
    Call {
        /// `make`, `open`, `read`, `remove`.
        call: &'static str,
        /// Of what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A value that the kernel refuses.
    #[error("write {value:?} to {}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// What.
        value: String,
        /// Why not.
        source: io::Error,
    },
    /// A limit whose file is not there.
    #[error("{} does not exist: the {controller} controller is not enabled there, or this kernel has no such limit", path.display())]
    NoSuchLimit {
        /// The file.
        path: PathBuf,
        /// The controller that would make it.
        controller: String,
    },
    /// Someone is in it already.
    #[error("cgroup {} has {processes} process(es) already", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// How many.
        processes: usize,
    },
    /// It was there, frozen.
    #[error("cgroup {} is frozen already", path.display())]
    Frozen {
        /// The directory.
        path: PathBuf,
    },
    /// A cgroup below one that holds threads only.
    #[error("cgroup {} cannot limit memory or io: it is below a threaded cgroup", path.display())]
    Threaded {
        /// The directory.
        path: PathBuf,
    },
    /// The device filter.
    #[error("device filter of cgroup {}: {call}", path.display())]
    DeviceFilter {
        /// `load`, `attach`, `query`, `detach`.
        call: &'static str,
        /// The directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Processes that did not stop in time.
    #[error("cgroup {} did not freeze within {seconds} s", path.display())]
    NotFrozen {
        /// The directory.
        path: PathBuf,
        /// How long we waited.
        seconds: u64,
    },
    /// There is no cgroup to do it with.
    #[error("the container has no cgroup that could be {0}")]
    None(&'static str),
    /// What is left of a cgroup after its removal: each directory and why.
    #[error("cgroups left behind: {}", left.join("; "))]
    Left {
        /// `PATH: reason`.
        left: Vec<String>,
    },
    /// A limit below what is in use.
    #[error("cgroup {} uses {usage} bytes, more than the new limit of {limit}", path.display())]
    MemoryInUse {
        /// The directory.
        path: PathBuf,
        /// Bytes.
        limit: u64,
        /// Bytes.
        usage: u64,
    },
    /// systemd does not do what it is asked for.
    #[error("systemd: {call}")]
    Systemd {
        /// The method and the unit.
        call: String,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// This program was built without what the cgroup was made with.
    #[error("this build of zviz leaves out {0}")]
    LeftOut(&'static str),
}

impl Error {
    /// Whether it is D-Bus's error of systemd's with this name.
    #[cfg(feature = "systemd")]
    pub(super) fn is_named(&self, name: &str) -> bool {
        let Error::Systemd { source, .. } = self else { return false };
        matches!(source.downcast_ref::<zbus::Error>(),
            Some(zbus::Error::MethodError(full, ..)) if full.as_str().rsplit('.').next() == Some(name))
    }

    /// The kernel's error number, where there is one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Error::Call { source, .. } | Error::Write { source, .. } | Error::DeviceFilter { source, .. } => {
                source.raw_os_error()
            }
            _ => None,
        }
    }
}
