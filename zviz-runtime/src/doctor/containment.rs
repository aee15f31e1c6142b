//! A: namespaces, ids, mounts.

use super::probe::{APPARMOR_USERNS, FILESYSTEMS, MAX_USER_NAMESPACES, UNPRIVILEGED_USERNS};
use super::trial::Refused;
use super::{Chapter, Finding, Layer, Seen};
use crate::host::Kernel;

/// mount_setattr(2) is the newest call that nothing runs without.
const OLDEST: Kernel = Kernel { major: 5, minor: 12 };

pub(super) fn examine(seen: &Seen, findings: &mut Vec<Finding>) {
    let mut chapter = Chapter { layer: Layer::Containment, findings };
    kernel(seen, &mut chapter);
    match &seen.namespaces {
        Ok(()) => chapter.ok("namespaces", "user, pid, mount, uts, ipc, net and cgroup: made and used"),
        Err(refused) => {
            chapter.fails("namespaces", format!("{}: {}", refused.step, refused.why), namespaces_remedy(seen, refused));
        }
    }
    if let Some(run) = &seen.run {
        match run {
            Ok(()) => chapter.ok("zviz run -- true", "works"),
            Err(words) => chapter.fails("zviz run -- true", words.as_str(), ""),
        }
    }
    match &seen.without_namespaces {
        Some(Ok(())) => chapter.info("zviz run --backend landlock -- true", "works, and keeps less: docs/landlock.md"),
        Some(Err(words)) => chapter.info("zviz run --backend landlock -- true", words.as_str()),
        None => {}
    }
    ids(seen, &mut chapter);
    for (path, result) in &seen.idmapped {
        match result {
            Ok(()) => chapter.ok("idmapped mounts", format!("of {path}")),
            Err(why) => chapter.lacks(
                "idmapped mounts",
                format!("of {path}: {why}: as root it cannot be shared writable under ids of its own"),
                "use a folder on ext4, xfs, btrfs or tmpfs (Linux 6.3), or zviz run --userns identity",
            ),
        }
    }
    if seen.host.time_namespaces {
        chapter.ok("time namespaces", "there");
    } else {
        chapter.lacks(
            "time namespaces",
            "not in this kernel: linux.timeOffsets is refused",
            "a kernel with CONFIG_TIME_NS",
        );
    }
    filesystems(seen, &mut chapter);
}

fn kernel(seen: &Seen, chapter: &mut Chapter) {
    if seen.host.kernel < OLDEST {
        let remedy = format!("Linux {}.{} or later", OLDEST.major, OLDEST.minor);
        chapter.fails("kernel", format!("{} is too old", seen.release), remedy);
    } else if seen.absent_calls.is_empty() {
        chapter.ok("system calls", "openat2, pidfd_open, pidfd_getfd, close_range, open_tree, mount_setattr");
    } else {
        // New enough, and yet refused as unknown: the filter of a container around us does that.
        chapter.fails(
            "system calls",
            format!("missing: {}", seen.absent_calls.join(", ")),
            "allow them in the seccomp profile of the container that this runs in",
        );
    }
}

/// The switch that is off, if one is; else what usually is in the way.
fn namespaces_remedy(seen: &Seen, refused: &Refused) -> String {
    let is = |path: &str, value: &str| seen.settings.get(path).is_some_and(|text| text == value);
    if is(MAX_USER_NAMESPACES, "0") {
        return "sysctl -w user.max_user_namespaces=15000".into();
    }
    if seen.host.rootless && is(UNPRIVILEGED_USERNS, "0") {
        return "sysctl -w kernel.unprivileged_userns_clone=1".into();
    }
    if seen.host.rootless && is(APPARMOR_USERNS, "1") {
        return format!(
            "an AppArmor profile that lets zviz make them: printf 'abi <abi/4.0>,\\nprofile zviz {} flags=(unconfined) \
             {{ userns, }}\\n' > /etc/apparmor.d/zviz && apparmor_parser -r /etc/apparmor.d/zviz",
            seen.zviz.display()
        );
    }
    if refused.why.contains("space") {
        return "too many namespaces are in use: raise the limits below /proc/sys/user".into();
    }
    "inside a container, its filter or its profile refuses it: docker run --security-opt seccomp=unconfined \
     --security-opt apparmor=unconfined --security-opt systempaths=unconfined"
        .into()
}

fn ids(seen: &Seen, chapter: &mut Chapter) {
    let host = &seen.host;
    if !host.rootless {
        if host.user_namespace {
            chapter.info("ids", "we are root of a user namespace only: a sandbox has one id, ours");
        } else {
            chapter.ok("ids", "each sandbox has a range of its own, from 1879048192 on");
        }
        return;
    }
    chapter.info("ids", "zviz run -- CMD needs none but the caller's own");
    if host.subuids.is_empty() || host.subgids.is_empty() {
        chapter.lacks(
            "subordinate ids",
            format!("none for {} in /etc/subuid and /etc/subgid: a bundle with more than one id is refused", seen.user),
            format!("usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {}", seen.user),
        );
    } else {
        let count = |ranges: &[crate::host::IdRange]| ranges.iter().map(|range| u64::from(range.count)).sum::<u64>();
        let (uids, gids) = (count(&host.subuids), count(&host.subgids));
        chapter.ok("subordinate ids", format!("{uids} user ids, {gids} group ids"));
    }
    for (name, found) in &seen.id_helpers {
        match found {
            None => {
                chapter.lacks(name, "not installed: a bundle with more than one id is refused", "apt install uidmap")
            }
            Some((path, false)) => chapter.lacks(
                name,
                format!("{} has no privilege", path.display()),
                format!("chown root {0} && chmod u+s {0}", path.display()),
            ),
            Some((path, true)) => chapter.ok(name, path.display().to_string()),
        }
    }
}

fn filesystems(seen: &Seen, chapter: &mut Chapter) {
    let known = seen.settings.get(FILESYSTEMS).map_or("", String::as_str);
    let has = |name: &str| known.split_whitespace().any(|word| word == name);
    if has("overlay") {
        chapter.ok("overlayfs", "there");
    } else {
        chapter.lacks("overlayfs", "not loaded: engines use it for images, zviz itself does not", "modprobe overlay");
    }
    if seen.devices.contains(&"/dev/fuse") {
        chapter.ok("/dev/fuse", "may be opened");
    } else {
        chapter.info("/dev/fuse", "may not be opened: engines without root may want it, zviz does not");
    }
}
