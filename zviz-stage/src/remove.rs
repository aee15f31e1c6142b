//! Removes a tree that a workload has made: of any depth, and with permissions that its owner forgot about.

use crate::at;
use crate::change::Kind;
use nix::fcntl::{OFlag, renameat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::ffi::OsStr;
use std::fs::{Permissions, set_permissions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use zviz_sys::fd::ProcPath;

/// Removes a folder and everything in it, if it is there. Nobody else may be using it.
///
/// # Errors
/// What cannot be removed; the rest may be gone.
pub fn tree(path: &Path) -> io::Result<()> {
    let Some(parent) = path.parent() else { return Err(io::ErrorKind::InvalidInput.into()) };
    let parent = std::fs::File::open(parent)?;
    let name = path.file_name().unwrap_or_default().as_bytes();
    match at::stat(&parent, name)? {
        Some(_) => entry(parent.as_fd(), name),
        None => Ok(()),
    }
}

/// Removes a name and everything below it.
pub(crate) fn entry(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let Some(stat) = at::stat(parent, name)? else { return Ok(()) };
    if Kind::of(&stat) != Kind::Folder {
        return unlink(parent, name, UnlinkatFlags::NoRemoveDir);
    }
    let top = writable(parent, name)?;
    // Folders are moved up to the top one by one, so that neither depth nor descriptors are the workload's to choose.
    let mut fresh = 0u64;
    loop {
        let names = at::names(&top)?;
        if names.is_empty() {
            break;
        }
        for name in names {
            let Some(stat) = at::stat(&top, &name)? else { continue };
            if Kind::of(&stat) != Kind::Folder {
                unlink(top.as_fd(), &name, UnlinkatFlags::NoRemoveDir)?;
                continue;
            }
            let folder = writable(top.as_fd(), &name)?;
            for inner in at::names(&folder)? {
                let is_folder = at::stat(&folder, &inner)?.is_some_and(|stat| Kind::of(&stat) == Kind::Folder);
                if is_folder {
                    // A folder that may not be written cannot be given another parent.
                    drop(writable(folder.as_fd(), &inner)?);
                    let free = loop {
                        fresh += 1;
                        let free = format!("zviz-{fresh}");
                        if at::stat(&top, free.as_bytes())?.is_none() {
                            break free;
                        }
                    };
                    renameat(&folder, OsStr::from_bytes(&inner), &top, free.as_str())?;
                } else {
                    unlink(folder.as_fd(), &inner, UnlinkatFlags::NoRemoveDir)?;
                }
            }
            unlink(top.as_fd(), &name, UnlinkatFlags::RemoveDir)?;
        }
    }
    unlink(parent, name, UnlinkatFlags::RemoveDir)
}

fn unlink(dir: BorrowedFd<'_>, name: &[u8], flags: UnlinkatFlags) -> io::Result<()> {
    Ok(unlinkat(dir, OsStr::from_bytes(name), flags)?)
}

/// Opens a folder, whatever its permissions were: overlayfs makes its own with none.
fn writable(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
    let stat = at::stat(parent, name)?.ok_or(io::ErrorKind::NotFound)?;
    if stat.st_mode & 0o700 != 0o700 && Kind::of(&stat) == Kind::Folder {
        let folder = at::open(parent, name, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
        give_rights(&folder)?;
    }
    at::open(parent, name, OFlag::O_RDONLY | OFlag::O_DIRECTORY)
}

/// To what was opened, and not to what the name is by now: another one's folder may be in a place that he may change.
fn give_rights(folder: &OwnedFd) -> io::Result<()> {
    let path = ProcPath::of(folder.as_fd());
    set_permissions(OsStr::from_bytes(path.as_c_str().to_bytes()), Permissions::from_mode(0o700))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;
    use std::fs;

    #[test]
    fn rights_are_given_to_what_was_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mode = |name: &str| fs::symlink_metadata(at(name)).unwrap().permissions().mode() & 0o777;
        for name in ["closed", "outside"] {
            fs::create_dir(at(name)).unwrap();
            fs::set_permissions(at(name), Permissions::from_mode(0o500)).unwrap();
        }
        let parent = fs::File::open(folder.path()).unwrap();
        let closed = at::open(&parent, b"closed", OFlag::O_PATH | OFlag::O_DIRECTORY).unwrap();
        fs::rename(at("closed"), at("moved")).unwrap();
        std::os::unix::fs::symlink("outside", at("closed")).unwrap();
        give_rights(&closed).unwrap();
        assert_eq!([mode("moved"), mode("outside")], [0o700, 0o500]);
    }

    #[test]
    fn deep_and_closed_folders_go() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().join("top");
        let outside = folder.path().join("outside");
        fs::write(&outside, "stays").unwrap();
        let mut at = std::fs::File::open(folder.path()).map(OwnedFd::from).unwrap();
        let mut name = b"top".to_vec();
        for depth in 0..600 {
            nix::sys::stat::mkdirat(&at, OsStr::from_bytes(&name), Mode::S_IRWXU).unwrap();
            at = at::folder(&at, &name).unwrap();
            nix::unistd::symlinkat("../outside", &at, "link").unwrap();
            name = format!("folder-{depth}").into_bytes();
        }
        fs::set_permissions(&top, std::os::unix::fs::PermissionsExt::from_mode(0o0)).unwrap();
        tree(&top).unwrap();
        assert!(!top.exists() && outside.exists());
        tree(&top).unwrap();
    }
}
