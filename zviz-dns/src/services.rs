//! Records of services (SVCB and HTTPS, RFC 9460), made so that they lead nowhere that was not asked for by its name.
//!
//! Hints of addresses are taken out: a program asks for A and AAAA, whose addresses are pinned, and RFC 9460 has it do so
//! anyway. Keys for an encrypted hello are taken out: with them the name in a connection is hidden from whoever looks after
//! this network, and a program without them makes the connection as ever. A record whose target is not a name that may be
//! asked for is dropped, as is one that says something is mandatory that was taken out, or that is not well-formed.

use crate::name::Name;
use simple_dns::rdata::{SVCB, SVCParam};

const HINTS_AND_KEYS: [u16; 3] = [4, 5, 6];
const INVALID: u16 = 65_535;

/// None is: leave it out.
pub(crate) fn stripped(record: &SVCB<'_>, allowed: impl Fn(&Name) -> bool) -> Option<SVCB<'static>> {
    let target = Name::of_packet(&record.target)?;
    // The root stands for the record's own name, or for "no service" in the other mode.
    if target.wire() != [0] && !allowed(&target) {
        return None;
    }
    let mut kept = SVCB::new(record.priority, target.to_packet());
    for param in record.iter_params() {
        match param {
            SVCParam::Mandatory(keys) if keys.iter().any(|key| HINTS_AND_KEYS.contains(key)) => return None,
            SVCParam::NoDefaultAlpn | SVCParam::Mandatory(_) | SVCParam::Alpn(_) | SVCParam::Port(_) => {
                kept.set_param(param.clone().into_owned());
            }
            SVCParam::Unknown(key, _) if *key != INVALID => kept.set_param(param.clone().into_owned()),
            _ => {}
        }
    }
    Some(kept)
}
