//! The bridge that all containers of a host share.

use super::hardware::{self, Hardware};
use super::route::{How, Link, Route};
use crate::attributes::{Attributes, Message};
use crate::error::{Error, Result};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{InfoBridge, InfoData, InfoKind, LinkAttribute, LinkInfo, LinkMessage};
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage as Request};
use nix::errno::Errno;
use nix::libc;
use std::collections::BTreeSet;
use std::net::IpAddr;
use zviz_network::wire::Bridge;

/// The bridge as it is.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its number.
    pub index: u32,
    /// Its MAC address.
    pub address: Hardware,
    /// Its longest packet, in bytes.
    pub mtu: u32,
    /// Whether it has IPv6: not where the kernel has none, or whoever runs the host has switched it off there.
    pub has_six: bool,
}

/// Makes it, unless it is there. Two hundred may do so at a time: the kernel makes one of them the first, and every other step
/// is the same whoever takes it.
pub fn ensure(route: &Route, wanted: &Bridge) -> Result<Found> {
    let name = &wanted.name;
    let link = match route.link(name)? {
        Some(link) => link,
        None => {
            make(route, wanted)?;
            route.link(name)?.ok_or_else(|| Error::new(format!("bridge {name} has gone")))?
        }
    };
    if link.kind != "bridge" {
        return Err(Error::new(format!("{name} is there, and is no bridge")));
    }
    let has_six = has_six(name);
    let address =
        |address: IpAddr, bits| route.ensure(address_of(link.index, address, bits), || format!("{address} on {name}"));
    address(wanted.gateway.0.into(), wanted.prefix.0)?;
    if has_six {
        address(wanted.gateway.1.into(), wanted.prefix.1)?;
    }
    if !link.up {
        route.up(link.index, name)?;
    }
    let Link { index, mtu, address, .. } = link;
    let address = address.try_into().map_err(|_| Error::new(format!("bridge {name} has no MAC address")))?;
    leads_here(route, wanted, index)?;
    Ok(Found { index, address, mtu, has_six })
}

/// A network of somebody else's with these addresses, a VPN's for one, would be sent what is for the container: all answers to what
/// it asks, which then wait in vain here. A route to all addresses is none; it is asked where the bridge's own has no carrier yet.
fn leads_here(route: &Route, wanted: &Bridge, index: u32) -> Result<()> {
    let address = wanted.address.0;
    let Some((device, bits)) =
        route.way(address)?.filter(|(device, bits)| *device != index && *bits >= wanted.prefix.0)
    else {
        return Ok(());
    };
    let name = route.links()?.into_iter().find(|link| link.index == device).map(|link| link.name);
    let name = name.unwrap_or_else(|| format!("device {device}"));
    let within = format!("{}/{}", wanted.gateway.0, wanted.prefix.0);
    Err(Error::new(format!(
        "{address} is somewhere else for this host: a route of {bits} bits leads there by {name}, and sandboxes have {within}"
    )))
}

fn make(route: &Route, wanted: &Bridge) -> Result<()> {
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::IfName(wanted.name.clone()),
        // Of its own: otherwise it has that of one of its ports, and another when that one goes.
        LinkAttribute::Address(hardware::of(wanted.gateway.0).to_vec()),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Bridge),
            // Nobody asks for groups that are to pass.
            LinkInfo::Data(InfoData::Bridge(vec![InfoBridge::MulticastSnooping(false)])),
        ]),
    ];
    message.attributes.extend(wanted.mtu.map(LinkAttribute::Mtu));
    route.ensure(Request::NewLink(message), || format!("make bridge {}", wanted.name))
}

/// Whether a device of this network namespace may have addresses of IPv6.
pub fn has_six(device: &str) -> bool {
    let path = format!("/proc/sys/net/ipv6/conf/{device}/disable_ipv6");
    std::fs::read_to_string(path).is_ok_and(|value| value.trim() == "0")
}

/// An address of a device. It counts at once: nobody else has it, so nobody is asked.
pub fn address_of(index: u32, address: IpAddr, bits: u8) -> Request {
    let mut message = AddressMessage::default();
    message.header.family = family(address);
    message.header.prefix_len = bits;
    message.header.index = index;
    message.attributes = vec![AddressAttribute::Address(address), AddressAttribute::Local(address)];
    if address.is_ipv6() {
        message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
    Request::NewAddress(message)
}

/// Of which family an address is.
pub fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

/// That an address of a link has a MAC, for good.
pub fn neighbour(index: u32, address: IpAddr, hardware: Hardware) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family(address);
    message.header.ifindex = index;
    message.header.state = NeighbourState::Permanent;
    message.attributes = vec![
        NeighbourAttribute::Destination(match address {
            IpAddr::V4(four) => NeighbourAddress::Inet(four),
            IpAddr::V6(six) => NeighbourAddress::Inet6(six),
        }),
        NeighbourAttribute::LinkLayerAddress(hardware.to_vec()),
    ];
    message
}

/// struct ndmsg: where its device and its state are, and its length.
const DEVICE: usize = 4;
const STATE: usize = 8;
const NEIGHBOUR: usize = 12;

/// linux/neighbour.h.
const DESTINATION: u16 = 1;
const HARDWARE: u16 = 2;
const PERMANENT: u16 = 0x80;

/// One entry of a list of neighbours: its device, its MAC, its state, its address if it has one.
fn entry(message: &Message<'_>) -> Option<(u32, Hardware, u16, Option<IpAddr>)> {
    let body = Some(message.body).filter(|_| message.kind == libc::RTM_NEWNEIGH)?;
    let device = u32::from_ne_bytes(body.get(DEVICE..DEVICE + 4)?.try_into().ok()?);
    let state = u16::from_ne_bytes(body.get(STATE..STATE + 2)?.try_into().ok()?);
    let attributes = Attributes(body.get(NEIGHBOUR..)?);
    let hardware = attributes.value(HARDWARE)?.try_into().ok()?;
    let address = attributes.value(DESTINATION).and_then(|bytes| {
        let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
        four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
    });
    Some((device, hardware, state, address))
}

/// Forgets the addresses of containers that are gone: a device that goes takes its MAC from the bridge, but not what the host
/// knows of the addresses behind it. One whose MAC no port has any more is one of them.
///
/// # Errors
/// Of the lists. What goes meanwhile is no error.
pub fn forget_the_gone(route: &Route) -> Result<()> {
    let mut known = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut all = NeighbourMessage::default();
        all.header.family = family;
        route.list(Request::GetNeighbour(all), |message| {
            let ours =
                entry(&message).filter(|(_, hardware, state, _)| hardware::is_ours(hardware) && *state == PERMANENT);
            known.extend(ours);
        })?;
    }
    if known.is_empty() {
        return Ok(());
    }
    // After those: who makes a container enters its MAC at the port first.
    let mut at_ports = BTreeSet::new();
    let mut all = NeighbourMessage::default();
    all.header.family = AddressFamily::Bridge;
    route.list(Request::GetNeighbour(all), |message| {
        at_ports.extend(entry(&message).map(|(_, hardware, ..)| hardware))
    })?;
    for (device, hardware, _, address) in known.into_iter().filter(|(_, hardware, ..)| !at_ports.contains(hardware)) {
        let Some(address) = address else { continue };
        let gone = Request::DelNeighbour(neighbour(device, address, hardware));
        match route.ask(gone, How::There, || format!("forget {address}")) {
            Err(error) if !error.is(Errno::ENOENT) && !error.is(Errno::ENODEV) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
