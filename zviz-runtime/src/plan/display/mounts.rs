//! The root of a plan in words, with the mounts and devices in it.

use super::words::{attributes, list, mode, quoted};
use crate::plan::mounts::{IdmapSource, Mount, MountKind, Propagation, PropagationKind};
use crate::plan::namespaces::IdMap;
use crate::plan::{Device, DeviceKind, Rootfs};
use std::fmt::{self, Formatter};

pub(super) fn root(f: &mut Formatter<'_>, root: &Rootfs) -> fmt::Result {
    let path = if root.path.is_empty() { "fresh tmpfs".into() } else { quoted(&root.path) };
    write!(f, "root: {path}, {}", if root.readonly { "read-only" } else { "writable" })?;
    if let Some(p) = root.propagation {
        write!(f, ", {}", propagation(p))?;
    }
    if !root.pivot {
        f.write_str(", by chroot")?;
    }
    if let Some(label) = &root.mount_label {
        write!(f, ", label {}", quoted(label))?;
    }
    writeln!(f)
}

fn propagation(p: Propagation) -> String {
    let kind = match p.kind {
        PropagationKind::Shared => "shared",
        PropagationKind::Slave => "slave",
        PropagationKind::Private => "private",
        PropagationKind::Unbindable => "unbindable",
    };
    format!("{}{kind}", if p.recursive { "r" } else { "" })
}

pub(super) fn mount(f: &mut Formatter<'_>, m: &Mount) -> fmt::Result {
    let place = quoted(&m.destination);
    match &m.kind {
        MountKind::Bind(bind) => {
            write!(f, "mount {place}: {} of {}", if bind.recursive { "rbind" } else { "bind" }, quoted(&bind.source))?;
            if bind.nofollow {
                f.write_str(", source not followed")?;
            }
            if let Some(source) = &bind.idmap {
                f.write_str(&idmap(source))?;
            }
        }
        MountKind::Filesystem(fs) => {
            write!(f, "mount {place}: {}", quoted(&fs.fstype))?;
            if let Some(source) = fs.source.as_ref().filter(|source| **source != fs.fstype) {
                write!(f, " of {}", quoted(source))?;
            }
            for (key, value) in &fs.options {
                match value {
                    Some(value) => write!(f, ", {}", quoted(&format!("{key}={value}")))?,
                    None => write!(f, ", {}", quoted(key))?,
                }
            }
            if fs.copy_up {
                f.write_str(", with a copy of what is there")?;
            }
        }
        MountKind::Overlay => write!(f, "mount {place}: overlay of the two before")?,
        MountKind::Remount => write!(f, "mount {place}: changed")?,
        MountKind::Symlink { target } => write!(f, "mount {place}: link to {}", quoted(target))?,
        MountKind::Directory { mode: bits } => write!(f, "mount {place}: directory, mode {}", mode(*bits))?,
    }
    f.write_str(&attributes(m.attributes, "", matches!(m.kind, MountKind::Filesystem(_))))?;
    f.write_str(&attributes(m.recursive, "r", false))?;
    if m.late_readonly {
        f.write_str(", ro at last")?;
    }
    m.propagation.iter().try_for_each(|p| write!(f, ", {}", propagation(*p)))?;
    writeln!(f)
}

fn idmap(source: &IdmapSource) -> String {
    let word = |recursive: bool| if recursive { "ridmap" } else { "idmap" };
    match source {
        IdmapSource::Container { recursive, best_effort } => {
            format!(", {} as the container{}", word(*recursive), if *best_effort { " where it can be" } else { "" })
        }
        IdmapSource::Own { uids, gids, recursive } => {
            let lines = |lines: &[IdMap]| list(lines.iter().map(|m| format!("{}:{}:{}", m.inside, m.outside, m.count)));
            format!(", {} uids {} gids {}", word(*recursive), lines(uids), lines(gids))
        }
    }
}

pub(super) fn device(f: &mut Formatter<'_>, d: &Device) -> fmt::Result {
    let kind = match d.kind {
        DeviceKind::Char => "char",
        DeviceKind::Block => "block",
        DeviceKind::Fifo => "fifo",
    };
    write!(f, "device {}: {kind}", quoted(&d.path))?;
    if d.kind != DeviceKind::Fifo {
        write!(f, " {}:{}", d.major, d.minor)?;
    }
    if d.bind {
        return writeln!(f, ", bound");
    }
    writeln!(f, ", mode {}, owner {}:{}", mode(d.mode), d.uid, d.gid)
}
