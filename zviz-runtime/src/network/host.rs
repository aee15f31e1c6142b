//! What the networks of this host are: read when a container's are made, since they come and go.

use crate::apply::rtnetlink::{Body, Rtnetlink, attributes, word};
use nix::errno::Errno;
use nix::sys::socket::SockProtocol;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use zviz_network::address::Network;

/// ifaddrmsg, rtmsg, ifinfomsg: what stands before the attributes. rtnetlink(7).
const ADDRESS: usize = 8;
const ROUTE: usize = 12;
const LINK: usize = 16;
/// nfgenmsg.
const NETFILTER: usize = 4;
/// linux/netfilter/nfnetlink.h and nf_tables.h: the subsystem in the upper byte, then the message.
const GET_CHAIN: u16 = 10 << 8 | 4;
const NEW_CHAIN: u16 = 10 << 8 | 3;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const HOOK_NUMBER: u16 = 1;
/// enum nf_inet_hooks.
const FORWARD: u32 = 2;
const DROP: u32 = 0;

/// All addresses of all interfaces, loopback's left out.
///
/// # Errors
/// Those of netlink(7).
pub fn addresses() -> Result<Vec<IpAddr>, Errno> {
    Ok(networks()?.into_iter().map(|(address, _)| address).collect())
}

/// The same, with how many bits of each are those of the network around it.
///
/// # Errors
/// Those of netlink(7).
pub fn networks() -> Result<Vec<(IpAddr, u8)>, Errno> {
    let answers = Rtnetlink::open()?.dump(libc::RTM_GETADDR, &Body::of_address(0, 0, 0, 0))?;
    let mut found: Vec<(IpAddr, u8)> = Vec::new();
    for answer in answers.iter().filter(|answer| answer.kind == libc::RTM_NEWADDR) {
        let given: Vec<_> = attributes(answer.body.get(ADDRESS..).unwrap_or_default()).collect();
        // With a peer's address, the other one is the peer's.
        let own = [libc::IFA_LOCAL, libc::IFA_ADDRESS];
        let own = own.iter().find_map(|kind| given.iter().find(|(k, _)| k == kind));
        let own = own.and_then(|(_, bytes)| address(bytes)).filter(|address| !address.is_loopback());
        // ifaddrmsg: family, bits, flags, scope, device.
        found.extend(own.zip(answer.body.get(1).copied()));
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// The network of so many bits that an address is in.
#[must_use]
pub fn network(address: IpAddr, bits: u8) -> Option<Network> {
    let whole: IpAddr = match address {
        IpAddr::V4(four) => {
            let mask = u32::MAX.checked_shl(32_u32.checked_sub(bits.into())?).unwrap_or(0);
            Ipv4Addr::from_bits(four.to_bits() & mask).into()
        }
        IpAddr::V6(six) => {
            let mask = u128::MAX.checked_shl(128_u32.checked_sub(bits.into())?).unwrap_or(0);
            Ipv6Addr::from_bits(six.to_bits() & mask).into()
        }
    };
    format!("{whole}/{bits}").try_into().ok()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).ok().map(|bytes| Ipv4Addr::from(bytes).into());
    four.or_else(|| <[u8; 16]>::try_from(bytes).ok().map(|bytes| Ipv6Addr::from(bytes).into()))
}

/// How many bytes a packet may have that leaves by a default route, if there is one: the smallest of its devices. More would have
/// to be sent in pieces, or be lost where that is not told.
///
/// # Errors
/// Those of netlink(7).
pub fn mtu() -> Result<Option<u32>, Errno> {
    let mut netlink = Rtnetlink::open()?;
    let routes = netlink.dump(libc::RTM_GETROUTE, &Body::of_routes())?;
    let leads = |body: &[u8]| {
        // rtmsg: family, bits of the destination, bits of the source, tos, table, protocol, scope, type.
        let (bits, table, kind) = (*body.get(1)?, *body.get(4)?, *body.get(7)?);
        let default = bits == 0 && table == libc::RT_TABLE_MAIN && kind == libc::RTN_UNICAST;
        let given = body.get(ROUTE..).unwrap_or_default();
        default
            .then(|| attributes(given).find(|(kind, _)| *kind == libc::RTA_OIF))
            .flatten()
            .and_then(|(_, v)| word(v, 0))
    };
    let new = routes.iter().filter(|answer| answer.kind == libc::RTM_NEWROUTE);
    let devices: Vec<u32> = new.filter_map(|answer| leads(&answer.body)).collect();
    let links = netlink.dump(libc::RTM_GETLINK, &Body::of_link(0, false))?;
    let new = links.iter().filter(|answer| answer.kind == libc::RTM_NEWLINK);
    let of_device = new.filter(|answer| word(&answer.body, 4).is_some_and(|index| devices.contains(&index)));
    let mtus = of_device.filter_map(|answer| {
        let mut given = attributes(answer.body.get(LINK..).unwrap_or_default());
        given.find(|(kind, _)| *kind == libc::IFLA_MTU).and_then(|(_, value)| word(value, 0))
    });
    Ok(mtus.min())
}

/// The chains of others that drop what is forwarded where none of their rules lets it through, as `table/chain`: of nftables, as
/// iptables-nft(8) makes them, too. Whatever our rules accept goes by these as well.
///
/// # Errors
/// Those of netlink(7); EPERM without CAP_NET_ADMIN.
pub fn forward_drops() -> Result<Vec<String>, Errno> {
    let chains = match Rtnetlink::open_for(SockProtocol::NetlinkNetFilter)?.dump(GET_CHAIN, &Body::of_netfilter()) {
        // A kernel without nftables.
        Err(Errno::EINVAL | Errno::EOPNOTSUPP) => return Ok(Vec::new()),
        other => other?,
    };
    Ok(chains.iter().filter(|answer| answer.kind == NEW_CHAIN).filter_map(|answer| drops(&answer.body)).collect())
}

fn drops(body: &[u8]) -> Option<String> {
    let given: Vec<_> = attributes(body.get(NETFILTER..)?).collect();
    let value = |kind: u16| given.iter().find(|(k, _)| *k == kind).map(|(_, value)| *value);
    let (_, hook) = attributes(value(CHAIN_HOOK)?).find(|(kind, _)| *kind == HOOK_NUMBER)?;
    let text = |kind| String::from_utf8_lossy(value(kind).unwrap_or_default()).trim_end_matches('\0').to_owned();
    let forwards = big(hook) == Some(FORWARD) && big(value(CHAIN_POLICY)?) == Some(DROP);
    let table = text(CHAIN_TABLE);
    (forwards && !table.starts_with("zviz-")).then(|| format!("{table}/{}", text(CHAIN_NAME)))
}

/// nfnetlink's numbers are in the network's order.
fn big(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_hosts_networks_can_be_read() {
        let addresses = addresses().unwrap();
        assert!(addresses.iter().all(|address| !address.is_loopback()), "{addresses:?}");
        assert!(mtu().unwrap().is_none_or(|mtu| mtu >= 68));
    }

    #[test]
    fn an_address_is_in_its_network() {
        let of = |address: &str, bits| network(address.parse().unwrap(), bits).map(|network| network.to_string());
        assert_eq!(of("192.0.2.9", 24).as_deref(), Some("192.0.2.0/24"));
        assert_eq!(of("192.0.2.9", 0).as_deref(), Some("0.0.0.0/0"));
        assert_eq!(of("2001:db8::9", 64).as_deref(), Some("2001:db8::/64"));
        assert_eq!(of("192.0.2.9", 33), None);
    }

    #[test]
    fn a_chain_that_drops_what_is_forwarded_is_told_from_others() {
        let attribute = |kind: u16, value: &[u8]| {
            let length = u16::try_from(4 + value.len()).unwrap();
            let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
            bytes.extend(value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        };
        let chain = |table: &[u8], hook: u32, policy: u32| {
            let nested = attribute(HOOK_NUMBER, &hook.to_be_bytes());
            let parts = [
                vec![2, 0, 0, 0],
                attribute(CHAIN_TABLE, table),
                attribute(CHAIN_NAME, b"FORWARD\0"),
                attribute(CHAIN_HOOK | 0x8000, &nested),
                attribute(CHAIN_POLICY, &policy.to_be_bytes()),
            ];
            drops(&parts.concat())
        };
        assert_eq!(chain(b"filter\0", FORWARD, DROP).as_deref(), Some("filter/FORWARD"));
        assert_eq!(chain(b"filter\0", FORWARD, 1), None);
        assert_eq!(chain(b"filter\0", 1, DROP), None);
        assert_eq!(chain(b"zviz-host\0", FORWARD, DROP), None);
        assert_eq!(drops(&[]), None);
    }
}
