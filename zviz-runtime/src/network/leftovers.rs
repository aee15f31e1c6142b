//! What is left at the bridge of this network namespace, and the bridge itself when nobody is at it.

use super::lease::{self, Holder, Leases};
use super::{Error, bridge, helper, link};
use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use zviz_network::rules;
use zviz_network::wire::{Down, Reply, Request};

/// What bears the name of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The address.
    pub address: Ipv4Addr,
    /// Whose it was, where that is known.
    pub holder: Option<Holder>,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Left { address, holder } = self;
        write!(f, "address {address}, device {} and rules {}", bridge::device(*address), bridge::table(*address))?;
        holder.as_ref().map_or(Ok(()), |holder| write!(f, " of {} in {}", holder.id, holder.store.display()))
    }
}

/// Of what.
pub(crate) enum Of {
    /// An address.
    Address(Left),
    /// Nobody: the bridge itself.
    Bridge,
    /// A network namespace that is gone: the folder of its leases.
    Namespace(PathBuf),
}

/// Takes it away, or only looks. `told` is given each, and why it is there still if it is.
pub(crate) fn collect(looks: bool, told: &mut dyn FnMut(Of, Option<Error>)) -> Result<(), Error> {
    if !Path::new(lease::ROOT).exists() {
        return Ok(());
    }
    lease::gone(Path::new(lease::ROOT), lease::inhabited, looks, &mut |folder, error| {
        told(Of::Namespace(folder), error.map(Error::from));
    })?;
    let root = Path::new(lease::ROOT);
    // Who only looks leaves no folder behind.
    let leases = if looks { Leases::existing(root, bridge::POOL)? } else { Some(Leases::open(root, bridge::POOL)?) };
    let (tables, links) = swept()?;
    let addresses = addresses(&tables, &links);
    let mut left = leases.as_ref().map(Leases::left).transpose()?.unwrap_or_default();
    for address in addresses {
        match &leases {
            Some(_) if left.iter().any(|lease| lease.address() == address) => {}
            // None where somebody holds it, and all is as it should be.
            Some(leases) => left.extend(leases.of(address)?),
            None => told(Of::Address(Left { address, holder: None }), None),
        }
    }
    // Of a lease in which nothing stands, somebody has ended just now, or is about to begin with another address. No one has
    // it from here on but we.
    if left.iter().any(|lease| !lease.is_left()) {
        let (tables, links) = swept()?;
        let still = self::addresses(&tables, &links);
        left.retain(|lease| lease.is_left() || still.contains(&lease.address()));
    }
    for mut lease in left {
        let one = Left { address: lease.address(), holder: lease.left_by().cloned() };
        let result = if looks { Ok(()) } else { link::clear(lease.address(), true) };
        // Whose lease was only looked at, or is needed to find the rest again, stays as it was.
        if (looks || result.is_err()) && lease.is_left() {
            lease.keep();
        }
        told(Of::Address(one), result.err());
    }
    let host = rules::bridge(bridge::NAME, &bridge::networks()).table;
    let is_there = links.iter().any(|name| name == bridge::NAME) || tables.contains(&host);
    if !is_there {
        return Ok(());
    }
    // Who starts holds a lease before there is a bridge, and is kept from taking one until this is dropped.
    let alone = leases.as_ref().map(Leases::alone).transpose()?;
    if matches!(alone, Some(None)) {
        return Ok(());
    }
    let down = Down { tables: vec![host], links: vec![bridge::NAME.into()], inside: None };
    let result = if looks { Ok(Reply::Done) } else { helper::find()?.ask(&Request::Down(down), &[], false) };
    told(Of::Bridge, result.err().map(Error::from));
    Ok(())
}

/// Names of tables, and of devices.
fn swept() -> Result<(Vec<String>, Vec<String>), Error> {
    match helper::find()?.ask(&Request::Sweep, &[], false)? {
        Reply::Swept { tables, links } => Ok((tables, links)),
        _ => Err(Error::Unexpected),
    }
}

/// The addresses whose names they bear.
fn addresses(tables: &[String], links: &[String]) -> BTreeSet<Ipv4Addr> {
    let tables = tables.iter().filter_map(|name| named(name, bridge::TABLE));
    tables.chain(links.iter().filter_map(|name| named(name, bridge::DEVICE))).collect()
}

/// The address that a name is made of.
fn named(name: &str, begin: &str) -> Option<Ipv4Addr> {
    let digits = name.strip_prefix(begin).filter(|digits| digits.len() == 8)?;
    u32::from_str_radix(digits, 16).ok().map(Ipv4Addr::from_bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_addresses() {
        let address = Ipv4Addr::new(10, 213, 7, 9);
        assert_eq!(named(&bridge::device(address), bridge::DEVICE), Some(address));
        assert_eq!(named(&bridge::table(address), bridge::TABLE), Some(address));
        for name in ["zv-", "zv-0ad5070", "zv-0ad50709a", "zv-zzzzzzzz", "eth0"] {
            assert_eq!(named(name, bridge::DEVICE), None, "{name}");
        }
    }
}
