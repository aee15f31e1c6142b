//! The policy of `zviz run` where nobody gives one: what ordinary programs use, less what escapes have been built from.
//!
//! An allow list. What it does not name is unknown to it and gets ENOSYS, on which programs fall back; what it knows
//! and refuses gets EPERM, unless callers of it look for ENOSYS or for another errno.

use crate::categories::CATEGORIES;
use crate::choice::{SOCKETS, Socket};
use crate::{Action, Arch, ENOSYS, EPERM, Fallback, Op, Policy, Rule};

/// What a whole group gets. Groups that are not here are decided by argument, below.
#[rustfmt::skip]
const GROUPS: &[(Action, &[&str])] = &[
    (Action::Allow, &[
        "@aio", "@chroot", "@debug", "@descriptors", "@files", "@identity", "@ipc", "@memory", "@probes", "@process",
        "@sandbox", "@sockets", "@time",
    ]),
    (EPERM, &[
        "@bpf", "@clock", "@handles", "@kernel-log", "@kexec", "@keyring", "@lsm", "@modules", "@mount", "@names", "@perf",
        "@ports", "@quota", "@reboot", "@setns", "@swap", "@terminal", "@userfault", "@watch-all",
    ]),
    (ENOSYS, &["@clone3", "@io-uring", "@numa", "@obsolete", "@rare", "@schedule-pointer"]),
];

/// CLONE_NEW* of `<linux/sched.h>`: mount, cgroup, uts, ipc, user, pid and network. CLONE_NEWTIME shares its bit with
/// clone's signal, so that only unshare can ask for it.
const CLONE_NEW: u64 = 0x7e02_0000;
const CLONE_NEWTIME: u64 = 0x80;

/// Arguments that the kernel takes as 32 bits, whatever is above them (CVE-2019-7303 was a filter that compared 64).
pub(crate) const INT: Op = Op::MaskedEq(0xffff_ffff);

/// Of socket(2)'s type, without SOCK_CLOEXEC and SOCK_NONBLOCK.
const TYPE: Op = Op::MaskedEq(0xf);
/// AF_INET is 2 and AF_INET6 is 10: one bit apart.
const INET: Op = Op::MaskedEq(0xffff_fff7);
const AF_UNIX: u64 = libc::AF_UNIX as u64;
const AF_INET: u64 = libc::AF_INET as u64;
const AF_NETLINK: u64 = libc::AF_NETLINK as u64;
const STREAM: u64 = libc::SOCK_STREAM as u64;
const DGRAM: u64 = libc::SOCK_DGRAM as u64;
const RAW: u64 = libc::SOCK_RAW as u64;
const SEQPACKET: u64 = libc::SOCK_SEQPACKET as u64;

/// Refused driver calls. Devices are out of reach, so these are the ones that any terminal or file takes.
const IOCTLS: &[(u64, &str)] = &[
    (0x5412, "TIOCSTI types into the caller's terminal (CVE-2017-5226)"),
    (0x541c, "TIOCLINUX pastes into a virtual console (CVE-2023-28100)"),
    (0x541d, "TIOCCONS takes the console's output"),
    (0x5423, "TIOCSETD loads line disciplines (CVE-2017-2636)"),
    (0x4b45, "KDSKBMODE, and with it the keyboard of a console"),
    (0x4b47, "KDSKBENT changes what keys mean to whoever comes next"),
    (0x4b49, "KDSKBSENT puts text on function keys"),
    (0x4b4b, "KDSKBDIACR"),
    (0x4bfb, "KDSKBDIACRUC"),
    (0x4b4d, "KDSETKEYCODE"),
    (0x4b63, "KDSKBMETA"),
    (0x4b65, "KDSKBLED"),
    (0xc004_5877, "FIFREEZE stops a file system"),
    (0xc004_5878, "FITHAW"),
    (0xc018_5879, "FITRIM"),
];

/// Refused prctl(2) operations.
const PRCTLS: &[(u64, &str)] = &[
    (31, "PR_TASK_PERF_EVENTS_DISABLE"),
    (32, "PR_TASK_PERF_EVENTS_ENABLE"),
    (33, "PR_MCE_KILL: who dies of a memory error is the host's"),
    (35, "PR_SET_MM: lies about the memory layout in /proc"),
    (57, "PR_SET_IO_FLUSHER"),
    (62, "PR_SCHED_CORE: whole cores for one's own"),
];

/// Refused options of sockets: level, option, how many from that on (a power of two, of which the option is a multiple), reason.
const SOCKOPTS: &[(u64, u64, u64, &str)] = &[
    (1, 26, 1, "SO_ATTACH_FILTER: BPF in the kernel"),
    (1, 50, 2, "SO_ATTACH_BPF, SO_ATTACH_REUSEPORT_CBPF"),
    (1, 52, 1, "SO_ATTACH_REUSEPORT_EBPF"),
    (1, 36, 1, "SO_MARK: around the host's rules"),
    (6, 19, 1, "TCP_REPAIR: sockets as if connected"),
    (6, 20, 1, "TCP_REPAIR_QUEUE"),
    (6, 22, 1, "TCP_REPAIR_OPTIONS"),
    (6, 29, 1, "TCP_REPAIR_WINDOW"),
    (6, 31, 1, "TCP_ULP: protocols on top of TCP, in the kernel (CVE-2023-0461)"),
    (0, 4, 1, "IP_OPTIONS: source routes, by way of a host that connect(2) does not name"),
    (
        41,
        4,
        4,
        "IPV6_2292DSTOPTS, _2292RTHDR, _2292PKTOPTIONS: routing headers, as well by way of one; IPV6_CHECKSUM: of raw sockets",
    ),
    (41, 32, 1, "IPV6_FLOWLABEL_MGR: labels, and with them headers of any kind"),
    (41, 57, 1, "IPV6_RTHDR"),
    (41, 64, 2, "IP6T_SO_SET_REPLACE, IP6T_SO_SET_ADD_COUNTERS: netfilter tables"),
];
/// From this option on, level SOL_IP is netfilter's (CVE-2021-22555).
const NETFILTER_FIRST: u64 = 64;
/// Refused whole: SOL_PACKET, SOL_ALG, SOL_XDP, should such a socket be handed in.
const LEVELS: &[u64] = &[263, 279, 283];

/// The policy for programs that nothing is known of. [`crate::policy_with`] builds variants of it.
pub fn default_policy() -> Policy {
    let mut rules = Vec::new();
    for (action, groups) in GROUPS {
        let calls = CATEGORIES.iter().filter(|category| groups.contains(&category.name));
        rules.push(Rule::new(calls.flat_map(|category| category.calls.iter().copied()), *action));
    }
    rules.extend(processes());
    rules.extend(files());
    rules.extend(socket_rules(SOCKETS));
    rules.extend(operations());
    let otherwise =
        |names: &[&str], action| Fallback { names: names.iter().map(|n| (*n).to_owned()).collect(), action };
    Policy {
        foreign_arch: Action::KillProcess,
        x32: ENOSYS,
        architectures: vec![Arch::native()],
        rules,
        fallbacks: vec![
            otherwise(&["clone", "unshare", "personality", "sched_setscheduler", "mknod", "mknodat"], EPERM),
            otherwise(&["socket", "socketpair"], Action::Errno(libc::EAFNOSUPPORT as u16)),
            otherwise(&["ioctl", "prctl", "setsockopt", "ioprio_set"], Action::Allow),
        ],
        ..Policy::new(ENOSYS)
    }
}

fn allow(name: &str) -> Rule {
    Rule::new([name], Action::Allow)
}

fn refuse(name: &str) -> Rule {
    Rule::new([name], EPERM)
}

fn processes() -> Vec<Rule> {
    let mut rules = vec![
        allow("clone").when(0, Op::MaskedEq(CLONE_NEW), 0),
        allow("unshare").when(0, Op::MaskedEq(CLONE_NEW | CLONE_NEWTIME), 0),
        // IOPRIO_CLASS_RT is class 1, in the bits from 13 on.
        refuse("ioprio_set").when(2, Op::MaskedEq(0xe000), 0x2000),
    ];
    // PER_LINUX, PER_LINUX32, UNAME26, and -1 to ask.
    rules.extend([0, 8, 0x2_0000, 0xffff_ffff].map(|persona| allow("personality").when(0, INT, persona)));
    // SCHED_OTHER, _BATCH and _IDLE, with or without SCHED_RESET_ON_FORK: not real time, not deadlines.
    rules.extend([0, 3, 5].map(|class| allow("sched_setscheduler").when(1, Op::MaskedEq(0xbfff_ffff), class)));
    rules
}

fn files() -> Vec<Rule> {
    let format = Op::MaskedEq(0o170000);
    let mut rules = Vec::new();
    for (name, mode, device) in [("mknod", 1, 2), ("mknodat", 2, 3)] {
        // No type is a regular file.
        rules.extend([0, 0o100000, 0o010000, 0o140000].map(|kind| allow(name).when(mode, format, kind)));
        // Overlayfs marks a deleted file by a character device 0:0, which opens nothing.
        rules.push(allow(name).when(mode, format, 0o020000).when(device, INT, 0));
    }
    rules
}

/// Rules for sockets of these kinds.
pub(crate) fn socket_rules(kinds: &[Socket]) -> Vec<Rule> {
    let mut rules = Vec::new();
    let internet =
        |kind, protocol: u64| allow("socket").when(0, INET, AF_INET).when(1, TYPE, kind).when(2, INT, protocol);
    for kind in kinds {
        match kind {
            Socket::Unix | Socket::Pair => {
                let names = if *kind == Socket::Pair { &["socketpair"][..] } else { &["socket", "socketpair"] };
                for name in names {
                    let types = [STREAM, DGRAM, SEQPACKET];
                    rules.extend(types.map(|kind| allow(name).when(0, INT, AF_UNIX).when(1, TYPE, kind)));
                }
            }
            Socket::Tcp => {
                rules.extend([0, libc::IPPROTO_TCP as u64].map(|protocol| internet(STREAM, protocol)));
                // Go asks for multipath TCP first and looks for this answer.
                let multipath = internet(STREAM, libc::IPPROTO_MPTCP as u64);
                rules.push(Rule { action: Action::Errno(libc::EPROTONOSUPPORT as u16), ..multipath });
            }
            Socket::Udp => rules.extend([0, libc::IPPROTO_UDP as u64].map(|protocol| internet(DGRAM, protocol))),
            Socket::Icmp => {
                rules.extend(
                    [libc::IPPROTO_ICMP, libc::IPPROTO_ICMPV6].map(|protocol| internet(DGRAM, protocol as u64)),
                );
            }
            // NETLINK_ROUTE, for getifaddrs(3) and getaddrinfo(3).
            Socket::Netlink => {
                let route = [RAW, DGRAM].map(|kind| allow("socket").when(0, INT, AF_NETLINK).when(1, TYPE, kind));
                rules.extend(route.map(|rule| rule.when(2, INT, 0)));
            }
        }
    }
    rules
}

fn operations() -> Vec<Rule> {
    let mut rules = Vec::new();
    rules.extend(IOCTLS.iter().map(|(command, _)| refuse("ioctl").when(1, INT, *command)));
    rules.extend(PRCTLS.iter().map(|(operation, _)| refuse("prctl").when(0, INT, *operation)));
    for (level, option, count, _) in SOCKOPTS {
        let options = Op::MaskedEq(0xffff_ffff & !(count - 1));
        rules.push(refuse("setsockopt").when(1, INT, *level).when(2, options, *option));
    }
    rules.push(refuse("setsockopt").when(1, INT, 0).when(2, Op::Ge, NETFILTER_FIRST));
    rules.extend(LEVELS.iter().map(|level| refuse("setsockopt").when(1, INT, *level)));
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_sockets_are_refused_each() {
        let number = crate::number_of("setsockopt", Arch::native()).unwrap();
        let policy = default_policy();
        let refused = |level: u64| {
            let answer = |option: &u64| policy.decide(Arch::native(), number, &[3, level, *option, 0, 0, 0]);
            (0..64).chain(66..80).filter(|option| answer(option) == EPERM).collect::<Vec<u64>>()
        };
        assert_eq!(refused(1), [26, 36, 50, 51, 52]);
        assert_eq!(refused(6), [19, 20, 22, 29, 31]);
        assert_eq!(refused(41), [4, 5, 6, 7, 32, 57]);
        assert_eq!(refused(0), [&[4][..], &(66..80).collect::<Vec<u64>>()].concat());
        assert!(
            [64, 65].iter().all(|option| policy.decide(Arch::native(), number, &[3, 41, *option, 0, 0, 0]) == EPERM)
        );
        assert!(SOCKOPTS.iter().all(|(_, option, count, _)| count.is_power_of_two() && option % count == 0));
    }

    #[test]
    fn every_group_is_decided_once() {
        let whole: Vec<&str> = GROUPS.iter().flat_map(|(_, groups)| groups.iter().copied()).collect();
        let policy = default_policy();
        for category in CATEGORIES {
            let times = whole.iter().filter(|name| **name == category.name).count();
            let by_argument = |call: &&str| {
                let rules = policy.rules.iter().filter(|rule| rule.names.iter().any(|name| name == call));
                let mut conditions = rules.map(|rule| !rule.args.is_empty());
                conditions.next().is_some_and(|first| first && conditions.all(|condition| condition))
                    && policy.fallbacks.iter().any(|fallback| fallback.names.iter().any(|name| name == call))
            };
            match times {
                0 => assert!(category.calls.iter().all(by_argument), "{}", category.name),
                1 => {}
                _ => panic!("{} twice", category.name),
            }
        }
        for name in whole {
            assert!(crate::category(name).is_some(), "{name}");
        }
    }
}
