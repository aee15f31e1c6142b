//! What a profile asks for that takes namespaces, mounts or cgroups: refused, unless it says that it may be left out.

use crate::plan::input::{Findings, Input};
use crate::profile::{Limits, files};

/// What has a private one in every sandbox of mounts; here, the temporary folder is what there is.
const TEMPORARY: &[&str] = &["/dev/shm", "/run", "/tmp", "/var/tmp"];

pub(super) fn check(input: Input, found: &mut Findings) {
    let profile = input.profile;
    let mut problem = |key: &str, what: &str| found.problem(format!("profile {}: {key}", profile.name), what);
    if profile.nested {
        problem("nested", "sandboxes inside need namespaces (--backend landlock has none)");
    }
    if !profile.broker.is_empty() {
        // Its hands are processes in the namespaces of who calls, with a root of their own to look names up in.
        problem(
            "broker",
            "works through the sandbox's namespaces (--backend landlock has none): patterns, addresses, asking and mediated calls cannot be had",
        );
    }
    for path in profile.files.tmpfs.iter().filter(|path| !is_temporary(path)) {
        problem("filesystem.tmpfs", &format!("{path} needs a mount (--backend landlock has none)"));
    }
    limits(input, &profile.limits, found);
    if profile.capabilities != 0 && profile.capabilities != u64::MAX {
        let what =
            "left out: there is no user namespace, and the host's own are not for a sandbox (--backend landlock)";
        found.note("capabilities.keep", what);
    }
    if profile.files.executable.is_some() {
        let what = "holds execve alone: without mounts a linker that is called by name maps what it may read";
        found.note("filesystem.executable", what);
    }
}

/// Whether the temporary folder stands in for it.
fn is_temporary(path: &str) -> bool {
    TEMPORARY.iter().any(|own| files::within(path, own))
}

fn limits(input: Input, limits: &Limits, found: &mut Findings) {
    let given = [
        ("memory_max", limits.memory.is_some()),
        ("memory_swap_max", limits.memory_and_swap.is_some()),
        ("memory_high", limits.memory_high.is_some()),
        ("cpu_max", limits.cpu.is_some()),
        ("cpu_weight", limits.cpu_weight.is_some()),
        ("pids_max", limits.pids.is_some()),
        ("io_max", !limits.io.is_empty()),
        ("tmpfs_max", limits.tmpfs.is_some()),
    ];
    for (key, _) in given.iter().filter(|(_, given)| *given) {
        let what = if *key == "tmpfs_max" { "there is no folder in memory" } else { "there is no cgroup" };
        match limits.optional {
            true => found.note(
                format!("resources.{key}"),
                format!("{what} (--backend landlock): left out (requirements.cgroup: optional)"),
            ),
            false => found.problem(
                format!("profile {}: resources.{key}", input.profile.name),
                format!("{what} (--backend landlock); requirements.cgroup: optional leaves it out"),
            ),
        }
    }
}
