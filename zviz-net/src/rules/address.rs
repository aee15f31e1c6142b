//! Sets of addresses, which rules look into, put addresses into, and take them from.

use super::condition::{End, family, header};
use super::{Addresses, Draft};
use nftnl::expr::Lookup;
use zviz_network::rules::Family;
use zviz_nftnl::expression::Update;

/// A set of addresses of a family, when one of the packet's is loaded to be looked up there, put there or taken away.
fn of_addresses<'a>(
    draft: &mut Draft<'a, '_>,
    name: &str,
    of: Option<Family>,
    end: End,
) -> Result<&'a Addresses<'a>, String> {
    let set = draft.sets.get(name).ok_or(format!("there is no set {name:?}"))?;
    let (held, length) = match set {
        Addresses::V4(_) => (Family::V4, 4),
        Addresses::V6(_) => (Family::V6, 16),
        Addresses::Peers4(_) | Addresses::Peers6(_) => return Err(format!("set {name:?} has more than addresses")),
    };
    if of != Some(held) {
        return Err(format!("set {name:?} is of the other family"));
    }
    family(draft, held)?;
    header(draft, end.offset(held), length)?;
    Ok(set)
}

/// Only where the destination is in it.
pub fn in_set(draft: &mut Draft<'_, '_>, name: &str, of: Family) -> Result<(), String> {
    match of_addresses(draft, name, Some(of), End::Destination)? {
        Addresses::V4(set) => draft.add(&Lookup::new(set)),
        Addresses::V6(set) => draft.add(&Lookup::new(set)),
        Addresses::Peers4(_) | Addresses::Peers6(_) => {}
    }
    Ok(())
}

/// From here on, the address at one end is in the set, or it is not any more.
pub fn note(draft: &mut Draft<'_, '_>, name: &str, end: End, forget: bool) -> Result<(), String> {
    match of_addresses(draft, name, draft.asked, end)? {
        Addresses::V4(set) => draft.add(&Update::of(set, forget)),
        Addresses::V6(set) => draft.add(&Update::of(set, forget)),
        Addresses::Peers4(_) | Addresses::Peers6(_) => {}
    }
    Ok(())
}
