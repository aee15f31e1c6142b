//! B: system calls.

use super::probe::SECCOMP_ACTIONS;
use super::{Chapter, Finding, Layer, Seen};

/// (action, what it is for).
const ACTIONS: &[(&str, &str)] = &[
    ("errno", "refusing a call"),
    ("kill_process", "ending a process for a call"),
    ("user_notif", "passing calls to a supervisor (listenerPath)"),
    ("log", "logging calls"),
];

pub(super) fn examine(seen: &Seen, findings: &mut Vec<Finding>) {
    let mut chapter = Chapter { layer: Layer::Filtering, findings };
    let Some(actions) = seen.settings.get(SECCOMP_ACTIONS) else {
        chapter.fails("seccomp", "not in this kernel", "a kernel with CONFIG_SECCOMP_FILTER");
        return;
    };
    let missing: Vec<&(&str, &str)> =
        ACTIONS.iter().filter(|(action, _)| !actions.split_whitespace().any(|word| word == *action)).collect();
    if missing.is_empty() {
        chapter.ok("seccomp", format!("actions {actions}"));
    }
    for (action, purpose) in missing {
        chapter.lacks("seccomp", format!("no action {action}: {purpose} is refused"), "a newer kernel");
    }
    if (seen.host.kernel.major, seen.host.kernel.minor) >= (5, 19) {
        chapter.ok("seccomp wait killable", "a supervised call is not repeated after a signal");
    } else {
        chapter.lacks("seccomp wait killable", "a signal repeats a supervised call", "Linux 5.19 or later");
    }
}
