//! What the kernel itself records of denials: those of AppArmor, SELinux, Landlock and filters of system calls (audit, linux/audit.h).
//!
//! ```text
//! netlink, while it runs ─┐
//! kernel log ─────────────┼─► [line] ─► Entry ─► [Sieve]: whose is it? ─► Recorded ─► why
//! file of auditd(8) ──────┘
//! ```
//!
//! The words are the kernel's; names of files and programs in them are a stranger's, and the kernel quotes them. Whose a record
//! is follows from what no workload chooses: the pid, the label that zviz has given, the process that made a Landlock domain.

mod access;
mod fields;
mod follow;
pub mod kept;
pub mod line;
mod sieve;
mod socket;

pub use access::Access;
pub use fields::Fields;
pub use follow::{Following, follow};
pub use line::{Entry, Said, Stamp};
pub use sieve::{Kept, MOST, Recorded, Sieve, Whose};
pub use socket::Socket;

use crate::plan::Plan;
use nix::errno::Errno;
use std::fs;
use std::os::unix::fs::MetadataExt;

/// Of the first pid namespace: PROC_PID_INIT_INO, linux/proc_ns.h.
const FIRST_PIDS: u64 = 0xeffffffc;

/// Why records of what is denied from now on cannot be heard, if they cannot.
#[must_use]
pub fn unheard() -> Option<&'static str> {
    match Socket::open() {
        Err(Errno::EPERM) => Some("the kernel tells whoever has CAP_AUDIT_READ over the whole machine"),
        Err(_) => Some("this kernel records nothing"),
        Ok(_) if !has_pids_of_the_machine() => Some("pids are not the machine's in this pid namespace"),
        Ok(_) => None,
    }
}

/// By what records of a container are known. `since`: in milliseconds since the epoch.
#[must_use]
pub fn whose(plan: &Plan, init: i32, since: u64) -> Whose {
    let (apparmor, selinux) = (plan.process.apparmor_profile.clone(), plan.process.selinux_label.clone());
    // What has no profile has no name of its own.
    Whose { init, apparmor: apparmor.filter(|name| name != "unconfined"), selinux, since }
}

/// Whether pids here are those of the records: they count from the machine's first process.
#[must_use]
pub fn has_pids_of_the_machine() -> bool {
    fs::metadata("/proc/self/ns/pid").is_ok_and(|namespace| namespace.ino() == FIRST_PIDS)
}
