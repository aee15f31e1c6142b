//! The pair of devices of one container.

use super::bridge::{Found, neighbour};
use super::hardware;
use super::route::{How, Route};
use crate::error::{Error, Result};
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind,
    InfoVeth, LinkAttribute, LinkInfo, LinkMessage,
};
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage as Request};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use zviz_network::wire::Bridge;

/// Bytes of a device's name, with the zero byte.
const NAME: usize = 16;

/// Makes both, down, one end a port of the bridge and the other in the container's namespace from its first moment. Gives the
/// number of the port.
pub fn make(route: &Route, wanted: &Bridge, bridge: &Found, container: BorrowedFd<'_>) -> Result<u32> {
    for name in [&wanted.outside, &wanted.inside] {
        if name.is_empty()
            || name.len() >= NAME
            || name.contains(['/', '\0', ':'])
            || name.contains(char::is_whitespace)
        {
            return Err(Error::new(format!("no device is {name:?}")));
        }
    }
    let mtu = LinkAttribute::Mtu(wanted.mtu.unwrap_or(bridge.mtu));
    let mut peer = LinkMessage::default();
    peer.attributes = vec![
        LinkAttribute::IfName(wanted.inside.clone()),
        LinkAttribute::NetNsFd(container.as_raw_fd()),
        LinkAttribute::Address(hardware::of(wanted.address.0).to_vec()),
        mtu.clone(),
    ];
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::IfName(wanted.outside.clone()),
        LinkAttribute::Controller(bridge.index),
        mtu,
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]),
    ];
    let what = || format!("make {} with {} in the container", wanted.outside, wanted.inside);
    route.ask(Request::NewLink(message), How::New, what)?;
    let made = route
        .link(&wanted.outside)
        .and_then(|made| made.map(|link| link.index).ok_or_else(|| Error::new(format!("{} has gone", wanted.outside))));
    // The error that counts is the first.
    made.inspect_err(|_| drop(route.remove(&wanted.outside)))
}

/// Holds the port to one container: see the parent's three decisions.
pub fn hold(route: &Route, wanted: &Bridge, bridge: &Found, port: u32) -> Result<()> {
    let hardware = hardware::of(wanted.address.0);
    let mut message = LinkMessage::default();
    message.header.index = port;
    message.attributes = vec![
        LinkAttribute::LinkInfo(vec![
            LinkInfo::PortKind(InfoPortKind::Bridge),
            LinkInfo::PortData(InfoPortData::BridgePort(vec![
                InfoBridgePort::Isolated(true),
                InfoBridgePort::Locked(true),
                InfoBridgePort::Learning(false),
                InfoBridgePort::UnicastFlood(false),
                InfoBridgePort::HairpinMode(false),
                // No spanning tree of a sandbox's making.
                InfoBridgePort::Guard(true),
            ])),
        ]),
        // The port itself is nobody's address.
        LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)])]),
    ];
    if !bridge.has_six {
        message.attributes.truncate(1);
    }
    route.ask(Request::NewLink(message), How::There, || format!("isolate {}", wanted.outside))?;

    let mut at_port = NeighbourMessage::default();
    at_port.header.family = AddressFamily::Bridge;
    at_port.header.ifindex = port;
    // As the bridge would learn it, for good: NUD_PERMANENT would be the bridge's own.
    at_port.header.state = NeighbourState::Noarp;
    at_port.header.flags = NeighbourFlags::Controller;
    at_port.attributes = vec![NeighbourAttribute::LinkLayerAddress(hardware.to_vec())];
    let what = || format!("the MAC address of {}", wanted.outside);
    route.ask(Request::NewNeighbour(at_port), How::Instead, what)?;

    for address in addresses(wanted, bridge.has_six) {
        let entry = Request::NewNeighbour(neighbour(bridge.index, address, hardware));
        route.ask(entry, How::Instead, || format!("{address} behind {}", wanted.outside))?;
    }
    Ok(())
}

/// The container's addresses.
pub fn addresses(wanted: &Bridge, has_six: bool) -> impl Iterator<Item = IpAddr> {
    let six = has_six.then_some(IpAddr::V6(wanted.address.1));
    [IpAddr::V4(wanted.address.0)].into_iter().chain(six)
}
