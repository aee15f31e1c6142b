//! The root, and what is hidden or made read-only in it.

use super::input::{Findings, Input};
use super::mounts::{Propagation, PropagationKind, place};
use super::namespaces::{Namespace, Namespaces};
use super::rootfs::Rootfs;

/// Decides the container's root.
pub(super) fn rootfs(input: Input, found: &mut Findings) -> Option<Rootfs> {
    let Some(root) = input.spec.oci.root() else {
        found.problem("root", "is required");
        return None;
    };
    let given = root.path().to_str().unwrap_or_default();
    if given.is_empty() && !input.request.sandbox {
        found.problem("root.path", "is required");
    }
    let path = if input.request.sandbox {
        String::new()
    } else if given.starts_with('/') {
        place::clean(given)
    } else {
        place::clean(&format!("{}/{given}", input.spec.bundle))
    };
    if path == "/" && !given.is_empty() {
        found.problem("root.path", "is the host's own root");
    }
    let propagation = propagation(input, found);
    if !input.request.pivot && propagation.is_some_and(|p| p.kind == PropagationKind::Private) {
        found.problem(
            "linux.rootfsPropagation",
            "private is not safe without pivot_root: the host's mounts stay reachable",
        );
    }
    Some(Rootfs {
        path,
        readonly: root.readonly().unwrap_or(false),
        propagation,
        pivot: input.request.pivot,
        mount_label: mount_label(input, found),
    })
}

fn propagation(input: Input, found: &mut Findings) -> Option<Propagation> {
    let word = input.linux()?.rootfs_propagation().as_deref().filter(|word| !word.is_empty())?;
    let (kind, recursive) = match word {
        "shared" => (PropagationKind::Shared, false),
        "rshared" => (PropagationKind::Shared, true),
        "slave" => (PropagationKind::Slave, false),
        "rslave" => (PropagationKind::Slave, true),
        "private" => (PropagationKind::Private, false),
        "rprivate" => (PropagationKind::Private, true),
        "unbindable" => (PropagationKind::Unbindable, false),
        "runbindable" => (PropagationKind::Unbindable, true),
        other => {
            found.problem("linux.rootfsPropagation", format!("unknown propagation {other:?}"));
            return None;
        }
    };
    Some(Propagation { kind, recursive })
}

fn mount_label(input: Input, found: &mut Findings) -> Option<String> {
    let label = input.linux()?.mount_label().clone().filter(|label| !label.is_empty())?;
    if !input.host.selinux {
        found.problem("linux.mountLabel", "this kernel has no SELinux: leave the label out");
    }
    Some(label)
}

/// Decides the masked and the read-only paths.
pub(super) fn hidden(input: Input, namespaces: &Namespaces, found: &mut Findings) -> (Vec<String>, Vec<String>) {
    let mut list = |given: Option<&Vec<String>>, place: &str| {
        let mut paths: Vec<String> = Vec::new();
        for (i, path) in given.into_iter().flatten().enumerate() {
            if !path.starts_with('/') {
                // The specification has them absolute, but runc takes them from where it stands, which is the root.
                found.note(format!("{place}[{i}]"), format!("{path:?} is relative, taken from /"));
            }
            let path = place::clean(path);
            if path == "/" {
                found.problem(format!("{place}[{i}]"), "is the container's whole root");
            } else if !paths.contains(&path) {
                paths.push(path);
            }
        }
        if !paths.is_empty() && namespaces.mount != Namespace::New {
            found.problem(place, "needs a new mount namespace");
        }
        paths
    };
    let linux = input.linux();
    let masked = list(linux.and_then(|l| l.masked_paths().as_ref()), "linux.maskedPaths");
    let readonly = list(linux.and_then(|l| l.readonly_paths().as_ref()), "linux.readonlyPaths");
    (masked, readonly)
}
