//! What a sandbox without namespaces lacks, in words for its user: all of it, each time.

use super::ABI_TRUNCATE;
use crate::plan::InPlace;
use crate::plan::input::{Findings, Input};
use crate::plan::landlock::{ABI_PORTS, ABI_SCOPES};

/// Renaming into another folder is a right. Linux 5.19.
const ABI_REFER: u32 = 2;
/// Driver calls of device files are a right. Linux 6.10.
const ABI_IOCTL: u32 = 5;

/// What is always so.
const ALWAYS: &[&str] = &[
    "no mount namespace: nothing is hidden by name; which files there are (stat, not their contents), and the modes and times of \
     those that this user owns, stay in reach",
    "no pid namespace: /proc shows the host's processes with their command lines, and what it tells of the machine; not their \
     memory, environment or files",
    "no ipc namespace: System V IPC and message queues are refused instead, and /dev/shm is not shared",
    "no uts, time and cgroup namespace: names and clocks are the host's",
    "no cgroup: memory, processes and processor time have no limit, and other processes of this user can be slowed down",
    "Unix sockets are refused but for pairs: Landlock does not say which may be connected to",
    "/tmp is not shared: TMPDIR and HOME are a private folder on disk, removed afterwards, without a limit of its size",
];

pub(super) fn tell(input: Input, wanted: InPlace, found: &mut Findings) {
    let mut note = |what: &str| found.note("backend landlock", what);
    ALWAYS.iter().for_each(|what| note(what));
    match input.host.euid {
        0 => note(
            "no user namespace: it runs as root of the host without capabilities, and root's own files are its own, as far as they are shared",
        ),
        _ => note("no user namespace: user and groups are the caller's"),
    }
    match wanted.network {
        true => note("no network namespace: the network is the host's, its local services included"),
        false => note("no network namespace: every kind of socket is refused instead, loopback included"),
    }
    let abi = input.host.landlock_abi;
    let older = [
        (ABI_SCOPES, "signals reach other processes of this user, and what it leaves running may outlive it"),
        (ABI_IOCTL, "driver calls are not judged"),
        (ABI_PORTS, "TCP ports are not judged"),
        (ABI_TRUNCATE, "truncating is not judged by path: truncate is refused instead"),
        (ABI_REFER, "nothing can be renamed into another folder"),
    ];
    for (since, what) in older {
        if (1..since).contains(&abi) && (wanted.network || since != ABI_PORTS) {
            note(&format!("Landlock of this kernel is ABI {abi}, before {since}: {what}"));
        }
    }
}
