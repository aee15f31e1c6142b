//! What programs ask, what of it leaves, and what they are told at once.

#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

mod told;

use simple_dns::{Packet, RCODE, TYPE};
use std::time::Duration;
use told::{answer, desk, question, question_with, told};
use zviz_dns::{MOST_WAITING, Verdict, Why};

#[test]
fn only_what_is_allowed_leaves() {
    let mut desk = desk(Some(&["crates.io", "*.example.org"]));
    for name in ["evil.net", "xcrates.io", "a.crates.io", "example.org", "crates.io.evil.net", "localhost", ""] {
        assert!(desk.ask(name, TYPE::A).is_none(), "{name}");
        assert_eq!(desk.told().code, RCODE::NameError, "{name}");
        assert_eq!(desk.why(), Some(Why::Name));
    }
    for name in ["crates.io", "CRATES.io.", "a.example.org", "a.b.example.org", "xn--bcher-kva.example.org"] {
        let asked = desk.ask(name, TYPE::A).unwrap_or_else(|| panic!("{name}"));
        let sent = Packet::parse(&asked.packet).unwrap();
        assert_eq!(sent.questions[0].qname.to_string(), name.trim_end_matches('.').to_lowercase());
        desk.answer(asked.token, &answer(&asked.packet, &[]));
        desk.replies.clear();
        desk.now += Duration::from_secs(10);
    }
}

#[test]
fn names_with_odd_bytes() {
    let mut desk = desk(Some(&["crates.io", "*.example.org"]));
    for labels in [
        &[&b"evil\0"[..], b"crates", b"io"][..],
        &[b"crates.io"],
        &[b"a\0b", b"example", b"org"],
        &[b"\xc3\xa9", b"example", b"org"],
    ] {
        let mut packet = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in labels {
            packet.push(label.len() as u8);
            packet.extend(*label);
        }
        packet.extend([0, 0, 1, 0, 1]);
        desk.query(1, &packet);
        assert!(desk.asked.is_empty(), "{labels:?}");
        assert_eq!(desk.told().code, RCODE::NameError, "{labels:?}");
    }
}

#[test]
fn types_that_are_not_passed_on() {
    let mut desk = desk(Some(&["crates.io"]));
    for kind in [TYPE::TXT, TYPE::MX, TYPE::PTR, TYPE::NULL, TYPE::NAPTR, TYPE::SOA, TYPE::NS] {
        assert!(desk.ask("crates.io", kind).is_none(), "{kind:?}");
        let told = desk.told();
        assert_eq!((told.code, told.records.len()), (RCODE::NoError, 0), "{kind:?}");
        assert_eq!(desk.why(), Some(Why::Kind));
    }
    for kind in [TYPE::A, TYPE::AAAA, TYPE::CNAME, TYPE::SRV, TYPE::SVCB, TYPE::HTTPS] {
        assert!(desk.ask("crates.io", kind).is_some(), "{kind:?}");
    }
    // ANY, AXFR, IXFR, one that nobody knows; and classes that are not the internet's.
    for (kind, class) in [(255, 1), (252, 1), (251, 1), (65_280, 1), (1, 3), (1, 255), (1, 0x8001), (1, 9999)] {
        let mut packet = question(9, "crates.io", TYPE::A);
        let end = packet.len();
        packet[end - 4..].copy_from_slice(&[(kind >> 8) as u8, kind as u8, (class >> 8) as u8, class as u8]);
        desk.asked.clear();
        desk.query(2, &packet);
        assert!(desk.asked.is_empty());
        let reply = desk.replies.pop().unwrap().1;
        assert_eq!((&reply[..4], &reply[12..]), (&[0, 9, 0x81, 0x80][..], &packet[12..]), "{kind} {class}");
    }
}

#[test]
fn with_all_names_most_types_pass() {
    let mut desk = desk(None);
    for (name, kind) in
        [("evil.net", TYPE::A), ("a", TYPE::TXT), ("b.c", TYPE::MX), ("1.0.0.1.in-addr.arpa", TYPE::PTR)]
    {
        assert!(desk.ask(name, kind).is_some(), "{name}");
    }
    let told = desk.ask_and_answer("c.net", TYPE::A, &[("c.net", 9, "93.184.216.34")]);
    assert_eq!((told.records, desk.pinned.len()), (vec!["93.184.216.34".to_owned()], 0));
    let told = desk.ask_and_answer("d.net", TYPE::A, &[("d.net", 9, "10.0.0.1")]);
    assert_eq!((told.code, told.records.len()), (RCODE::NoError, 0));
    assert_eq!(desk.why(), Some(Why::Guarded("10.0.0.1".parse().unwrap())));
    // No limits either.
    for i in 0..200 {
        let name = format!("mzxw6ytboi4dsnzqgq2tmnbvgiydambqgaydambrgizdgnbvgy3tqojq{i:03}.net");
        assert!(desk.ask(&name, TYPE::A).is_some(), "{i}");
    }
}

#[test]
fn what_is_no_question() {
    let mut desk = desk(Some(&["crates.io"]));
    let good = question(0x1234, "crates.io", TYPE::A);
    let with = |at: usize, value: u8| {
        let mut packet = good.clone();
        packet[at] = value;
        packet
    };
    // Nothing that could be answered, or what is an answer itself.
    for packet in [&[][..], &good[..11], &with(2, 0x81)] {
        desk.query(1, packet);
        assert!(desk.replies.is_empty() && desk.asked.is_empty());
    }
    let mut pointer = good[..12].to_vec();
    pointer.extend([0xc0, 12, 0, 1, 0, 1]);
    let two_options =
        [&question_with(0x1234, "crates.io", TYPE::A, 512, &[])[..], &[0, 0, 41, 2, 0, 0, 0, 0, 0, 0, 0]].concat();
    let two_options = {
        let mut packet = two_options;
        packet[11] = 2;
        packet
    };
    for (packet, code) in [
        (good[..good.len() - 1].to_vec(), 1),
        (good[..14].to_vec(), 1),
        (with(5, 0), 1),
        (with(5, 2), 1),
        (with(7, 1), 1),
        (with(9, 1), 1),
        (with(11, 1), 1),
        (with(10, 0xff), 1),
        (with(12, 64), 1),
        (with(12, 200), 1),
        (pointer, 1),
        (two_options, 1),
        (with(2, 1 << 3 | 1), 4),
        (with(2, 5 << 3), 4),
        (with(2, 15 << 3), 4),
    ] {
        desk.query(1, &packet);
        let reply = desk.replies.pop().unwrap().1;
        assert_eq!((&reply[..2], reply[3] & 15), (&[0x12, 0x34][..], code), "{packet:?}");
        assert!(reply.len() == 12 && reply[2] & 0x80 != 0 && desk.asked.is_empty());
    }
}

#[test]
fn options_stay_here() {
    let mut desk = desk(Some(&["crates.io"]));
    // A client subnet (RFC 7871) and a cookie (RFC 7873).
    let options = [0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2, 0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    desk.query(1, &question_with(5, "crates.io", TYPE::A, 4096, &options));
    let asked = desk.asked.pop().unwrap();
    assert!(asked.packet.ends_with(&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]), "{:?}", asked.packet);
    desk.answer(asked.token, &answer(&asked.packet, &[("crates.io", 60, "93.184.216.34")]));
    let reply = desk.replies.pop().unwrap().1;
    let opt = Packet::parse(&reply).unwrap().opt().cloned().unwrap();
    assert_eq!((opt.udp_packet_size, opt.opt_codes.len()), (1232, 0));
    // Who asks without is answered without.
    desk.query(1, &question(6, "crates.io", TYPE::A));
    assert!(Packet::parse(&desk.replies.pop().unwrap().1).unwrap().opt().is_none());
    // Who asks with is told why not.
    desk.query(1, &question_with(7, "evil.net", TYPE::A, 512, &[]));
    let reply = desk.replies.pop().unwrap().1;
    let opt = Packet::parse(&reply).unwrap().opt().cloned().unwrap();
    assert_eq!((opt.opt_codes[0].code, &opt.opt_codes[0].data[..2]), (15, &[0, 15][..]));
    // A version that nobody knows.
    let mut packet = question_with(8, "crates.io", TYPE::A, 512, &[]);
    let version = packet.len() - 5;
    packet[version] = 1;
    desk.query(1, &packet);
    let reply = desk.replies.pop().unwrap().1;
    // The higher half of the code is in the options: 16.
    assert_eq!((reply[3] & 15, &reply[reply.len() - 11..]), (0, &[0, 0, 41, 4, 208, 1, 0, 0, 0, 0, 0][..]));
}

#[test]
fn one_question_for_all_who_ask_it() {
    let mut desk = desk(Some(&["crates.io"]));
    for client in 0..10 {
        desk.query(client, &question(client as u16, if client % 2 == 0 { "crates.io" } else { "CRATES.io" }, TYPE::A));
    }
    // The same once more, by the same program.
    desk.query(3, &question(3, "CRATES.io", TYPE::A));
    assert_eq!(desk.asked.len(), 1);
    let asked = desk.asked.pop().unwrap();
    desk.answer(asked.token, &answer(&asked.packet, &[("crates.io", 60, "93.184.216.34")]));
    assert_eq!((desk.replies.len(), desk.pinned.len()), (10, 1));
    for (client, packet) in &desk.replies {
        let parsed = Packet::parse(packet).unwrap();
        assert_eq!(u32::from(parsed.id()), *client);
        let spelled = if client % 2 == 0 { "crates.io" } else { "CRATES.io" };
        assert_eq!(
            (&parsed.questions[0].qname.to_string()[..], &parsed.answers[0].name.to_string()[..]),
            (spelled, spelled)
        );
    }
}

#[test]
fn tunnels_are_narrow() {
    let mut desk = desk(Some(&["*.example.org"]));
    let mut left = 0;
    for i in 0..10_000_u64 {
        let name = format!("{:016x}.example.org", i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        desk.asked.clear();
        desk.query(1, &question(1, &name, TYPE::A));
        if let Some(asked) = desk.asked.pop() {
            desk.answer(asked.token, &answer(&asked.packet, &[]));
            left += 1;
        }
        desk.now += Duration::from_millis(1);
    }
    // In ten seconds of trying as fast as one can: names of 8 bytes.
    assert!((100..=170).contains(&left), "{left}");
    assert_eq!(desk.why(), Some(Why::Often));
    assert_eq!(told(&desk.replies.pop().unwrap().1).code, RCODE::ServerFailure);
    // A name that is spelled out is not held up by that.
    let mut both = told::desk(Some(&["*.example.org", "www.example.org"]));
    for _ in 0..1000 {
        let asked = both.ask("www.example.org", TYPE::A).unwrap();
        both.answer(asked.token, &answer(&asked.packet, &[("www.example.org", 0, "93.184.216.34")]));
    }
}

#[test]
fn what_waits_is_bounded() {
    let mut desk = desk(None);
    for i in 0..1000 {
        desk.query(1, &question(1, &format!("n{i}.net"), TYPE::A));
    }
    assert_eq!(desk.asked.len(), MOST_WAITING);
    assert_eq!(desk.why(), Some(Why::Busy));
    for _ in 0..10 {
        desk.pass(Duration::from_secs(5));
    }
    assert_eq!(desk.resolver.next_deadline(), None);
    assert_eq!(desk.replies.len(), 1000);
    assert!(desk.events.iter().all(|event| event.verdict == Verdict::Deny));
}
