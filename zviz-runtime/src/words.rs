//! The words for what init could not do, from the plan.

use crate::failure::{Failure, Stage};
use crate::ledger;
use crate::plan::{MountKind, Namespaces, Net, Plan, Time, User, Uts};
use nix::errno::Errno;

/// One line: the thing and its place, then the cause, and the limit that it may come from.
pub(crate) fn of(failure: Failure, plan: &Plan) -> String {
    let said = bare(failure, plan);
    // The program's own file, or its working directory, is no matter of limits.
    match ledger::hint(plan, failure.errno).filter(|_| failure.stage != Stage::Program) {
        Some(hint) => format!("{said}; {hint}"),
        None => said,
    }
}

fn bare(failure: Failure, plan: &Plan) -> String {
    let item = usize::from(failure.item);
    let cause = failure.errno.desc();
    let pick = |list: &[&str]| list.get(item).copied().unwrap_or("?").to_owned();
    let what = match failure.stage {
        Stage::Program | Stage::Exec => return program(failure.errno, plan),
        Stage::WorkingDirectory if failure.errno == Errno::EXDEV => {
            format!("process.cwd {:?} leads out of the container's root", plan.process.cwd)
        }
        Stage::WorkingDirectory => format!("process.cwd: chdir to {:?}", plan.process.cwd),
        // A link would lead the mount, and what is written below it later, elsewhere (CVE-2019-16884). The words are runc's.
        Stage::Mount if failure.errno == Errno::ELOOP && plan.mounts.get(item).is_some_and(|m| m.no_symlinks) => {
            return match plan.mounts.get(item).map(|m| &m.kind) {
                Some(MountKind::Remount) => format!("{}: the way there is a symbolic link", mount(item, plan)),
                _ => format!("{}: must be mounted on ordinary directory, not on a symbolic link", mount(item, plan)),
            };
        }
        Stage::Mount | Stage::Readonly => mount(item, plan),
        Stage::Device => plan.devices.get(item).map_or_else(String::new, |d| format!("device {}", d.path)),
        Stage::Symlink => plan.symlinks.get(item).map_or_else(String::new, |l| format!("link {} -> {}", l.0, l.1)),
        Stage::Mask => format!("linux.maskedPaths: {}", plan.masked_paths.get(item).map_or("?", String::as_str)),
        Stage::ReadonlyPath => {
            format!("linux.readonlyPaths: {}", plan.readonly_paths.get(item).map_or("?", String::as_str))
        }
        Stage::Sysctl => sysctl(item, plan),
        Stage::Rlimit => format!("process.rlimits[{item}]"),
        Stage::Join => joined(item, &plan.namespaces),
        Stage::Landlock => landlock(item, plan),
        Stage::Names => pick(&["hostname", "domainname"]),
        Stage::Label => pick(&["process.apparmorProfile", "process.selinuxLabel"]),
        Stage::Capabilities => pick(&["bounding capabilities", "capabilities", "ambient capabilities"]),
        Stage::Credentials => pick(&["process.user.additionalGids", "process.user.gid", "process.user.uid"]),
        Stage::Scheduling => pick(&[
            "process.scheduler",
            "process.ioPriority",
            "process.execCPUAffinity.final",
            "linux.memoryPolicy",
            "linux.personality",
        ]),
        Stage::Session => pick(&["session", "session keyring"]),
        Stage::Sync => "sync with the runtime".into(),
        Stage::UserNamespace => "become root of the user namespace".into(),
        Stage::Namespaces => "new cgroup or time namespace".into(),
        Stage::Loopback => "bring up loopback".into(),
        Stage::Propagation => "linux.rootfsPropagation".into(),
        Stage::Rootfs => match plan.rootfs.as_ref().map_or("", |r| r.path.as_str()) {
            // That of a sandbox is made from nothing.
            "" => "rootfs".into(),
            path => format!("rootfs {path}"),
        },
        Stage::Pivot => "pivot_root".into(),
        Stage::Console => "console".into(),
        Stage::NoNewPrivs => "no_new_privs".into(),
        Stage::Descriptors => "close_range".into(),
        Stage::Seccomp => "load the seccomp filter".into(),
        Stage::Fifo => "wait for start".into(),
        Stage::Reaper => "reaper".into(),
        Stage::Cgroup => "enter the cgroup".into(),
    };
    format!("{what}: {cause}")
}

fn mount(item: usize, plan: &Plan) -> String {
    let Some(mount) = plan.mounts.get(item) else { return "root".into() };
    let what = match &mount.kind {
        MountKind::Bind(bind) => format!("bind of {}", bind.source),
        MountKind::Filesystem(fs) => fs.fstype.clone(),
        MountKind::Overlay => "overlay".into(),
        MountKind::Remount => "remount".into(),
        MountKind::Symlink { target } => format!("link to {target}"),
        MountKind::Directory { .. } => "directory".into(),
    };
    format!("mount {} of {} ({what} on {}, {})", item + 1, plan.mounts.len(), mount.destination, mount.origin)
}

fn sysctl(item: usize, plan: &Plan) -> String {
    plan.sysctl.keys().nth(item).map_or_else(|| "linux.sysctl".into(), |key| format!("linux.sysctl[{key:?}]"))
}

fn landlock(item: usize, plan: &Plan) -> String {
    let rule = plan.landlock.as_ref().and_then(|l| l.rules.get(item));
    rule.map_or_else(|| "enforce landlock".into(), |rule| format!("landlock rule for {}", rule.path))
}

/// In no fixed order: which one it was the kernel's errno and the paths must tell.
fn joined(_item: usize, n: &Namespaces) -> String {
    let mut paths = Vec::new();
    for ns in [&n.ipc, &n.pid, &n.cgroup, &n.mount] {
        if let crate::plan::Namespace::Join(path) = ns {
            paths.push(path.as_str());
        }
    }
    if let Uts::Join { path, .. } = &n.uts {
        paths.push(path);
    }
    if let Net::Join { path, .. } = &n.net {
        paths.push(path);
    }
    if let Time::Join(path) = &n.time {
        paths.push(path);
    }
    if let User::Join(path) = &n.user {
        paths.push(path);
    }
    format!("join namespaces ({})", paths.join(", "))
}

/// As the Go runtimes say it: Docker and containerd look for these words to choose the exit code.
fn program(errno: Errno, plan: &Plan) -> String {
    let name = plan.process.args.first().map_or("", String::as_str);
    match errno {
        Errno::ENOENT if !name.contains('/') => format!("exec: {name:?}: executable file not found in $PATH"),
        Errno::ENOENT => format!("exec: {name:?}: stat {name}: no such file or directory"),
        Errno::EACCES => format!("exec: {name:?}: permission denied"),
        // Docker takes code 126 from the first two words.
        Errno::EISDIR => format!("exec: {name:?}: permission denied: is a directory"),
        other => format!("exec {name:?}: {}", other.desc()),
    }
}
