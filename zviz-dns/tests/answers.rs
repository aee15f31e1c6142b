//! What resolvers outside answer, and what of it is believed, pinned and told.

#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

mod told;

use simple_dns::rdata::{A, HTTPS, RData, SOA, SVCB, SVCParam};
use simple_dns::{CLASS, Name, Packet, RCODE, ResourceRecord, TYPE};
use std::time::Duration;
use told::{answer, answer_with, desk, question, question_with};
use zviz_dns::Why;

const HOST: &str = "93.184.216.34";

#[test]
fn addresses_are_pinned_before_they_are_told() {
    let mut desk = desk(Some(&["crates.io", "*.io", "crates.io"]));
    for (ttl, lifetime, told_ttl) in
        [(0, 30, 0), (29, 30, 29), (300, 300, 300), (604_800, 3600, 3600), (u32::MAX, 30, 0)]
    {
        desk.pinned.clear();
        let told = desk.ask_and_answer(
            "crates.io",
            TYPE::A,
            &[("crates.io", ttl, HOST), ("crates.io", u32::MAX / 2, "93.184.216.35")],
        );
        assert_eq!((told.records.len(), told.ttl), (2, Some(told_ttl)), "{ttl}");
        // Every entry that the name fits has ports of its own.
        let sets: Vec<&str> = desk.pinned.iter().map(|pin| &*pin.set).collect();
        assert_eq!(sets, ["four0", "four1", "four2"]);
        assert!(
            desk.pinned.iter().all(|pin| pin.lifetime == Duration::from_secs(lifetime) && pin.addresses.len() == 2)
        );
        desk.now += Duration::from_secs(4000);
    }
    desk.pinned.clear();
    desk.ask_and_answer("crates.io", TYPE::AAAA, &[("crates.io", 60, "2606:4700::1")]);
    assert_eq!(desk.pinned.iter().map(|pin| &*pin.set).collect::<Vec<_>>(), ["six0", "six1", "six2"]);
}

#[test]
fn what_cannot_be_pinned_is_not_told() {
    let mut desk = desk(Some(&["crates.io"]));
    desk.pins_fail = true;
    let told = desk.ask_and_answer("crates.io", TYPE::A, &[("crates.io", 300, HOST)]);
    assert_eq!((told.code, told.records.len()), (RCODE::ServerFailure, 0));
    // Nor out of memory.
    assert!(desk.ask("crates.io", TYPE::A).is_none());
    assert_eq!(desk.told().code, RCODE::ServerFailure);
    desk.pins_fail = false;
    assert!(desk.ask("crates.io", TYPE::A).is_none());
    assert_eq!(desk.told().records, [HOST]);
}

#[test]
fn what_is_remembered_is_pinned_again_for_what_is_left() {
    let mut desk = desk(Some(&["crates.io"]));
    desk.ask_and_answer("crates.io", TYPE::A, &[("crates.io", 300, HOST)]);
    for (passed, left, lifetime) in [(100, 200, 200), (190, 10, 30)] {
        desk.now += Duration::from_secs(passed);
        desk.pinned.clear();
        assert!(desk.ask("Crates.IO", TYPE::A).is_none());
        let told = desk.told();
        assert_eq!((told.records, told.ttl), (vec![HOST.to_owned()], Some(left)));
        assert_eq!(desk.pinned[0].lifetime, Duration::from_secs(lifetime));
    }
    desk.now += Duration::from_secs(10);
    assert!(desk.ask("crates.io", TYPE::A).is_some());
}

#[test]
fn nothing_is_remembered_as_well() {
    let mut desk = desk(Some(&["crates.io"]));
    let asked = desk.ask("crates.io", TYPE::AAAA).unwrap();
    let mut packet = Packet::parse(&asked.packet).unwrap().into_reply();
    let soa = SOA {
        mname: Name::new("ns").unwrap(),
        rname: Name::new("root").unwrap(),
        serial: 1,
        refresh: 2,
        retry: 3,
        expire: 4,
        minimum: 60,
    };
    packet.name_servers.push(ResourceRecord::new(Name::new("io").unwrap(), CLASS::IN, 9000, RData::SOA(soa)));
    *packet.rcode_mut() = RCODE::NameError;
    *packet.opt_mut() = None;
    desk.answer(asked.token, &packet.build_bytes_vec().unwrap());
    assert_eq!(desk.told().code, RCODE::NameError);
    desk.now += Duration::from_secs(58);
    assert!(desk.ask("crates.io", TYPE::AAAA).is_none());
    assert_eq!(desk.told().code, RCODE::NameError);
    desk.now += Duration::from_secs(2);
    // Without such a record, a little.
    let told = desk.ask_and_answer("crates.io", TYPE::AAAA, &[]);
    assert_eq!((told.code, told.records.len()), (RCODE::NoError, 0));
    assert!(desk.ask("crates.io", TYPE::AAAA).is_none());
    desk.now += Duration::from_secs(6);
    assert!(desk.ask("crates.io", TYPE::AAAA).is_some());
}

#[test]
fn aliases_are_followed_within_the_answer() {
    let mut desk = desk(Some(&["*.example.org"]));
    let chain =
        [("c.net", 40, HOST), ("b.net", 20, "c.net"), ("WWW.example.org", 60, "B.net"), ("d.net", 5, "6.6.6.6")];
    let told = desk.ask_and_answer("www.example.org", TYPE::A, &chain);
    assert_eq!((told.records, told.ttl), (vec!["b.net".to_owned(), "c.net".to_owned(), HOST.to_owned()], Some(20)));
    assert_eq!((&*desk.pinned[0].set, desk.pinned[0].addresses.len()), ("four0", 1));
    desk.pinned.clear();
    // An address of a name that was not asked for, alone.
    let told = desk.ask_and_answer("x.example.org", TYPE::A, &[("crates.io", 60, "6.6.6.6")]);
    assert_eq!((told.records.len(), desk.pinned.len()), (0, 0));
    // An alias that leads to nothing is told, and nothing is asked for it.
    let told = desk.ask_and_answer("y.example.org", TYPE::A, &[("y.example.org", 60, "b.net")]);
    assert_eq!((told.records, desk.pinned.len()), (vec!["b.net".to_owned()], 0));
    // Whoever asks for the alias itself has it.
    let told = desk.ask_and_answer("z.example.org", TYPE::CNAME, &[("z.example.org", 60, "b.net")]);
    assert_eq!(told.records, ["b.net"]);
}

#[test]
fn aliases_end() {
    let mut desk = desk(Some(&["*.example.org"]));
    let long: Vec<(String, String)> =
        (0..30).map(|i| (format!("n{i}.example.org"), format!("n{}.example.org", i + 1))).collect();
    let long: Vec<_> = long.iter().map(|(owner, target)| (owner.as_str(), 60, target.as_str())).collect();
    for (name, records) in [
        ("a.example.org", &[("a.example.org", 60, "a.example.org")][..]),
        ("b.example.org", &[("b.example.org", 60, "c.net"), ("c.net", 60, "B.example.org")]),
        ("d.example.org", &[("d.example.org", 60, "e.net"), ("e.net", 60, "f.net"), ("f.net", 60, "e.net")]),
        ("n0.example.org", &long),
    ] {
        let mut asked = desk.ask(name, TYPE::A);
        while let Some(next) = asked {
            desk.asked.clear();
            desk.answer(next.token, &answer(&next.packet, records));
            asked = desk.asked.pop();
        }
        assert_eq!(desk.told().code, RCODE::ServerFailure, "{name}");
    }
}

#[test]
fn answers_that_lead_back_in_are_refused_whole() {
    let mut desk = desk(Some(&["*.example.org"]));
    for (i, (kind, bad)) in [
        (TYPE::A, "10.1.2.3"),
        (TYPE::A, "127.0.0.1"),
        (TYPE::A, "0.0.0.0"),
        (TYPE::A, "169.254.169.254"),
        (TYPE::AAAA, "::1"),
        (TYPE::AAAA, "fd00::1"),
        (TYPE::AAAA, "::ffff:10.0.0.1"),
        (TYPE::AAAA, "::ffff:93.184.216.34"),
        (TYPE::AAAA, "64:ff9b::a00:1"),
        (TYPE::AAAA, "2002:a00:1::1"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("n{i}.example.org");
        for records in [
            &[(&name[..], 60, HOST), (&name, 60, "2606:4700::1"), (&name, 60, bad)][..],
            &[(&name, 60, "inside.corp"), ("inside.corp", 60, bad)],
        ] {
            let told = desk.ask_and_answer(&name, kind, records);
            assert_eq!((told.code, told.records.len(), desk.pinned.len()), (RCODE::NoError, 0, 0), "{bad}");
            assert_eq!(desk.events.last().unwrap().why, Some(Why::Guarded(bad.parse().unwrap())));
            // It is not remembered: the next may be better.
        }
    }
}

#[test]
fn ten_thousand_addresses() {
    let mut desk = desk(Some(&["crates.io"]));
    let record = |i: u32| {
        ResourceRecord::new(Name::new("crates.io").unwrap(), CLASS::IN, 60, RData::A(A { address: 0x5db8_0000 + i }))
    };
    desk.query_on_stream(1, &question(7, "crates.io", TYPE::A));
    let asked = desk.asked.pop().unwrap();
    let packet = answer_with(&asked.packet, (0..10_000).map(record).collect());
    assert!(packet.len() > 160_000);
    desk.answer(asked.token, &packet);
    assert_eq!((desk.told().records.len(), desk.pinned[0].addresses.len()), (64, 64));
    // As many that are the same are one.
    desk.now += Duration::from_secs(100);
    let asked = desk.ask("crates.io", TYPE::A).unwrap();
    desk.answer(asked.token, &answer_with(&asked.packet, (0..400).map(|_| record(1)).collect()));
    assert_eq!(desk.told().records.len(), 1);
    // A packet that says that it has more than there is room for.
    desk.now += Duration::from_secs(100);
    let asked = desk.ask("crates.io", TYPE::A).unwrap();
    let mut packet = answer_with(&asked.packet, (0..3).map(record).collect());
    packet[6..12].copy_from_slice(&[0xff; 6]);
    desk.answer(asked.token, &packet);
    assert_eq!(desk.asked.len(), 1, "the next resolver is asked");
}

#[test]
fn replies_are_as_long_as_the_program_takes_them() {
    let mut desk = desk(Some(&["crates.io"]));
    let record = |i: u32| {
        ResourceRecord::new(Name::new("crates.io").unwrap(), CLASS::IN, 60, RData::A(A { address: 0x5db8_0000 + i }))
    };
    let asked = desk.ask("crates.io", TYPE::A).unwrap();
    desk.answer(asked.token, &answer_with(&asked.packet, (0..40).map(record).collect()));
    let told = desk.told();
    assert_eq!((told.truncated, told.records.len()), (true, 0));
    for (size, fits) in [(0, false), (512, false), (1232, true), (65_535, true)] {
        desk.query(1, &question_with(2, "crates.io", TYPE::A, size, &[]));
        let (_, packet) = desk.replies.pop().unwrap();
        assert_eq!(told::told(&packet).truncated, !fits, "{size}");
        assert!(packet.len() <= usize::from(size.clamp(512, 1232)));
    }
    desk.query_on_stream(1, &question(3, "crates.io", TYPE::A));
    assert_eq!(desk.told().records.len(), 40);
}

#[test]
fn only_the_answer_to_the_question_counts() {
    let mut desk = desk(Some(&["crates.io"]));
    let asked = desk.ask("crates.io", TYPE::A).unwrap();
    let good = answer(&asked.packet, &[("crates.io", 60, HOST)]);
    let with = |at: usize, change: u8| {
        let mut packet = good.clone();
        packet[at] ^= change;
        packet
    };
    // The id, a question instead of an answer, another opcode, no question, another name, another spelling, type and class.
    for packet in [
        with(0, 1),
        with(1, 1),
        with(2, 0x80),
        with(2, 8),
        with(5, 1),
        with(13, 1),
        with(13, 0x20),
        with(24, 1),
        with(26, 2),
        vec![],
        good[..20].to_vec(),
    ] {
        desk.answer(asked.token, &packet);
        assert!(desk.replies.is_empty() && desk.closed.is_empty(), "{packet:?}");
    }
    desk.answer(asked.token, &good);
    assert_eq!((desk.told().records, &desk.closed[..]), (vec![HOST.to_owned()], &[asked.token][..]));
    // Once.
    desk.answer(asked.token, &good);
    assert!(desk.replies.is_empty());
    // Whoever guesses is not let guess for long.
    let asked = desk.ask("crates.io", TYPE::AAAA).unwrap();
    for id in 1000..1040 {
        let mut guess = answer(&asked.packet, &[("crates.io", 60, "2606::6")]);
        guess[..2].copy_from_slice(&u16::to_be_bytes(id));
        desk.answer(asked.token, &guess);
    }
    assert!(desk.closed.contains(&asked.token));
    assert_eq!((desk.asked.len(), desk.asked[0].upstream), (1, 1));
}

#[test]
fn the_next_resolver_is_asked() {
    let mut desk = desk(Some(&["crates.io"]));
    let first = desk.ask("crates.io", TYPE::A).unwrap();
    // In vain, then too late, then refused by the network: and that is it.
    let mut refused = answer(&first.packet, &[]);
    refused[3] |= 5;
    desk.answer(first.token, &refused);
    let second = desk.asked.pop().unwrap();
    assert_eq!((first.upstream, second.upstream), (0, 1));
    assert_ne!(first.packet[..2], second.packet[..2]);
    desk.pass(Duration::from_millis(1400));
    assert!(desk.asked.is_empty());
    desk.pass(Duration::from_millis(200));
    let third = desk.asked.pop().unwrap();
    assert_eq!(third.upstream, 0);
    // Too late is too late.
    desk.answer(second.token, &answer(&second.packet, &[("crates.io", 60, "93.184.216.99")]));
    assert!(desk.replies.is_empty());
    desk.failed(third.token);
    assert_eq!((desk.told().code, desk.why()), (RCODE::ServerFailure, Some(Why::Silence)));
    assert_eq!(desk.resolver.next_deadline(), None);
}

#[test]
fn what_is_cut_is_asked_for_again_on_a_stream() {
    let mut desk = desk(Some(&["crates.io"]));
    let asked = desk.ask("crates.io", TYPE::A).unwrap();
    let mut cut = answer(&asked.packet, &[("crates.io", 60, "93.184.216.99")]);
    cut[2] |= 2;
    desk.answer(asked.token, &cut);
    let again = desk.asked.pop().unwrap();
    assert_eq!((again.stream, again.upstream), (true, 0));
    desk.answer(again.token, &answer(&again.packet, &[("crates.io", 60, HOST)]));
    assert_eq!(desk.told().records, [HOST]);
}

#[test]
fn a_resolver_without_options_is_asked_without() {
    let mut desk = desk(Some(&["crates.io"]));
    let asked = desk.ask("crates.io", TYPE::A).unwrap();
    let mut refused = asked.packet.clone();
    refused.truncate(asked.packet.len() - 11);
    refused[2] |= 0x80;
    refused[3] = 1;
    refused[11] = 0;
    desk.answer(asked.token, &refused);
    let again = desk.asked.pop().unwrap();
    assert_eq!((again.upstream, again.packet.len()), (0, asked.packet.len() - 11));
    desk.answer(again.token, &answer(&again.packet, &[("crates.io", 60, HOST)]));
    assert_eq!(desk.told().records, [HOST]);
}

#[test]
fn services_lead_nowhere_of_their_own() {
    let mut desk = desk(Some(&["crates.io", "*.example.org"]));
    let asked = desk.ask("crates.io", TYPE::HTTPS).unwrap();
    let service = |priority, target: &'static str, params: Vec<SVCParam<'static>>| {
        let record = params.into_iter().fold(SVCB::new(priority, Name::new(target).unwrap()), SVCB::with_param);
        ResourceRecord::new(Name::new("crates.io").unwrap(), CLASS::IN, 60, RData::HTTPS(HTTPS(record)))
    };
    let full = vec![
        SVCParam::Alpn(vec!["h2".try_into().unwrap()]),
        SVCParam::Port(8443),
        SVCParam::Ipv4Hint(vec![0x0a00_0001]),
        SVCParam::Ech(vec![1, 2, 3].into()),
        SVCParam::Ipv6Hint(vec![1]),
    ];
    desk.answer(
        asked.token,
        &answer_with(
            &asked.packet,
            vec![
                service(1, "", full.clone()),
                service(2, "a.example.org", vec![]),
                service(3, "evil.net", full),
                service(4, "", vec![SVCParam::Mandatory([4].into()), SVCParam::Ipv4Hint(vec![1])]),
            ],
        ),
    );
    let (_, packet) = desk.replies.pop().unwrap();
    let parsed = Packet::parse(&packet).unwrap();
    let kept: Vec<_> = parsed
        .answers
        .iter()
        .map(|record| match &record.rdata {
            RData::HTTPS(service) => (
                service.priority,
                service.target.to_string(),
                service.iter_params().map(SVCParam::key_code).collect::<Vec<_>>(),
            ),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kept, [(1, String::new(), vec![1, 3]), (2, "a.example.org".to_owned(), vec![])]);
    assert!(desk.pinned.is_empty());
}
