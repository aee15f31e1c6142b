//! The container's root: attached, entered, and the host's left behind.

use super::mounts::{Opener, propagation};
use crate::failure::{Failure, Stage, at};
use crate::plan::mounts::PropagationKind;
use crate::plan::{Namespace, Rootfs};
use crate::prepare::{Error, cstring};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
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
    way: Way,
}

/// How the root is entered.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// pivot_root(2).
    Pivot,
    /// Moved over the host's.
    Move,
    /// By chroot(2) alone: the mount namespace is the host's, of whose mounts nothing is changed.
    Stay,
}

/// Slave, so that nothing that the container mounts reaches the host, unless the configuration says otherwise.
pub(crate) fn outer_propagation(plan: &Rootfs) -> (MountAttr, bool) {
    plan.propagation.map_or((MountAttr { propagation: libc::MS_SLAVE, ..MountAttr::default() }, true), propagation)
}

/// Copies the root's mount, if the parent may.
pub(crate) fn prepare(plan: &Rootfs, namespace: &Namespace, opener: Opener) -> Result<PreparedRoot, Error> {
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
    let way = match (namespace, plan.pivot) {
        (Namespace::Host, _) => Way::Stay,
        (_, true) => Way::Pivot,
        (_, false) => Way::Move,
    };
    Ok(PreparedRoot {
        path,
        tree,
        outer: outer_propagation(plan),
        above: above(plan)?,
        inner: plan.propagation.filter(own).map(propagation),
        readonly: plan.readonly,
        way,
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
        if self.way != Way::Stay {
            let (attributes, recursive) = self.outer;
            at(Stage::Propagation, mount::set_root_propagation(attributes.propagation, recursive))?;
            at(Stage::Propagation, self.isolate())?;
        }
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
        if self.way == Way::Stay {
            // On a shared mount it has become shared, and what is mounted in it would appear in other namespaces.
            let private = MountAttr { propagation: libc::MS_PRIVATE, ..MountAttr::default() };
            mount::set_attributes(tree.as_fd(), true, &private)?;
        }
        Ok(tree)
    }

    /// Makes it the root of this process, and lets go of the host's.
    pub(crate) fn enter(&self, root: BorrowedFd<'_>) -> Result<(), Failure> {
        at(
            Stage::Pivot,
            match self.way {
                Way::Pivot => pivot(root),
                Way::Move => move_over(root),
                Way::Stay => stay(root),
            },
        )?;
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

/// A root that was attached in the host's own mount namespace: the place, and which mount it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    path: String,
    mount: u64,
}

impl PreparedRoot {
    /// What there will be to take away, if init attaches it in the host's mount namespace. Known before it does.
    ///
    /// # Errors
    /// The mount's number cannot be had.
    pub(crate) fn attached(&self) -> Result<Option<Attached>, Errno> {
        let Some(tree) = self.tree.as_ref().filter(|_| self.way == Way::Stay) else { return Ok(None) };
        let path = self.path.to_str().map_err(|_| Errno::EILSEQ)?.to_owned();
        Ok(Some(Attached { path, mount: mount::id(tree.as_fd())? }))
    }
}

impl Attached {
    /// The root, if it is attached: whatever else has its place now is not ours.
    ///
    /// # Errors
    /// The place cannot be looked at.
    pub(crate) fn open(&self) -> Result<Option<OwnedFd>, Errno> {
        let path = CString::new(self.path.as_str()).map_err(|_| Errno::EINVAL)?;
        let root = match path::open_plain(&path, libc::O_DIRECTORY) {
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(None),
            other => other?,
        };
        Ok((mount::id(root.as_fd())? == self.mount).then_some(root))
    }

    /// Takes it away, with everything that is mounted below it.
    ///
    /// # Errors
    /// umount2(2).
    pub(crate) fn detach(&self) -> Result<(), Errno> {
        match self.open()? {
            Some(root) => mount::detach_mount(root.as_fd()),
            None => Ok(()),
        }
    }
}

/// Makes a directory the root of this process, and nothing else of it.
pub(crate) fn stay(root: BorrowedFd<'_>) -> Result<(), Errno> {
    path::enter(root)?;
    path::chroot_to_cwd()?;
    path::change_directory(c"/")
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
