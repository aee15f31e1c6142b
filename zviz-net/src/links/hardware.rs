//! MAC addresses of ours, so that a container's follows from its address and need not be asked for.

use std::net::Ipv4Addr;

/// A MAC address.
pub type Hardware = [u8; 6];

/// Locally administered, not a group's; the second byte is ours. IEEE 802, 8.4.
const OURS: [u8; 2] = [0x02, 0x7a];

/// Of who has this address.
pub fn of(address: Ipv4Addr) -> Hardware {
    let [a, b, c, d] = address.octets();
    [OURS[0], OURS[1], a, b, c, d]
}

/// Whether it is one of ours.
pub fn is_ours(address: &[u8]) -> bool {
    address.len() == 6 && address.starts_with(&OURS)
}
