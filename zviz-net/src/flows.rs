//! Flows that were there before rules. Connection tracking goes on to let through what it knows, and of UDP nothing tells a flow's
//! next packet from somebody else's with the same addresses and ports: so all of them begin anew, and rules judge how. Connections
//! of TCP belong to the sockets that have made them, and stay. The kernel's nf_conntrack_netlink.

use crate::attributes::{Attributes, Messages, Writing};
use crate::error::{Error, Result};
use crate::netfilter::{GENERAL, Netfilter};
use crate::netlink::{Listing, said};
use nix::errno::Errno;
use nix::libc;

/// Kinds of messages and attributes of linux/netfilter/nfnetlink_conntrack.h.
const FLOWS: u16 = (libc::NFNL_SUBSYS_CTNETLINK as u16) << 8;
const NEW: u16 = FLOWS;
const GET: u16 = FLOWS | 1;
const DELETE: u16 = FLOWS | 2;
const TUPLE: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const PROTOCOL_NUMBER: u16 = 1;
const ID: u16 = 12;
const ZONE: u16 = 18;

const TCP: u8 = 6;

/// One flow, as the kernel calls it.
struct Flow {
    family: i32,
    tuple: Vec<u8>,
    zone: Option<Vec<u8>>,
    id: Option<Vec<u8>>,
}

/// Forgets all flows of the socket's network namespace but those of TCP.
///
/// # Errors
/// What the kernel refuses. One without that interface, which is a module, is none.
pub fn forget(socket: &Netfilter) -> Result<()> {
    let mut flows = Vec::new();
    let request = Writing::netfilter(GET, libc::NLM_F_DUMP, 1, libc::AF_UNSPEC, 0).bytes();
    let listed = socket.list(&request, |message| {
        let found = message.body.split_at_checked(GENERAL).filter(|_| message.kind == NEW);
        flows.extend(found.and_then(|(general, attributes)| flow(general, Attributes(attributes))));
    });
    match listed {
        Ok(()) => {}
        Err(Listing::Kernel(Errno::EINVAL | Errno::EOPNOTSUPP)) => return Ok(()),
        Err(Listing::Kernel(errno)) => return Err(Error::new(format!("list of flows: {}", errno.desc()))),
        Err(Listing::Other(error)) => return Err(error),
    }
    flows.iter().try_for_each(|flow| end(flow, socket))
}

fn flow(general: &[u8], attributes: Attributes<'_>) -> Option<Flow> {
    let tuple = attributes.value(TUPLE)?;
    let protocol = Attributes(tuple).within(TUPLE_PROTOCOL)?.value(PROTOCOL_NUMBER)?;
    let of = |kind| attributes.value(kind).map(<[u8]>::to_vec);
    let family = i32::from(*general.first()?);
    (*protocol != [TCP]).then(|| Flow { family, tuple: tuple.to_vec(), zone: of(ZONE), id: of(ID) })
}

fn end(flow: &Flow, socket: &Netfilter) -> Result<()> {
    let mut request = Writing::netfilter(DELETE, libc::NLM_F_ACK, 1, flow.family, 0).holding(TUPLE, &flow.tuple);
    for (kind, value) in [(ZONE, &flow.zone), (ID, &flow.id)] {
        request = value.iter().fold(request, |request, value| request.with(kind, value));
    }
    socket.send(&request.bytes())?;
    let answer = socket.receive()?.unwrap_or_default();
    match Messages(&answer).find_map(|message| said(&message)).and_then(|said| said.errno) {
        // It has ended by itself.
        None | Some(Errno::ENOENT) => Ok(()),
        Some(errno) => Err(Error::new(format!("end a flow: {}", errno.desc()))),
    }
}
