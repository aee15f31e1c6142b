//! What a record says was denied, and by what.

use std::path::PathBuf;
use zviz_seccomp::Action;

/// What was denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// By a filter of system calls: which one is not told, nor the arguments.
    Seccomp {
        /// Who asked.
        pid: i32,
        /// What it calls itself.
        comm: Vec<u8>,
        /// What it was running.
        program: PathBuf,
        /// The label of who asked, where there is one.
        label: Option<String>,
        /// AUDIT_ARCH_*, linux/audit.h.
        arch: u32,
        /// The call's number there.
        number: u64,
        /// What the filter answered, without the number of an error.
        action: Action,
    },
    /// By Landlock.
    Landlock {
        /// The domain that denied it.
        domain: u64,
        /// The rights that were missing: `fs.make_reg`.
        blockers: Vec<String>,
        /// A path as whoever asked sees it, or the name of an abstract socket.
        path: Option<Vec<u8>>,
        /// The port that was to be bound or connected to.
        port: Option<u16>,
        /// Where.
        address: Option<std::net::IpAddr>,
    },
    /// By AppArmor.
    AppArmor {
        /// The AppArmor profile that denied it.
        profile: String,
        /// Who asked.
        pid: i32,
        /// What it calls itself.
        comm: Vec<u8>,
        /// `open`, `capable`, `create`, …
        operation: String,
        /// Of what was asked, what is denied: `w`, `send`.
        mask: String,
        /// A path, a capability, a family of sockets.
        name: Option<Vec<u8>>,
        /// Such as `stream`.
        kind: Option<String>,
    },
    /// By SELinux.
    Selinux {
        /// The label of who asked.
        source: String,
        /// The label of what was asked for.
        target: String,
        /// What it was: `file`.
        class: String,
        /// `read`, `write`, …
        rights: Vec<String>,
        /// Who asked.
        pid: i32,
        /// What it calls itself.
        comm: Vec<u8>,
        /// A path, or the last name of one.
        name: Option<Vec<u8>>,
    },
}
