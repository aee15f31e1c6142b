//! D: cgroups.

use super::{Chapter, Finding, Layer, Seen};
use crate::host::cgroup::Mode;

pub(super) fn examine(seen: &Seen, findings: &mut Vec<Finding>) {
    let mut chapter = Chapter { layer: Layer::Resources, findings };
    let cgroups = &seen.cgroups;
    match cgroups.mode {
        Mode::V2 => chapter.ok("cgroups", "version 2"),
        Mode::Hybrid => chapter.info("cgroups", "hybrid: controllers in version 1, a tree of version 2 beside them"),
        Mode::V1 => chapter.info("cgroups", "version 1"),
        Mode::None => {
            chapter.lacks("cgroups", "none is mounted: nothing can be limited", seen.limits.remedy.as_str());
        }
    }
    if cgroups.mode != Mode::None {
        limits(seen, &mut chapter);
    }
    if cgroups.systemd {
        chapter.ok("systemd", "runs: --systemd-cgroup has it make the cgroups");
    } else {
        chapter.info("systemd", "is not process 1: --systemd-cgroup is refused, cgroups are made by hand");
    }
}

fn limits(seen: &Seen, chapter: &mut Chapter) {
    let limits = &seen.limits;
    let flags = [
        ("memory", limits.memory, "--memory is refused"),
        ("pids", limits.pids, "--pids is refused"),
        ("cpu", limits.cpu, "--cpus is refused"),
    ];
    for (controller, there, without) in flags {
        match there {
            true => chapter.ok(controller, "can be limited"),
            // The limit of the user namespace stands in.
            false if controller == "pids" && limits.nproc_of_namespace => {
                chapter.info(controller, "no controller for this caller: RLIMIT_NPROC of the sandbox stands in");
            }
            false => {
                let seen = format!("cannot be limited by this caller: {without}");
                chapter.lacks(controller, seen, limits.remedy.as_str());
            }
        }
    }
    if limits.memory && !limits.swap {
        chapter.lacks(
            "swap",
            "is not accounted: a memory limit leaves it free",
            "swapaccount=1 on the kernel's command line",
        );
    }
}
