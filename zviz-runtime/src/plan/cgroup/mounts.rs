//! A mount of type `cgroup` in a config.json, as the mounts that it takes on this host.

use super::Cgroup;
use crate::host::cgroup::{CgroupHost, ROOT};
use crate::plan::mounts::{Bind, Filesystem, MountKind};
use std::path::Path;

/// The mounts, in order: (place below the destination, empty for the destination itself; what goes there). In a new
/// cgroup namespace they are fresh mounts, which show the container its own cgroup as the root; else binds of the
/// host's directories, of which version 1 shows only our own.
pub fn mounts(cgroup: &Cgroup, host: &CgroupHost, new_namespace: bool) -> Vec<(String, MountKind)> {
    if host.v1.is_empty() {
        let kind = match (new_namespace, &host.v2) {
            (true, _) => filesystem("cgroup2", "cgroup", &[]),
            // Not a new instance: mounting cgroup2 in the first namespace resets the options of all of them.
            (false, Some(v2)) => bind(&v2.mount),
            (false, None) => bind(Path::new(ROOT)),
        };
        return vec![(String::new(), kind)];
    }
    let mut out = vec![(String::new(), filesystem("tmpfs", "tmpfs", &[("mode", Some("755"))]))];
    for hierarchy in &host.v1 {
        let name = base(&hierarchy.mount);
        let kind = if new_namespace {
            let options: Vec<_> = hierarchy.controllers.iter().map(|c| option(c)).collect();
            let named = hierarchy.controllers.iter().any(|c| c == "name=systemd");
            filesystem("cgroup", if named { "systemd" } else { "cgroup" }, &options)
        } else {
            bind(&hierarchy.own)
        };
        out.push((name.clone(), kind));
        // Programs look for each controller under its own name.
        for controller in hierarchy.controllers.iter().filter(|c| hierarchy.controllers.len() > 1 && **c != name) {
            out.push((controller.clone(), MountKind::Symlink { target: name.clone() }));
        }
    }
    // A container that has a cgroup there may see it; without one, the whole tree would be the host's.
    if let Some(v2) = host.v2.as_ref().filter(|_| cgroup.v2.is_some()) {
        let kind = if new_namespace { filesystem("cgroup2", "cgroup", &[]) } else { bind(&v2.own) };
        out.push((base(&v2.mount), kind));
    }
    out
}

/// `name=systemd` is a key with a value, the others are flags.
fn option(controller: &str) -> (&str, Option<&str>) {
    controller.split_once('=').map_or((controller, None), |(key, value)| (key, Some(value)))
}

fn base(mount: &Path) -> String {
    mount.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

fn bind(source: &Path) -> MountKind {
    let source = source.to_string_lossy().into_owned();
    MountKind::Bind(Bind { source, recursive: true, nofollow: false, idmap: None })
}

fn filesystem(fstype: &str, source: &str, options: &[(&str, Option<&str>)]) -> MountKind {
    let options = options.iter().map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned))).collect();
    MountKind::Filesystem(Filesystem {
        fstype: fstype.to_owned(),
        source: Some(source.to_owned()),
        options,
        copy_up: false,
    })
}
