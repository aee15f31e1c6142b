//! System calls that reach kernel code which ordinary programs never use, and other ways to make a system call.

use crate::bait::Bait;
use crate::outcome::{Outcome, done, made, made_or};
use crate::probe::Control::{Host, Impossible, Root, User};
use crate::probe::{Probe, probe};
use nix::errno::Errno;
use std::fs::File;
use std::os::fd::AsFd;
use zviz_sys::probe::Arg::{Bytes, Fd, Int, Room, Text};
use zviz_sys::probe::{self as raw, call};

#[rustfmt::skip]
pub const PROBES: &[Probe] = &[
    probe("bpf-map", "a map for programs in the kernel", "CVE-2020-8835, bpf(2)", Root, |_| bpf(0, &map())),
    probe("bpf-program", "a program in the kernel", "CVE-2021-3490, bpf(2)", Root, |_| bpf(5, &[0; 128])),
    probe("perf-event-open", "counters of the processor and the kernel", "CVE-2013-2094, perf_event_open(2)", Root, |_| perf()),
    probe("userfaultfd", "page faults held open, which win races in the kernel", "CVE-2018-18397, userfaultfd(2)", Root, |_| done(call(libc::SYS_userfaultfd, &mut [Int(1)]))),
    probe("io-uring-setup", "a queue of calls that no filter sees", "CVE-2022-29582, io_uring_setup(2)", User, |_| done(call(libc::SYS_io_uring_setup, &mut [Int(4), Room(&mut [0; 256])]))),
    probe("io-uring-enter", "calls of such a queue, should one be handed in", "CVE-2023-2598, io_uring_enter(2)", User, |_| made(call(libc::SYS_io_uring_enter, &mut [Int(-1), Int(0), Int(0), Int(0)]))),
    probe("io-uring-register", "files and buffers of such a queue", "CVE-2023-2598, io_uring_register(2)", User, |_| made(call(libc::SYS_io_uring_register, &mut [Int(-1), Int(0), Int(0), Int(0)]))),
    probe("keyctl", "keys of the user, which are not the sandbox's", "CVE-2016-0728, keyrings(7)", User, |_| made(call(libc::SYS_keyctl, &mut [Int(0), Int(-3), Int(0)]))),
    probe("keyctl-join-session", "another session's keys", "CVE-2016-0728, keyctl(2)", User, |_| done(call(libc::SYS_keyctl, &mut [Int(1), Int(0)]))),
    probe("add-key", "memory of the kernel by way of a key", "CVE-2017-15274, add_key(2)", User, |_| done(call(libc::SYS_add_key, &mut [Text(c"user"), Text(c"selftest"), Bytes(b"x"), Int(1), Int(-2)]))),
    probe("request-key", "a key, for which the host starts a program", "CVE-2017-17807, request_key(2)", User, |_| made_or(call(libc::SYS_request_key, &mut [Text(c"user"), Text(c"zviz-selftest"), Int(0), Int(0)]), &[])),
    probe("kexec-load", "another kernel", "kexec_load(2)", Root, |_| made(call(libc::SYS_kexec_load, &mut [Int(0), Int(0), Int(0), Int(0x7fff)]))),
    probe("kexec-file-load", "another kernel from a file", "kexec_file_load(2)", Root, |_| made(call(libc::SYS_kexec_file_load, &mut [Int(-1), Int(-1), Int(0), Int(0), Int(0x7fff)]))),
    probe("init-module", "code in the kernel", "init_module(2)", Root, |_| made(call(libc::SYS_init_module, &mut [Bytes(&[0; 8]), Int(8), Text(c"")]))),
    probe("finit-module", "code in the kernel from a file", "init_module(2)", Root, |_| made(call(libc::SYS_finit_module, &mut [Int(-1), Text(c""), Int(0)]))),
    probe("delete-module", "code taken out of the kernel", "delete_module(2)", Root, |_| delete_module()),
    probe("reboot", "the machine's power", "reboot(2)", Root, |_| made(call(libc::SYS_reboot, &mut [Int(1), Int(2), Int(3), Int(0)]))),
    probe("swapon", "swap space of its own", "swapon(2)", Root, |_| made_or(call(libc::SYS_swapon, &mut [Text(c"/proc/version"), Int(0)]), &[])),
    probe("swapoff", "the machine's swap space taken away", "swapoff(2)", Root, |_| made(call(libc::SYS_swapoff, &mut [Text(c"/proc/version")]))),
    probe("acct", "accounting into a file", "acct(2)", Root, |_| made(call(libc::SYS_acct, &mut [Text(c"/proc")]))),
    probe("quotactl", "limits of users", "quotactl(2)", Root, |_| made(call(libc::SYS_quotactl, &mut [Int(0x7fff_ff00), Text(c"/dev/null"), Int(0), Int(0)]))),
    probe("quotactl-fd", "limits of users, by a descriptor", "quotactl(2)", Root, |_| made(call(libc::SYS_quotactl_fd, &mut [Int(-1), Int(0), Int(0), Int(0)]))),
    probe("settimeofday", "another time of day", "settimeofday(2)", Root, |_| settimeofday()),
    probe("clock-settime", "a clock set", "clock_settime(2)", Impossible("a clock that is set stays set for everybody"), |_| clock_settime()),
    probe("clock-adjtime", "a clock's rate changed", "clock_adjtime(2)", Root, |_| adjust(libc::SYS_clock_adjtime)),
    probe("adjtimex", "the machine's clock disciplined", "adjtimex(2)", Root, |_| adjust(libc::SYS_adjtimex)),
    probe("syslog-read", "the kernel's messages, with its addresses", "syslog(2)", Root, |_| made(call(libc::SYS_syslog, &mut [Int(3), Room(&mut [0; 64]), Int(64)]))),
    probe("syslog-clear", "the kernel's messages marked as read", "syslog(2)", Impossible("it would hide what the machine has logged"), |_| done(call(libc::SYS_syslog, &mut [Int(5), Int(0), Int(0)]))),
    probe("vhangup", "the terminal hung up under its user", "vhangup(2)", Impossible("it would hang up the terminal that the test is run in"), |_| done(call(libc::SYS_vhangup, &mut []))),
    probe("fanotify", "every file that anybody opens", "fanotify_init(2)", Root, |_| made(call(libc::SYS_fanotify_init, &mut [Int(4), Int(0)]))),
    probe("open-by-handle", "a file by number, past every folder", "shocker: open_by_handle_at(2)", Root, |_| open_by_handle()),
    probe("lookup-dcookie", "paths by number, for profilers", "lookup_dcookie(2)", Impossible("kernels since 6.8 have none"), |_| made(call(libc::SYS_lookup_dcookie, &mut [Int(0), Room(&mut [0; 64]), Int(64)]))),
    probe("nfsservctl", "the file server of older kernels", "nfsservctl(2)", Impossible("kernels since 3.1 have none"), |_| made(call(libc::SYS_nfsservctl, &mut [Int(0), Int(0), Int(0)]))),
    probe("memfd-secret", "memory that nobody can look into", "memfd_secret(2)", User, |_| done(call(libc::SYS_memfd_secret, &mut [Int(0)]))),
    probe("move-pages", "pages of another node's memory", "CVE-2017-14140, move_pages(2)", User, |_| made(call(libc::SYS_move_pages, &mut [Int(0), Int(0), Int(0), Int(0), Int(0), Int(2)]))),
    probe("migrate-pages", "pages of another process moved", "migrate_pages(2)", User, |_| made(call(libc::SYS_migrate_pages, &mut [Int(0), Int(0), Int(0), Int(0)]))),
    probe("mbind", "where memory comes from", "CVE-2017-7616, mbind(2)", User, |_| made(call(libc::SYS_mbind, &mut [Int(0), Int(0), Int(0), Int(0), Int(0), Int(0x7000)]))),
    probe("set-mempolicy", "where memory comes from, by process", "CVE-2017-7616, set_mempolicy(2)", User, |_| made(call(libc::SYS_set_mempolicy, &mut [Int(0), Int(0), Int(0)]))),
    probe("set-mempolicy-home-node", "where memory comes from, since 5.17", "Documentation/admin-guide/mm/numa_memory_policy.rst", User, |_| made(call(raw::SET_MEMPOLICY_HOME_NODE, &mut [Int(0), Int(0), Int(0), Int(1)]))),
    probe("listmount", "the mounts outside, by the number of their namespace", "listmount(2)", Host, listmount),
    probe("listns", "the list of all namespaces", "listns: Documentation/filesystems/nsfs.rst", User, |_| made(call(raw::LISTNS, &mut [Bytes(&[0; 32]), Room(&mut [0; 512]), Int(64), Int(0)]))),
    probe("lsm-set-self-attr", "another security label", "lsm: Documentation/userspace-api/lsm.rst", User, |_| made_or(call(raw::LSM_SET_SELF_ATTR, &mut [Int(100), Bytes(&[0; 32]), Int(32), Int(0)]), &[Errno::EOPNOTSUPP])),
    probe("sched-setattr-deadline", "a processor's time before everybody's", "sched_setattr(2)", Root, |_| sched_deadline()),
    probe("sched-setscheduler-fifo", "real-time scheduling", "sched_setscheduler(2)", Root, |_| done(call(libc::SYS_sched_setscheduler, &mut [Int(0), Int(1), Bytes(&1u32.to_ne_bytes())]))),
    probe("ioprio-realtime", "disks before everybody", "ioprio_set(2)", Root, |_| done(call(libc::SYS_ioprio_set, &mut [Int(1), Int(0), Int((1 << 13) | 4)]))),
    probe("setpriority-negative", "a higher priority", "setpriority(2)", Root, |_| done(call(libc::SYS_setpriority, &mut [Int(0), Int(0), Int(-10)]))),
    probe("personality-no-randomize", "addresses that are known beforehand", "CVE-2009-1895, personality(2)", User, |_| done(call(libc::SYS_personality, &mut [Int(0x0040_0000)]))),
    probe("personality-read-exec", "data that can be executed", "personality(2)", User, |_| done(call(libc::SYS_personality, &mut [Int(0x0040_0000 | 8)]))),
    probe("prctl-core-sched", "whole cores of the processor for itself", "prctl(2) PR_SCHED_CORE", User, |_| made(call(libc::SYS_prctl, &mut [Int(62), Int(9), Int(0), Int(0), Int(0)]))),
    probe("prctl-set-mm", "lies about its own memory in proc", "prctl(2) PR_SET_MM", Root, |_| made(call(libc::SYS_prctl, &mut [Int(35), Int(99), Int(0), Int(0), Int(0)]))),
    probe("prctl-io-flusher", "memory that is kept for writing out", "prctl(2) PR_SET_IO_FLUSHER", Root, |_| made(call(libc::SYS_prctl, &mut [Int(57), Int(1), Int(0), Int(0), Int(0)]))),
    probe("unknown-call", "a number that no list has", "seccomp(2), Documentation/userspace-api/seccomp_filter.rst", Impossible("no kernel has it"), |_| made(call(raw::UNKNOWN, &mut []))),
    #[cfg(target_arch = "x86_64")]
    probe("x32-table", "a call by the x32 table, which lists of numbers miss", "Documentation/userspace-api/seccomp_filter.rst, seccomp(2)", Impossible("kernels of distributions have no x32 table"), |_| done(call(libc::SYS_getpid | raw::X32, &mut []))),
    #[cfg(target_arch = "x86_64")]
    probe("i386-table", "a call by i386's table, whose numbers differ", "CVE-2015-2830, seccomp(2)", User, |_| done(raw::getpid_i386())),
    #[cfg(target_arch = "x86_64")]
    probe("iopl", "every I/O port", "iopl(2)", Root, |_| done(call(libc::SYS_iopl, &mut [Int(3)]))),
    #[cfg(target_arch = "x86_64")]
    probe("ioperm", "some I/O ports", "ioperm(2)", Root, |_| done(call(libc::SYS_ioperm, &mut [Int(0x80), Int(1), Int(1)]))),
    #[cfg(target_arch = "x86_64")]
    probe("modify-ldt", "segments of its own", "CVE-2015-5157, modify_ldt(2)", User, |_| made(call(libc::SYS_modify_ldt, &mut [Int(0), Room(&mut [0; 16]), Int(16)]))),
    #[cfg(target_arch = "x86_64")]
    probe("uselib", "a library the old way", "CVE-2004-1235, uselib(2)", Impossible("few kernels are built with it"), |_| made(call(libc::SYS_uselib, &mut [Text(c"/")]))),
    #[cfg(target_arch = "x86_64")]
    probe("sysfs-call", "file systems by number", "sysfs(2)", Impossible("few kernels are built with it"), |_| made(call(libc::SYS_sysfs, &mut [Int(3), Int(0), Int(0)]))),
    #[cfg(target_arch = "x86_64")]
    probe("ustat", "file systems by device", "ustat(2)", User, |_| made(call(libc::SYS_ustat, &mut [Int(0), Room(&mut [0; 64])]))),
    #[cfg(target_arch = "x86_64")]
    probe("sysctl-call", "settings of the kernel by number", "sysctl(2)", Impossible("kernels since 5.5 have none"), |_| made(call(libc::SYS__sysctl, &mut [Int(0)]))),
    probe("chown-other", "a file given to somebody else", "chown(2)", Host, |_| chown()),
];

fn bpf(command: i64, attributes: &[u8]) -> Outcome {
    made(call(libc::SYS_bpf, &mut [Int(command), Bytes(attributes), Int(attributes.len() as i64)]))
}

/// An array with keys of four bytes and one value of eight.
fn map() -> Vec<u8> {
    let mut attributes = [2u32, 4, 8, 1].map(u32::to_ne_bytes).concat();
    attributes.resize(72, 0);
    attributes
}

/// `struct perf_event_attr`: the software counter of page faults, of this process, kernel and all.
fn perf() -> Outcome {
    let mut attributes = [1u32, 112, 2, 0].map(u32::to_ne_bytes).concat();
    attributes.resize(112, 0);
    done(call(libc::SYS_perf_event_open, &mut [Bytes(&attributes), Int(0), Int(-1), Int(-1), Int(0)]))
}

/// A module of that name there is nowhere: ENOENT, from those who may ask.
fn delete_module() -> Outcome {
    match call(libc::SYS_delete_module, &mut [Text(c"zviz_selftest_none"), Int(0o4000)]) {
        Err(Errno::ENOENT) => Outcome::Succeeded("let through: ENOENT".into()),
        other => done(other),
    }
}

/// A time zone of 0, which is what a kernel has: nothing is changed. A time that is none is refused before rights are asked.
fn settimeofday() -> Outcome {
    done(call(libc::SYS_settimeofday, &mut [Int(0), Bytes(&[0; 8])]))
}

/// CLOCK_REALTIME. Where it succeeds the clock stays as it is, but for the time that the call takes.
fn clock_settime() -> Outcome {
    let Ok(now) = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) else {
        return Outcome::Unknown("a clock before 1970".into());
    };
    let time = [now.as_secs(), u64::from(now.subsec_nanos())].map(u64::to_ne_bytes).concat();
    done(call(libc::SYS_clock_settime, &mut [Int(0), Bytes(&time)]))
}

/// ADJ_TICK with a tick that is none: EINVAL, from those who may.
fn adjust(number: libc::c_long) -> Outcome {
    let timex = [0x4000u32.to_ne_bytes().as_slice(), &[0; 204]].concat();
    let mut with_clock = [Int(0), Bytes(&timex)];
    let skip = usize::from(number == libc::SYS_adjtimex);
    made(call(number, with_clock.get_mut(skip..).unwrap_or_default()))
}

/// A handle of no file system in particular. ESTALE and EINVAL come to those who may ask.
fn open_by_handle() -> Outcome {
    let root = match File::open("/") {
        Ok(root) => root,
        Err(error) => return crate::outcome::done_io::<()>(Err(error)),
    };
    let handle = [8u32, 1, 2, 0].map(u32::to_ne_bytes).concat();
    made(call(libc::SYS_open_by_handle_at, &mut [Fd(root.as_fd()), Bytes(&handle), Int(0)]))
}

/// SCHED_DEADLINE: 1 ms of every 100.
fn sched_deadline() -> Outcome {
    let times = [1_000_000u64, 100_000_000, 100_000_000].map(u64::to_ne_bytes).concat();
    let attributes = [48u32.to_ne_bytes(), 6u32.to_ne_bytes()].concat();
    let attributes = [attributes.as_slice(), &[0; 16], &times].concat();
    made(call(libc::SYS_sched_setattr, &mut [Int(0), Bytes(&attributes), Int(0)]))
}

/// LSMT_ROOT of a namespace by number: `struct mnt_id_req`.
fn listmount(bait: &Bait) -> Outcome {
    if bait.mounts == 0 {
        return Outcome::NotApplicable("mount namespaces have no numbers before Linux 6.11".into());
    }
    let request = [32, u64::MAX, 0, bait.mounts].map(u64::to_ne_bytes).concat();
    done(call(raw::LISTMOUNT, &mut [Bytes(&request), Room(&mut [0; 512]), Int(64), Int(0)]))
}

/// One of its own, to a user who is mapped nowhere.
fn chown() -> Outcome {
    let path = format!("/tmp/zviz-selftest-chown-{}", std::process::id());
    if let Err(error) = std::fs::write(&path, "") {
        return crate::outcome::done_io::<()>(Err(error));
    }
    let answer = nix::unistd::chown(path.as_str(), Some(nix::unistd::Uid::from_raw(123_456)), None);
    // It is empty, and in a folder that goes.
    let _ = std::fs::remove_file(&path);
    done(answer)
}
