//! The container's root: attached, entered, and the host's left behind.

use super::mounts::{Opener, propagation};
use crate::failure::{Failure, Stage, at};
use crate::plan::Rootfs;
use crate::plan::mounts::PropagationKind;
use crate::prepare::{Error, cstring};
use nix::errno::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use zviz_sys::mount::{self, MountAttr};
use zviz_sys::path;

/// The root, ready to be attached.
pub(crate) struct PreparedRoot {
    /// On the host; empty for a fresh tmpfs.
    path: CString,
    /// A copy of its mount, where the parent may make one.
    tree: Option<OwnedFd>,
    /// Of the host's tree in init's namespace.
    outer: (MountAttr, bool),
    /// The folders above the root, and itself, where some mount among them may be shared after that.
    above: Vec<CString>,
    /// Of the container's tree, once it is the root.
    inner: Option<(MountAttr, bool)>,
    readonly: bool,
    pivot: bool,
}

/// Slave, so that nothing that the container mounts reaches the host, unless the configuration says otherwise.
pub(crate) fn outer_propagation(plan: &Rootfs) -> (MountAttr, bool) {
    plan.propagation.map_or((MountAttr { propagation: libc::MS_SLAVE, ..MountAttr::default() }, true), propagation)
}

/// Copies the root's mount, if the parent may.
pub(crate) fn prepare(plan: &Rootfs, opener: Opener) -> Result<PreparedRoot, Error> {
    let path = cstring(&plan.path)?;
    let named = |errno| Error::Rootfs { path: plan.path.clone(), errno };
    // As runc, no link on the way: whoever may write the bundle's folder could point it to the host's root.
    let place = if path.is_empty() { None } else { Some(path::open_plain(&path, libc::O_DIRECTORY).map_err(named)?) };
    let tree = if opener == Opener::Parent
        && let Some(place) = &place
    {
        let tree = mount::clone_tree(place.as_fd(), true).map_err(named)?;
        let private = MountAttr { propagation: libc::MS_PRIVATE, ..MountAttr::default() };
        mount::set_attributes(tree.as_fd(), false, &private).map_err(named)?;
        Some(tree)
    } else {
        None
    };
    // The tree is private; slave has no master to follow there.
    let own = |p: &crate::plan::Propagation| matches!(p.kind, PropagationKind::Shared | PropagationKind::Unbindable);
    Ok(PreparedRoot {
        path,
        tree,
        outer: outer_propagation(plan),
        above: above(plan)?,
        inner: plan.propagation.filter(own).map(propagation),
        readonly: plan.readonly,
        pivot: plan.pivot,
    })
}

/// From the root upwards, links resolved.
fn above(plan: &Rootfs) -> Result<Vec<CString>, Error> {
    let all_cut_off = plan.propagation.is_none_or(|p| p.recursive && p.kind != PropagationKind::Shared);
    if all_cut_off || plan.path.is_empty() {
        return Ok(Vec::new());
    }
    let named = |errno| Error::Rootfs { path: plan.path.clone(), errno };
    let path = std::fs::canonicalize(&plan.path).map_err(|e| named(Errno::from_raw(e.raw_os_error().unwrap_or(0))))?;
    path.ancestors().map(|dir| CString::new(dir.as_os_str().as_bytes()).map_err(|_| named(Errno::EINVAL))).collect()
}

impl PreparedRoot {
    /// Cuts the tree off from the host's, and gives the place where the root will be attached, by descriptor: while init
    /// still has its first user id, which may enter the folders on the way.
    pub(crate) fn place(&self) -> Result<OwnedFd, Failure> {
        let (attributes, recursive) = self.outer;
        at(Stage::Propagation, mount::set_root_propagation(attributes.propagation, recursive))?;
        at(Stage::Propagation, self.isolate())?;
        // A fresh root needs some directory to stand on until it is entered; this one is always there.
        let path = if self.path.is_empty() { c"/proc" } else { &self.path };
        at(Stage::Rootfs, path::open_plain(path, libc::O_DIRECTORY))
    }

    /// Makes the mount that the root is in private: were it shared, what is attached there would appear on the host, and
    /// pivot_root(2) would refuse. Only the root of a mount takes the attribute, the first one above is it.
    fn isolate(&self) -> Result<(), Errno> {
        let private = MountAttr { propagation: libc::MS_PRIVATE, ..MountAttr::default() };
        for dir in &self.above {
            let dir = path::open_path(dir, libc::O_DIRECTORY)?;
            match mount::set_attributes(dir.as_fd(), false, &private) {
                Err(Errno::EINVAL) => {}
                other => return other,
            }
        }
        Ok(())
    }

    /// Attaches the root. Gives it by descriptor.
    pub(crate) fn attach(&mut self, place: BorrowedFd<'_>) -> Result<OwnedFd, Failure> {
        at(Stage::Rootfs, self.attach_tree(place))
    }

    fn attach_tree(&mut self, place: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
        let tree = match self.tree.take() {
            Some(tree) => tree,
            None if self.path.is_empty() => {
                let fs = mount::Filesystem::open(c"tmpfs")?;
                fs.set(c"mode", Some(c"755"))?;
                fs.set(c"size", Some(c"4m"))?;
                fs.mount(mount::attr::NOSUID | mount::attr::NODEV)?
            }
            None => {
                let tree = mount::clone_tree(place, true)?;
                let private = MountAttr { propagation: libc::MS_PRIVATE, ..MountAttr::default() };
                mount::set_attributes(tree.as_fd(), false, &private)?;
                tree
            }
        };
        mount::attach(tree.as_fd(), place)?;
        Ok(tree)
    }

    /// Makes it the root of this process, and lets go of the host's.
    pub(crate) fn enter(&self, root: BorrowedFd<'_>) -> Result<(), Failure> {
        at(Stage::Pivot, if self.pivot { pivot(root) } else { move_over(root) })?;
        if let Some((attributes, recursive)) = self.inner {
            at(Stage::Propagation, mount::set_attributes(root, recursive, &attributes))?;
        }
        if self.readonly {
            let attributes = MountAttr { set: mount::attr::RDONLY, ..MountAttr::default() };
            at(Stage::Readonly, mount::set_attributes(root, false, &attributes))?;
        }
        Ok(())
    }
}

fn pivot(root: BorrowedFd<'_>) -> Result<(), Errno> {
    let old = path::open_path(c"/", libc::O_DIRECTORY)?;
    path::enter(root)?;
    mount::pivot_to_cwd()?;
    path::enter(old.as_fd())?;
    // Detaching must not travel to the host, even where the host's tree was left shared.
    let slave = MountAttr { propagation: libc::MS_SLAVE, ..MountAttr::default() };
    mount::set_attributes(old.as_fd(), true, &slave)?;
    mount::detach(c".")?;
    path::change_directory(c"/")
}

fn move_over(root: BorrowedFd<'_>) -> Result<(), Errno> {
    let old = path::open_path(c"/", libc::O_DIRECTORY)?;
    path::enter(root)?;
    // As above: a shared root would be covered on the host, too.
    let slave = MountAttr { propagation: libc::MS_SLAVE, ..MountAttr::default() };
    mount::set_attributes(old.as_fd(), true, &slave)?;
    mount::attach(root, old.as_fd())?;
    path::chroot_to_cwd()?;
    path::change_directory(c"/")
}
