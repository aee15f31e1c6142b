//! Bridges and links, between network namespaces that the test makes.

#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

mod support;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::process::Command;
use support::{Container, ask, fault, in_a_host, said};
use zviz_network::rules::{Ruleset, bridge, inside, published};
use zviz_network::wire::{Bridge, Descriptor, Down, Reply, Request, Up};

fn network(text: &str) -> zviz_network::address::Network {
    text.to_owned().try_into().unwrap()
}

fn addresses(number: u8) -> (Ipv4Addr, Ipv6Addr) {
    let number = number.into();
    (Ipv4Addr::from_bits(0x0ad5_0000 + u32::from(number)), Ipv6Addr::new(0xfd7a, 0x7669, 0x7a00, 0, 0, 0, 0, number))
}

fn bridged(number: u8) -> Up {
    Up {
        container: format!("c{number}"),
        descriptors: vec![Descriptor::Network],
        bridge: Some(Bridge {
            name: "zviz0".into(),
            gateway: addresses(1),
            prefix: (16, 64),
            address: addresses(number),
            outside: format!("zv-{number}"),
            inside: "eth0".into(),
            mtu: None,
            host: bridge("zviz0", &[network("10.213.0.0/16"), network("fd7a:7669:7a00::/64")]),
            published: None,
        }),
        inside: None,
        untracked: None,
        resolver: None,
        joined: false,
        events: false,
        record: None,
    }
}

fn up(up: Up, container: &Container) -> Reply {
    ask(&Request::Up(Box::new(up)), &[container.network().as_fd()])
}

/// What a program prints in the test's host.
fn host(args: &[&str]) -> String {
    said(&Command::new(args[0]).args(&args[1..]).output().unwrap())
}

fn pings(container: &Container, to: &str) -> bool {
    container.run(&["busybox", "ping", "-c1", "-W1", to]).status.success()
}

/// Sooner or later: a busy machine takes its time, and so does a neighbour that did not answer before.
fn pings_soon(container: &Container, to: &str) -> bool {
    (0..10).any(|_| pings(container, to))
}

/// How many links, tables and entries of ours there are in the host.
fn left() -> (usize, usize, usize) {
    let count = |text: String, word: &str| text.matches(word).count();
    let neighbours = host(&["ip", "neighbour", "show", "nud", "permanent"]);
    (
        count(host(&["ip", "-br", "link"]), "zv-"),
        count(host(&["nft", "list", "tables"]), "zviz-p"),
        count(neighbours, "02:7a:"),
    )
}

#[test]
fn a_container_reaches_its_gateway_and_no_other() {
    in_a_host("a_container_reaches_its_gateway_and_no_other", || {
        let containers = [Container::new(), Container::new()];
        for (number, container) in (2..).zip(&containers) {
            assert_eq!(up(bridged(number), container), Reply::Done);
        }
        let link = said(&containers[0].run(&["ip", "-d", "address", "show", "eth0"]));
        for wanted in ["10.213.0.2/32", "fd7a:7669:7a00::2/128", "02:7a:0a:d5:00:02", "state UP"] {
            assert!(link.contains(wanted), "{wanted}: {link}");
        }
        let port = host(&["bridge", "-d", "link", "show", "dev", "zv-2"]);
        for wanted in ["isolated on", "learning off", "hairpin off", "locked on", "guard on"] {
            assert!(port.contains(wanted), "{wanted}: {port}");
        }
        let routes = said(&containers[0].run(&["ip", "route"])) + &said(&containers[0].run(&["ip", "-6", "route"]));
        assert!(
            routes.contains("default via 10.213.0.1") && routes.contains("default via fd7a:7669:7a00::1"),
            "{routes}"
        );
        assert_eq!(host(&["cat", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"]), "1\n1\n");
        // The host reaches the container, which proves the link; the container is answered and does not reach the host itself.
        for to in ["10.213.0.2", "fd7a:7669:7a00::3"] {
            host(&["busybox", "ping", "-c1", "-W10", to]);
        }
        for to in ["10.213.0.1", "fd7a:7669:7a00::1", "10.213.0.3", "fd7a:7669:7a00::3"] {
            assert!(!pings(&containers[0], to), "{to}");
        }
        // The control: without the rules of the host it does, and without the ports' isolation it would reach its neighbour.
        host(&["nft", "delete", "table", "inet", "zviz-host"]);
        assert!(pings_soon(&containers[0], "10.213.0.1") && pings_soon(&containers[0], "fd7a:7669:7a00::1"));
        containers[0].run(&["ip", "route", "add", "10.213.0.3/32", "dev", "eth0"]);
        containers[1].run(&["ip", "route", "add", "10.213.0.2/32", "dev", "eth0"]);
        assert!(!pings(&containers[0], "10.213.0.3"));
        for port in ["zv-2", "zv-3"] {
            host(&["bridge", "link", "set", "dev", port, "isolated", "off", "flood", "on"]);
        }
        assert!(pings_soon(&containers[0], "10.213.0.3"));
        // Another's MAC is not taken.
        containers[0].run(&["ip", "link", "set", "eth0", "address", "02:7a:0a:d5:00:03"]);
        assert!(!pings(&containers[0], "10.213.0.1"));
    });
}

#[test]
fn what_is_made_is_taken_away() {
    in_a_host("what_is_made_is_taken_away", || {
        let container = Container::new();
        let mut request = bridged(2);
        let port = zviz_network::policy::Published {
            address: None,
            outside: 8080,
            inside: 80,
            transport: zviz_network::policy::Transport::Tcp,
        };
        request.bridge.as_mut().unwrap().published = Some(published("zviz-p-2", "zviz0", addresses(2), &[port]));
        assert_eq!(up(request, &container), Reply::Done);
        assert_eq!(left(), (1, 1, 2));
        let swept = ask(&Request::Sweep, &[]);
        let tables = vec!["zviz-host".to_owned(), "zviz-p-2".to_owned()];
        assert_eq!(swept, Reply::Swept { tables, links: vec!["zv-2".into()] });
        // The kernel removes the link with the container, at some time.
        drop(container);
        let down = Down { tables: vec!["zviz-p-2".into()], links: vec!["zv-2".into()], inside: None };
        for _ in 0..2 {
            assert_eq!(ask(&Request::Down(down.clone()), &[]), Reply::Done);
            assert_eq!(left(), (0, 0, 0));
        }
        for (table, link) in [("filter", "zv-1"), ("zviz-1", "eth0")] {
            let foreign = Down { tables: vec![table.into()], links: vec![link.into()], inside: None };
            assert!(fault(ask(&Request::Down(foreign), &[])).contains("is none of zviz's"));
        }
    });
}

#[test]
fn a_fault_leaves_nothing() {
    in_a_host("a_fault_leaves_nothing", || {
        let container = Container::new();
        let rules =
            |table: &str| inside(&[zviz_network::policy::Policy::new(zviz_network::policy::Verdict::Accept)], table);
        let broken = |change: fn(&mut Up)| {
            let mut request = bridged(2);
            request.inside = Some(rules("zviz-in"));
            request.bridge.as_mut().unwrap().published =
                Some(Ruleset { table: "zviz-p-2".into(), sets: vec![], chains: vec![], parts: vec![] });
            change(&mut request);
            request
        };
        // Each fails later than the one before.
        for (change, word) in [
            (
                (|up: &mut Up| up.bridge.as_mut().unwrap().outside = "much-too-long-a-name".into()) as fn(&mut Up),
                "no device",
            ),
            (
                |up: &mut Up| up.bridge.as_mut().unwrap().published.as_mut().unwrap().table = String::new(),
                "name of a table",
            ),
            (|up: &mut Up| up.inside.as_mut().unwrap().chains[0].name = "x".repeat(200), "name of a chain"),
            (|up: &mut Up| up.bridge.as_mut().unwrap().inside = "lo".into(), "make zv-2 with lo"),
            (|up: &mut Up| up.events = true, "no process"),
        ] {
            let what = fault(up(broken(change), &container));
            assert!(what.contains(word), "{what}");
            assert_eq!(left(), (0, 0, 0), "{what}");
            assert_eq!(container.rules(), "", "{what}");
            assert!(!said(&container.run(&["ip", "link"])).contains("eth0"), "{what}");
        }
        assert_eq!(up(broken(|_| ()), &container), Reply::Done);
    });
}

/// What a switch of the test's host is.
fn switch(path: &str) -> String {
    std::fs::read_to_string(format!("/proc/sys/net/{path}")).unwrap().trim().to_owned()
}

#[test]
fn switches_of_the_host_are_turned_where_they_must_be() {
    in_a_host("switches_of_the_host_are_turned_where_they_must_be", || {
        let switches = ["ipv4/ip_forward", "ipv6/conf/all/forwarding", "ipv6/conf/lo/accept_ra"];
        // IPv4's are the machine's in a new namespace.
        for (path, value) in switches.into_iter().zip(["0", "0", "1"]) {
            std::fs::write(format!("/proc/sys/net/{path}"), value).unwrap();
        }
        let container = Container::new();
        assert_eq!(up(bridged(2), &container), Reply::Done);
        // Who listens to routers still does.
        assert_eq!(switches.map(switch), ["1", "1", "2"]);
        assert_eq!(switch("ipv4/conf/zviz0/route_localnet"), "0");
    });
}

#[test]
fn a_host_without_ipv6_has_containers_without() {
    in_a_host("a_host_without_ipv6_has_containers_without", || {
        std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap();
        let container = Container::new();
        assert_eq!(up(bridged(2), &container), Reply::Done);
        let addresses = said(&container.run(&["ip", "-br", "address", "show", "eth0"]));
        assert!(addresses.contains("10.213.0.2/32") && !addresses.contains("fd7a:"), "{addresses}");
        assert_eq!(left(), (1, 0, 1));
        assert_eq!(switch("ipv6/conf/all/forwarding"), "0");
        host(&["busybox", "ping", "-c1", "-W10", "10.213.0.2"]);
    });
}

#[test]
fn two_hundred_at_once() {
    const COUNT: u8 = 200;
    in_a_host("two_hundred_at_once", || {
        let containers: Vec<_> = (0..COUNT).map(|_| Container::new()).collect();
        let networks: Vec<_> = containers.iter().map(Container::network).collect();
        let start = std::time::Instant::now();
        let helpers: Vec<_> = networks
            .iter()
            .zip(2..)
            .map(|(network, number)| {
                let helper = support::Helper::start();
                helper.send(&Request::Up(Box::new(bridged(number))), &[network.as_fd()]);
                helper
            })
            .collect();
        for helper in helpers {
            assert_eq!(helper.reply(), Reply::Done);
            helper.end();
        }
        println!("{COUNT} at once: {:?}", start.elapsed());
        assert_eq!(left(), (COUNT.into(), 0, 2 * usize::from(COUNT)));
        assert_eq!(host(&["ip", "-br", "link", "show", "master", "zviz0"]).lines().count(), usize::from(COUNT));
        for number in [2, 100, COUNT + 1] {
            host(&["busybox", "ping", "-c1", "-W10", &addresses(number).0.to_string()]);
            host(&["busybox", "ping", "-c1", "-W10", &addresses(number).1.to_string()]);
        }
        let start = std::time::Instant::now();
        let links = (2..=COUNT + 1).map(|number| format!("zv-{number}")).collect();
        assert_eq!(ask(&Request::Down(Down { tables: vec![], links, inside: None }), &[]), Reply::Done);
        println!("taken away: {:?}", start.elapsed());
        assert_eq!(left(), (0, 0, 0));
    });
}
