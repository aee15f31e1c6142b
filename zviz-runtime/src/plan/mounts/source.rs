//! What each mount of a spec mounts.

use super::options::{self, Options, attr};
use super::{Attributes, Bind, Filesystem, IdmapSource, Mount, MountKind, place};
use crate::plan::cgroup::{Cgroup, mounts};
use crate::plan::idmap;
use crate::plan::input::{Findings, Input};
use crate::plan::namespaces::{Namespace, Namespaces, Net, User};
use oci_spec::runtime as oci;

/// File systems whose every instance is as read-only as its mount: no device is written to mount them, and some share
/// one superblock with the host, which must stay writable.
const PSEUDO: &[&str] = &["cgroup", "cgroup2", "devpts", "mqueue", "proc", "sysfs", "tmpfs"];

/// Decides the mounts of the spec, in its order.
pub(in crate::plan) fn plan(
    input: Input,
    namespaces: &Namespaces,
    cgroup: &Cgroup,
    found: &mut Findings,
) -> Vec<Mount> {
    let mut mounts = Vec::new();
    for (i, given) in input.spec.oci.mounts().iter().flatten().enumerate() {
        let at = format!("mounts[{i}]");
        let Some(mount) = mount(input, namespaces, given, &at, found) else { continue };
        match &mount.kind {
            MountKind::Filesystem(fs) if fs.fstype == "cgroup" => {
                mounts.extend(cgroups(input, namespaces, cgroup, mount, found));
            }
            _ => mounts.push(mount),
        }
    }
    mounts
}

/// What a mount of type `cgroup` is on this host: one hierarchy, or a directory with several.
fn cgroups(input: Input, namespaces: &Namespaces, cgroup: &Cgroup, given: Mount, found: &mut Findings) -> Vec<Mount> {
    if let MountKind::Filesystem(fs) = &given.kind
        && !fs.options.is_empty()
    {
        found.note(format!("{}.options", given.origin), "of a cgroup hierarchy are the host's, left out");
    }
    let parts = mounts::mounts(cgroup, &input.host.cgroup, namespaces.cgroup == Namespace::New);
    let part = |(below, kind): (String, MountKind)| {
        let place = if below.is_empty() { given.destination.clone() } else { format!("{}/{below}", given.destination) };
        let mut mount = Mount { destination: place, kind, ..given.clone() };
        if matches!(mount.kind, MountKind::Symlink { .. }) {
            mount.attributes = Attributes::default();
            mount.recursive = Attributes::default();
            mount.propagation.clear();
        }
        // The directory that holds the hierarchies stays writable until they are there.
        let holds = matches!(&mount.kind, MountKind::Filesystem(fs) if fs.fstype == "tmpfs");
        if holds && mount.attributes.set & attr::RDONLY != 0 {
            mount.late_readonly = true;
            mount.attributes.set &= !attr::RDONLY;
        }
        mount
    };
    parts.into_iter().map(part).collect()
}

fn mount(input: Input, namespaces: &Namespaces, given: &oci::Mount, at: &str, found: &mut Findings) -> Option<Mount> {
    let options = options::read(given.options().as_deref().unwrap_or_default());
    let destination = destination(given, at, found)?;
    let fstype = given.typ().as_deref().unwrap_or_default();
    if let Some(why) = place::refuse(&destination, fstype, options.bind.is_some()) {
        found.problem(format!("{at}.destination"), why);
        return None;
    }
    let mut mount = Mount {
        destination,
        origin: at.to_owned(),
        attributes: options.attributes,
        recursive: options.recursive,
        propagation: options.propagation.clone(),
        late_readonly: false,
        // A link of the image would change another mount than the one that is named.
        no_symlinks: options.remount,
        kind: MountKind::Remount,
    };
    let mapped = given.uid_mappings().is_some() || given.gid_mappings().is_some();
    if options.bind.is_none() && (options.idmap.is_some() || mapped) {
        found.problem(at, "only a bind mount can be idmapped");
    }
    if options.copy_up && fstype != "tmpfs" {
        found.problem(format!("{at}.options"), "tmpcopyup is for tmpfs only");
    }
    if options.remount {
        if let Some((key, _)) = options.data.first() {
            found.problem(format!("{at}.options"), format!("{key:?} is no option of a remount"));
        }
    } else if let Some(recursive) = options.bind {
        mount.kind = MountKind::Bind(bind(input, namespaces, given, &options, recursive, at, found)?);
    } else {
        if fstype.is_empty() {
            found.problem(format!("{at}.type"), "is required for what is no bind mount");
            return None;
        }
        if fstype == "bind" {
            found.problem(format!("{at}.options"), "a bind mount needs the option bind or rbind");
        }
        owned(namespaces, fstype, at, found);
        ids_mapped(namespaces, &options, at, found);
        mount.no_symlinks = matches!(fstype, "proc" | "sysfs");
        let late = fstype == "tmpfs" || mount.destination == "/dev";
        if late && mount.attributes.set & attr::RDONLY != 0 {
            mount.late_readonly = true;
            mount.attributes.set &= !attr::RDONLY;
        }
        mount.kind = MountKind::Filesystem(filesystem(given, fstype, options));
    }
    Some(mount)
}

fn destination(given: &oci::Mount, at: &str, found: &mut Findings) -> Option<String> {
    let destination = given.destination().to_str().unwrap_or_default();
    if destination.is_empty() {
        found.problem(format!("{at}.destination"), "is empty");
        return None;
    }
    if !destination.starts_with('/') {
        found.note(format!("{at}.destination"), format!("{destination:?} is relative, taken from /"));
    }
    Some(place::clean(destination))
}

fn bind(
    input: Input,
    namespaces: &Namespaces,
    given: &oci::Mount,
    options: &Options,
    recursive: bool,
    at: &str,
    found: &mut Findings,
) -> Option<Bind> {
    let keys = options.data.iter().map(|(key, _)| key.as_str());
    let without_effect: Vec<&str> = options.superblock.iter().copied().chain(keys).collect();
    if !without_effect.is_empty() {
        // mount(2) ignores them, so every runtime does, and configs rely on it.
        let keys = without_effect.join(", ");
        found.note(format!("{at}.options"), format!("{keys}: belongs to the file system, no effect on a bind mount"));
    }
    let source = given.source().as_deref().and_then(|s| s.to_str()).unwrap_or_default();
    if source.is_empty() {
        found.problem(format!("{at}.source"), "is required for a bind mount");
        return None;
    }
    let source = if source.starts_with('/') { source.to_owned() } else { format!("{}/{source}", input.spec.bundle) };
    let idmap = idmap_source(input, namespaces, given, options, at, found);
    Some(Bind { source, recursive, nofollow: options.nofollow, idmap })
}

fn idmap_source(
    input: Input,
    namespaces: &Namespaces,
    given: &oci::Mount,
    options: &Options,
    at: &str,
    found: &mut Findings,
) -> Option<IdmapSource> {
    let uids = given.uid_mappings().as_deref().unwrap_or_default();
    let gids = given.gid_mappings().as_deref().unwrap_or_default();
    let none = uids.is_empty() && gids.is_empty();
    if none && options.idmap.is_none() {
        return None;
    }
    if input.host.rootless {
        found.problem(at, "an idmapped mount needs root");
    }
    let recursive = options.idmap == Some(true);
    if none {
        if namespaces.user == User::Host {
            found.problem(at, "idmap needs uidMappings and gidMappings, or a user namespace");
        }
        return Some(IdmapSource::Container { recursive, best_effort: false });
    }
    for (list, field) in [(uids, "uidMappings"), (gids, "gidMappings")] {
        if list.is_empty() {
            found.problem(format!("{at}.{field}"), "is required beside the other map");
        }
    }
    let uids = idmap::lines(uids, &format!("{at}.uidMappings"), found);
    let gids = idmap::lines(gids, &format!("{at}.gidMappings"), found);
    Some(IdmapSource::Own { uids, gids, recursive })
}

/// In a user namespace these may only be mounted where the namespace they show belongs to it.
fn owned(namespaces: &Namespaces, fstype: &str, at: &str, found: &mut Findings) {
    if !matches!(namespaces.user, User::New { .. }) {
        return;
    }
    let (shared, which) = match fstype {
        "sysfs" => (namespaces.net == Net::Host, "network"),
        "proc" => (namespaces.pid == Namespace::Host, "pid"),
        "mqueue" => (namespaces.ipc == Namespace::Host, "ipc"),
        _ => return,
    };
    if shared {
        let hint = if fstype == "sysfs" { ": bind /sys instead" } else { "" };
        found.problem(at, format!("{fstype} in a user namespace needs a new {which} namespace{hint}"));
    }
}

/// `uid=` and `gid=` are read in the container's user namespace.
fn ids_mapped(namespaces: &Namespaces, options: &Options, at: &str, found: &mut Findings) {
    let User::New { uids, gids, .. } = &namespaces.user else { return };
    for (key, value) in &options.data {
        let map = match key.as_str() {
            "uid" => uids,
            "gid" => gids,
            _ => continue,
        };
        let id = value.as_deref().and_then(|v| v.parse().ok());
        if let Some(id) = id
            && !idmap::maps(map, id)
        {
            found.problem(format!("{at}.options"), format!("{key}={id} is not mapped in the user namespace"));
        }
    }
}

fn filesystem(given: &oci::Mount, fstype: &str, options: Options) -> Filesystem {
    let mut parameters = options.data;
    parameters.extend(options.superblock.iter().map(|key| ((*key).to_owned(), None)));
    if options.attributes.set & attr::RDONLY != 0 && !PSEUDO.contains(&fstype) {
        parameters.push(("ro".to_owned(), None));
    }
    Filesystem {
        fstype: fstype.to_owned(),
        source: given.source().as_deref().and_then(|s| s.to_str()).filter(|s| !s.is_empty()).map(str::to_owned),
        options: parameters,
        copy_up: options.copy_up,
    }
}
