//! The way out of a sandbox's network: what of it is taken before its init exists, and given back after its end.

use super::lease::{self, Holder, Lease, Leases};
use super::pasta::{self, Found, Running};
use super::{Error, bridge, files, helper, host, ports};
use crate::apply::rtnetlink::{Body, Rtnetlink, word};
use crate::container::Id;
use crate::plan::Plan;
use crate::plan::network::{self as planned};
use nix::errno::Errno;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use zviz_network::policy::Published;
use zviz_network::rules;
use zviz_network::wire::{self, Down, Reply, Request};

/// What this process holds of a link. Dropped, it takes away what is outside of the sandbox's namespace.
#[derive(Debug, Default)]
pub(crate) enum Link {
    /// Nothing.
    #[default]
    None,
    /// An address at the bridge, and ports of the host.
    Bridge(Bridged),
    /// A program that will run, and does.
    Pasta { found: Found, running: Option<Running> },
}

/// An address at the bridge, and ports of the host.
#[derive(Debug)]
pub(crate) struct Bridged {
    /// None when it was given back.
    lease: Option<Lease>,
    publishes: bool,
    _ports: Vec<OwnedFd>,
}

/// Takes what a plan's link needs before anything is cloned, and writes the sandbox's files to its folder.
pub(crate) fn reserve(plan: &Plan, store: &Path, id: &Id, folder: &File) -> Result<Link, Error> {
    let Some(network) = &plan.network else { return Ok(Link::None) };
    let link = match &network.link {
        planned::Link::None => Link::None,
        planned::Link::Bridge(wanted) => Link::Bridge(bridged(&wanted.published, store, id)?),
        planned::Link::Pasta(wanted) => {
            ports::free(&wanted.published)?;
            Link::Pasta { found: pasta::find()?, running: None }
        }
    };
    if let Some(wanted) = &network.files {
        let addresses = link.addresses();
        let written = files::write(folder, wanted, &addresses);
        written.map_err(|(name, source)| Error::File { name, source })?;
    }
    Ok(link)
}

fn bridged(published: &[Published], store: &Path, id: &Id) -> Result<Bridged, Error> {
    let held = ports::hold(published)?;
    let leases = Leases::open(Path::new(lease::ROOT), bridge::POOL)?;
    // Ports of the dead would go to nobody, or to whoever has their address next.
    sweep(&leases);
    let holder = Holder { id: id.to_string(), store: store.to_owned(), pid: std::process::id() };
    let mut lease = leases.take(&holder)?;
    if lease.is_left() {
        clear(lease.address(), true).inspect_err(|_| lease.keep())?;
    }
    Ok(Bridged { lease: Some(lease), publishes: !published.is_empty(), _ports: held })
}

/// Takes away what the dead have left. What cannot be is there for the next who comes by.
fn sweep(leases: &Leases) {
    for mut lease in leases.left().unwrap_or_default() {
        if lease.is_left() && clear(lease.address(), true).is_err() {
            lease.keep();
        }
    }
}

/// Takes away the device and the rules that bear the name of an address.
pub(super) fn clear(address: Ipv4Addr, has_rules: bool) -> Result<(), Error> {
    if has_rules {
        let (tables, links) = (vec![bridge::table(address)], vec![bridge::device(address)]);
        return match helper::find()?.ask(&Request::Down(Down { tables, links, inside: None }), &[], false)? {
            Reply::Done => Ok(()),
            _ => Err(Error::Unexpected),
        };
    }
    let failed = |name: String| move |errno| Error::Device { name, errno };
    let mut netlink = Rtnetlink::open().map_err(failed(bridge::device(address)))?;
    remove(&mut netlink, &bridge::device(address)).map_err(failed(bridge::device(address)))?;
    forget(&mut netlink, address).map_err(failed(format!("{address} at {}", bridge::NAME)))
}

/// Without another program: this is on the way of every end.
fn remove(netlink: &mut Rtnetlink, device: &str) -> Result<(), Errno> {
    let Some(index) = index(netlink, device)? else { return Ok(()) };
    match netlink.request(libc::RTM_DELLINK, 0, &Body::of_link(index, false)) {
        Ok(_) | Err(Errno::ENODEV) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Whose MAC the address is, which was entered at the bridge and does not go with a device.
fn forget(netlink: &mut Rtnetlink, address: Ipv4Addr) -> Result<(), Errno> {
    let Some(bridge) = index(netlink, bridge::NAME)? else { return Ok(()) };
    let six = bridge::POOL.six(address);
    for (family, bytes) in [(libc::AF_INET, &address.octets()[..]), (libc::AF_INET6, &six.octets()[..])] {
        let family = u8::try_from(family).map_err(|_| Errno::EINVAL)?;
        let entry = Body::of_neighbour(family, bridge).with(libc::NDA_DST, bytes)?;
        match netlink.request(libc::RTM_DELNEIGH, 0, &entry) {
            // The last two are of a host without IPv6.
            Ok(_) | Err(Errno::ENOENT | Errno::ENODEV | Errno::EAFNOSUPPORT | Errno::EOPNOTSUPP) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// The number of a device, if there is one of this name.
fn index(netlink: &mut Rtnetlink, device: &str) -> Result<Option<u32>, Errno> {
    let named = Body::of_link(0, false).with(libc::IFLA_IFNAME, &[device.as_bytes(), &[0]].concat())?;
    match netlink.request(libc::RTM_GETLINK, 0, &named) {
        Ok(found) => {
            let found = found.iter().find(|answer| answer.kind == libc::RTM_NEWLINK);
            Ok(found.and_then(|answer| word(&answer.body, 4)))
        }
        Err(Errno::ENODEV) => Ok(None),
        Err(errno) => Err(errno),
    }
}

impl Link {
    /// The sandbox's own, as far as they are known by now.
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        match self.lease() {
            Some(lease) => vec![lease.address().into(), lease.six().into()],
            None => Vec::new(),
        }
    }

    /// The process that it comes by: readable when that has ended.
    pub(super) fn program(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Link::Pasta { running, .. } => running.as_ref()?.pidfd(),
            Link::None | Link::Bridge(_) => None,
        }
    }

    fn lease(&self) -> Option<&Lease> {
        match self {
            Link::Bridge(bridged) => bridged.lease.as_ref(),
            Link::None | Link::Pasta { .. } => None,
        }
    }

    /// Takes away what is outside of the sandbox's namespace.
    ///
    /// # Errors
    /// What could not be; it is found by its lease.
    pub fn give_back(&mut self) -> Result<(), Error> {
        match self {
            Link::Bridge(bridged) => bridged.give_back(),
            Link::None | Link::Pasta { .. } => Ok(()),
        }
    }

    /// What is to be remembered of it.
    pub(super) fn leased(&self) -> Option<Ipv4Addr> {
        self.lease().map(Lease::address)
    }

    /// What the helper is asked for.
    pub(super) fn wire(&self, planned: &planned::Link) -> Result<Option<wire::Bridge>, Error> {
        let (Some(lease), planned::Link::Bridge(wanted)) = (self.lease(), planned) else { return Ok(None) };
        let address = (lease.address(), lease.six());
        let ports = &wanted.published;
        let published = rules::published(&bridge::table(address.0), bridge::NAME, address, ports);
        Ok(Some(wire::Bridge {
            name: bridge::NAME.into(),
            gateway: bridge::GATEWAY,
            prefix: bridge::PREFIX,
            address,
            outside: bridge::device(address.0),
            inside: bridge::INSIDE.into(),
            mtu: host::mtu().map_err(Error::Addresses)?,
            host: rules::bridge(bridge::NAME, &bridge::networks()),
            published: (!ports.is_empty()).then_some(published),
        }))
    }

    /// Starts what is to be started when rules are in force: namespaces of a user and of a network are the sandbox's.
    pub(super) fn start(
        &mut self,
        plan: &Plan,
        init: i32,
        namespaces: [BorrowedFd<'_>; 2],
        rootless: bool,
    ) -> Result<(), Error> {
        let link = plan.network.as_ref().map(|network| &network.link);
        if let (Link::Pasta { found, running }, Some(planned::Link::Pasta(wanted))) = (self, link) {
            *running = Some(pasta::start(found, wanted, plan, init, namespaces, rootless)?);
        }
        Ok(())
    }
}

impl Bridged {
    fn give_back(&mut self) -> Result<(), Error> {
        let Some(mut lease) = self.lease.take() else { return Ok(()) };
        clear(lease.address(), self.publishes).inspect_err(|_| lease.keep())
    }
}

impl Drop for Bridged {
    fn drop(&mut self) {
        // What could not be taken away is found by its lease.
        let _ = self.give_back();
    }
}

/// Takes away what is left of a sandbox at this address, if nobody has the address by now: who has it next has done so.
pub(super) fn down(address: Ipv4Addr) -> Result<(), Error> {
    let leases = Leases::open(Path::new(lease::ROOT), bridge::POOL)?;
    let Some(mut lease) = leases.of(address)? else { return Ok(()) };
    if lease.is_left() {
        return clear(address, true).inspect_err(|_| lease.keep());
    }
    Ok(())
}
