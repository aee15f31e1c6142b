//! An overlay over a part of the host's tree, made by init of two mounts that it attached a moment ago: the kernel makes
//! overlays of attached mounts only (clone_private_mount()), and takes the ids of both as they are translated.

use nix::errno::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use zviz_sys::fd::ProcPath;
use zviz_sys::path::resolve;
use zviz_sys::{mount, path};

/// Makes it, and takes the two mounts away: nothing inside can reach what lies below the overlay by another way.
pub(super) fn make(
    lower: &mut Option<OwnedFd>,
    layers: &mut Option<OwnedFd>,
    proc: BorrowedFd<'_>,
    attributes: u64,
) -> Result<OwnedFd, Errno> {
    let (Some(lower), Some(layers)) = (lower.take(), layers.take()) else { return Err(Errno::EINVAL) };
    let inside = |name| {
        path::openat2(
            layers.as_fd(),
            name,
            libc::O_PATH | libc::O_DIRECTORY,
            0,
            resolve::BENEATH | resolve::NO_SYMLINKS,
        )
    };
    let (upper, work) = (inside(c"upper")?, inside(c"work")?);
    let overlay = mount::Filesystem::open(c"overlay")?;
    overlay.set(c"source", Some(c"stage"))?;
    // By descriptor, since a path may have colons and commas, which the option takes for its own. From the host's proc,
    // which has no path any more where the container's root is attached on top of it.
    path::enter(proc)?;
    overlay.set(c"lowerdir", Some(ProcPath::of(lower.as_fd()).below_proc()))?;
    overlay.set(c"upperdir", Some(ProcPath::of(upper.as_fd()).below_proc()))?;
    overlay.set(c"workdir", Some(ProcPath::of(work.as_fd()).below_proc()))?;
    // Renamed folders are copied and every file is whole in the upper layer, so that it can be read without the kernel's
    // help; what a host's configuration says of these is not asked. `userxattr` alone excludes redirects and metacopy.
    overlay.set(c"userxattr", None)?;
    overlay.set(c"index", Some(c"off"))?;
    let overlay = overlay.mount(attributes)?;
    for below in [layers, lower] {
        path::enter(below.as_fd())?;
        mount::detach(c".")?;
    }
    Ok(overlay)
}
