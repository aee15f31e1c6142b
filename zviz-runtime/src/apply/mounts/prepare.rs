//! Before the clone: strings made, sources opened.

use super::{Mode, PreparedMount, What};
use crate::apply::namespaces;
use crate::plan::mounts::PropagationKind;
use crate::plan::{Attributes, Bind, Filesystem, Mount, MountKind, Propagation};
use crate::prepare::{Error, cstring};
use std::ffi::CString;
use std::os::fd::AsFd;
use zviz_sys::mount::{self, MountAttr};

/// Who opens the sources of binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opener {
    /// The parent, whose rights init may lose with its user namespace.
    Parent,
    /// Init, in its own mount namespace: an unprivileged parent may not copy mounts of the host's.
    Init,
}

/// A path inside the container as the kernel resolves it from the root's descriptor.
pub(crate) fn place(absolute: &str) -> Result<CString, Error> {
    cstring(absolute.trim_matches('/'))
}

pub(crate) fn propagation(p: Propagation) -> (MountAttr, bool) {
    let flag = match p.kind {
        PropagationKind::Shared => libc::MS_SHARED,
        PropagationKind::Slave => libc::MS_SLAVE,
        PropagationKind::Private => libc::MS_PRIVATE,
        PropagationKind::Unbindable => libc::MS_UNBINDABLE,
    };
    (MountAttr { propagation: flag, ..MountAttr::default() }, p.recursive)
}

/// Opens what can be opened before the clone.
pub(crate) fn prepare(plan: &Mount, opener: Opener, inherited: MountAttr) -> Result<PreparedMount, Error> {
    let mut own = changes(plan.attributes);
    let what = match &plan.kind {
        MountKind::Bind(bind) => source(plan, bind, opener, inherited)?,
        MountKind::Filesystem(fs) => {
            own = None;
            filesystem(fs, plan.attributes)?
        }
        MountKind::Overlay => {
            own = None;
            What::Overlay { attributes: plan.attributes.set, proc: namespaces::open_proc()? }
        }
        MountKind::Remount => What::Remount,
        MountKind::Symlink { target } => What::Symlink(cstring(target)?),
        MountKind::Directory { mode } => What::Directory(*mode),
    };
    Ok(PreparedMount {
        place: place(&plan.destination)?,
        what,
        own,
        tree: changes(plan.recursive),
        propagation: plan.propagation.iter().map(|p| propagation(*p)).collect(),
        late_readonly: plan.late_readonly,
        no_symlinks: plan.no_symlinks,
        is_proc: plan.destination == "/proc",
        in_proc: plan.destination == "/proc" || plan.destination.starts_with("/proc/"),
        mounted: None,
    })
}

fn changes(a: Attributes) -> Option<MountAttr> {
    (a != Attributes::default()).then(|| MountAttr { set: a.set, clear: a.clear, ..MountAttr::default() })
}

fn source(plan: &Mount, bind: &Bind, opener: Opener, inherited: MountAttr) -> Result<What, Error> {
    let path = cstring(&bind.source)?;
    if opener == Opener::Init {
        return Ok(What::Source { path, recursive: bind.recursive, nofollow: bind.nofollow });
    }
    let tree = mount::clone_tree_at(&path, bind.recursive, bind.nofollow).map_err(|errno| Error::Source {
        origin: plan.origin.clone(),
        path: bind.source.clone(),
        errno,
    })?;
    // The copy is a peer of the host's mount; in init's namespace, whose tree has been given this propagation, it would
    // not be.
    if inherited.propagation != 0 {
        mount::set_attributes(tree.as_fd(), true, &inherited).map_err(|errno| Error::Source {
            origin: plan.origin.clone(),
            path: bind.source.clone(),
            errno,
        })?;
    }
    Ok(What::Tree(tree))
}

fn filesystem(fs: &Filesystem, attributes: Attributes) -> Result<What, Error> {
    let mut options = Vec::with_capacity(fs.options.len() + 1);
    if let Some(source) = &fs.source {
        options.push((c"source".to_owned(), Some(cstring(source)?)));
    }
    for (key, value) in &fs.options {
        options.push((cstring(key)?, value.as_deref().map(cstring).transpose()?));
    }
    Ok(What::New {
        fstype: cstring(&fs.fstype)?,
        options,
        copy_up: fs.copy_up,
        attributes: attributes.set & !mount::attr::IDMAP,
        mode: if fs.fstype == "tmpfs" && fs.options.iter().all(|(key, _)| key != "mode") {
            Mode::OfPlace
        } else {
            Mode::Given
        },
    })
}
