//! Processes outside, and what proc and sys tell and take.

use crate::bait::Bait;
use crate::outcome::{Outcome, done, done_io, made_or, seen};
use crate::probe::Control::{Host, Impossible};
use crate::probe::{Probe, probe};
use nix::errno::Errno;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use zviz_sys::probe::Arg::{Fd, Int};
use zviz_sys::probe::call;

#[rustfmt::skip]
pub const PROBES: &[Probe] = &[
    probe("signal-outside", "a signal to a process outside", "kill(2), pid_namespaces(7)", Host, |bait| done(call(libc::SYS_kill, &mut [Int(bait.victim.into()), Int(0)]))),
    probe("trace-outside", "a process outside traced", "CVE-2016-9962, ptrace(2)", Host, |bait| done(call(libc::SYS_ptrace, &mut [Int(0x4206), Int(bait.victim.into()), Int(0), Int(0)]))),
    probe("pidfd-outside", "a descriptor for a process outside", "pidfd_open(2)", Host, |bait| done(call(libc::SYS_pidfd_open, &mut [Int(bait.victim.into()), Int(0)]))),
    probe("descriptor-outside", "a descriptor of a process outside", "CVE-2024-21626, pidfd_getfd(2)", Host, descriptor_outside),
    probe("compare-outside", "what a process outside shares with this one", "kcmp(2)", Host, |bait| done(call(libc::SYS_kcmp, &mut [Int(std::process::id().into()), Int(bait.victim.into()), Int(1), Int(0), Int(0)]))),
    probe("memory-outside", "the memory of a process outside", "proc(5)", Host, |bait| open(&format!("/proc/{}/mem", bait.victim))),
    probe("environment-outside", "the environment of any process outside", "proc(5)", Host, |bait| any_process("environ", &bait.word)),
    probe("arguments-outside", "the arguments of any process outside", "proc(5)", Host, |_| any_process("cmdline", "selftest-part\0wait\0")),
    probe("trace-process-1", "process 1 traced", "CVE-2016-9962, ptrace(2)", Impossible("it would stop the machine's first process if this one were stopped"), |_| done(call(libc::SYS_ptrace, &mut [Int(0x4206), Int(1), Int(0), Int(0)]))),
    probe("write-process-1-program", "the program of process 1 overwritten", "CVE-2019-5736, proc(5)", Host, |_| busy("/proc/1/exe")),
    probe("write-process-1-memory", "the memory of process 1", "CVE-2019-5736, proc(5)", Host, |_| open_for_writing("/proc/1/mem")),
    probe("list-process-1-files", "the descriptors of process 1", "CVE-2024-21626, proc(5)", Host, |_| list("/proc/1/fd")),
    probe("core-pattern", "a program of the host's for every crash", "CVE-2025-52881, core(5)", Host, |_| open_for_writing("/proc/sys/kernel/core_pattern")),
    probe("modprobe-path", "a program of the host's for every missing module", "proc(5), Documentation/admin-guide/sysctl/kernel.rst", Host, |_| open_for_writing("/proc/sys/kernel/modprobe")),
    probe("hotplug-path", "a program of the host's for every device", "Documentation/ABI/testing/sysfs-kernel-uevent_helper, proc(5)", Host, |_| open_for_writing("/sys/kernel/uevent_helper")),
    probe("panic", "when the machine stops", "Documentation/admin-guide/sysctl/kernel.rst", Host, |_| open_for_writing("/proc/sys/kernel/panic")),
    probe("pointers", "whether the kernel's addresses are hidden", "Documentation/admin-guide/sysctl/kernel.rst", Host, |_| open_for_writing("/proc/sys/kernel/kptr_restrict")),
    probe("randomize", "whether addresses are random", "Documentation/admin-guide/sysctl/kernel.rst", Host, |_| open_for_writing("/proc/sys/kernel/randomize_va_space")),
    probe("drop-caches", "the machine's caches emptied", "Documentation/admin-guide/sysctl/vm.rst", Host, |_| open_for_writing("/proc/sys/vm/drop_caches")),
    probe("overcommit", "how memory is given", "Documentation/admin-guide/sysctl/vm.rst", Host, |_| open_for_writing("/proc/sys/vm/overcommit_memory")),
    probe("ip-forward", "packets forwarded", "CVE-2022-0811, Documentation/networking/ip-sysctl.rst", Host, |_| open_for_writing("/proc/sys/net/ipv4/ip_forward")),
    probe("shared-memory-max", "a setting of the IPC namespace", "CVE-2022-0811, Documentation/admin-guide/sysctl/kernel.rst", Host, |_| open_for_writing("/proc/sys/kernel/shmmax")),
    probe("binary-formats", "a program of the host's for files of a kind", "Documentation/admin-guide/binfmt-misc.rst", Host, |_| open_for_writing("/proc/sys/fs/binfmt_misc/register")),
    probe("sysrq-trigger", "the machine stopped or restarted", "Documentation/admin-guide/sysrq.rst", Host, |_| open_for_writing("/proc/sysrq-trigger")),
    probe("interrupt-affinity", "which processor serves a device", "Documentation/core-api/irq/irq-affinity.rst", Host, |_| open_for_writing("/proc/irq/default_smp_affinity")),
    probe("kcore", "the machine's memory as a file", "proc(5)", Host, |_| read("/proc/kcore")),
    probe("kallsyms", "addresses of the kernel", "proc(5)", Host, |_| addresses()),
    probe("keys", "keys of the user", "proc(5), keyrings(7)", Host, |_| read("/proc/keys")),
    probe("key-users", "who has keys", "proc(5), keyrings(7)", Host, |_| read("/proc/key-users")),
    probe("timer-list", "timers of every process", "CVE-2017-5967, proc(5)", Host, |_| read("/proc/timer_list")),
    probe("latency-stats", "where the kernel waits", "proc(5)", Host, |_| read("/proc/latency_stats")),
    probe("interrupts", "when keys are pressed", "proc(5)", Host, |_| read("/proc/interrupts")),
    probe("slabinfo", "how the kernel's memory lies", "slabinfo(5)", Host, |_| read("/proc/slabinfo")),
    probe("vmallocinfo", "addresses of the kernel's memory", "proc(5)", Host, |_| read("/proc/vmallocinfo")),
    probe("kpagecount", "how often each page of memory is used", "Documentation/admin-guide/mm/pagemap.rst", Host, |_| open("/proc/kpagecount")),
    probe("kpageflags", "what each page of memory is for", "Documentation/admin-guide/mm/pagemap.rst", Host, |_| open("/proc/kpageflags")),
    probe("pagemap", "where its own memory lies in the machine's", "Documentation/admin-guide/mm/pagemap.rst", Host, |_| pagemap()),
    probe("scsi-commands", "disks added and removed", "proc(5)", Host, |_| open_for_writing("/proc/scsi/scsi")),
    probe("acpi", "the machine's firmware", "CVE-2018-10892, proc(5)", Host, |_| list("/proc/acpi")),
    probe("bus-pci", "configuration of devices", "proc(5)", Host, |_| pci()),
    probe("oom-protection", "others killed first when memory runs out", "proc_pid_oom_score_adj(5)", Host, |_| oom()),
    probe("sys-power", "the machine put to sleep", "Documentation/power/interface.rst", Host, |_| open_for_writing("/sys/power/state")),
    probe("sys-firmware", "tables of the firmware", "Documentation/ABI/testing/sysfs-firmware-acpi", Host, |_| list("/sys/firmware")),
    probe("sys-powercap", "power by the microsecond, which tells keys", "CVE-2020-8694, Documentation/power/powercap/powercap.rst", Host, |_| list("/sys/class/powercap")),
    probe("sys-debug", "the insides of drivers", "Documentation/filesystems/debugfs.rst", Host, |_| list("/sys/kernel/debug")),
    probe("sys-tracing", "every call of the kernel", "Documentation/trace/ftrace.rst", Host, |_| list("/sys/kernel/tracing")),
    probe("sys-security", "policies of security modules", "CVE-2026-23405, Documentation/admin-guide/LSM/apparmor.rst", Host, |_| list("/sys/kernel/security")),
    probe("sys-modules", "parameters of the kernel's parts", "Documentation/ABI/stable/sysfs-module", Host, |_| open_for_writing("/sys/module/kernel/parameters/panic")),
    probe("sys-processor", "a processor switched off", "Documentation/core-api/cpu_hotplug.rst", Host, |_| open_for_writing("/sys/devices/system/cpu/cpu1/online")),
    probe("cgroup-move", "out of its cgroup", "CVE-2023-25809, cgroups(7)", Host, |_| first_for_writing(&["/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/memory/cgroup.procs", "/sys/fs/cgroup/unified/cgroup.procs"])),
    probe("cgroup-limits", "its own limits raised", "CVE-2023-25809, Documentation/admin-guide/cgroup-v2.rst", Host, |_| first_for_writing(&["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/cgroup.subtree_control"])),
    probe("cgroup-release-agent", "a program of the host's for the last to leave", "CVE-2022-0492, cgroups(7)", Host, |_| first_for_writing(&["/sys/fs/cgroup/release_agent", "/sys/fs/cgroup/memory/release_agent", "/sys/fs/cgroup/rdma/release_agent"])),
];

fn open(path: &str) -> Outcome {
    done_io(File::open(path))
}

/// Opened, and nothing is written.
fn open_for_writing(path: &str) -> Outcome {
    done_io(File::options().write(true).open(path))
}

fn first_for_writing(paths: &[&str]) -> Outcome {
    let there = paths.iter().find(|path| Path::new(path).exists());
    open_for_writing(there.or(paths.first()).copied().unwrap_or_default())
}

/// ETXTBSY is for those who may write it once it does not run.
fn busy(path: &str) -> Outcome {
    match File::options().write(true).open(path) {
        Err(error) if error.raw_os_error() == Some(libc::ETXTBSY) => Outcome::Succeeded("let through: ETXTBSY".into()),
        other => done_io(other),
    }
}

/// A mask is a file that is empty.
fn read(path: &str) -> Outcome {
    let mut bytes = [0u8; 64];
    match File::open(path).and_then(|mut file| file.read(&mut bytes)) {
        Ok(length) => seen(length > 0, "what it says"),
        Err(error) => done_io::<()>(Err(error)),
    }
}

fn list(folder: &str) -> Outcome {
    match fs::read_dir(folder) {
        Ok(mut entries) => seen(entries.next().is_some(), "what is in it"),
        Err(error) => done_io::<()>(Err(error)),
    }
}

/// The first device's configuration, opened for writing.
fn pci() -> Outcome {
    let buses = fs::read_dir("/proc/bus/pci").into_iter().flatten().flatten();
    let mut devices = buses.filter_map(|bus| fs::read_dir(bus.path()).ok()).flatten().flatten();
    match devices.next() {
        Some(device) => done_io(File::options().write(true).open(device.path())),
        None => Outcome::Blocked("no device is there".into()),
    }
}

fn descriptor_outside(bait: &Bait) -> Outcome {
    match zviz_sys::process::pidfd_open(bait.victim) {
        Ok(victim) => {
            let answer = call(libc::SYS_pidfd_getfd, &mut [Fd(victim.as_fd()), Int(0), Int(0)]);
            made_or(answer, &[Errno::ESRCH])
        }
        Err(errno) => done::<()>(Err(errno)),
    }
}

/// Whether a file of any process but this one, and what it came from, has these words.
fn any_process(file: &str, words: &str) -> Outcome {
    let entries = match fs::read_dir("/proc") {
        Ok(entries) => entries,
        Err(error) => return done_io::<()>(Err(error)),
    };
    let own = std::process::id().to_string();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_other = name.to_string_lossy().parse::<u32>().is_ok() && name.to_string_lossy() != own;
        let bytes = if is_other { fs::read(entry.path().join(file)).unwrap_or_default() } else { Vec::new() };
        if String::from_utf8_lossy(&bytes).split("--bait").next().is_some_and(|text| text.contains(words)) {
            return Outcome::Succeeded(format!("process {} has it", name.to_string_lossy()));
        }
    }
    Outcome::Blocked("no process has it".into())
}

/// Zeroes are shown to those who may not know.
fn addresses() -> Outcome {
    match fs::read_to_string("/proc/kallsyms") {
        Ok(text) => {
            let mut lines = text.lines();
            seen(lines.any(|line| !line.starts_with("0000000000000000")), "an address")
        }
        Err(error) => done_io::<()>(Err(error)),
    }
}

/// The entry of the page that a variable is in: the lower 55 bits are zero for those who may not know.
fn pagemap() -> Outcome {
    let variable = 1u8;
    let page = std::ptr::from_ref(&variable) as u64 / 4096;
    let mut entry = [0u8; 8];
    match File::open("/proc/self/pagemap").and_then(|map| map.read_exact_at(&mut entry, page * 8)) {
        Ok(()) => seen(u64::from_ne_bytes(entry) & ((1 << 55) - 1) != 0, "a page's number"),
        Err(error) => done_io::<()>(Err(error)),
    }
}

/// Of this process, which ends at once. Less than it has is for CAP_SYS_RESOURCE.
fn oom() -> Outcome {
    let path = "/proc/self/oom_score_adj";
    done_io(File::options().write(true).open(path).and_then(|mut file| file.write_all(b"-1000")))
}
