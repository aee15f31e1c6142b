//! A container's network is made.

use crate::error::{Doing, Error, Result};
use crate::namespace::{self, Kind};
use crate::netfilter::Netfilter;
use crate::rules;
use crate::serve::{Asker, Resident};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use zviz_network::wire::{Descriptor, Up};

/// The descriptors of a request, each what it is said to be.
#[derive(Debug, Default)]
pub struct Descriptors {
    /// The container's network namespace.
    pub network: Option<OwnedFd>,
    /// The user namespace that owns it.
    pub user: Option<OwnedFd>,
    /// A process of the container's.
    pub process: Option<OwnedFd>,
    /// Where events go.
    pub events: Option<OwnedFd>,
}

impl Descriptors {
    /// Sorts them.
    ///
    /// # Errors
    /// There are more or fewer than were announced, two of one kind, or a namespace is none.
    pub fn sort(kinds: &[Descriptor], given: Vec<OwnedFd>) -> Result<Descriptors> {
        if kinds.len() != given.len() {
            return Err(Error::new(format!("{} descriptors where {} were announced", given.len(), kinds.len())));
        }
        let mut sorted = Descriptors::default();
        for (kind, fd) in kinds.iter().zip(given) {
            let place = match kind {
                Descriptor::Network => &mut sorted.network,
                Descriptor::User => &mut sorted.user,
                Descriptor::Process => &mut sorted.process,
                Descriptor::Events => &mut sorted.events,
            };
            match kind {
                Descriptor::Network => namespace::check(fd.as_fd(), Kind::Network)?,
                Descriptor::User => namespace::check(fd.as_fd(), Kind::User)?,
                Descriptor::Process | Descriptor::Events => {}
            }
            if place.replace(fd).is_some() {
                return Err(Error::new(format!("two descriptors are {kind:?}")));
            }
        }
        Ok(sorted)
    }

    /// The network namespace.
    ///
    /// # Errors
    /// None was given.
    pub fn network(&self) -> Result<BorrowedFd<'_>> {
        self.network.as_ref().map(AsFd::as_fd).ok_or_else(|| Error::new("no network namespace came with the request"))
    }

    /// Goes into it.
    ///
    /// # Errors
    /// None was given, and of setns(2).
    pub fn enter(&self) -> Result<()> {
        namespace::enter(self.network()?, self.user.as_ref().map(AsFd::as_fd))
    }
}

/// Makes it, or nothing of it. What it gives has to stay.
///
/// # Errors
/// What could not be done; what was made before has been taken away.
pub fn make(up: &Up, descriptors: Descriptors) -> Result<Option<Resident>> {
    namespace::differs(descriptors.network()?)?;
    if up.bridge.is_some() {
        return Err(Error::new("links cannot be had yet"));
    }
    // In the namespace of the host, to which there is no way back.
    let asker = up.resolver.as_ref().map(|resolver| Asker::start(&resolver.upstream)).transpose();
    let asker = asker.doing(|| "start the process that asks outside")?;
    descriptors.enter()?;
    let socket = Netfilter::open()?;
    if let Some(inside) = &up.inside {
        rules::apply(inside, &socket)?;
    }
    Resident::prepare(up, asker, descriptors.process, descriptors.events).inspect_err(|_| {
        // The error that counts is the first.
        let _ = up.inside.as_ref().is_some_and(|inside| rules::remove(&inside.table, &socket).is_ok());
    })
}
