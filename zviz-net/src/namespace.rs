//! Network and user namespaces, by descriptor.

use crate::error::{Doing, Error, Result};
use nix::errno::Errno;
use nix::libc;
use nix::sys::stat::fstat;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use zviz_sys::{fd, process};

/// linux/magic.h: NSFS_MAGIC.
const NSFS: i64 = 0x6e73_6673;

/// What a descriptor must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A network namespace.
    Network,
    /// A user namespace.
    User,
}

impl Kind {
    fn flag(self) -> u64 {
        match self {
            Kind::Network => u64::from(libc::CLONE_NEWNET.cast_unsigned()),
            Kind::User => u64::from(libc::CLONE_NEWUSER.cast_unsigned()),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Network => "network namespace",
            Kind::User => "user namespace",
        }
    }
}

/// Refuses a descriptor that is no namespace of this kind. A pidfd could be joined just as well, whose namespace may be another
/// one by then.
///
/// # Errors
/// It is none.
pub fn check(given: BorrowedFd<'_>, kind: Kind) -> Result<()> {
    let none = || Error::new(format!("a descriptor is no {}", kind.name()));
    // Other files may know the same request as something else.
    if fd::filesystem_magic(given) != Ok(NSFS) {
        return Err(none());
    }
    match process::namespace_kind(given) {
        Ok(found) if found == kind.flag() => Ok(()),
        Ok(_) => Err(none()),
        Err(error) => Err(error).doing(|| format!("a descriptor that should be a {}", kind.name())),
    }
}

/// The network namespace that this process is in.
///
/// # Errors
/// Of open(2).
pub fn own() -> Result<File> {
    File::open("/proc/self/ns/net").doing(|| "/proc/self/ns/net")
}

/// Refuses to make a container's rules the host's: a container without a network namespace of its own has none.
///
/// # Errors
/// They are one namespace.
pub fn differs(container: BorrowedFd<'_>) -> Result<()> {
    let of = |fd: BorrowedFd<'_>| fstat(fd).map(|stat| (stat.st_dev, stat.st_ino)).doing(|| "a network namespace");
    if of(own()?.as_fd())? == of(container)? {
        return Err(Error::new("the container's network namespace is the one of zviz itself"));
    }
    Ok(())
}

/// Goes into a network namespace; where this process has no rights over it, by way of the user namespace that owns it. There
/// is no way back from that one.
///
/// # Errors
/// Of setns(2).
pub fn enter(network: BorrowedFd<'_>, user: Option<BorrowedFd<'_>>) -> Result<()> {
    match (process::setns(network, Kind::Network.flag()), user) {
        (Err(Errno::EPERM), Some(user)) => {
            process::setns(user, Kind::User.flag()).doing(|| "enter the container's user namespace")?;
            process::setns(network, Kind::Network.flag()).doing(|| "enter the container's network namespace")
        }
        (entered, _) => entered.doing(|| "enter the container's network namespace"),
    }
}
