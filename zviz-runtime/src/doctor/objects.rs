//! C: Landlock, AppArmor, SELinux.

use super::probe::{LSM, SELINUX_ENFORCE};
use super::{Chapter, Finding, Layer, Seen};

/// (ABI, kernel, what it adds). Documentation/userspace-api/landlock.rst.
const LANDLOCK: &[(u32, &str, &str)] = &[
    (1, "5.13", "reading, writing and executing files"),
    (2, "5.19", "renames and links between folders"),
    (3, "6.2", "truncation"),
    (4, "6.7", "TCP ports"),
    (5, "6.10", "ioctl on devices"),
    (6, "6.12", "abstract sockets and signals"),
    (7, "6.15", "logging"),
];

pub(super) fn examine(seen: &Seen, findings: &mut Vec<Finding>) {
    let mut chapter = Chapter { layer: Layer::Objects, findings };
    landlock(seen, &mut chapter);
    if seen.host.apparmor {
        chapter.ok("AppArmor", "enforces: named profiles are applied; as root, generated ones too");
    } else {
        chapter.info("AppArmor", "not in force: a spec that names a profile is refused");
    }
    match (seen.host.selinux, seen.settings.get(SELINUX_ENFORCE).map(String::as_str)) {
        (false, _) => chapter.info("SELinux", "not there: a spec that names a label is refused"),
        (true, Some("1")) => chapter.ok("SELinux", "enforces: labels are applied"),
        (true, _) => chapter.lacks("SELinux", "permissive: labels are applied, and refuse nothing", "setenforce 1"),
    }
}

fn landlock(seen: &Seen, chapter: &mut Chapter) {
    let abi = seen.host.landlock_abi;
    if abi == 0 {
        // The list is there wherever securityfs is: then it tells whether the module is built in and left out.
        let listed = seen.settings.get(LSM);
        let remedy = match listed {
            Some(list) => format!("lsm=landlock,{list} on the kernel's command line"),
            None => "a kernel with CONFIG_SECURITY_LANDLOCK, and landlock in lsm= of its command line".into(),
        };
        chapter.lacks("Landlock", "not in force: mounts alone keep a sandbox from writing", remedy);
        return;
    }
    chapter.ok("Landlock", format!("ABI {abi}"));
    for (needed, kernel, adds) in LANDLOCK.iter().filter(|(needed, ..)| *needed > abi) {
        chapter.lacks("Landlock", format!("ABI {needed}: {adds}"), format!("Linux {kernel} or later"));
    }
}
