//! What a profile takes away from a spec, in the spec's own words, so that one planner decides about both.

mod folders;

use super::cgroup::v2::cpu_shares;
use super::input::{Findings, Input};
use crate::host::Host;
use crate::profile::apparmor::Wanted;
use crate::profile::{Limits, Profile, files, limits};
use oci_spec::runtime as oci;

/// What an AppArmor profile is called that forbids nothing.
const UNCONFINED: &str = "unconfined";

/// The spec within the profile; none where the profile has nothing to say that a spec has words for.
pub(super) fn narrow(input: Input, found: &mut Findings) -> Option<oci::Spec> {
    let profile = input.profile;
    let plain = Profile { files: files::Files::default(), limits: Limits::default(), ..Profile::none() };
    let says = profile.files != plain.files
        || profile.limits != plain.limits
        || profile.apparmor.is_some()
        || profile.selinux.is_some();
    if !says {
        return None;
    }
    let mut spec = input.spec.oci.clone();
    files_of(&mut spec, &profile.files, &profile.limits, input.request.sandbox);
    resources(&mut spec, &profile.limits, input.host, found);
    if let Some(mut given) = spec.process().clone() {
        process(&mut given, profile, input.host, found);
        spec.set_process(Some(given));
    }
    Some(spec)
}

/// The process of a spec, or another one that `exec` adds, within the profile.
pub(super) fn process(process: &mut oci::Process, profile: &Profile, host: &Host, found: &mut Findings) {
    labels(process, profile, host, found);
    rlimits(process, &profile.limits);
}

fn files_of(spec: &mut oci::Spec, files: &files::Files, limits: &Limits, sandbox: bool) {
    let mut linux = spec.linux().clone().unwrap_or_default();
    let join = |given: &Option<Vec<String>>, more: &[String]| {
        let mut all = given.clone().unwrap_or_default();
        all.extend(more.iter().filter(|path| *path != "/").cloned());
        Some(all)
    };
    linux.set_masked_paths(join(linux.masked_paths(), &files.hidden));
    linux.set_readonly_paths(join(linux.readonly_paths(), &files.readonly));
    spec.set_linux(Some(linux));
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    folders::narrow(&mut mounts, files, limits, sandbox);
    spec.set_mounts(Some(mounts));
}

/// A label stands for rules that nobody here can compare: one that the spec has is not replaced by another. The one that is
/// generated takes its place later; what is said of a named one holds for it too.
fn labels(process: &mut oci::Process, profile: &Profile, host: &Host, found: &mut Findings) {
    let optional = profile.requirements.lsm_optional;
    let mut left_out = |there: bool, what: &str| {
        if optional && !there {
            let place = format!("profile {}: lsm", profile.name);
            found.note(place, format!("this kernel has no {what}: left out (requirements.lsm: optional)"));
        }
        optional && !there
    };
    let named = match &profile.apparmor {
        Some(Wanted::Named(_)) if left_out(host.apparmor, "AppArmor") => None,
        Some(Wanted::Named(name)) => Some(name.as_str()),
        Some(Wanted::Generated) | None => None,
    };
    let selinux = profile.selinux.as_ref().filter(|_| !left_out(host.selinux, "SELinux"));
    let mut clash = |place: &str, own: &Option<String>, other: Option<&str>| {
        let none = |own: &&str| own.is_empty() || *own == UNCONFINED || Some(*own) == other;
        if let Some(own) = own.as_deref().filter(|own| !none(own)) {
            let other = other.map_or_else(|| "one of its own".to_owned(), |other| format!("{other:?}"));
            let what = format!("is {own:?}, and the profile {} has {other}: leave one of them out", profile.name);
            found.problem(place, what);
        }
    };
    if profile.apparmor == Some(Wanted::Generated) {
        clash("process.apparmorProfile", process.apparmor_profile(), None);
        process.set_apparmor_profile(None);
    }
    if let Some(name) = named {
        clash("process.apparmorProfile", process.apparmor_profile(), Some(name));
        process.set_apparmor_profile(Some(name.to_owned()));
    }
    if let Some(label) = selinux {
        clash("process.selinuxLabel", process.selinux_label(), Some(label));
        process.set_selinux_label(Some(label.clone()));
    }
}

/// The lower of two limits, of which the spec's may say "none" by a number below 1.
fn lower(spec: Option<i64>, profile: Option<u64>) -> Option<i64> {
    let profile = profile.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX));
    match (spec.filter(|limit| *limit > 0), profile) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (None, Some(other)) => Some(other),
        (_, None) => spec,
    }
}

fn resources(spec: &mut oci::Spec, limits: &Limits, host: &Host, found: &mut Findings) {
    let process_count = spec.process().as_ref().and_then(|process| rlimit(process, oci::PosixRlimitType::RlimitNproc));
    let mut may = |controller: &str, key: &str, wanted: bool| {
        let (there, of_version_2) = match key {
            "memory_high" => (has_of_version_2(host, controller), " of version 2"),
            _ => (has(host, controller), ""),
        };
        if !wanted || there {
            return wanted;
        }
        let what = format!("the cgroups of this caller have no {controller} controller{of_version_2}");
        match limits.optional {
            true => found.note(format!("resources.{key}"), format!("{what}: left out (requirements.cgroup: optional)")),
            false => found.problem(format!("resources.{key}"), what),
        }
        false
    };
    let counted = process_count.zip(limits.pids).is_some_and(|(own, limit)| own <= limit);
    let memory = may("memory", "memory_max", limits.memory.is_some());
    let high = limits.memory_high.filter(|_| may("memory", "memory_high", true));
    let pids = !counted && may("pids", "pids_max", limits.pids.is_some());
    let cpu = may("cpu", "cpu_max", limits.cpu.is_some() || limits.cpu_weight.is_some());
    let io = may("io", "io_max", !limits.io.is_empty());
    let mut linux = spec.linux().clone().unwrap_or_default();
    let mut resources = linux.resources().clone().unwrap_or_default();
    if memory {
        resources.set_memory(Some(memory_of(resources.memory().unwrap_or_default(), limits)));
    }
    if let Some(high) = high {
        let mut unified = resources.unified().clone().unwrap_or_default();
        let own = unified.get(HIGH).filter(|own| *own != "max").map(|own| own.parse::<u64>());
        if own.as_ref().is_some_and(Result::is_err) {
            found.problem(format!("linux.resources.unified[{HIGH:?}]"), "must be bytes or max beside a profile's");
        }
        let own = own.and_then(Result::ok);
        unified.insert(HIGH.to_owned(), own.map_or(high, |own| own.min(high)).to_string());
        resources.set_unified(Some(unified));
    }
    if pids {
        let given = resources.pids().as_ref().map(oci::LinuxPids::limit);
        if let Some(limit) = lower(given, limits.pids) {
            resources.set_pids(oci::LinuxPidsBuilder::default().limit(limit).build().ok());
        }
    }
    if cpu {
        resources.set_cpu(Some(cpu_of(resources.cpu().clone().unwrap_or_default(), limits)));
    }
    if io {
        let mut block = resources.block_io().clone().unwrap_or_default();
        throttle(&mut block, &limits.io);
        resources.set_block_io(Some(block));
    }
    linux.set_resources(Some(resources));
    spec.set_linux(Some(linux));
}

/// Whether a controller is there to be written. Version 1 calls that of block devices otherwise.
fn has(host: &Host, controller: &str) -> bool {
    let older = if controller == "io" { "blkio" } else { controller };
    let v1 = host.cgroup.v1.iter().any(|group| group.writable && group.controllers.iter().any(|name| name == older));
    v1 || has_of_version_2(host, controller)
}

fn has_of_version_2(host: &Host, controller: &str) -> bool {
    host.cgroup.v2.iter().any(|group| group.writable && group.controllers.iter().any(|name| name == controller))
}

/// Of version 2 alone, and no part of the spec's own words.
const HIGH: &str = "memory.high";

fn memory_of(mut memory: oci::LinuxMemory, limits: &Limits) -> oci::LinuxMemory {
    let limit = lower(memory.limit(), limits.memory);
    memory.set_limit(limit);
    if limits.memory_and_swap.is_some() || memory.swap().is_some() {
        let both = lower(memory.swap(), limits.memory_and_swap);
        // Together they are no less than the memory alone.
        memory.set_swap(both.map(|both| both.max(limit.unwrap_or(both))));
    }
    memory
}

fn cpu_of(mut cpu: oci::LinuxCpu, limits: &Limits) -> oci::LinuxCpu {
    if let Some((quota, period)) = limits.cpu {
        let own = cpu.quota().filter(|quota| *quota > 0).zip(cpu.period().or(Some(100_000)));
        let more = |(own_quota, own_period): (i64, u64)| {
            u128::from(own_quota.unsigned_abs()) * u128::from(period) > u128::from(quota) * u128::from(own_period)
        };
        if own.is_none_or(more) {
            cpu.set_quota(i64::try_from(quota).ok()).set_period(Some(period));
        }
    }
    if let Some(weight) = limits.cpu_weight {
        // The spec has the scale of version 1.
        let shares = cpu_shares(weight);
        cpu.set_shares(Some(cpu.shares().map_or(shares, |own| own.min(shares))));
    }
    cpu
}

fn throttle(block: &mut oci::LinuxBlockIo, io: &[limits::Io]) {
    let device = |io: &limits::Io, rate: Option<u64>| {
        let (major, minor) = (i64::from(io.device.0), i64::from(io.device.1));
        oci::LinuxThrottleDeviceBuilder::default().major(major).minor(minor).rate(rate?).build().ok()
    };
    let join = |given: &Option<Vec<oci::LinuxThrottleDevice>>, rate: &dyn Fn(&limits::Io) -> Option<u64>| {
        let mut all = given.clone().unwrap_or_default();
        for new in io.iter().filter_map(|io| device(io, rate(io))) {
            let same = |old: &oci::LinuxThrottleDevice| old.major() == new.major() && old.minor() == new.minor();
            match all.iter_mut().find(|old| same(old)) {
                Some(old) if old.rate() == 0 || old.rate() > new.rate() => *old = new,
                Some(_) => {}
                None => all.push(new),
            }
        }
        (!all.is_empty()).then_some(all)
    };
    block.set_throttle_read_bps_device(join(block.throttle_read_bps_device(), &|io| io.read_bytes));
    block.set_throttle_write_bps_device(join(block.throttle_write_bps_device(), &|io| io.written_bytes));
    block.set_throttle_read_iops_device(join(block.throttle_read_iops_device(), &|io| io.reads));
    block.set_throttle_write_iops_device(join(block.throttle_write_iops_device(), &|io| io.writes));
}

fn rlimit(process: &oci::Process, typ: oci::PosixRlimitType) -> Option<u64> {
    process.rlimits().iter().flatten().find(|limit| limit.typ() == typ).map(oci::PosixRlimit::hard)
}

fn rlimits(process: &mut oci::Process, limits: &Limits) {
    use oci::PosixRlimitType as Type;
    let core = (limits.core_files == Some(false)).then_some(0);
    let wanted = [
        (Type::RlimitNofile, limits.open_files),
        (Type::RlimitFsize, limits.file_size),
        (Type::RlimitCpu, limits.cpu_time),
        (Type::RlimitCore, core),
    ]
    .into_iter()
    .filter_map(|(typ, limit)| Some((typ, limit?)));
    // At the first of the two the kernel sends SIGXCPU, which says what it was, and at the second SIGKILL. getrlimit(2).
    let hard_of = |typ, limit: u64| if typ == Type::RlimitCpu { limit.saturating_add(1) } else { limit };
    let mut all = process.rlimits().clone().unwrap_or_default();
    for (typ, limit) in wanted {
        let own = all.iter().position(|own| own.typ() == typ).map(|at| all.remove(at));
        let (soft, hard) = own
            .map_or((limit, hard_of(typ, limit)), |own| (own.soft().min(limit), own.hard().min(hard_of(typ, limit))));
        all.extend(oci::PosixRlimitBuilder::default().typ(typ).soft(soft).hard(hard).build());
    }
    process.set_rlimits(Some(all));
}
