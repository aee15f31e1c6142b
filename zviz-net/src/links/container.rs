//! The container's side: addresses, the gateway, routes.

use super::bridge::{Found, address_of, family, has_six, neighbour};
use super::pair::addresses;
use super::route::{How, Route};
use crate::error::{Doing, Error, Result};
use netlink_packet_route::RouteNetlinkMessage as Request;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use std::net::IpAddr;
use zviz_network::wire::Bridge;

/// Settles it, in the network namespace that this process is in.
pub fn settle(wanted: &Bridge, bridge: &Found) -> Result<()> {
    let route = Route::open()?;
    let name = &wanted.inside;
    zviz_sys::net::bring_loopback_up().doing(|| "bring lo up")?;
    let link = route.link(name)?.ok_or_else(|| Error::new(format!("{name} is not in the container")))?;
    let six = bridge.has_six && has_six(name);
    for address in addresses(wanted, six) {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        route.ask(address_of(link.index, address, bits), How::New, || format!("{address} on {name}"))?;
    }
    route.up(link.index, name)?;
    for gateway in
        [Some(IpAddr::V4(wanted.gateway.0)), six.then_some(IpAddr::V6(wanted.gateway.1))].into_iter().flatten()
    {
        let entry = Request::NewNeighbour(neighbour(link.index, gateway, bridge.address));
        route.ask(entry, How::Instead, || format!("{gateway} behind {name}"))?;
        // The gateway is no address of a network of ours, so that it is on this link has to be said.
        route.ask(to(link.index, gateway, None), How::New, || format!("route to {gateway}"))?;
        route.ask(to(link.index, gateway, Some(gateway)), How::New, || format!("default route by {gateway}"))?;
    }
    Ok(())
}

/// A route to one address on a link, or to all others by it.
fn to(index: u32, address: IpAddr, gateway: Option<IpAddr>) -> Request {
    let mut message = RouteMessage::default();
    message.header.address_family = family(address);
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.kind = RouteType::Unicast;
    message.attributes = vec![RouteAttribute::Oif(index)];
    match gateway {
        Some(gateway) => {
            message.header.scope = RouteScope::Universe;
            message.attributes.push(RouteAttribute::Gateway(RouteAddress::from(gateway)));
        }
        None => {
            message.header.scope = RouteScope::Link;
            message.header.destination_prefix_length = if address.is_ipv4() { 32 } else { 128 };
            message.attributes.push(RouteAttribute::Destination(RouteAddress::from(address)));
        }
    }
    Request::NewRoute(message)
}
