//! Mounts: sources opened and file systems described beforehand, made and attached by init through descriptors.

mod prepare;

pub(crate) use prepare::{Opener, place, prepare, propagation};

use super::inroot::{self, Make};
use crate::failure::{Failure, Stage, at_item};
use crate::plan::mounts::IdmapSource;
use nix::errno::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use zviz_sys::mount::{self, MountAttr};
use zviz_sys::{fd, path};

/// One mount, ready to be made.
pub(crate) struct PreparedMount {
    place: CString,
    what: What,
    own: Option<MountAttr>,
    tree: Option<MountAttr>,
    propagation: Vec<(MountAttr, bool)>,
    late_readonly: bool,
    no_symlinks: bool,
    /// It is to be on /proc, where a volume would hide the real one from masks.
    is_proc: bool,
    /// On or in /proc: the plan has looked at where.
    in_proc: bool,
    mounted: Option<OwnedFd>,
}

enum What {
    Tree(OwnedFd),
    Source {
        path: CString,
        recursive: bool,
        nofollow: bool,
    },
    New {
        fstype: CString,
        options: Vec<(CString, Option<CString>)>,
        copy_up: bool,
        attributes: u64,
        mode: Mode,
    },
    /// Of the two before.
    Overlay {
        attributes: u64,
        proc: OwnedFd,
    },
    Remount,
    Symlink(CString),
    Directory(u32),
}

/// The permission bits of a new file system's root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// As its options, or the kernel, have it.
    Given,
    /// Those of the directory that it is mounted on, if there is one: what the image says of /run or /tmp holds for a
    /// tmpfs there too. runc does the same, and engines count on it.
    OfPlace,
}

/// linux/magic.h.
pub(crate) const PROC_SUPER_MAGIC: i64 = 0x9fa0;

impl PreparedMount {
    /// Translates ids on the way through a bind. The descriptor is shared with init, so this reaches its mount too.
    pub(crate) fn idmap(&self, plan: &IdmapSource, userns: BorrowedFd<'_>) -> Result<(), Errno> {
        let (recursive, best_effort) = match plan {
            IdmapSource::Container { recursive, best_effort } => (*recursive, *best_effort),
            IdmapSource::Own { recursive, .. } => (*recursive, false),
        };
        let What::Tree(tree) = &self.what else { return Err(Errno::EPERM) };
        let userns_fd = u64::try_from(std::os::fd::AsRawFd::as_raw_fd(&userns)).map_err(|_| Errno::EBADF)?;
        let attributes = MountAttr { set: mount::attr::IDMAP, userns_fd, ..MountAttr::default() };
        match mount::set_attributes(tree.as_fd(), recursive, &attributes) {
            // EPERM: what is below is translated already.
            Err(Errno::EINVAL | Errno::EPERM) if best_effort => Ok(()),
            other => other,
        }
    }

    fn make(&mut self, root: BorrowedFd<'_>, before: &mut [PreparedMount]) -> Result<(), Errno> {
        if let What::Symlink(target) = &self.what {
            let mut name = [0u8; 256];
            let (parent, name) = inroot::parent_of(root, &self.place, &mut name)?;
            return match path::symlinkat(target, parent.as_fd(), name) {
                Err(Errno::EEXIST) => Ok(()),
                other => other,
            };
        }
        if let What::Directory(mode) = self.what {
            let directory = inroot::open_or_make(root, &self.place, Make::Directory)?;
            // By descriptor, since the last name may be a link: chmod(2) would follow it in the host's tree.
            let directory = path::openat2(directory.as_fd(), c".", libc::O_RDONLY | libc::O_DIRECTORY, 0, 0)?;
            return nix::sys::stat::fchmod(&directory, nix::sys::stat::Mode::from_bits_truncate(mode));
        }
        let (tree, attached) = self.tree(root, before)?;
        if let Some(attributes) = &self.own {
            mount::set_attributes(tree.as_fd(), false, attributes)?;
        }
        if let Some(attributes) = &self.tree {
            mount::set_attributes(tree.as_fd(), true, attributes)?;
        }
        for (attributes, recursive) in &self.propagation {
            mount::set_attributes(tree.as_fd(), *recursive, attributes)?;
        }
        if !attached {
            let directory = is_directory(tree.as_fd())?;
            let target = self.target(root, directory)?;
            // A link of the image has led into procfs, where a mount could hide a mask (CVE-2019-19921, CVE-2023-27561).
            if self.is_proc && fd::filesystem_magic(tree.as_fd())? != PROC_SUPER_MAGIC {
                return Err(Errno::ENODEV);
            }
            if !self.in_proc && fd::filesystem_magic(target.as_fd())? == PROC_SUPER_MAGIC {
                return Err(Errno::EXDEV);
            }
            if let What::New { copy_up: true, .. } = self.what {
                super::copy_up::copy(target.as_fd(), tree.as_fd())?;
            }
            mount::attach(tree.as_fd(), target.as_fd())?;
        }
        self.mounted = Some(tree);
        Ok(())
    }

    /// The mount, and whether it is attached already.
    fn tree(&mut self, root: BorrowedFd<'_>, before: &mut [PreparedMount]) -> Result<(OwnedFd, bool), Errno> {
        match &self.what {
            What::Tree(fd) => Ok((fd.try_clone().map_err(|_| Errno::EMFILE)?, false)),
            What::Source { path, recursive, nofollow } => {
                Ok((mount::clone_tree_at(path, *recursive, *nofollow)?, false))
            }
            What::New { fstype, options, attributes, mode, .. } => {
                let fs = mount::Filesystem::open(fstype)?;
                if *mode == Mode::OfPlace
                    && let Ok(place) = inroot::open(root, &self.place, libc::O_DIRECTORY)
                {
                    fs.set(c"mode", Some(octal(fd::stat(&place)?.st_mode & 0o7777, &mut [0; 5])))?;
                }
                for (key, value) in options {
                    fs.set(key, value.as_deref())?;
                }
                Ok((fs.mount(*attributes)?, false))
            }
            What::Overlay { attributes, proc } => match before {
                [.., lower, layers] => Ok((
                    super::overlay::make(&mut lower.mounted, &mut layers.mounted, proc.as_fd(), *attributes)?,
                    false,
                )),
                _ => Err(Errno::EINVAL),
            },
            What::Remount | What::Symlink(_) | What::Directory(_) => {
                Ok((inroot::open_plain(root, &self.place, 0)?, true))
            }
        }
    }

    fn target(&self, root: BorrowedFd<'_>, directory: bool) -> Result<OwnedFd, Errno> {
        let make = if directory { Make::Directory } else { Make::File };
        if !self.no_symlinks {
            return inroot::open_or_make(root, &self.place, make);
        }
        match inroot::open_plain(root, &self.place, libc::O_DIRECTORY) {
            Err(Errno::ENOENT) => {
                inroot::open_or_make(root, &self.place, make)?;
                inroot::open_plain(root, &self.place, libc::O_DIRECTORY)
            }
            other => other,
        }
    }
}

/// A number of at most four octal digits as the kernel reads it, without allocating.
fn octal(bits: u32, digits: &mut [u8; 5]) -> &CStr {
    for (i, digit) in digits[..4].iter_mut().enumerate() {
        *digit = b'0' + (bits >> (9 - 3 * i) & 7) as u8;
    }
    CStr::from_bytes_until_nul(digits).unwrap_or(c"0755")
}

fn is_directory(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    Ok(fd::stat(fd)?.st_mode & libc::S_IFMT == libc::S_IFDIR)
}

/// Makes them all, in order, below the root.
pub(crate) fn make_all(mounts: &mut [PreparedMount], root: BorrowedFd<'_>) -> Result<(), Failure> {
    for i in 0..mounts.len() {
        let (before, rest) = mounts.split_at_mut(i);
        if let Some(mount) = rest.first_mut() {
            at_item(Stage::Mount, i, mount.make(root, before))?;
        }
    }
    Ok(())
}

/// Makes those read-only that had to stay writable until everything inside them was made.
pub(crate) fn finish(mounts: &mut [PreparedMount]) -> Result<(), Failure> {
    for (i, prepared) in mounts.iter_mut().enumerate() {
        if let Some(tree) = prepared.mounted.take()
            && prepared.late_readonly
        {
            let attributes = MountAttr { set: mount::attr::RDONLY, ..MountAttr::default() };
            at_item(Stage::Readonly, i, mount::set_attributes(tree.as_fd(), false, &attributes))?;
        }
    }
    Ok(())
}

/// A bind of one of the host's device nodes, for tests of the kernel's view: what `path` is must be this device.
pub(crate) fn clone_device(path: &CStr, major: u32, minor: u32) -> Result<OwnedFd, Errno> {
    let tree = mount::clone_tree_at(path, false, true)?;
    let stat = fd::stat(tree.as_fd())?;
    let is = stat.st_mode & libc::S_IFMT == libc::S_IFCHR && stat.st_rdev == libc::makedev(major, minor);
    if is { Ok(tree) } else { Err(Errno::ENODEV) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permission_bits_in_octal() {
        for (bits, want) in [(0o1777, c"1777"), (0o755, c"0755"), (0, c"0000"), (0o7777, c"7777")] {
            assert_eq!(octal(bits, &mut [0; 5]), want);
        }
    }
}
