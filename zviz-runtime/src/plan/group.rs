//! The cgroup of the spec, and who owns it.

use super::cgroup::{self, Cgroup};
use super::idmap;
use super::input::{Findings, Input};
use super::mounts::place;
use super::namespaces::{Namespace, Namespaces, User};
use super::note::Note;
use crate::host::cgroup::Mode;

/// Decides the cgroup.
pub(super) fn plan(input: Input, namespaces: &Namespaces, found: &mut Findings) -> Cgroup {
    let rootless = input.request.rootless_cgroup.unwrap_or(input.host.rootless || input.host.user_namespace);
    let mut cgroup = cgroup::plan(
        input.spec.oci.linux().as_ref(),
        &input.host.cgroup,
        input.request.systemd_cgroup,
        rootless,
        &input.request.id,
        &mut found.problems,
        &mut found.notes,
    );
    cgroup.owner = owner(input, namespaces);
    if !input.profile.broker.is_empty() {
        cgroup.parted = cgroup.can_be_parted();
        if !cgroup.parted {
            found
                .notes
                .push(Note("cgroup: the broker is not charged to the container; it stays where its maker is".into()));
        }
    }
    cgroup
}

/// A container that sees its own cgroup as the root of a writable tree may divide it: its directory then belongs to the
/// payload's user. config-linux.md, "Cgroup ownership". So may one whose profile lets it attach programs below its own
/// cgroup: there is nothing below before it has made it, and it can mount the tree by way of the broker.
fn owner(input: Input, namespaces: &Namespaces) -> Option<u32> {
    // Never in version 1: whoever may write there may leave it.
    let delegated = input.host.cgroup.mode == Mode::V2
        && namespaces.cgroup == Namespace::New
        && (input.profile.broker.bpf_devices || input.spec.oci.mounts().iter().flatten().any(is_writable_tree));
    let uid = input.spec.oci.process().as_ref().map_or(0, |process| process.user().uid());
    match &namespaces.user {
        _ if !delegated => None,
        User::Host => Some(uid),
        User::New { uids, .. } => idmap::outside(uids, uid),
        // Its map is not known before it is joined.
        User::Join(_) => None,
    }
}

fn is_writable_tree(mount: &oci_spec::runtime::Mount) -> bool {
    let destination = mount.destination().to_str().unwrap_or_default();
    let readonly = mount.options().iter().flatten().any(|option| option == "ro" || option == "rro");
    mount.typ().as_deref().is_some_and(|typ| typ.starts_with("cgroup"))
        && place::clean(destination) == "/sys/fs/cgroup"
        && !readonly
}
