//! The bridge of this host: its names and numbers, in one place.

use super::lease::Pool;
use std::net::{Ipv4Addr, Ipv6Addr};
use zviz_network::address::Network;

/// Its name.
pub const NAME: &str = "zviz0";
/// Its addresses: a sandbox's way out.
pub const GATEWAY: (Ipv4Addr, Ipv6Addr) = (Ipv4Addr::new(10, 213, 0, 1), six(1));
/// How many bits its networks have.
pub const PREFIX: (u8, u8) = (16, 64);
/// The addresses of sandboxes: all but the bridge's, the network's and the broadcast one.
pub const POOL: Pool = Pool { first: Ipv4Addr::new(10, 213, 0, 2), count: (1 << 16) - 3, network6: six(0) };
/// The device of a sandbox, inside.
pub const INSIDE: &str = "eth0";
/// What devices on the host's side begin with.
pub const DEVICE: &str = "zv-";
/// What tables of published ports begin with.
pub const TABLE: &str = "zviz-p-";

const fn six(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd7a, 0x7669, 0x7a00, 0, 0, 0, 0, last)
}

/// Its networks, of both families.
#[must_use]
pub fn networks() -> Vec<Network> {
    let of = |text: String| Network::try_from(text).ok();
    let four = Ipv4Addr::from_bits(GATEWAY.0.to_bits() & !(u32::MAX >> PREFIX.0));
    [of(format!("{four}/{}", PREFIX.0)), of(format!("{}/{}", POOL.network6, PREFIX.1))].into_iter().flatten().collect()
}

/// The device of the sandbox that has an address, on the host's side. No two have one address, so no two have one name.
#[must_use]
pub fn device(address: Ipv4Addr) -> String {
    format!("{DEVICE}{:08x}", address.to_bits())
}

/// The table of its published ports.
#[must_use]
pub fn table(address: Ipv4Addr) -> String {
    format!("{TABLE}{:08x}", address.to_bits())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_is_in_the_networks_and_has_neither_gateway_nor_broadcast() {
        let networks = networks();
        let words: Vec<String> = networks.iter().map(ToString::to_string).collect();
        assert_eq!(words, ["10.213.0.0/16", "fd7a:7669:7a00::/64"]);
        let last = Ipv4Addr::from_bits(POOL.first.to_bits() + POOL.count - 1);
        assert_eq!(last, Ipv4Addr::new(10, 213, 255, 254));
        for address in [POOL.first, last] {
            assert!(networks[0].contains(address.into()) && networks[1].contains(POOL.six(address).into()));
            assert_ne!(address, GATEWAY.0);
            assert_ne!(POOL.six(address), GATEWAY.1);
        }
    }

    #[test]
    fn names_are_as_long_as_the_kernel_takes() {
        assert_eq!(device(Ipv4Addr::new(10, 213, 7, 9)), "zv-0ad50709");
        assert_eq!(table(Ipv4Addr::new(10, 213, 7, 9)), "zviz-p-0ad50709");
        assert!(device(Ipv4Addr::BROADCAST).len() <= 15);
    }
}
