//! The mount API of Linux 5.2 and later: mounts are descriptors, and no path is used twice.

use crate::{Errno, Result, owned, ret};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// mount_setattr(2) attributes.
pub mod attr {
    /// Read-only.
    pub const RDONLY: u64 = 0x1;
    /// Set-user-id bits and file capabilities are ignored.
    pub const NOSUID: u64 = 0x2;
    /// Device nodes cannot be opened.
    pub const NODEV: u64 = 0x4;
    /// Nothing can be executed.
    pub const NOEXEC: u64 = 0x8;
    /// The access-time modes' bits.
    pub const ATIME: u64 = 0x70;
    /// Access times are not updated.
    pub const NOATIME: u64 = 0x10;
    /// Access times are always updated.
    pub const STRICTATIME: u64 = 0x20;
    /// Access times of directories are not updated.
    pub const NODIRATIME: u64 = 0x80;
    /// Ids are translated.
    pub const IDMAP: u64 = 0x0010_0000;
    /// Symbolic links are not followed.
    pub const NOSYMFOLLOW: u64 = 0x0020_0000;
}

/// The kernel's `struct mount_attr`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct MountAttr {
    /// To set.
    pub set: u64,
    /// To clear.
    pub clear: u64,
    /// `MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE` or `MS_UNBINDABLE`; 0 leaves it.
    pub propagation: u64,
    /// For `attr::IDMAP`.
    pub userns_fd: u64,
}

/// Changes the mount that `fd` is in, or the tree below it. mount_setattr(2).
pub fn set_attributes(fd: BorrowedFd<'_>, recursive: bool, attributes: &MountAttr) -> Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the structure has the kernel's layout, its size is passed, and the path is a valid empty string.
    ret(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(attributes),
            size_of::<MountAttr>(),
        )
    })
    .map(drop)
}

/// Changes the propagation of the whole tree of this mount namespace.
pub fn set_root_propagation(propagation: u64, recursive: bool) -> Result<()> {
    let attributes = MountAttr { propagation, ..MountAttr::default() };
    let flags = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: as in set_attributes; the path is a valid string.
    ret(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            c"/".as_ptr(),
            flags,
            std::ptr::from_ref(&attributes),
            size_of::<MountAttr>(),
        )
    })
    .map(drop)
}

const OPEN_TREE_CLONE: i32 = 1;

/// A detached copy of the mount at a path. open_tree(2).
pub fn clone_tree_at(path: &CStr, recursive: bool, nofollow: bool) -> Result<OwnedFd> {
    let flags = OPEN_TREE_CLONE
        | libc::O_CLOEXEC
        | if recursive { libc::AT_RECURSIVE } else { 0 }
        | if nofollow { libc::AT_SYMLINK_NOFOLLOW } else { 0 };
    // SAFETY: the path is a valid string.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) })
}

/// A detached copy of the mount that `fd` is in, from there down. open_tree(2).
pub fn clone_tree(fd: BorrowedFd<'_>, recursive: bool) -> Result<OwnedFd> {
    let flags =
        OPEN_TREE_CLONE | libc::O_CLOEXEC | libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a valid empty string.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, fd.as_raw_fd(), c"".as_ptr(), flags) })
}

/// Attaches a detached mount on the place that `target` refers to. move_mount(2).
pub fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<()> {
    const MOVE_MOUNT_F_EMPTY_PATH: u32 = 0x4;
    const MOVE_MOUNT_T_EMPTY_PATH: u32 = 0x40;
    // SAFETY: both paths are valid empty strings.
    ret(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount.as_raw_fd(),
            c"".as_ptr(),
            target.as_raw_fd(),
            c"".as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH,
        )
    })
    .map(drop)
}

/// A file system under configuration. fsopen(2).
pub struct Filesystem(OwnedFd);

const FSCONFIG_SET_FLAG: u32 = 0;
const FSCONFIG_SET_STRING: u32 = 1;
const FSCONFIG_CMD_CREATE: u32 = 6;

impl Filesystem {
    /// Starts one of a type.
    pub fn open(fstype: &CStr) -> Result<Self> {
        const FSOPEN_CLOEXEC: u32 = 1;
        // SAFETY: the type is a valid string.
        owned(unsafe { libc::syscall(libc::SYS_fsopen, fstype.as_ptr(), FSOPEN_CLOEXEC) }).map(Filesystem)
    }

    /// Sets a parameter. fsconfig(2).
    pub fn set(&self, key: &CStr, value: Option<&CStr>) -> Result<()> {
        let (command, value) = match value {
            Some(v) => (FSCONFIG_SET_STRING, v.as_ptr()),
            None => (FSCONFIG_SET_FLAG, std::ptr::null()),
        };
        self.configure(command, key.as_ptr(), value)
    }

    /// Makes the file system, and a detached mount of it. fsmount(2).
    pub fn mount(self, attributes: u64) -> Result<OwnedFd> {
        const FSMOUNT_CLOEXEC: u32 = 1;
        self.configure(FSCONFIG_CMD_CREATE, std::ptr::null(), std::ptr::null())?;
        let attributes = u32::try_from(attributes).map_err(|_| Errno::EINVAL)?;
        // SAFETY: integers only.
        owned(unsafe { libc::syscall(libc::SYS_fsmount, self.0.as_raw_fd(), FSMOUNT_CLOEXEC, attributes) })
    }

    fn configure(&self, command: u32, key: *const libc::c_char, value: *const libc::c_char) -> Result<()> {
        // SAFETY: callers pass null or a valid string for each pointer, as the command wants it.
        ret(unsafe { libc::syscall(libc::SYS_fsconfig, self.0.as_raw_fd(), command, key, value, 0) }).map(drop)
    }
}

/// Makes the working directory the root, and puts the former root on top of it. pivot_root(2), with "." twice.
pub fn pivot_to_cwd() -> Result<()> {
    // SAFETY: both paths are valid strings.
    ret(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) }).map(drop)
}

/// Detaches what is mounted on a path, without following a link at its end. umount2(2) with MNT_DETACH.
pub fn detach(path: &CStr) -> Result<()> {
    // SAFETY: the path is a valid string.
    ret(unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH | libc::UMOUNT_NOFOLLOW) }.into()).map(drop)
}

/// Detaches the mount that a descriptor is of the root of, and all below it. umount2(2) with MNT_DETACH.
///
/// # Errors
/// EINVAL if it is not the root of a mount of this namespace.
pub fn detach_mount(root: BorrowedFd<'_>) -> Result<()> {
    let path = crate::fd::ProcPath::of(root);
    // SAFETY: the path is a valid string.
    ret(unsafe { libc::umount2(path.as_c_str().as_ptr(), libc::MNT_DETACH) }.into()).map(drop)
}

/// The number of the mount that a descriptor is in, given to no other one while this kernel runs; before Linux 6.8, to no
/// other one while it exists. It stays the same when the mount is attached. statx(2), STATX_MNT_ID.
///
/// # Errors
/// ENOSYS before Linux 5.8.
pub fn id(fd: BorrowedFd<'_>) -> Result<u64> {
    const STATX_MNT_ID: u32 = 0x1000;
    const STATX_MNT_ID_UNIQUE: u32 = 0x4000;
    for wanted in [STATX_MNT_ID_UNIQUE, STATX_MNT_ID] {
        // SAFETY: a structure of integers, for which zeroes are a value.
        let mut found: libc::statx = unsafe { std::mem::zeroed() };
        // Not the library's function: to Rust's own it is a weak symbol, which a static link with optimisation across
        // crates leaves null.
        // SAFETY: the path is a valid string, and the structure is the kernel's to write.
        ret(unsafe {
            libc::syscall(libc::SYS_statx, fd.as_raw_fd(), c"".as_ptr(), libc::AT_EMPTY_PATH, wanted, &mut found)
        })?;
        if found.stx_mask & wanted != 0 {
            return Ok(found.stx_mnt_id);
        }
    }
    Err(Errno::ENOSYS)
}
