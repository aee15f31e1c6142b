//! Resource limits.

use super::input::Findings;
use super::process::Rlimit;
use oci_spec::runtime::{PosixRlimitType as Type, Process};

/// The number of a limit on this architecture. setrlimit(2).
fn number(typ: Type) -> u32 {
    match typ {
        Type::RlimitCpu => libc::RLIMIT_CPU,
        Type::RlimitFsize => libc::RLIMIT_FSIZE,
        Type::RlimitData => libc::RLIMIT_DATA,
        Type::RlimitStack => libc::RLIMIT_STACK,
        Type::RlimitCore => libc::RLIMIT_CORE,
        Type::RlimitRss => libc::RLIMIT_RSS,
        Type::RlimitNproc => libc::RLIMIT_NPROC,
        Type::RlimitNofile => libc::RLIMIT_NOFILE,
        Type::RlimitMemlock => libc::RLIMIT_MEMLOCK,
        Type::RlimitAs => libc::RLIMIT_AS,
        Type::RlimitLocks => libc::RLIMIT_LOCKS,
        Type::RlimitSigpending => libc::RLIMIT_SIGPENDING,
        Type::RlimitMsgqueue => libc::RLIMIT_MSGQUEUE,
        Type::RlimitNice => libc::RLIMIT_NICE,
        Type::RlimitRtprio => libc::RLIMIT_RTPRIO,
        Type::RlimitRttime => libc::RLIMIT_RTTIME,
    }
}

/// The name of a limit by its number on this architecture.
pub(crate) fn name(resource: u32) -> &'static str {
    const NAMES: &[(u32, &str)] = &[
        (libc::RLIMIT_CPU, "cpu"),
        (libc::RLIMIT_FSIZE, "fsize"),
        (libc::RLIMIT_DATA, "data"),
        (libc::RLIMIT_STACK, "stack"),
        (libc::RLIMIT_CORE, "core"),
        (libc::RLIMIT_RSS, "rss"),
        (libc::RLIMIT_NPROC, "nproc"),
        (libc::RLIMIT_NOFILE, "nofile"),
        (libc::RLIMIT_MEMLOCK, "memlock"),
        (libc::RLIMIT_AS, "as"),
        (libc::RLIMIT_LOCKS, "locks"),
        (libc::RLIMIT_SIGPENDING, "sigpending"),
        (libc::RLIMIT_MSGQUEUE, "msgqueue"),
        (libc::RLIMIT_NICE, "nice"),
        (libc::RLIMIT_RTPRIO, "rtprio"),
        (libc::RLIMIT_RTTIME, "rttime"),
    ];
    NAMES.iter().find(|(number, _)| *number == resource).map_or("unknown", |(_, name)| name)
}

/// Decides the limits. config.md: each type at most once.
pub(super) fn plan(given: &Process, found: &mut Findings) -> Vec<Rlimit> {
    let mut limits: Vec<Rlimit> = Vec::new();
    for (i, limit) in given.rlimits().iter().flatten().enumerate() {
        let place = format!("process.rlimits[{i}]");
        let resource = number(limit.typ());
        if limits.iter().any(|earlier| earlier.resource == resource) {
            found.problem(format!("{place}.type"), format!("a second {}", limit.typ()));
            continue;
        }
        if limit.soft() > limit.hard() {
            found.problem(format!("{place}.soft"), format!("{} is more than hard, {}", limit.soft(), limit.hard()));
        }
        limits.push(Rlimit { resource, soft: limit.soft(), hard: limit.hard() });
    }
    limits
}
