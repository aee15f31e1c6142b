//! Packets that are made here: replies to programs, and questions to resolvers outside.

use crate::answer::Found;
use crate::asked::{Asked, HEADER, SIZES};
use crate::step::Why;
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Label, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, ResourceRecord};

/// How a reply without records goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Short {
    /// The name is there, but has no such records.
    Nothing,
    /// There is no such name.
    NoName,
    /// Ask again later.
    Failure,
    /// Ask again on a stream.
    Truncated,
    /// EDNS of another version. RFC 6891, section 6.1.3.
    Version,
}

const RESPONSE: u8 = 0x80;
const TRUNCATED: u8 = 0x02;
const RECURSION_AVAILABLE: u8 = 0x80;
const OPT: u8 = 41;
/// "Blocked", by whoever runs the server. RFC 8914, section 4.16.
const EXTENDED_ERROR: [u8; 2] = [0, 15];
const BLOCKED: [u8; 2] = [0, 15];

/// A reply without records. Whoever knows EDNS is told why.
pub(crate) fn short(asked: &Asked, short: Short, why: Option<Why>) -> Vec<u8> {
    let (code, extended) = match short {
        Short::Nothing | Short::Truncated => (0, 0),
        Short::NoName => (3, 0),
        Short::Failure => (2, 0),
        Short::Version => (0, 1),
    };
    let truncated = if short == Short::Truncated { TRUNCATED } else { 0 };
    let [i0, i1] = asked.id.to_be_bytes();
    let flags = RESPONSE | truncated | u8::from(asked.recursive);
    let options = u8::from(asked.edns.is_some());
    let mut packet = vec![i0, i1, flags, RECURSION_AVAILABLE | code, 0, 1, 0, 0, 0, 0, 0, options];
    packet.extend(&asked.question);
    if asked.edns.is_some() {
        let text = why.map(|why| why.to_string()).unwrap_or_default();
        let mut data = Vec::new();
        if let Ok(length) = u16::try_from(text.len() + 2)
            && length > 2
        {
            data = [&EXTENDED_ERROR[..], &length.to_be_bytes(), &BLOCKED, text.as_bytes()].concat();
        }
        let [s0, s1] = SIZES.1.to_be_bytes();
        let [l0, l1] = u16::try_from(data.len()).unwrap_or(0).to_be_bytes();
        packet.extend([0, 0, OPT, s0, s1, extended, 0, 0, 0, l0, l1]);
        packet.extend(data);
    }
    packet
}

/// A reply to what is no question.
pub(crate) fn wrong(id: u16, opcode: u8, recursive: bool, code: u8) -> Vec<u8> {
    let [i0, i1] = id.to_be_bytes();
    let flags = RESPONSE | opcode << 3 | u8::from(recursive);
    vec![i0, i1, flags, RECURSION_AVAILABLE | code, 0, 0, 0, 0, 0, 0, 0, 0]
}

/// A reply with what was found, of which so many seconds are left. As long as its stream, or as the program takes it.
pub(crate) fn full(asked: &Asked, found: &Found, seconds: u32, stream: bool) -> Vec<u8> {
    if found.names.is_empty() && found.records.is_empty() {
        return short(asked, if found.exists { Short::Nothing } else { Short::NoName }, None);
    }
    let packet = with_records(asked, found, seconds).unwrap_or_else(|| short(asked, Short::Failure, None));
    let most = if stream { usize::from(u16::MAX) } else { asked.edns.unwrap_or(SIZES.0).into() };
    if packet.len() > most { short(asked, Short::Truncated, None) } else { packet }
}

fn with_records(asked: &Asked, found: &Found, seconds: u32) -> Option<Vec<u8>> {
    let mut packet = Packet::new_reply(asked.id);
    packet.set_flags(PacketFlag::RECURSION_AVAILABLE);
    if asked.recursive {
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
    }
    *packet.rcode_mut() = if found.exists { RCODE::NoError } else { RCODE::NameError };
    // As it was spelled, so that names of the answer point to it.
    let mut owner = spelled(&asked.question);
    let kind = QTYPE::try_from(asked.kind).ok()?;
    packet.questions.push(Question::new(owner.clone(), kind, QCLASS::CLASS(CLASS::IN), false));
    for name in &found.names {
        let name = name.to_packet();
        let alias = RData::CNAME(name.clone().into());
        packet.answers.push(ResourceRecord::new(owner, CLASS::IN, seconds, alias));
        owner = name;
    }
    for record in &found.records {
        packet.answers.push(ResourceRecord::new(owner.clone(), CLASS::IN, seconds, record.clone()));
    }
    if asked.edns.is_some() {
        *packet.opt_mut() = Some(options());
    }
    packet.build_bytes_vec_compressed().ok()
}

fn options() -> simple_dns::rdata::OPT<'static> {
    simple_dns::rdata::OPT { opt_codes: Vec::new(), udp_packet_size: SIZES.1, version: 0 }
}

/// The name of a question, which `hear` has read.
fn spelled(question: &[u8]) -> simple_dns::Name<'static> {
    let mut labels = Vec::new();
    let mut rest = question;
    while let Some((length, after)) = rest.split_first().filter(|(length, _)| **length > 0) {
        let Some((label, after)) = after.split_at_checked(usize::from(*length)) else { break };
        labels.push(Label::new_unchecked(label.to_vec()));
        rest = after;
    }
    simple_dns::Name::new_with_labels(&labels)
}

/// A question to a resolver outside: the name in small letters, so that no capitals carry anything, and no option of the
/// program's: no client subnet (RFC 7871), no cookie, no DNSSEC.
pub(crate) fn question(id: u16, wire: &[u8], kind: u16, edns: bool) -> Vec<u8> {
    let [i0, i1] = id.to_be_bytes();
    let mut packet = Vec::with_capacity(HEADER + wire.len() + 15);
    packet.extend([i0, i1, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)]);
    packet.extend(wire);
    packet.extend(kind.to_be_bytes());
    packet.extend([0, 1]);
    if edns {
        let [s0, s1] = SIZES.1.to_be_bytes();
        packet.extend([0, 0, OPT, s0, s1, 0, 0, 0, 0, 0, 0]);
    }
    packet
}
