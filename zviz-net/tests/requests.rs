//! Requests that make no sense, descriptors that are something else, and callers with few rights.

#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

mod support;

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use support::{Container, Helper, ask, fault, in_a_host, skip, up};
use zviz_network::rules::{Action, Chain, Hook, Kind, Match, Rule, Ruleset};
use zviz_network::wire::{Descriptor, Down, Reply, Request, Up};

fn with(rule: Rule) -> Ruleset {
    let chain = Chain {
        name: "output".into(),
        kind: Kind::Filter,
        hook: Hook::Output,
        priority: 0,
        drops: true,
        rules: vec![Rule { comment: None, matches: vec![], actions: vec![Action::Count] }, rule],
    };
    Ruleset { table: "zviz-t".into(), sets: vec![], chains: vec![chain], parts: vec![] }
}

fn rule(matches: Vec<Match>, actions: Vec<Action>) -> Rule {
    Rule { comment: Some("egress[1]".into()), matches, actions }
}

fn plain() -> Ruleset {
    with(rule(vec![], vec![Action::Accept]))
}

fn kinds(kinds: Vec<Descriptor>) -> Request {
    let Request::Up(request) = up(plain()) else { unreachable!() };
    Request::Up(Box::new(Up { descriptors: kinds, ..*request }))
}

#[test]
fn descriptors_are_what_they_are_said_to_be() {
    in_a_host("descriptors_are_what_they_are_said_to_be", || {
        let container = Container::new();
        let network = container.network();
        let own = File::open("/proc/thread-self/ns/net").unwrap();
        let users = container.users();
        let pid = zviz_sys::process::pidfd_open(i32::try_from(std::process::id()).unwrap()).unwrap();
        let socket = UnixStream::pair().unwrap().0;
        let null = File::open("/dev/null").unwrap();
        let one = || kinds(vec![Descriptor::Network]);
        let cases: [(Request, Vec<BorrowedFd<'_>>, &str); 9] = [
            (one(), vec![users.as_fd()], "a descriptor is no network namespace"),
            (one(), vec![pid.as_fd()], "a descriptor is no network namespace"),
            (one(), vec![socket.as_fd()], "a descriptor is no network namespace"),
            (one(), vec![null.as_fd()], "a descriptor is no network namespace"),
            (one(), vec![own.as_fd()], "the container's network namespace is the one of zviz itself"),
            (one(), vec![], "0 descriptors where 1 were announced"),
            (one(), vec![network.as_fd(), users.as_fd()], "2 descriptors where 1 were announced"),
            (kinds(vec![Descriptor::Network; 2]), vec![network.as_fd(); 2], "two descriptors are Network"),
            (
                kinds(vec![Descriptor::User, Descriptor::Network]),
                vec![network.as_fd(); 2],
                "a descriptor is no user namespace",
            ),
        ];
        for (request, descriptors, what) in cases {
            assert_eq!(fault(ask(&request, &descriptors)), what);
        }
        assert_eq!(fault(ask(&kinds(vec![]), &[])), "no network namespace came with the request");
        let counters = Request::Counters { table: "zviz-t".into() };
        assert_eq!(fault(ask(&counters, &[])), "no network namespace came with the request");
        let down = Request::Down(Down { tables: vec![], links: vec![], inside: Some("zviz-t".into()) });
        assert_eq!(fault(ask(&down, &[null.as_fd()])), "a descriptor is no network namespace");
        assert_eq!(container.rules(), "");
        // The control.
        assert_eq!(ask(&one(), &[network.as_fd()]), Reply::Done);
        assert_ne!(container.rules(), "");
    });
}

#[test]
fn what_is_no_request_is_refused() {
    let ask = |bytes: &[u8]| {
        let helper = Helper::start();
        helper.send_bytes(bytes, &[]);
        helper.socket.shutdown(std::net::Shutdown::Write).unwrap();
        let reply = helper.reply();
        helper.end();
        fault(reply)
    };
    for bytes in [
        &b"\x02\0\0\0{}"[..],
        b"\x05\0\0\0\"up\"}",
        b"\x04\0\0\0nul",
        b"\xff\xff\xff\xffx",
        b"\x00",
        b"\x09\0\0\0\"sweep\"",
        b"\x04\0\0\0null",
        b"\x00\0\0\0",
    ] {
        assert!(ask(bytes).starts_with("request"), "{bytes:?}");
    }
}

#[test]
fn rules_that_make_no_sense_are_refused_by_name() {
    in_a_host("rules_that_make_no_sense_are_refused_by_name", || {
        let container = Container::new();
        let port = || Match::Port("443".to_owned().try_into().unwrap());
        let network = |text: &str| Match::Destination(text.to_owned().try_into().unwrap());
        let redirect = || Action::Redirect { to: "::1".parse().unwrap(), port: Some(1) };
        for (matches, actions, what) in [
            (vec![port()], vec![], "a port without TCP or UDP"),
            (vec![Match::Protocol(1), port()], vec![], "a port without TCP or UDP"),
            (vec![Match::IcmpType(8)], vec![], "a type of ICMP without"),
            (vec![Match::To("a-name-of-16-byte".into())], vec![], "no device is"),
            (vec![Match::From(String::new())], vec![], "no device is"),
            (vec![Match::DestinationIn("none".into(), zviz_network::rules::Family::V4)], vec![], "there is no set"),
            (vec![network("10.0.0.0/8"), network("fd00::/8")], vec![], "IPv4 and IPv6"),
            (vec![Match::RateOver { per_second: 0, burst: 1 }], vec![], "a limit of nothing"),
            (vec![], vec![Action::Reset], "a reset of what is not TCP"),
            (vec![Match::Protocol(6)], vec![redirect()], "another family"),
            (vec![Match::Family(zviz_network::rules::Family::V6)], vec![redirect()], "another port"),
            (vec![], vec![Action::Report { group: 1, prefix: "x".repeat(128) }], "more than 127 bytes"),
            // These the kernel refuses: there is no such thing in a filter, or at this hook.
            (vec![], vec![Action::Masquerade], "Operation not supported"),
        ] {
            let what_happened = fault(ask(&up(with(rule(matches, actions))), &[container.network().as_fd()]));
            let place = "table zviz-t, chain output, rule 2 (egress[1])";
            assert!(what_happened.starts_with(place) && what_happened.contains(what), "{what_happened}");
            assert_eq!(container.rules(), "", "{what_happened}");
        }
        let named = |change: fn(&mut Ruleset)| {
            let mut ruleset = plain();
            change(&mut ruleset);
            fault(ask(&up(ruleset), &[container.network().as_fd()]))
        };
        assert!(named(|ruleset| ruleset.table = "x".repeat(129)).contains("name of a table"));
        assert!(named(|ruleset| ruleset.table = "a\0b".into()).contains("zero byte"));
        assert!(named(|ruleset| ruleset.chains[0].name = String::new()).contains("name of a chain"));
        assert!(named(|ruleset| ruleset.chains.push(ruleset.chains[0].clone())).contains("output is there twice"));
    });
}

/// More than the kernel takes of a socket by default, and more acknowledgements than a socket holds.
#[test]
fn many_rules_are_one_transaction() {
    in_a_host("many_rules_are_one_transaction", || {
        let container = Container::new();
        let mut ruleset = plain();
        let address = |number: u32| std::net::IpAddr::from(std::net::Ipv4Addr::from_bits(number));
        ruleset.chains[0].rules = (0..5000)
            .map(|number| rule(vec![Match::Destination(address(number).into())], vec![Action::Count, Action::Accept]))
            .collect();
        let network = container.network();
        assert_eq!(ask(&up(ruleset.clone()), &[network.as_fd()]), Reply::Done);
        let before = container.rules();
        assert_eq!(before.matches("egress[1]").count(), 5000);
        // One bad rule at the end, and nothing of it happens.
        ruleset.chains[0].rules.push(rule(vec![], vec![Action::Masquerade]));
        let what = fault(ask(&up(ruleset), &[network.as_fd()]));
        assert!(what.contains("rule 5001"), "{what}");
        assert_eq!(container.rules(), before);
    });
}

/// As an ordinary user: the helper enters the user namespace that the container's network belongs to.
#[test]
fn an_ordinary_user_has_rules_in_a_namespace_of_its_own() {
    let name = "an_ordinary_user_has_rules_in_a_namespace_of_its_own";
    let user = if nix::unistd::geteuid().is_root() { Some(65_534) } else { None };
    let Some(container) = Container::of_user(user) else {
        return skip(name, "an ordinary user can make no user namespace here");
    };
    let folder = tempfile::tempdir().unwrap();
    let helper = support::readable_helper(&folder);
    let ask = |request: &Request, descriptors: &[BorrowedFd<'_>]| {
        let helper = Helper::start_as(&helper, user);
        helper.send(request, descriptors);
        let reply = helper.reply();
        helper.end();
        reply
    };
    let (network, users) = (container.network(), container.users());
    let both = [network.as_fd(), users.as_fd()];
    // The control: it has no right over the namespace from outside.
    let alone = fault(ask(&kinds(vec![Descriptor::Network]), &both[..1]));
    assert_eq!(alone, "enter the container's network namespace: Operation not permitted");
    assert_eq!(ask(&kinds(vec![Descriptor::Network, Descriptor::User]), &both), Reply::Done);
    assert_ne!(container.rules(), "");
    let counters = Request::Counters { table: "zviz-t".into() };
    assert!(matches!(ask(&counters, &both), Reply::Counters(list) if list.is_empty()));
    let down = Request::Down(Down { tables: vec![], links: vec![], inside: Some("zviz-t".into()) });
    assert_eq!(ask(&down, &both), Reply::Done);
    assert_eq!(container.rules(), "");
}
