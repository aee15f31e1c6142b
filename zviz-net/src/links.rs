//! Links of a container that is bridged: the bridge, the pair of devices, addresses and routes. rtnetlink(7).
//!
//! ```text
//! host   zviz0 10.213.0.1/16 ── zv-… (isolated, locked to one MAC) ═══ eth0 10.213.x.y/32   container
//! ```
//!
//! Three decisions hold sandboxes apart below IP, where the packet filter's tables of `inet` do not look:
//! - Ports are isolated: the bridge passes nothing from one sandbox to another.
//! - The bridge learns nothing. Each port has one MAC, which follows from the IPv4 address, is entered by us, and is the only one
//!   that may send there (`locked`, since Linux 5.18): nobody can be sent what is for another by taking its MAC.
//! - Neither side asks who has an address: both have the other's entered, so a wrong answer changes nothing.
//!
//! The container's addresses are a /32 and a /128 with a route to the gateway alone: what is for a neighbour goes to the gateway,
//! whose rules refuse it at once, instead of being asked for on a link on which nobody answers.

mod bridge;
mod container;
mod forwarding;
mod hardware;
mod pair;
pub mod route;

use crate::error::Result;
use crate::netfilter::Netfilter;
use crate::rules;
use route::Route;
use std::os::fd::BorrowedFd;
use zviz_network::wire::Bridge;

pub use bridge::forget_the_gone;

/// The host's side of one container, while it is being made. Its sockets stay the host's, wherever this process goes.
#[derive(Debug)]
pub struct Outside<'a> {
    wanted: &'a Bridge,
    route: Route,
    netfilter: Netfilter,
    /// The bridge's own MAC, and which families it has.
    bridge: bridge::Found,
    /// The device of the container.
    index: u32,
}

impl<'a> Outside<'a> {
    /// Makes the bridge if there is none, and the pair of devices, of which the container's end is in its namespace at once.
    /// Nothing passes yet. To be called in the host's namespace.
    ///
    /// The bridge, the rules that all containers share, and the switches that let the host forward stay when it fails, as they
    /// stay when the last container ends: somebody else may count on them by then, and none of zviz's can know.
    ///
    /// # Errors
    /// What could not be made. What is this container's alone has been taken away again.
    pub fn make(wanted: &'a Bridge, container: BorrowedFd<'_>) -> Result<Outside<'a>> {
        let (route, netfilter) = (Route::open()?, Netfilter::open()?);
        let found = bridge::ensure(&route, wanted)?;
        // Before anything is forwarded.
        rules::share(&wanted.host, &netfilter)?;
        forwarding::on(&found, wanted)?;
        let index = pair::make(&route, wanted, &found, container)?;
        let outside = Outside { wanted, route, netfilter, bridge: found, index };
        match outside.settle() {
            Ok(()) => Ok(outside),
            Err(error) => {
                outside.undo();
                Err(error)
            }
        }
    }

    fn settle(&self) -> Result<()> {
        pair::hold(&self.route, self.wanted, &self.bridge, self.index)?;
        self.wanted.published.as_ref().map_or(Ok(()), |published| rules::apply(published, &self.netfilter))
    }

    /// Makes the container's side. To be called in its namespace.
    ///
    /// # Errors
    /// What could not be made.
    pub fn inside(&self) -> Result<()> {
        container::settle(self.wanted, &self.bridge)
    }

    /// Lets packets pass.
    ///
    /// # Errors
    /// Of the device.
    pub fn open(&self) -> Result<()> {
        self.route.up(self.index, &self.wanted.outside)
    }

    /// Takes away what is of this container alone. What cannot be is for `gc` to find.
    pub fn undo(&self) {
        let _ = self.route.remove(&self.wanted.outside);
        let _ = self.wanted.published.as_ref().map(|published| rules::remove(&published.table, &self.netfilter));
        let _ = forget_the_gone(&self.route);
    }
}
