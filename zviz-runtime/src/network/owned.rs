//! Whether somebody inside could change the rules of a network namespace that was joined, by being who he is. Whoever made a user
//! namespace has every right over what belongs to it, from where he made it, whatever capabilities he holds there.
//! user_namespaces(7), "Capabilities".

use super::{Error, Owner, at, network_namespace};
use crate::plan::Net;
use nix::sys::stat::fstat;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};
use zviz_sys::{Errno, path, process};

/// Refuses rules over a namespace that belongs to a user namespace which was made in the container's own. Which user ids there
/// will be in the container, by set-user-ID programs and `exec`, is not known.
///
/// # Errors
/// That, and what cannot be looked at.
pub(super) fn check(owner: &Owner<'_>) -> Result<(), Error> {
    let holds = owner.plan.network.as_ref().is_some_and(|network| !network.policies.is_empty());
    if !holds || !matches!(owner.plan.namespaces.net, Net::Join { .. }) {
        return Ok(());
    }
    let what = "open the container's user namespace";
    let name = CString::new(format!("{}/ns/user", owner.pid)).map_err(|_| at(what)(Errno::EINVAL))?;
    let own = path::openat2(owner.proc, &name, libc::O_RDONLY, 0, 0).map_err(at(what))?;
    let namespace = network_namespace(owner.proc, owner.pid)?;
    let mut of = match process::owner_of_namespace(namespace.as_fd()) {
        Ok(of) => of,
        // One around this process's own, in which nobody inside has made any.
        Err(Errno::EPERM) => return Ok(()),
        Err(errno) => return Err(at("open the user namespace of the container's network")(errno)),
    };
    while !is_same(of.as_fd(), own.as_fd())? {
        of = match process::parent_of_namespace(of.as_fd()) {
            Ok(around) if is_same(around.as_fd(), own.as_fd())? => return Err(Error::Owned),
            Ok(around) => around,
            Err(Errno::EPERM) => break,
            Err(errno) => return Err(at("open the user namespace around that of the container's network")(errno)),
        };
    }
    Ok(())
}

fn is_same(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> Result<bool, Error> {
    let stat = |fd| fstat(fd).map_err(at("look at a user namespace"));
    let (one, other) = (stat(one)?, stat(other)?);
    Ok((one.st_dev, one.st_ino) == (other.st_dev, other.st_ino))
}
