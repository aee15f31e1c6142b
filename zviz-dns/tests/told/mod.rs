//! A resolver with a policy of tests, and packets for it.

#![allow(dead_code, clippy::unwrap_used, reason = "each test program uses a part, and a panic is how tests fail")]

use simple_dns::rdata::{A, AAAA, CNAME, RData};
use simple_dns::{CLASS, Name, Packet, QTYPE, Question, RCODE, ResourceRecord, TYPE};
use std::net::IpAddr;
use std::time::{Duration, Instant};
use zviz_dns::{Event, Pin, Resolver, Step, Token, Why};
use zviz_network::wire::{self, Zone};

pub const GUARDED: &[&str] = &["10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "64:ff9b::/96", "fc00::/7"];

/// A resolver, its time, and what it has done since the last look.
pub struct Desk {
    pub resolver: Resolver<u32>,
    pub now: Instant,
    pub asked: Vec<Outgoing>,
    pub closed: Vec<Token>,
    pub pinned: Vec<Pin>,
    pub replies: Vec<(u32, Vec<u8>)>,
    pub events: Vec<Event>,
    pub pins_fail: bool,
}

/// What was asked outside.
#[derive(Debug, Clone)]
pub struct Outgoing {
    pub token: Token,
    pub upstream: usize,
    pub stream: bool,
    pub packet: Vec<u8>,
}

pub fn desk(names: Option<&[&str]>) -> Desk {
    let zone = |(index, text): (usize, &&str)| Zone {
        key: format!("network.allow_domains[{index}]"),
        name: text.trim_start_matches("*.").to_owned(),
        below: text.starts_with("*."),
        sets: (format!("four{index}"), format!("six{index}")),
    };
    let policy = wire::Resolver {
        upstream: vec!["192.0.2.1:53".parse().unwrap(), "192.0.2.2:53".parse().unwrap()],
        names: names.map(|names| names.iter().enumerate().map(zone).collect()),
        guarded: GUARDED.iter().map(|text| (*text).to_owned().try_into().unwrap()).collect(),
    };
    let (now, mut id) = (Instant::now(), 100);
    let random = move || {
        id += 1;
        id
    };
    Desk {
        resolver: Resolver::new(&policy, now, random).unwrap(),
        now,
        asked: Vec::new(),
        closed: Vec::new(),
        pinned: Vec::new(),
        replies: Vec::new(),
        events: Vec::new(),
        pins_fail: false,
    }
}

impl Desk {
    fn follow(&mut self, steps: Vec<Step<u32>>) {
        for step in steps {
            match step {
                Step::Reply(reply) => self.replies.push((reply.client, reply.packet)),
                Step::Ask { token, upstream, stream, packet } => {
                    self.asked.push(Outgoing { token, upstream, stream, packet });
                }
                Step::Close(token) => self.closed.push(token),
                Step::Pin { pins, then, otherwise, .. } => {
                    let replies = if self.pins_fail {
                        otherwise
                    } else {
                        self.pinned.extend(pins);
                        then
                    };
                    self.replies.extend(replies.into_iter().map(|reply| (reply.client, reply.packet)));
                }
                Step::Event(event) => self.events.push(event),
            }
        }
    }

    pub fn query(&mut self, client: u32, packet: &[u8]) {
        let steps = self.resolver.query(self.now, client, false, packet);
        self.follow(steps);
    }

    pub fn query_on_stream(&mut self, client: u32, packet: &[u8]) {
        let steps = self.resolver.query(self.now, client, true, packet);
        self.follow(steps);
    }

    pub fn answer(&mut self, token: Token, packet: &[u8]) {
        let steps = self.resolver.answer(self.now, token, packet);
        self.follow(steps);
    }

    pub fn failed(&mut self, token: Token) {
        let steps = self.resolver.failed(self.now, token);
        self.follow(steps);
    }

    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        let steps = self.resolver.expire(self.now);
        self.follow(steps);
    }

    /// Asks for a name, and gives the question that has left.
    pub fn ask(&mut self, name: &str, kind: TYPE) -> Option<Outgoing> {
        self.asked.clear();
        self.query(1, &question(7, name, kind));
        self.asked.pop()
    }

    /// The one reply since the last look, as its code, its records and the lowest of their seconds.
    pub fn told(&mut self) -> Told {
        assert_eq!(self.replies.len(), 1, "{:?}", self.replies);
        told(&self.replies.pop().unwrap().1)
    }

    /// Asks, has it answered with these records, and gives what was told.
    pub fn ask_and_answer(&mut self, name: &str, kind: TYPE, records: &[(&str, u32, &str)]) -> Told {
        let asked = self.ask(name, kind).expect("nothing has left");
        self.answer(asked.token, &answer(&asked.packet, records));
        self.told()
    }

    pub fn why(&mut self) -> Option<Why> {
        self.events.pop().and_then(|event| event.why)
    }
}

#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    pub code: RCODE,
    pub truncated: bool,
    pub records: Vec<String>,
    pub ttl: Option<u32>,
}

pub fn told(packet: &[u8]) -> Told {
    let parsed = Packet::parse(packet).unwrap();
    assert!(parsed.has_flags(simple_dns::PacketFlag::RESPONSE | simple_dns::PacketFlag::RECURSION_AVAILABLE));
    assert!(parsed.name_servers.is_empty() && parsed.additional_records.is_empty());
    let text = |record: &ResourceRecord<'_>| match &record.rdata {
        RData::A(four) => IpAddr::from(four.address.to_be_bytes()).to_string(),
        RData::AAAA(six) => IpAddr::from(six.address.to_be_bytes()).to_string(),
        RData::CNAME(name) => name.0.to_string(),
        other => format!("{:?}", other.type_code()),
    };
    Told {
        code: parsed.rcode(),
        truncated: parsed.has_flags(simple_dns::PacketFlag::TRUNCATION),
        records: parsed.answers.iter().map(text).collect(),
        ttl: parsed.answers.iter().map(|record| record.ttl).min(),
    }
}

pub fn question(id: u16, name: &str, kind: TYPE) -> Vec<u8> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(simple_dns::PacketFlag::RECURSION_DESIRED);
    packet.questions.push(Question::new(Name::new(name).unwrap(), kind.into(), CLASS::IN.into(), false));
    packet.build_bytes_vec().unwrap()
}

/// The same with options: how long a reply may be, and bytes of options.
pub fn question_with(id: u16, name: &str, kind: TYPE, size: u16, options: &[u8]) -> Vec<u8> {
    let mut packet = question(id, name, kind);
    packet[11] = 1;
    let [s0, s1] = size.to_be_bytes();
    let [l0, l1] = u16::try_from(options.len()).unwrap().to_be_bytes();
    // The bit DO is set.
    packet.extend([0, 0, 41, s0, s1, 0, 0, 0x80, 0, l0, l1]);
    packet.extend(options);
    packet
}

/// An answer with the records of the type that was asked for, or aliases.
pub fn answer(to: &[u8], records: &[(&str, u32, &str)]) -> Vec<u8> {
    let asked = Packet::parse(to).unwrap();
    let kind = asked.questions[0].qtype;
    let mut answers = Vec::new();
    for (owner, ttl, data) in records {
        let data = match data.parse() {
            Ok(IpAddr::V4(four)) => RData::A(A { address: four.to_bits() }),
            Ok(IpAddr::V6(six)) => RData::AAAA(AAAA { address: six.to_bits() }),
            Err(_) => RData::CNAME(CNAME(Name::new(data).unwrap())),
        };
        if data.type_code() == TYPE::CNAME || kind == QTYPE::TYPE(data.type_code()) {
            answers.push(ResourceRecord::new(Name::new(owner).unwrap(), CLASS::IN, *ttl, data));
        }
    }
    answer_with(to, answers)
}

pub fn answer_with(to: &[u8], answers: Vec<ResourceRecord<'_>>) -> Vec<u8> {
    let asked = Packet::parse(to).unwrap();
    let mut reply = Packet::new_reply(asked.id());
    reply.questions.clone_from(&asked.questions);
    reply.answers = answers;
    reply.build_bytes_vec_compressed().unwrap()
}
