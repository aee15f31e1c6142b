//! Where sockets may be connected and bound. The address is copied once, decided about, and a hand with the caller's own
//! identity makes the call with that copy on the caller's own socket: the kernel judges ports, permissions and peers as
//! it would have judged the caller.
//!
//! What a hand cannot hide: a peer that asks who connected to its Unix socket (SO_PEERCRED) gets the caller's ids and a process
//! number of 0, and a netlink socket that was not bound to a number has the hand's. A call that blocks cannot be
//! interrupted by a signal handler, only by death. A Landlock domain that the caller has put itself into does not bind the hand.

pub mod address;
pub mod known;
pub mod messages;
pub mod rules;

use crate::decision::{Argument, Decision, Op, Step, Work};
use crate::held::Held;
use crate::policy::Policy;
use crate::policy::sockets::{Place, Sockets, Verdict};
use address::{Address, Way, name_loopback, parse};
use nix::errno::Errno;
use rules::Ruling;
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use zviz_sys::socket::ADDRESS_MAX;

const RULE: &str = "sockets";

/// connect(2): socket, address, its length.
pub fn connect(policy: &Policy, held: Held<'_>) -> Decision {
    named(policy, held, Way::Connect, Op::Connect)
}

/// bind(2): socket, address, its length.
pub fn bind(policy: &Policy, held: Held<'_>) -> Decision {
    named(policy, held, Way::Bind, Op::Bind)
}

fn named(policy: &Policy, held: Held<'_>, way: Way, op: Op) -> Decision {
    let Some(sockets) = &policy.sockets else { return Decision::refuse(Errno::EACCES, RULE) };
    let mut seen = held.look();
    let length = usize::try_from(seen.int(2)).ok().filter(|length| *length <= ADDRESS_MAX);
    let Some(length) = length else { return Decision::refuse(Errno::EINVAL, RULE) };
    let address = match seen.bytes(1, length) {
        Ok(address) => address,
        Err(errno) => return Decision::refuse(errno, RULE),
    };
    let tell = vec![("address", Argument::Address(address.clone()))];
    let (step, rule) = match decide(sockets, way, address) {
        Judged::Refused(errno, rule) => (Step::Refuse(errno), rule),
        Judged::Allowed { address, path, rule } => {
            let work = Work {
                texts: [Some(address), path, None, None],
                descriptor: Some(seen.descriptor(0)),
                ..Work::new(op)
            };
            (Step::Do(work), rule)
        }
    };
    Decision::new(step, rule).seeing(tell)
}

/// What is to be done with an address.
#[derive(Debug, PartialEq, Eq)]
enum Judged {
    Refused(Errno, Cow<'static, str>),
    /// With these bytes; where there is a path the hand finds out which file it leads to, and asks the rules about that.
    Allowed {
        address: Vec<u8>,
        path: Option<Vec<u8>>,
        rule: Cow<'static, str>,
    },
}

fn decide(sockets: &Sockets, way: Way, mut address: Vec<u8>) -> Judged {
    if way != Way::Bind {
        name_loopback(&mut address, way);
    }
    let always = |rule| Ok(Ruling { verdict: Verdict::Allow, rule: Cow::Borrowed(rule) });
    let mut path = None;
    let ruling = match parse(&address, way) {
        Address::Internet(ip, port) => Ok(internet(sockets, way, ip, port)),
        Address::Abstract(name) => Ok(rules::abstract_name(sockets, way, name)),
        // Whatever its name, the answer is one.
        Address::Path(_) if way == Way::Bind && !names_files(sockets) => {
            Ok(Ruling { verdict: sockets.otherwise, rule: "sockets.otherwise".into() })
        }
        Address::Path(name) => {
            path = Some(name.to_vec());
            always(RULE)
        }
        Address::Unnamed => always("sockets: no name"),
        Address::Netlink => always("sockets: netlink"),
        Address::Nothing => always("sockets: no address"),
        Address::Foreign => Err((Errno::EAFNOSUPPORT, "sockets: family")),
        Address::Short => Err((Errno::EINVAL, "sockets: length of the address")),
    };
    match ruling {
        Err((errno, rule)) => Judged::Refused(errno, rule.into()),
        Ok(Ruling { verdict: Verdict::Deny, rule }) => Judged::Refused(Errno::EACCES, rule),
        Ok(Ruling { verdict: Verdict::Allow, rule }) => Judged::Allowed { address, path, rule },
    }
}

fn internet(sockets: &Sockets, way: Way, ip: IpAddr, port: u16) -> Ruling {
    let ruling = rules::internet(sockets, way, ip, port);
    // Who listens at all addresses of IPv6 is reached by those of IPv4 too.
    let also = way == Way::Bind && ip == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && ruling.verdict == Verdict::Allow;
    if also { rules::internet(sockets, way, Ipv4Addr::UNSPECIFIED.into(), port) } else { ruling }
}

fn names_files(sockets: &Sockets) -> bool {
    sockets.bind.iter().any(|rule| matches!(rule.place(), Place::Path(_) | Place::Below(_)))
}

#[cfg(test)]
mod tests;
