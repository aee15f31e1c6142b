//! What a rule is about, in expressions. Each loads a part of the packet to a register, and compares it.

use super::Draft;
use nftnl::expr::{
    Bitwise, Cmp, CmpOp, Conntrack, ConntrackStatus, Meta, NetworkHeaderField, Payload, States, TransportHeaderField,
};
use nix::libc;
use std::net::IpAddr;
use zviz_network::address::{Network, Ports};
use zviz_network::rules::{Family, Match};
use zviz_nftnl::expression::{AddressKind, ConnectionsOver, Limit, Routed};

/// IP protocols with ports.
const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;

/// And those with types.
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// Where flags lie in the header of TCP, and two of them. RFC 9293.
const FLAGS: u32 = 13;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// What a header of IPv4 without options begins with: its version, and how many words it has. RFC 791.
const BARE: u8 = 0x45;

/// Bytes of a device's name, with the zero byte.
const DEVICE: usize = 16;

/// A device that has the same number in every namespace. linux/net/net_namespace.h: LOOPBACK_IFINDEX.
const LOOPBACK: &str = "lo";
const LOOPBACK_NUMBER: u32 = 1;

/// Which address of a packet.
#[derive(Clone, Copy)]
pub(super) enum End {
    Source,
    Destination,
}

impl End {
    /// Where it lies in the IP header, in bytes. RFC 791, RFC 8200.
    pub(super) fn offset(self, family: Family) -> u32 {
        match (self, family) {
            (End::Source, Family::V4) => 12,
            (End::Destination, Family::V4) => 16,
            (End::Source, Family::V6) => 8,
            (End::Destination, Family::V6) => 24,
        }
    }
}

/// Adds the expressions of one match.
pub fn add(draft: &mut Draft<'_, '_>, fits: &Match) -> Result<(), String> {
    match fits {
        Match::Established => state(draft, States::ESTABLISHED),
        Match::Related => state(draft, States::RELATED),
        Match::New => state(draft, States::NEW),
        Match::Invalid => state(draft, States::INVALID),
        Match::From(name) => return device(draft, [Meta::Iif, Meta::IifName], CmpOp::Eq, name),
        Match::NotFrom(name) => return device(draft, [Meta::Iif, Meta::IifName], CmpOp::Neq, name),
        Match::To(name) => return device(draft, [Meta::Oif, Meta::OifName], CmpOp::Eq, name),
        Match::NotTo(name) => return device(draft, [Meta::Oif, Meta::OifName], CmpOp::Neq, name),
        Match::Family(wanted) => return family(draft, *wanted),
        Match::Destination(network) => return within(draft, End::Destination, network),
        Match::Source(network) => return within(draft, End::Source, network),
        Match::DestinationIn(set, of) => return super::address::in_set(draft, set, *of),
        Match::Answers(set) => return super::peer::answers(draft, set),
        Match::Protocol(protocol) if draft.protocol == Some(*protocol) => {}
        Match::Protocol(protocol) => {
            draft.add(&Meta::L4Proto);
            draft.add(&Cmp::new(CmpOp::Eq, *protocol));
            draft.protocol = Some(*protocol);
        }
        Match::Port(range) => return ports(draft, End::Destination, range),
        Match::FromPort(range) => return ports(draft, End::Source, range),
        Match::IcmpType(kind) => {
            if !matches!(draft.protocol, Some(ICMP | ICMPV6)) {
                return Err("a type of ICMP without its protocol before it".to_owned());
            }
            transport(draft, 0, 1);
            draft.add(&Cmp::new(CmpOp::Eq, *kind));
        }
        Match::GoesOn => {
            if draft.protocol != Some(TCP) {
                return Err("flags of TCP without its protocol before them".to_owned());
            }
            transport(draft, FLAGS, 1);
            draft.add(&Bitwise::new(SYN | ACK, 0u8));
            draft.add(&Cmp::new(CmpOp::Neq, SYN));
        }
        Match::Straight => return straight(draft),
        Match::Redirected => {
            draft.add(&Conntrack::Status);
            any_of(draft, ConntrackStatus::DST_NAT.bits());
        }
        Match::Local => kind(draft, AddressKind::Destination, CmpOp::Eq),
        Match::Remote => kind(draft, AddressKind::Destination, CmpOp::Neq),
        Match::Foreign => kind(draft, AddressKind::Source, CmpOp::Neq),
        Match::ConnectionsOver(most) => draft.add(&ConnectionsOver(*most)),
        Match::RateOver { per_second, burst } => return limit(draft, *per_second, *burst, true),
        Match::RateWithin { per_second, burst } => return limit(draft, *per_second, *burst, false),
    }
    Ok(())
}

fn state(draft: &mut Draft<'_, '_>, states: States) {
    draft.add(&Conntrack::State);
    any_of(draft, states.bits());
}

/// Whether an address is one of this network namespace.
fn kind(draft: &mut Draft<'_, '_>, end: AddressKind, op: CmpOp) {
    draft.add(&end);
    draft.add(&Cmp::new(op, AddressKind::LOCAL));
}

/// Only where what was loaded has one of these bits.
fn any_of(draft: &mut Draft<'_, '_>, bits: u32) {
    draft.add(&Bitwise::new(bits, 0u32));
    draft.add(&Cmp::new(CmpOp::Neq, 0u32));
}

/// Only by this device. Most packets are asked, and the kernel copies a name to compare it.
fn device(draft: &mut Draft<'_, '_>, [number, end]: [Meta; 2], op: CmpOp, name: &str) -> Result<(), String> {
    if name == LOOPBACK {
        draft.add(&number);
        draft.add(&Cmp::new(op, LOOPBACK_NUMBER));
        return Ok(());
    }
    let mut padded = [0; DEVICE];
    let fits = !name.is_empty() && name.len() < DEVICE && !name.contains('\0');
    let (head, _) = padded.split_at_mut_checked(name.len()).filter(|_| fits).ok_or(format!("no device is {name:?}"))?;
    head.copy_from_slice(name.as_bytes());
    draft.add(&end);
    draft.add(&Cmp::new(op, &padded[..]));
    Ok(())
}

/// Only packets of this family, unless that was said already.
pub(super) fn family(draft: &mut Draft<'_, '_>, wanted: Family) -> Result<(), String> {
    draft.asked = Some(wanted);
    match draft.family {
        Some(known) if known == wanted => return Ok(()),
        Some(_) => return Err("IPv4 and IPv6 in one rule".to_owned()),
        None => {}
    }
    draft.family = Some(wanted);
    let number = match wanted {
        // What is asked for then no header of IPv6 begins with, unless somebody with a raw socket makes one up.
        Family::V4 if draft.straight => return Ok(()),
        Family::V4 => libc::NFPROTO_IPV4,
        Family::V6 => libc::NFPROTO_IPV6,
    };
    draft.add(&Meta::NfProto);
    draft.add(&Cmp::new(CmpOp::Eq, u8::try_from(number).unwrap_or(0)));
    Ok(())
}

fn within(draft: &mut Draft<'_, '_>, end: End, network: &Network) -> Result<(), String> {
    let of = if network.address().is_ipv4() { Family::V4 } else { Family::V6 };
    family(draft, of)?;
    let bytes = match network.address() {
        IpAddr::V4(four) => four.octets().to_vec(),
        IpAddr::V6(six) => six.octets().to_vec(),
    };
    let bits = usize::from(network.bits());
    // What is of the first bytes only is compared by them alone.
    let length = bits.div_ceil(8);
    let mask: Vec<u8> = (0..bytes.len()).map(|at| prefix_byte(bits.saturating_sub(at * 8))).collect();
    if bits.is_multiple_of(8) {
        let Some(head) = bytes.get(..length).filter(|head| !head.is_empty()) else { return Ok(()) };
        header(draft, end.offset(of), length)?;
        draft.add(&Cmp::new(CmpOp::Eq, head));
    } else {
        header(draft, end.offset(of), bytes.len())?;
        draft.add(&Bitwise::new(&mask[..], &vec![0u8; bytes.len()][..]));
        draft.add(&Cmp::new(CmpOp::Eq, &bytes[..]));
    }
    Ok(())
}

/// Only packets whose header leads them nowhere else first.
fn straight(draft: &mut Draft<'_, '_>) -> Result<(), String> {
    match draft.asked {
        Some(Family::V4) => {
            header(draft, 0, 1)?;
            draft.add(&Cmp::new(CmpOp::Eq, BARE));
        }
        Some(Family::V6) => {
            draft.add(&Routed);
            draft.add(&Cmp::new(CmpOp::Eq, 0u8));
        }
        None => return Err("what leads a packet, of any family".to_owned()),
    }
    Ok(())
}

/// So many bits of a byte, from its upper end; eight at most.
fn prefix_byte(bits: usize) -> u8 {
    match bits {
        0 => 0,
        1..8 => u8::MAX << (8 - bits),
        _ => u8::MAX,
    }
}

fn ports(draft: &mut Draft<'_, '_>, end: End, range: &Ports) -> Result<(), String> {
    if !matches!(draft.protocol, Some(TCP | UDP)) {
        return Err("a port without TCP or UDP before it".to_owned());
    }
    // Of both protocols.
    let offset = match end {
        End::Source => 0,
        End::Destination => 2,
    };
    transport(draft, offset, 2);
    let (first, last) = (range.first().to_be_bytes(), range.last().to_be_bytes());
    if first == last {
        draft.add(&Cmp::new(CmpOp::Eq, &first[..]));
    } else {
        draft.add(&Cmp::new(CmpOp::Gte, &first[..]));
        draft.add(&Cmp::new(CmpOp::Lte, &last[..]));
    }
    Ok(())
}

fn limit(draft: &mut Draft<'_, '_>, per_second: u32, burst: u32, over: bool) -> Result<(), String> {
    if per_second == 0 || burst == 0 {
        return Err("a limit of nothing in a second, or of nothing at once".to_owned());
    }
    draft.add(&Limit { per_second, burst, over });
    Ok(())
}

/// Loads bytes of the IP header.
pub(super) fn header(draft: &mut Draft<'_, '_>, offset: u32, length: usize) -> Result<(), String> {
    let length = u32::try_from(length).map_err(|_| "too many bytes of a header")?;
    let field = NetworkHeaderField::Raw { offset_bits: offset, length_bits: length };
    draft.add(&Payload::Network(field));
    Ok(())
}

/// Loads bytes of what follows it.
fn transport(draft: &mut Draft<'_, '_>, offset: u32, length: u32) {
    draft.add(&Payload::Transport(TransportHeaderField::Raw { offset_bits: offset, length_bits: length }));
}
