//! Nodes and links below the container's /dev.

use super::inroot::{self, Make};
use super::mounts::place;
use crate::failure::{Failure, Stage, at_item};
use crate::plan::{Device, DeviceKind};
use crate::prepare::{Error, cstring};
use nix::errno::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};
use zviz_sys::{fd, mount, path};

/// One node, ready to be made.
pub(crate) struct PreparedDevice {
    place: CString,
    /// The host's node of the same path, where it is bound.
    source: Option<CString>,
    mode: u32,
    major: u32,
    minor: u32,
    uid: u32,
    gid: u32,
}

/// One link, ready to be made.
pub(crate) struct PreparedLink {
    place: CString,
    target: CString,
}

/// Makes the strings.
pub(crate) fn prepare(device: &Device) -> Result<PreparedDevice, Error> {
    let kind = match device.kind {
        DeviceKind::Char => libc::S_IFCHR,
        DeviceKind::Block => libc::S_IFBLK,
        DeviceKind::Fifo => libc::S_IFIFO,
    };
    Ok(PreparedDevice {
        place: place(&device.path)?,
        source: device.bind.then(|| cstring(&device.path)).transpose()?,
        mode: kind | (device.mode & 0o7777),
        major: device.major,
        minor: device.minor,
        uid: device.uid,
        gid: device.gid,
    })
}

/// Makes the strings.
pub(crate) fn prepare_link(link: &(String, String)) -> Result<PreparedLink, Error> {
    Ok(PreparedLink { place: place(&link.0)?, target: cstring(&link.1)? })
}

/// Makes nodes and links. Links on the way to a node stay inside the root, and an existing node is left alone only if it
/// is the right one.
pub(crate) fn make_all(
    devices: &[PreparedDevice],
    links: &[PreparedLink],
    root: BorrowedFd<'_>,
) -> Result<(), Failure> {
    for (i, device) in devices.iter().enumerate() {
        at_item(Stage::Device, i, make(device, root))?;
    }
    for (i, link) in links.iter().enumerate() {
        at_item(Stage::Symlink, i, make_link(link, root))?;
    }
    Ok(())
}

fn make(device: &PreparedDevice, root: BorrowedFd<'_>) -> Result<(), Errno> {
    if let Some(source) = &device.source {
        let tree = mount::clone_tree_at(source, false, true)?;
        if !is(device, tree.as_fd())? {
            return Err(Errno::ENODEV);
        }
        let target = inroot::open_or_make(root, &device.place, Make::File)?;
        return mount::attach(tree.as_fd(), target.as_fd());
    }
    let mut name = [0u8; 256];
    let (parent, name) = inroot::parent_of(root, &device.place, &mut name)?;
    match path::mknodat(parent.as_fd(), name, device.mode, device.major, device.minor) {
        Err(Errno::EEXIST) => {
            let there = path::openat2(parent.as_fd(), name, libc::O_PATH | libc::O_NOFOLLOW, 0, 0)?;
            return if is(device, there.as_fd())? { Ok(()) } else { Err(Errno::EEXIST) };
        }
        other => other?,
    }
    // Its mode is as asked for: init's umask is 0. The owner goes to what was made and to nothing that somebody else, who
    // shares this directory, has put in its place.
    let there = path::openat2(parent.as_fd(), name, libc::O_PATH | libc::O_NOFOLLOW, 0, 0)?;
    if !is(device, there.as_fd())? {
        return Err(Errno::EEXIST);
    }
    path::chownat(there.as_fd(), c"", device.uid, device.gid)
}

fn is(device: &PreparedDevice, node: BorrowedFd<'_>) -> Result<bool, Errno> {
    let stat = fd::stat(node)?;
    let kind = device.mode & libc::S_IFMT;
    let number = libc::makedev(device.major, device.minor);
    Ok(stat.st_mode & libc::S_IFMT == kind && (kind == libc::S_IFIFO || stat.st_rdev == number))
}

fn make_link(link: &PreparedLink, root: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut name = [0u8; 256];
    let (parent, name) = inroot::parent_of(root, &link.place, &mut name)?;
    match path::symlinkat(&link.target, parent.as_fd(), name) {
        Err(Errno::EEXIST) => Ok(()),
        other => other,
    }
}
