//! What a resolver outside has answered, and what of it is believed.
//!
//! Only records of the name that was asked for, or of a name that it is an alias of, within the one answer: all else is as if
//! it were not there, and authority and additional records are read for nothing but how long to remember that there is
//! nothing. An answer with one guarded address is not used at all: whoever mixes such in does not mean well.

use crate::asked::HEADER;
use crate::guard::guarded;
use crate::name::Name;
use crate::services::stripped;
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Packet, PacketFlag, RCODE, ResourceRecord, TYPE};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use zviz_network::address::Network;

/// The most addresses of one answer that are given on and pinned.
pub(crate) const MOST_RECORDS: usize = 64;
/// The most records that are looked at. A packet of 64 KiB holds some 4,000 of 16 bytes.
const MOST_READ: u16 = 512;
/// The most names from the one that was asked for to the last.
const MOST_NAMES: usize = 16;
/// How long it is remembered that there is nothing: where nothing is said of it, and at most. RFC 2308, section 5.
const NOTHING: (u32, u32) = (5, 300);

/// What is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Whether there is such a name.
    pub(crate) exists: bool,
    /// What it is an alias of, what that is an alias of, and so on.
    pub(crate) names: Vec<Name>,
    /// The records of the last.
    pub(crate) records: Vec<RData<'static>>,
    /// How many seconds all of it lasts.
    pub(crate) seconds: u32,
    /// How long the packet was.
    pub(crate) bytes: usize,
}

/// What a packet is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Not the answer to this question: it may still come.
    Stray,
    /// Part of it.
    Truncated,
    /// The server does not take the options.
    Format,
    /// Of no use.
    Failure,
    /// It leads to where no answer may.
    Guarded(IpAddr),
    /// What there is.
    Found(Found),
}

/// What it should be the answer to.
#[derive(Debug)]
pub(crate) struct Expected<'a> {
    pub(crate) id: u16,
    pub(crate) name: &'a Name,
    pub(crate) kind: u16,
    pub(crate) guarded: &'a [Network],
}

impl Found {
    /// The addresses.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        self.records.iter().filter_map(address).collect()
    }
}

fn address(record: &RData<'_>) -> Option<IpAddr> {
    match record {
        RData::A(four) => Some(Ipv4Addr::from_bits(four.address).into()),
        RData::AAAA(six) => Some(Ipv6Addr::from_bits(six.address).into()),
        _ => None,
    }
}

/// `allowed` says whether a program may ask for a name.
pub(crate) fn read(packet: &[u8], expected: &Expected<'_>, allowed: impl Fn(&Name) -> bool) -> Answer {
    let Some(question) = packet.get(HEADER..) else { return Answer::Stray };
    let wire = expected.name.wire();
    let kind = [&expected.kind.to_be_bytes()[..], &[0, 1]].concat();
    // To the letter: whoever answers blindly has to guess the id and the port only, but not less.
    let same = question.get(..wire.len()) == Some(wire) && question.get(wire.len()..wire.len() + 4) == Some(&kind);
    let about_it = packet[..2] == expected.id.to_be_bytes() && packet[2] & 0xf8 == 0x80 && packet[4..6] == [0, 1];
    if !same || !about_it {
        return Answer::Stray;
    }
    if packet[2] & 2 != 0 {
        return Answer::Truncated;
    }
    let bounded = bounded(packet);
    let bytes = packet.len();
    let Ok(packet) = Packet::parse(&bounded) else { return Answer::Failure };
    match packet.rcode() {
        RCODE::NoError | RCODE::NameError if packet.has_flags(PacketFlag::RESPONSE) => {
            match found(&packet, expected, allowed) {
                Answer::Found(found) => Answer::Found(Found { bytes, ..found }),
                other => other,
            }
        }
        RCODE::FormatError | RCODE::NotImplemented => Answer::Format,
        _ => Answer::Failure,
    }
}

/// The packet with no more records than are looked at: a parser makes room for all that a packet says it has.
fn bounded(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    let count = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    // A record has at least 11 bytes.
    let room = u16::try_from(packet.len() / 11).unwrap_or(u16::MAX);
    let answers = count(6).min(MOST_READ).min(room);
    // What comes after answers that were left out cannot be found. Authorities matter where there are none.
    let authorities = if count(6) == answers && count(8) <= 16 { count(8).min(room) } else { 0 };
    packet[6..8].copy_from_slice(&answers.to_be_bytes());
    packet[8..10].copy_from_slice(&authorities.to_be_bytes());
    packet[10..12].copy_from_slice(&[0, 0]);
    packet
}

fn found(packet: &Packet<'_>, expected: &Expected<'_>, allowed: impl Fn(&Name) -> bool) -> Answer {
    let mut owner = expected.name.clone();
    let mut names: Vec<Name> = Vec::new();
    let mut seconds = u32::MAX;
    let records = loop {
        let of_owner = |record: &&ResourceRecord<'_>| {
            record.class == CLASS::IN && Name::of_packet(&record.name).is_some_and(|name| name == owner)
        };
        let here: Vec<_> = packet.answers.iter().filter(of_owner).collect();
        let kind = TYPE::from(expected.kind);
        let wanted: Vec<_> = here.iter().filter(|record| record.rdata.type_code() == kind).collect();
        if !wanted.is_empty() {
            seconds = wanted.iter().map(|record| lasts(record.ttl)).fold(seconds, u32::min);
            break wanted.into_iter().map(|record| &record.rdata).collect::<Vec<_>>();
        }
        let alias = here.iter().find_map(|record| match &record.rdata {
            RData::CNAME(target) => Some((Name::of_packet(&target.0)?, lasts(record.ttl))),
            _ => None,
        });
        let Some((target, lasts)) = alias else { break Vec::new() };
        if names.len() >= MOST_NAMES || target == *expected.name || names.contains(&target) {
            return Answer::Failure;
        }
        seconds = seconds.min(lasts);
        names.push(target.clone());
        owner = target;
    };
    if let Some(bad) = records.iter().filter_map(|record| address(record)).find(|ip| guarded(*ip, expected.guarded)) {
        return Answer::Guarded(bad);
    }
    let mut kept: Vec<_> = records.into_iter().filter_map(|record| kept(record, &allowed)).take(MOST_RECORDS).collect();
    let mut seen = std::collections::HashSet::new();
    kept.retain(|record| address(record).is_none_or(|address| seen.insert(address)));
    let exists = packet.rcode() == RCODE::NoError || !kept.is_empty();
    if kept.is_empty() {
        seconds = seconds.min(nothing_lasts(packet));
    }
    Answer::Found(Found { exists, names, records: kept, seconds, bytes: 0 })
}

/// A record as it is given on.
fn kept(record: &RData<'_>, allowed: impl Fn(&Name) -> bool) -> Option<RData<'static>> {
    match record {
        RData::SVCB(service) => stripped(service, allowed).map(RData::SVCB),
        RData::HTTPS(service) => stripped(service, allowed).map(|service| RData::HTTPS(service.into())),
        // Of no length: nothing that could be written again.
        RData::Empty(_) => None,
        other => Some(other.clone().into_owned()),
    }
}

/// RFC 2181, section 8: what has the highest bit is none.
fn lasts(ttl: u32) -> u32 {
    if ttl > i32::MAX.unsigned_abs() { 0 } else { ttl }
}

fn nothing_lasts(packet: &Packet<'_>) -> u32 {
    let said = packet.name_servers.iter().find_map(|record| match &record.rdata {
        RData::SOA(soa) => Some(lasts(record.ttl).min(lasts(soa.minimum))),
        _ => None,
    });
    said.unwrap_or(NOTHING.0).min(NOTHING.1)
}
