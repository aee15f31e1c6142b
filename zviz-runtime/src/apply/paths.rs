//! Masked and read-only paths.
//!
//! What covers a file is the host's null device, opened by path in the host's tree and checked to be it by its number:
//! an image's /dev/null is never trusted (CVE-2025-31133).

use super::inroot;
use super::mounts::{clone_device, place};
use crate::failure::{Failure, Stage, at_item};
use crate::prepare::Error;
use nix::errno::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use zviz_sys::mount::{self, MountAttr};

/// Paths inside the container, as the kernel takes them.
pub(crate) struct PreparedPaths {
    masked: Vec<CString>,
    readonly: Vec<CString>,
}

/// Makes the strings.
pub(crate) fn prepare(masked: &[String], readonly: &[String]) -> Result<PreparedPaths, Error> {
    Ok(PreparedPaths {
        masked: masked.iter().map(|p| place(p)).collect::<Result<_, _>>()?,
        readonly: readonly.iter().map(|p| place(p)).collect::<Result<_, _>>()?,
    })
}

impl PreparedPaths {
    /// Covers the masked paths and makes the others read-only. What does not exist needs neither. Before the root is
    /// changed, since the host's null device is needed.
    pub(crate) fn apply(&self, root: BorrowedFd<'_>) -> Result<(), Failure> {
        let mut empty = None;
        for (i, path) in self.masked.iter().enumerate() {
            at_item(Stage::Mask, i, mask(root, path, &mut empty))?;
        }
        for (i, path) in self.readonly.iter().enumerate() {
            at_item(Stage::ReadonlyPath, i, make_readonly(root, path))?;
        }
        Ok(())
    }
}

/// Opens a place, if it is there.
fn existing(root: BorrowedFd<'_>, path: &CString) -> Result<Option<OwnedFd>, Errno> {
    match inroot::open(root, path, 0) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
        Err(e) => Err(e),
    }
}

fn mask(root: BorrowedFd<'_>, path: &CString, empty: &mut Option<OwnedFd>) -> Result<(), Errno> {
    let Some(target) = existing(root, path)? else { return Ok(()) };
    if zviz_sys::fd::stat(target.as_fd())?.st_mode & libc::S_IFMT != libc::S_IFDIR {
        let null = clone_device(c"/dev/null", 1, 3)?;
        return mount::attach(null.as_fd(), target.as_fd());
    }
    // One empty directory serves all: copies of the first, once that is attached.
    let cover = match empty {
        Some(first) => mount::clone_tree(first.as_fd(), false)?,
        None => {
            let fs = mount::Filesystem::open(c"tmpfs")?;
            fs.set(c"nr_inodes", Some(c"2"))?;
            fs.set(c"mode", Some(c"755"))?;
            fs.mount(mount::attr::RDONLY | mount::attr::NOSUID | mount::attr::NODEV | mount::attr::NOEXEC)?
        }
    };
    mount::attach(cover.as_fd(), target.as_fd())?;
    if empty.is_none() {
        *empty = Some(cover);
    }
    Ok(())
}

fn make_readonly(root: BorrowedFd<'_>, path: &CString) -> Result<(), Errno> {
    let Some(target) = existing(root, path)? else { return Ok(()) };
    let tree = mount::clone_tree(target.as_fd(), true)?;
    let attributes = MountAttr { set: mount::attr::RDONLY, ..MountAttr::default() };
    mount::set_attributes(tree.as_fd(), true, &attributes)?;
    mount::attach(tree.as_fd(), target.as_fd())
}
