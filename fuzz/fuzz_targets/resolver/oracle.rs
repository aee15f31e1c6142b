//! The bytes are a play: who asks for what, who answers what, when time passes, which pins fail. Whatever it is, nothing
//! leaves that is not allowed, no reply has an address that was not pinned before it, and nothing grows.

use simple_dns::rdata::{RData, SVCParam};
use simple_dns::{Packet, PacketFlag};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};
use zviz_dns::{LONGEST_PIN, MOST_WAITING, Pin, Reply, Resolver, SHORTEST_PIN, Step, Token};
use zviz_network::wire::{self, Zone};

const NAMES: [&str; 8] = [
    "crates.io",
    "a.example.org",
    "b.a.example.org",
    "example.org",
    "evil.net",
    "CRATES.IO",
    "static.crates.io",
    "mzxw6ytboi4dsnzqgq2tmnbvgiydambqgaydambrgizdgnbvgy3tqojqmfrgg.example.org",
];
const KINDS: [u16; 8] = [1, 28, 5, 65, 33, 16, 255, 12];
const PASSED: [u16; 6] = [1, 5, 28, 33, 64, 65];

/// One played: how many questions left, and how many replies had addresses.
pub fn check(data: &[u8]) -> (usize, usize) {
    let mut play = Play::new(data.first().is_some_and(|first| first & 0x80 != 0));
    let mut rest = data.get(1..).unwrap_or_default();
    while let Some((act, after)) = rest.split_first() {
        rest = play.act(*act, after);
    }
    // Whatever waits, waits for a bounded time.
    for _ in 0..16 {
        play.now += Duration::from_secs(4);
        let steps = play.resolver.expire(play.now);
        play.follow(steps, false);
    }
    assert!(play.open.is_empty() && play.resolver.next_deadline().is_none());
    (play.left, play.given)
}

struct Play {
    resolver: Resolver<(u8, bool)>,
    all: bool,
    now: Instant,
    /// Questions outside that wait, with their packets.
    open: Vec<(Token, bool, Vec<u8>)>,
    last: Token,
    pinned: HashMap<(String, IpAddr), Instant>,
    queries: usize,
    replies: usize,
    left: usize,
    given: usize,
}

impl Play {
    fn new(all: bool) -> Play {
        let zone = |(index, name): (usize, &&str)| Zone {
            key: format!("network.allow_domains[{index}]"),
            name: name.trim_start_matches("*.").to_owned(),
            below: name.starts_with("*."),
            sets: (format!("four{index}"), format!("six{index}")),
        };
        let policy = wire::Resolver {
            upstream: ["192.0.2.1:53", "192.0.2.2:53"].map(|text| text.parse().unwrap()).to_vec(),
            names: (!all)
                .then(|| ["crates.io", "*.example.org", "*.a.example.org"].iter().enumerate().map(zone).collect()),
            guarded: ["10.0.0.0/8", "fd00::/8"].map(|text| text.to_owned().try_into().unwrap()).to_vec(),
        };
        let (now, mut id) = (Instant::now(), 0_u16);
        let random = move || {
            id = id.wrapping_mul(25_173).wrapping_add(13_849);
            id
        };
        Play {
            resolver: Resolver::new(&policy, now, random).unwrap(),
            all,
            now,
            open: Vec::new(),
            last: 0,
            pinned: HashMap::new(),
            queries: 0,
            replies: 0,
            left: 0,
            given: 0,
        }
    }

    /// One act; what is left of the play after it.
    fn act<'a>(&mut self, act: u8, rest: &'a [u8]) -> &'a [u8] {
        let (first, second) = (rest.first().copied().unwrap_or(0), rest.get(1).copied().unwrap_or(0));
        let rest = rest.get(2..).unwrap_or_default();
        let stream = act & 0x40 != 0;
        let pins_fail = act & 0x80 != 0;
        let (raw, after) = rest.split_at(usize::from(second).min(rest.len()));
        let token = |open: &[(Token, bool, Vec<u8>)]| open.get(usize::from(first) % open.len().max(1)).cloned();
        let (steps, rest) = match act & 7 {
            // A question that is well-formed.
            0 | 1 => {
                let name = NAMES[usize::from(first & 7)];
                let packet = question(u16::from(second), name, KINDS[usize::from(first >> 3 & 7)], first & 0x40 != 0);
                self.queries += 1;
                (self.resolver.query(self.now, (second, stream), stream, &packet), rest)
            }
            // One that may not be.
            2 => {
                self.queries += 1;
                (self.resolver.query(self.now, (first, stream), stream, raw), after)
            }
            // An answer to what was asked, with any records.
            3 | 4 => {
                let Some((token, _, mut packet)) = token(&self.open) else { return after };
                packet[2] |= 0x80;
                packet[10..12].copy_from_slice(&[0, 0]);
                packet.truncate(packet.len() - if packet.len() > 11 && packet.ends_with(&[0; 6]) { 11 } else { 0 });
                let (head, records) = raw.split_at(5.min(raw.len()));
                if let [flags, code, a, b, n] = head {
                    packet[2] |= flags & 2;
                    packet[3] = *code;
                    packet[6..10].copy_from_slice(&[*a & 0x8f, *b, 0, *n]);
                }
                packet.extend(records);
                (self.resolver.answer(self.now, token, &packet), after)
            }
            // One of anything.
            5 => {
                let Some((token, ..)) = token(&self.open) else { return after };
                (self.resolver.answer(self.now, token, raw), after)
            }
            6 => {
                let Some((token, ..)) = token(&self.open) else { return rest };
                (self.resolver.failed(self.now, token), rest)
            }
            _ => {
                self.now += Duration::from_millis(u64::from(first) * u64::from(second));
                (self.resolver.expire(self.now), rest)
            }
        };
        self.follow(steps, pins_fail);
        rest
    }

    fn follow(&mut self, steps: Vec<Step<(u8, bool)>>, pins_fail: bool) {
        for step in steps {
            match step {
                Step::Reply(reply) => self.replied(&reply),
                Step::Ask { token, upstream, stream, packet } => {
                    assert!(token > self.last && upstream < 2);
                    self.last = token;
                    self.asked(&packet);
                    self.open.push((token, stream, packet));
                }
                Step::Close(token) => self.open.retain(|open| open.0 != token),
                Step::Pin { pins, then, otherwise, .. } => {
                    assert_eq!(then.len(), otherwise.len());
                    if pins_fail {
                        otherwise.iter().for_each(|reply| assert!(addresses(&reply.packet).is_empty()));
                        otherwise.iter().for_each(|reply| self.replied(reply));
                    } else {
                        pins.iter().for_each(|pin| self.pin(pin));
                        then.iter().for_each(|reply| self.replied(reply));
                    }
                }
                Step::Event(event) => {
                    let name = event.name.to_string();
                    assert!(name.len() <= 1004 && name.bytes().all(|byte| byte.is_ascii_graphic()));
                }
            }
        }
        assert!(self.open.len() <= MOST_WAITING);
        assert!(self.replies <= self.queries);
        assert_eq!(self.open.is_empty(), self.resolver.next_deadline().is_none());
    }

    fn pin(&mut self, pin: &Pin) {
        assert!(!self.all && !pin.addresses.is_empty() && pin.addresses.len() <= 64);
        assert!((SHORTEST_PIN..=LONGEST_PIN).contains(&pin.lifetime));
        for address in &pin.addresses {
            assert!(!guarded(*address), "{address}");
            assert_eq!(pin.set.starts_with("four"), address.is_ipv4());
            self.pinned.insert((pin.set.to_string(), *address), self.now + pin.lifetime);
        }
    }

    fn replied(&mut self, reply: &Reply<(u8, bool)>) {
        self.replies += 1;
        assert!(reply.packet.len() <= if reply.client.1 { 65_535 } else { 1232 });
        for (address, ttl) in addresses(&reply.packet) {
            assert!(!guarded(address), "{address}");
            let until = self.now + Duration::from_secs(ttl.into());
            let lasts = self.pinned.iter().any(|((_, pinned), end)| *pinned == address && *end >= until);
            assert!(self.all || lasts, "{address} was not pinned");
            self.given += 1;
        }
    }

    /// What leaves is allowed, and has nothing with it.
    fn asked(&mut self, packet: &[u8]) {
        self.left += 1;
        let parsed = Packet::parse(packet).unwrap();
        assert!(!parsed.has_flags(PacketFlag::RESPONSE) && parsed.questions.len() == 1);
        assert!(parsed.answers.is_empty() && parsed.name_servers.is_empty() && parsed.additional_records.is_empty());
        assert!(parsed.opt().is_none_or(|opt| opt.opt_codes.is_empty() && opt.udp_packet_size == 1232));
        let kind = u16::from(parsed.questions[0].qtype);
        let labels: Vec<Vec<u8>> = parsed.questions[0].qname.as_bytes().map(<[u8]>::to_vec).collect();
        assert!(labels.iter().flatten().all(|byte| !byte.is_ascii_uppercase()));
        if !self.all {
            let labels: Vec<_> = labels.iter().map(Vec::as_slice).collect();
            let below = labels.len() > 2 && labels.ends_with(&[b"example", b"org"]);
            assert!(below || labels == [&b"crates"[..], b"io"], "{labels:?}");
            assert!(PASSED.contains(&kind), "{kind}");
        }
        assert!(!matches!(kind, 41 | 249..=255), "{kind}");
    }
}

fn guarded(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => four.octets()[0] == 10 || four.is_loopback() || four.is_unspecified(),
        IpAddr::V6(six) => {
            let mapped = six.to_ipv4_mapped().is_some();
            mapped || six.octets()[0] == 0xfd || six.is_loopback() || six.is_unspecified()
        }
    }
}

/// Every address of a reply, wherever it stands, with its seconds.
fn addresses(packet: &[u8]) -> Vec<(IpAddr, u32)> {
    let packet = Packet::parse(packet).unwrap_or_else(|_| Packet::new_reply(0));
    assert!(packet.name_servers.is_empty() && packet.additional_records.is_empty());
    let mut all = Vec::new();
    for record in &packet.answers {
        match &record.rdata {
            RData::A(four) => all.push((Ipv4Addr::from_bits(four.address).into(), record.ttl)),
            RData::AAAA(six) => all.push((Ipv6Addr::from_bits(six.address).into(), record.ttl)),
            RData::HTTPS(service) => service.iter_params().for_each(harmless),
            RData::SVCB(service) => service.iter_params().for_each(harmless),
            _ => {}
        }
    }
    all
}

fn harmless(param: &SVCParam<'_>) {
    assert!(!matches!(param, SVCParam::Ipv4Hint(_) | SVCParam::Ipv6Hint(_) | SVCParam::Ech(_)));
}

/// A question of a well-behaved program.
pub fn question(id: u16, name: &str, kind: u16, edns: bool) -> Vec<u8> {
    let mut packet = [&id.to_be_bytes()[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)]].concat();
    for label in name.split('.') {
        packet.push(u8::try_from(label.len()).unwrap());
        packet.extend(label.bytes());
    }
    packet.push(0);
    packet.extend([kind.to_be_bytes(), [0, 1]].concat());
    if edns {
        packet.extend([0, 0, 41, 16, 0, 0, 0, 0, 0, 0, 0]);
    }
    packet
}
