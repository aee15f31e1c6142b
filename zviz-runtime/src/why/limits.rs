//! What may be used up, where a call fails for want of it.

use super::change::{Change, Risk};
use super::scene::{name, object, text};
use super::{Denial, Layer, Scene};
use crate::plan::MountKind;
use nix::errno::Errno;
use nix::sys::resource::Resource;
use zviz_observe::Call;

/// How much more is told: what would be enough nobody knows.
const TWICE: u64 = 2;

/// Whether a limit can have been the reason.
pub(super) fn ask(scene: &Scene<'_>, call: &Call, errno: Errno) -> Option<Denial> {
    match errno {
        Errno::EAGAIN if matches!(name(call).as_str(), "clone" | "clone3" | "fork" | "vfork") => processes(scene, call),
        Errno::EMFILE => open_files(scene, call),
        Errno::EFBIG => file_size(scene, call),
        Errno::ENOSPC | Errno::EDQUOT => space(scene, call),
        _ => None,
    }
}

/// A change of a limit that a flag has too; a profile's lower one holds beside it.
pub(super) fn more(flag: &str, key: &str, own: Option<u64>, limit: u64, why: &str) -> Change {
    let more = limit.saturating_mul(TWICE);
    match own {
        Some(_) => Change::yaml(format!("resources: {{{key}: {more}}}"), Risk::Low, why),
        None => Change::flag(flag, more.to_string(), Risk::Low, why),
    }
}

fn processes(scene: &Scene<'_>, call: &Call) -> Option<Denial> {
    let of_cgroup = scene.plan.cgroup.resources.pids.and_then(|limit| u64::try_from(limit).ok());
    let limits = &scene.plan.process.rlimits;
    let of_processes =
        limits.iter().find(|limit| limit.resource == Resource::RLIMIT_NPROC as u32).map(|limit| limit.soft);
    // The kernel has other reasons too; where the cgroup counts, it was one of those.
    let of_cgroup = of_cgroup.filter(|_| scene.outside.pids_met() != Some(0));
    let limit = of_cgroup.into_iter().chain(of_processes).min()?;
    let own = scene.plan.profile.limits.pids.filter(|own| *own <= limit);
    let change = more("--pids", "pids_max", own, limit, "a fork bomb takes so many of the host's");
    let denial =
        Denial::new(Layer::Limits, "pids").what(format!("there are {limit} processes and threads, and no more"));
    Some(scene.told(denial.rule(scene.rules.key("resources.pids_max")).changes([change]), call, ""))
}

fn open_files(scene: &Scene<'_>, call: &Call) -> Option<Denial> {
    // Without a profile's limit it is the caller's own.
    let limit = scene.plan.profile.limits.open_files?;
    let change = Change::yaml(
        format!("resources: {{open_files: {}}}", limit.saturating_mul(TWICE)),
        Risk::Low,
        "open files take the host's memory",
    );
    let denial =
        Denial::new(Layer::Limits, "open-files").what(format!("a process has {limit} open files, and no more"));
    Some(scene.told(denial.rule(scene.rules.key("resources.open_files")).changes([change]), call, ""))
}

fn file_size(scene: &Scene<'_>, call: &Call) -> Option<Denial> {
    let limit = scene.plan.profile.limits.file_size?;
    let change = Change::yaml(
        format!("resources: {{file_size: {}}}", limit.saturating_mul(TWICE)),
        Risk::Low,
        "files fill the host's disk",
    );
    let denial = Denial::new(Layer::Limits, "file-size").what(format!("a file has {limit} bytes, and no more"));
    Some(scene.told(denial.rule(scene.rules.key("resources.file_size")).changes([change]), call, object(call)))
}

fn space(scene: &Scene<'_>, call: &Call) -> Option<Denial> {
    let path = text(call.paths.last()?);
    let mount = scene.mount(&path)?;
    let MountKind::Filesystem(filesystem) = &mount.kind else { return None };
    let size = filesystem.options.iter().find(|(key, _)| key == "size")?.1.as_deref()?.parse::<u64>().ok()?;
    let place = mount.destination.as_str();
    let denial =
        Denial::new(Layer::Limits, "tmpfs").what(format!("the folder {place} is in memory, and holds {size} bytes"));
    let own = scene.plan.profile.limits.tmpfs.filter(|own| *own <= size);
    let why = "it is memory of the host, within the sandbox's own limit where there is one";
    let more = size.saturating_mul(TWICE);
    let change = match own {
        Some(_) => Some(Change::yaml(format!("resources: {{tmpfs_max: {more}}}"), Risk::Low, why)),
        None if crate::profile::files::within(place, "/dev") => None,
        None => Some(Change::flag("--tmpfs", format!("{place}:{more}"), Risk::Low, why)),
    };
    let rule = own.and_then(|_| scene.rules.key("resources.tmpfs_max"));
    Some(scene.told(denial.rule(rule).changes(change), call, &path))
}
