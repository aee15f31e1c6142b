//! The kernel does to packets what the interpreter says it does. As root: a test runs itself again in a network namespace of its
//! own, whose device leads to a namespace where nobody answers, or where one server does.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod policies;
mod space;

use policies::{network, packet, policy, world};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use space::{ECHO, Far, OWN, apart, load, run};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};
use zviz_network::policy::{Log, Named, Policy, Verdict};
use zviz_network::rules::decide::{Packet, State, World, decide};
use zviz_network::rules::{Action, Holds, Hook, Ruleset, inside, untracked};

const SERVER: &str = "192.0.2.7:80";
/// No answer comes from where there is nobody.
const PATIENCE: Duration = Duration::from_millis(60);

/// The counters of what goes out: a rule's place, its comment, its packets.
fn counters() -> BTreeMap<usize, (String, u64)> {
    let mut counters = BTreeMap::new();
    let mut chain = String::new();
    for (at, line) in run("nft list table inet zviz-test").lines().enumerate() {
        if let Some(name) = line.trim().strip_prefix("chain ") {
            chain = name.trim_end_matches(" {").to_owned();
        }
        let count = line.split("counter packets ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
        let comment = line.split("comment \"").nth(1).map(|rest| rest.trim_end_matches('"').to_owned());
        if let (Some(count), Some(comment), true) = (count, comment, chain.starts_with("output") || chain == "names") {
            counters.insert(at, (comment, count));
        }
    }
    counters
}

/// Sends the beginning of something, and gives the rules that have counted it.
fn sent(packet: &Packet) -> BTreeSet<String> {
    let before = counters();
    let to = SocketAddr::new(packet.destination, packet.port.unwrap_or(0));
    match packet.protocol {
        6 => drop(TcpStream::connect_timeout(&to, PATIENCE)),
        17 => {
            let any: SocketAddr = if to.is_ipv4() { "0.0.0.0:0".parse().unwrap() } else { "[::]:0".parse().unwrap() };
            let socket = UdpSocket::bind(any).unwrap();
            socket.set_broadcast(true).unwrap();
            // In several fragments: rules see it whole.
            let _ = socket.send_to(&[0; 4000], to);
        }
        _ => {
            let family = if to.is_ipv4() { "-4" } else { "-6" };
            let ping = Command::new("ping").args([family, "-c", "1", "-W", "0.1", &to.ip().to_string()]).output();
            drop(ping.unwrap());
        }
    }
    let after = counters().into_iter().filter(|(at, (_, count))| before[at].1 < *count);
    after.map(|(_, (comment, _))| comment).collect()
}

/// What the interpreter says has counted it.
fn decided(ruleset: &Ruleset, packet: &Packet, world: &World) -> BTreeSet<String> {
    let decision = decide(ruleset, Hook::Output, packet, world);
    let counts = |comment: &String| {
        ruleset.rules().any(|rule| rule.comment.as_ref() == Some(comment) && rule.actions.contains(&Action::Count))
    };
    let turned = decision.packet.redirected.then(|| "names".to_owned());
    decision.rule.into_iter().filter(counts).chain(turned).collect()
}

/// What a program can send to without naming a device.
fn sendable(packet: &Packet, ping: bool) -> bool {
    let fits = match packet.destination {
        std::net::IpAddr::V4(four) => packet.protocol == 17 || !four.is_multicast() && !four.is_broadcast(),
        std::net::IpAddr::V6(six) => {
            six.to_ipv4_mapped().is_none()
                && !six.is_multicast()
                && six.segments()[0] != 0xfe80
                && six != Ipv6Addr::UNSPECIFIED
        }
    };
    packet.state == State::New && fits && (packet.port.is_some() || packet.icmp.is_some() && ping)
}

#[test]
fn the_kernel_decides_as_the_interpreter_does() {
    apart("the_kernel_decides_as_the_interpreter_does", || {
        let _far = Far::new(None);
        let ping = Command::new("ping").arg("-V").output().is_ok();
        let mut runner = TestRunner::deterministic();
        let mut told = BTreeSet::new();
        for turn in 0..24 {
            let mut policy = policy().new_tree(&mut runner).unwrap().current();
            policy.limits = Default::default();
            if turn % 2 == 0 {
                let log = Log { allowed: false, ..policy.log };
                policy = Policy { raw: false, resolver: false, named: Vec::new(), ingress: None, log, ..policy };
            }
            for (i, rule) in policy.egress.iter_mut().enumerate() {
                rule.key = format!("network.egress[{i}]");
            }
            let mut world = world().new_tree(&mut runner).unwrap().current();
            world.own = OWN.iter().map(|own| own.parse().unwrap()).collect();
            (world.connections, world.begun) = (1, 1);
            let untracked = untracked(&[policy.clone()], "zviz-test");
            assert!(untracked.is_some() || turn % 2 != 0);
            let ruleset = untracked.unwrap_or_else(|| inside(&[policy.clone()], "zviz-test"));
            load(&ruleset);
            for set in ruleset.sets.iter().filter(|set| set.holds == Holds::Addresses) {
                let four = set.name.ends_with("ipv4");
                let fits = world.sets[&set.name].iter().filter(|address| address.is_ipv4() == four);
                for address in fits {
                    run(&format!("nft add element inet zviz-test {} {{ {address} timeout 1h }}", set.name));
                }
            }
            let mut tries = 0;
            while tries < 16 {
                let packet = packet().new_tree(&mut runner).unwrap().current();
                if !sendable(&packet, ping) {
                    continue;
                }
                tries += 1;
                let expected = decided(&ruleset, &packet, &world);
                let mut found = sent(&packet);
                // Whether a connection to the resolver goes on is not this packet's matter.
                found.remove("established");
                assert_eq!(found, expected, "{packet:?}\n{policy:#?}\n{}", run("nft list ruleset"));
                told.extend(found);
            }
        }
        let kinds = ["guarded", "network.egress", "network.allow_domains", "otherwise", "names"];
        for kind in kinds {
            assert!(told.iter().any(|comment| comment.starts_with(kind)), "no packet came to {kind}: {told:?}");
        }
    });
}

/// What comes of it in the end.
fn eventually<T>(mut attempt: impl FnMut() -> std::io::Result<T>) -> T {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        match attempt() {
            Ok(done) => return done,
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn said(stream: &mut TcpStream, word: &str) -> std::io::Result<String> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(word.as_bytes())?;
    let mut back = vec![0; word.len()];
    stream.read_exact(&mut back)?;
    Ok(String::from_utf8(back).unwrap())
}

#[test]
fn what_a_name_has_opened_goes_on_when_its_time_is_over_and_nothing_new_begins() {
    apart("what_a_name_has_opened_goes_on_when_its_time_is_over_and_nothing_new_begins", || {
        let far = Far::new(Some("an_echo"));
        run(&far.there("ip addr add 192.0.2.7/32 dev far0"));
        run(&far.there("ip route add default dev far0"));
        let mut policy = Policy::new(Verdict::Refuse);
        let named =
            Named { key: "network.allow_domains[0]".into(), name: "a.example".into(), below: false, ports: Vec::new() };
        policy.named = vec![named];
        policy.limits.connections = Some(2);
        policy.links = vec![network("fd00::/64")];
        load(&inside(&[policy], "zviz-test"));
        let server: SocketAddr = SERVER.parse().unwrap();
        let connect = || TcpStream::connect_timeout(&server, Duration::from_secs(5));
        let refused = connect().unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused, "{refused}: and at once");
        let mut open = eventually(|| {
            run("nft flush set inet zviz-test names0_ipv4");
            run("nft add element inet zviz-test names0_ipv4 { 192.0.2.7 timeout 2s }");
            connect()
        });
        assert_eq!(said(&mut open, "before").unwrap(), "before");
        let until = Instant::now() + Duration::from_secs(20);
        while run("nft list set inet zviz-test names0_ipv4").contains("192.0.2.7") {
            assert!(Instant::now() < until, "it does not run out");
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(said(&mut open, "after").unwrap(), "after");
        assert_eq!(connect().unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
        // No more than two at a time, and the third when one of them is over.
        run("nft add element inet zviz-test names0_ipv4 { 192.0.2.7 timeout 1h }");
        // One that was refused is counted until the kernel looks again, a few ticks later.
        let mut second = eventually(connect);
        assert_eq!(said(&mut second, "second").unwrap(), "second");
        let third = connect().unwrap_err();
        assert_eq!(third.raw_os_error(), Some(113), "{third}: no route, by an ICMP message");
        assert!(counters().values().any(|(comment, count)| comment == "network.connections_max" && *count > 0));
    });
}

/// At the other end, as long as it is let live.
#[test]
#[ignore = "is what a test of rules speaks to"]
fn an_echo() {
    if std::env::var_os(ECHO).is_none() {
        return;
    }
    run("ip link set lo up");
    let server = TcpListener::bind("0.0.0.0:80").unwrap();
    for stream in server.incoming() {
        let mut stream = stream.unwrap();
        std::thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut stream));
    }
}
