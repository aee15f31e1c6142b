//! A mount of type `cgroup` in a config.json, as the mounts that it takes on this host.

use super::{Cgroup, Group};
use crate::host::cgroup::{CgroupHost, ROOT};
use crate::plan::mounts::{Bind, Filesystem, MountKind};
use std::path::Path;

/// The mounts, in order: (place below the destination, empty for the destination itself; what goes there). In a new
/// cgroup namespace they are fresh mounts, which show the container its own cgroup as the root; else binds, on version
/// 1 of the container's own directory, on version 2 of all that the host has (as runc does both). The unified hierarchy
/// of a hybrid host is not shown: it has nothing for the container, and runc shows none.
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
            // Without one of its own, the container is where its maker is.
            let own = hierarchy.controllers.first().and_then(|c| cgroup.v1(c)).map(Group::dir);
            bind(own.as_ref().unwrap_or(&hierarchy.own))
        };
        out.push((name.clone(), kind));
        // Programs look for each controller under its own name.
        for controller in hierarchy.controllers.iter().filter(|c| hierarchy.controllers.len() > 1 && **c != name) {
            out.push((controller.clone(), MountKind::Symlink { target: name.clone() }));
        }
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

#[cfg(test)]
mod tests {
    use super::super::tests::{hybrid, unified};
    use super::*;

    fn lines(host: &CgroupHost, cgroup: &Cgroup, new_namespace: bool) -> Vec<String> {
        let line = |(place, kind): (String, MountKind)| match kind {
            MountKind::Bind(bind) => format!("{place}: bind {}", bind.source),
            MountKind::Filesystem(fs) => {
                let option = |(k, v): &(String, Option<String>)| v.as_ref().map_or(k.clone(), |v| format!("{k}={v}"));
                let options: Vec<_> = fs.options.iter().map(option).collect();
                format!("{place}: {} {}", fs.fstype, options.join(","))
            }
            MountKind::Symlink { target } => format!("{place}: -> {target}"),
            other => format!("{place}: {other:?}"),
        };
        mounts(cgroup, host, new_namespace).into_iter().map(line).collect()
    }

    #[test]
    fn version_1_has_a_directory_of_hierarchies() {
        let host = hybrid();
        let group = |name: &str| Group {
            controllers: vec![name.to_owned()],
            mount: format!("/c/{name}").into(),
            path: "x/y".into(),
        };
        let cgroup = Cgroup { v1: vec![group("memory"), group("name=systemd")], ..Cgroup::none() };
        assert_eq!(
            lines(&host, &cgroup, true),
            [
                ": tmpfs mode=755",
                "cpu,cpuacct: cgroup cpu,cpuacct",
                "cpu: -> cpu,cpuacct",
                "cpuacct: -> cpu,cpuacct",
                "memory: cgroup memory",
                "systemd: cgroup name=systemd",
            ]
        );
        assert_eq!(
            lines(&host, &cgroup, false),
            [
                ": tmpfs mode=755",
                "cpu,cpuacct: bind /sys/fs/cgroup/cpu,cpuacct/own",
                "cpu: -> cpu,cpuacct",
                "cpuacct: -> cpu,cpuacct",
                "memory: bind /c/memory/x/y",
                "systemd: bind /c/name=systemd/x/y",
            ]
        );
    }

    #[test]
    fn version_2_is_one_mount() {
        assert_eq!(lines(&unified(), &Cgroup::none(), true), [": cgroup2 "]);
        assert_eq!(lines(&unified(), &Cgroup::none(), false), [": bind /sys/fs/cgroup"]);
    }
}
