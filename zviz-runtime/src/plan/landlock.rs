//! Landlock over the same paths as the mounts: writing only where a mount is writable.

use super::input::{Findings, Input};
use super::mounts::{Mount, MountKind, attr};
use super::rootfs::Rootfs;
use super::{Landlock, LandlockRights};

/// Scopes of abstract sockets and signals. Linux 6.12.
const ABI_SCOPES: u32 = 6;

/// Decides the ruleset, where the profile asks for one.
pub(super) fn plan(input: Input, rootfs: Option<&Rootfs>, mounts: &[Mount], found: &mut Findings) -> Option<Landlock> {
    if !input.profile.landlock {
        return None;
    }
    let abi = input.host.landlock_abi;
    if abi == 0 {
        found.note("landlock", "this kernel has none: the mounts alone keep the payload from writing");
        return None;
    }
    if input.profile.nested {
        // A rule belongs to a file of these mounts. A sandbox inside has mounts of its own and changes its root to one of
        // them, from which no way leads up to any rule: nothing could be granted there.
        found.note("landlock", "files are not judged by path (nested): the mounts alone keep from writing");
        return (abi >= ABI_SCOPES).then(|| Landlock { abi, rules: Vec::new(), scoped: true });
    }
    // A root that is given as a directory is the container's own, to be written unless it is read-only; one that is made
    // of mounts alone has nothing of its own.
    let owned = rootfs.is_some_and(|root| !root.path.is_empty() && !root.readonly);
    let root = if owned { LandlockRights::Full } else { LandlockRights::ReadExecute };
    let mut rules = vec![("/".to_owned(), root)];
    for mount in mounts {
        let rights = match mount.kind {
            MountKind::Bind(_) | MountKind::Filesystem(_) if !is_readonly(mount) => LandlockRights::Full,
            MountKind::Bind(_) | MountKind::Filesystem(_) => LandlockRights::ReadExecute,
            // A changed mount keeps its rule only where it has one; nothing is granted by a change.
            MountKind::Remount | MountKind::Symlink { .. } | MountKind::Directory { .. } => continue,
        };
        rules.retain(|(path, _)| *path != mount.destination);
        rules.push((mount.destination.clone(), rights));
    }
    Some(Landlock { abi, rules, scoped: abi >= ABI_SCOPES })
}

fn is_readonly(mount: &Mount) -> bool {
    mount.late_readonly || (mount.attributes.set | mount.recursive.set) & attr::RDONLY != 0
}
