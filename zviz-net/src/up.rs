//! A container's network is made.

use crate::error::{Doing, Error, Result};
use crate::flows;
use crate::links::Outside;
use crate::namespace::{self, Kind};
use crate::netfilter::Netfilter;
use crate::report::Reports;
use crate::rules;
use crate::serve::{Asker, Destination, Resident};
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
    /// Older files of the record that they go to.
    pub older: Vec<OwnedFd>,
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
                Descriptor::Older => {
                    sorted.older.push(fd);
                    continue;
                }
            };
            match kind {
                Descriptor::Network => namespace::check(fd.as_fd(), Kind::Network)?,
                Descriptor::User => namespace::check(fd.as_fd(), Kind::User)?,
                Descriptor::Process | Descriptor::Events | Descriptor::Older => {}
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
pub fn make(up: &Up, mut descriptors: Descriptors) -> Result<Option<Resident>> {
    namespace::differs(descriptors.network()?)?;
    if up.bridge.is_some() {
        // Whoever has rights over the host enters the container as it is; by way of that one's user namespace it could not
        // undo anything of the host's.
        descriptors.user = None;
    }
    // In the namespace of the host, to which there is no way back.
    let outside = up.bridge.as_ref().map(|bridge| Outside::make(bridge, descriptors.network()?)).transpose()?;
    let made = inside(up, descriptors, outside.as_ref());
    if let (Err(_), Some(outside)) = (&made, &outside) {
        outside.undo();
    }
    made
}

/// What is made in the container's namespace; what was made there is taken away again if something fails.
fn inside(up: &Up, descriptors: Descriptors, outside: Option<&Outside<'_>>) -> Result<Option<Resident>> {
    let asker = up.resolver.as_ref().map(|resolver| Asker::start(&resolver.upstream)).transpose();
    let asker = asker.doing(|| "start the process that asks outside")?;
    descriptors.enter()?;
    let socket = Netfilter::open()?;
    // Before there is a link that a packet could pass.
    let reports = up.events.then(Reports::open).transpose()?;
    if let Some(tracking) = &up.inside {
        let alone = up.untracked.as_ref().filter(|rules| rules.table == tracking.table);
        let inside = match alone {
            Some(untracked) if !rules::others(&untracked.table, &socket)? => untracked,
            _ => tracking,
        };
        match &reports {
            Some(reports) => rules::apply(&inside.reporting_to(reports.group()), &socket)?,
            None => rules::apply(inside, &socket)?,
        }
    }
    let rest = || {
        outside.map_or(Ok(()), Outside::inside)?;
        if up.joined {
            flows::forget(&socket)?;
        }
        let to = descriptors.events.map(|events| Destination::of(events, descriptors.older, up.record));
        let resident = Resident::prepare(up, asker, descriptors.process, (reports, to))?;
        outside.map_or(Ok(()), Outside::open)?;
        resident.map(Resident::confined).transpose()
    };
    rest().inspect_err(|_| {
        // The error that counts is the first.
        let _ = up.inside.as_ref().is_some_and(|inside| rules::remove(&inside.table, &socket).is_ok());
    })
}
