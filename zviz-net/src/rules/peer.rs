//! Peers that are remembered: an address, its port and the port here, as one key of a set. It lies in registers one behind the other,
//! each part at the beginning of four bytes. nft(8), "CONCATENATIONS".

use super::condition::{End, UDP};
use super::{Addresses, Draft};
use nftnl::expr::Lookup;
use nftnl::set::Set;
use std::net::{Ipv4Addr, Ipv6Addr};
use zviz_network::rules::Family;
use zviz_nftnl::expression::{Base, Load, Update};
use zviz_nftnl::set::Peer;

/// Where ports lie in the header of UDP, in bytes. RFC 768.
const SOURCE: u32 = 0;
const DESTINATION: u32 = 2;
const PORT: u32 = 2;

/// linux/netfilter/nf_tables.h: NFT_REG_1 of 16 bytes, NFT_REG_2 behind it, and registers of 4 bytes within them, NFT_REG32_01,
/// NFT_REG32_02 and NFT_REG32_05.
const FOUR: [u32; 3] = [1, 9, 10];
const SIX: [u32; 3] = [1, 2, 13];

/// Only what goes to one of them.
pub fn answers(draft: &mut Draft<'_, '_>, set: &str) -> Result<(), String> {
    load(draft, End::Destination)?;
    let lookup = match named(draft, set)? {
        Peers::Four(set) => Lookup::new(set),
        Peers::Six(set) => Lookup::new(set),
    };
    draft.add(&lookup);
    Ok(())
}

/// From here on, who it comes from is one, or who it goes to.
pub fn remember(draft: &mut Draft<'_, '_>, set: &str, peer: End) -> Result<(), String> {
    load(draft, peer)?;
    let update = match named(draft, set)? {
        Peers::Four(set) => Update::of(set, false),
        Peers::Six(set) => Update::of(set, false),
    };
    draft.add(&update);
    Ok(())
}

/// The peer at one end, and the port at the other.
fn load(draft: &mut Draft<'_, '_>, peer: End) -> Result<(), String> {
    let Some((family, UDP)) = draft.asked.zip(draft.protocol) else {
        return Err("a peer without its family and UDP before it".to_owned());
    };
    let (registers, length) = match family {
        Family::V4 => (FOUR, 4),
        Family::V6 => (SIX, 16),
    };
    let ports = match peer {
        End::Source => [SOURCE, DESTINATION],
        End::Destination => [DESTINATION, SOURCE],
    };
    let [address, first, second] = registers;
    draft.add(&Load { base: Base::Network, offset: peer.offset(family), length, register: address });
    for (offset, register) in ports.into_iter().zip([first, second]) {
        draft.add(&Load { base: Base::Transport, offset, length: PORT, register });
    }
    Ok(())
}

/// A set of the family that the rule is about.
enum Peers<'a> {
    Four(&'a Set<'a, Peer<Ipv4Addr>>),
    Six(&'a Set<'a, Peer<Ipv6Addr>>),
}

fn named<'a>(draft: &Draft<'a, '_>, name: &str) -> Result<Peers<'a>, String> {
    match (draft.asked, draft.sets.get(name)) {
        (Some(Family::V4), Some(Addresses::Peers4(set))) => Ok(Peers::Four(set)),
        (Some(Family::V6), Some(Addresses::Peers6(set))) => Ok(Peers::Six(set)),
        (_, None) => Err(format!("there is no set {name:?}")),
        _ => Err(format!("set {name:?} has no peers of this family")),
    }
}
