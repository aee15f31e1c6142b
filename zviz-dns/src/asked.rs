//! A question as a program in the sandbox puts it.

use crate::name::{LONGEST, Name};

/// The header of a packet. RFC 1035, section 4.1.1.
pub(crate) const HEADER: usize = 12;
/// The most records besides the question that it may come with: the options, and a signature that is not looked at.
const MOST_BESIDES: u16 = 8;
/// The smallest, and what is good for a way without fragments (DNS flag day 2020).
pub(crate) const SIZES: (u16, u16) = (512, 1232);

/// A question of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) id: u16,
    /// Whether the program wants more than is known here. It is told so again.
    pub(crate) recursive: bool,
    /// The question as it came, which the reply repeats to the letter: a program may have mixed capitals in.
    pub(crate) question: Vec<u8>,
    pub(crate) name: Name,
    pub(crate) kind: u16,
    /// 1 is the internet.
    pub(crate) class: u16,
    /// The size of a reply that it takes, where it knows EDNS. RFC 6891.
    pub(crate) edns: Option<u16>,
}

/// What a packet from the sandbox is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Nothing that could be answered, or a reply, which is never answered.
    Noise,
    /// Something to refuse: with this id, this opcode and this code.
    Wrong { id: u16, opcode: u8, recursive: bool, code: u8 },
    /// A question.
    Question(Asked),
    /// A question by a version of EDNS that is not known.
    Version(Asked),
}

/// Codes of replies. RFC 1035, section 4.1.1.
pub(crate) const FORMAT: u8 = 1;
pub(crate) const NOT_IMPLEMENTED: u8 = 4;

pub(crate) fn hear(packet: &[u8]) -> Heard {
    let Some(header) = packet.first_chunk::<HEADER>() else { return Heard::Noise };
    let [id0, id1, flags, _, q0, q1, an0, an1, ns0, ns1, ar0, ar1] = *header;
    let id = u16::from_be_bytes([id0, id1]);
    if flags & 0x80 != 0 {
        return Heard::Noise;
    }
    let (opcode, recursive) = (flags >> 3 & 15, flags & 1 != 0);
    let wrong = |code| Heard::Wrong { id, opcode, recursive, code };
    if opcode != 0 {
        return wrong(NOT_IMPLEMENTED);
    }
    let besides = u16::from_be_bytes([ar0, ar1]);
    if [q0, q1, an0, an1, ns0, ns1] != [0, 1, 0, 0, 0, 0] || besides > MOST_BESIDES {
        return wrong(FORMAT);
    }
    let Some((name, question)) = packet.get(HEADER..).and_then(question) else { return wrong(FORMAT) };
    let [.., t0, t1, c0, c1] = *question else { return wrong(FORMAT) };
    let kind = u16::from_be_bytes([t0, t1]);
    let mut asked = Asked {
        id,
        recursive,
        question: question.to_vec(),
        name,
        kind,
        class: u16::from_be_bytes([c0, c1]),
        edns: None,
    };
    let Some(besides) = options(packet, HEADER + asked.question.len(), besides) else { return wrong(FORMAT) };
    asked.edns = besides.map(|options| options.size.clamp(SIZES.0, SIZES.1));
    if besides.is_some_and(|options| options.version != 0) { Heard::Version(asked) } else { Heard::Question(asked) }
}

/// What is looked at of a record of type OPT. RFC 6891, section 6.1.
#[derive(Debug, Clone, Copy)]
struct Options {
    size: u16,
    version: u8,
}

/// The options among so many records from a place on: at most one. The library reads the version out of the flags beside it,
/// and takes everyone who asks for DNSSEC for one of version 128.
fn options(packet: &[u8], mut at: usize, records: u16) -> Option<Option<Options>> {
    const OPT: [u8; 2] = [0, 41];
    let mut found = None;
    for _ in 0..records {
        let root = packet.get(at) == Some(&0);
        at = after_name(packet, at)?;
        let [t0, t1, s0, s1, _, version, _, _, l0, l1] = *packet.get(at..)?.first_chunk::<10>()?;
        at += 10 + usize::from(u16::from_be_bytes([l0, l1]));
        if at > packet.len() {
            return None;
        }
        let options = Options { size: u16::from_be_bytes([s0, s1]), version };
        if [t0, t1] == OPT && (!root || found.replace(options).is_some()) {
            return None;
        }
    }
    Some(found)
}

/// Where a name ends that begins at a place: with a zero, or with a pointer to the rest of it.
fn after_name(packet: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *packet.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += 1 + usize::from(length),
            192.. => return Some(at + 2),
            _ => return None,
        }
    }
}

/// The name, and the bytes of the whole question. No name before it could be pointed to.
fn question(rest: &[u8]) -> Option<(Name, &[u8])> {
    let mut labels = Vec::new();
    let mut at = 0;
    loop {
        let length = usize::from(*rest.get(at)?);
        if length == 0 {
            break;
        }
        if length > 63 || at > LONGEST {
            return None;
        }
        labels.push(rest.get(at + 1..at + 1 + length)?);
        at += 1 + length;
    }
    Some((Name::of_labels(labels)?, rest.get(..at + 5)?))
}
