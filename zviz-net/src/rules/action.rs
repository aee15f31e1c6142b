//! What a rule does, in expressions.

use super::address::note;
use super::condition::End;
use super::{Draft, NAME, PREFIX, text};
use nftnl::ProtoFamily;
use nftnl::expr::{Counter, IcmpCode, Immediate, Masquerade, Nat, NatType, Register, RejectionType, Verdict};
use std::ffi::CString;
use std::net::IpAddr;
use zviz_network::rules::{Action, Family};
use zviz_nftnl::expression::{Log, Untrack};

/// The IP protocol whose connections can be reset.
const TCP: u8 = 6;

/// Adds the expressions of one action.
pub fn add(draft: &mut Draft<'_, '_>, action: &Action) -> Result<(), String> {
    match action {
        Action::Count => draft.add(&Counter),
        Action::Report { group, prefix } => {
            let prefix = text(prefix, PREFIX, "a report's prefix").map_err(|error| error.to_string())?;
            draft.add(&Log { group: *group, prefix: &prefix });
        }
        Action::Remember(set) => return super::peer::remember(draft, set, End::Source),
        Action::Renew(set) => return super::peer::remember(draft, set, End::Destination),
        Action::Note(set) => return note(draft, set, End::Destination, false),
        Action::Forget(set) => {
            note(draft, set, End::Source, true)?;
            return note(draft, set, End::Destination, true);
        }
        Action::Untrack => draft.add(&Untrack),
        Action::Accept => draft.add(&Verdict::Accept),
        Action::Jump(part) => draft.add(&Verdict::Jump { chain: named(part)? }),
        Action::Goto(part) => draft.add(&Verdict::Goto { chain: named(part)? }),
        Action::Drop => draft.add(&Verdict::Drop),
        Action::Reject => draft.add(&Verdict::Reject(RejectionType::Icmp(IcmpCode::AdminProhibited))),
        Action::Reset if draft.protocol == Some(TCP) => draft.add(&Verdict::Reject(RejectionType::TcpRst)),
        Action::Reset => return Err("a reset of what is not TCP".to_owned()),
        Action::Redirect { to, port } => return redirect(draft, *to, *port),
        Action::Masquerade => draft.add(&Masquerade),
    }
    Ok(())
}

fn named(part: &str) -> Result<CString, String> {
    text(part, NAME, "the name of a part").map_err(|error| error.to_string())
}

fn redirect(draft: &mut Draft<'_, '_>, to: IpAddr, port: Option<u16>) -> Result<(), String> {
    let (family, known) = match to {
        IpAddr::V4(_) => (ProtoFamily::Ipv4, Family::V4),
        IpAddr::V6(_) => (ProtoFamily::Ipv6, Family::V6),
    };
    if draft.asked != Some(known) {
        return Err("another address for packets of another family, or of any".to_owned());
    }
    if port.is_some() && draft.protocol.is_none() {
        return Err("another port without a protocol before it".to_owned());
    }
    match to {
        IpAddr::V4(four) => draft.add(&Immediate::new(four.octets(), Register::Reg1)),
        IpAddr::V6(six) => draft.add(&Immediate::new(six.octets(), Register::Reg1)),
    }
    if let Some(port) = port {
        draft.add(&Immediate::new(port.to_be_bytes(), Register::Reg2));
    }
    let port_register = port.map(|_| Register::Reg2);
    draft.add(&Nat { nat_type: NatType::DNat, family, ip_register: Register::Reg1, port_register });
    Ok(())
}
