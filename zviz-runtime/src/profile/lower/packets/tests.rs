use crate::profile::Profile;
use crate::profile::lower::{Context, lower};
use std::net::IpAddr;
use zviz_network::names::zones;
use zviz_network::rules::decide::{Fate, Packet, State, Tcp, World, decide};
use zviz_network::rules::{Hook, inside};
use zviz_profile::{Text, read};

fn profile(network: &str) -> Profile {
    let text = Text { file: "a.yaml".into(), text: format!("name: a\nnetwork: {{{network}}}\n") };
    let document = read(&text, &|name| Err(name.to_owned())).unwrap();
    lower(&document, &Context::default()).unwrap()
}

fn packet(protocol: &str, to: &str) -> Packet {
    let to: Result<std::net::SocketAddr, _> =
        to.parse().or_else(|_| format!("[{to}]:0").parse()).or_else(|_| format!("{to}:0").parse());
    let (destination, port): (IpAddr, u16) = to.map(|to| (to.ip(), to.port())).unwrap();
    let (four, port) = (destination.is_ipv4(), Some(port).filter(|_| protocol != "icmp"));
    Packet {
        from: None,
        to: Some("eth0".into()),
        source: if four { "10.213.0.2" } else { "fd7a::2" }.parse().unwrap(),
        destination,
        protocol: match protocol {
            "tcp" => 6,
            "udp" => 17,
            _ if four => 1,
            _ => 58,
        },
        port,
        from_port: None,
        icmp: (protocol == "icmp").then_some(if four { 8 } else { 128 }),
        tcp: Tcp::Begins,
        state: State::New,
        redirected: false,
    }
}

/// Which of these go out, and the rules that say so.
fn told(network: &str, packets: &[(&str, &str)]) -> Vec<(bool, String)> {
    let packets_of = profile(network).packets.unwrap();
    let rules = inside(&packets_of.policies, "zviz-a");
    let world = World {
        sets: [("names0_ipv4".to_owned(), ["192.0.2.80".parse().unwrap(), "10.0.0.9".parse().unwrap()].into())].into(),
        ..World::default()
    };
    let decided = packets.iter().map(|(protocol, to)| decide(&rules, Hook::Output, &packet(protocol, to), &world));
    decided.map(|decision| (decision.fate == Fate::Accepted, decision.rule.unwrap_or_default())).collect()
}

fn goes(network: &str, packets: &[(&str, &str)]) -> Vec<bool> {
    told(network, packets).into_iter().map(|(goes, _)| goes).collect()
}

#[test]
fn where_nothing_is_said_there_are_none() {
    for network in [
        "mode: none",
        "mode: host",
        "",
        "sockets: {allow: [tcp]}",
        "ports: {allow_connect: [80]}",
        "dns: {allow: true}",
    ] {
        assert_eq!(profile(network).packets, None, "{network}");
    }
    for network in ["mode: private", "mode: bridge", "mode: pasta", "log: denied", "dns: {allow: false}"] {
        assert!(profile(network).packets.is_some(), "{network}");
    }
}

#[test]
fn entries_are_about_what_they_say() {
    let network =
        "mode: private, allow_cidrs: [192.0.2.0/24, \"10.0.0.0/8:443\", \"tcp/[fd00::/8]:8000-8099\", icmp/0.0.0.0/0]";
    let expected = [
        (("tcp", "192.0.2.1:22"), true),
        (("icmp", "192.0.2.1"), true),
        (("tcp", "10.1.1.1:443"), true),
        (("udp", "10.1.1.1:443"), true),
        (("tcp", "10.1.1.1:80"), false),
        (("icmp", "10.1.1.1"), false),
        (("tcp", "[fd00::1]:8050"), true),
        (("udp", "[fd00::1]:8050"), false),
        (("icmp", "203.0.113.1"), true),
        (("tcp", "203.0.113.1:80"), false),
    ];
    for (packet, goes) in expected {
        assert_eq!(self::goes(network, &[packet]), [goes], "{packet:?}");
    }
}

#[test]
fn what_is_denied_and_what_is_guarded_stays_shut() {
    let network = "mode: private, egress: {deny: [203.0.113.0/24, \"0.0.0.0/0:25\"]}, ports: {deny_connect: [22]}";
    let all = [
        ("tcp", "192.0.2.1:80"),
        ("tcp", "192.0.2.1:22"),
        ("udp", "192.0.2.1:25"),
        ("tcp", "203.0.113.9:80"),
        ("tcp", "169.254.169.254:80"),
    ];
    assert_eq!(
        told(network, &all),
        [
            (true, "otherwise".to_owned()),
            (false, "network.ports.deny_connect[0]".to_owned()),
            (false, "network.egress.deny[1]".to_owned()),
            (false, "network.egress.deny[0]".to_owned()),
            (false, "guarded: link-local and metadata".to_owned()),
        ]
    );
    // Beside a list, that everything is denied says what holds anyway.
    assert_eq!(
        goes("allow_cidrs: [192.0.2.0/24], egress: {deny: [0.0.0.0/0]}", &all),
        [true, true, true, false, false]
    );
    assert_eq!(goes("egress: {deny: [0.0.0.0/0]}", &all), [false; 5]);
    assert_eq!(goes("allow_cidrs: []", &all), [false; 5]);
    assert_eq!(goes("allow_cidrs: [0.0.0.0/0]", &all), [true, true, true, true, false]);
    assert_eq!(goes("allow_cidrs: [169.254.169.254]", &all), [false, false, false, false, true]);
}

#[test]
fn names_open_their_addresses_at_their_ports() {
    let network = "mode: private, allow_domains: [\"*.Example.org:443\", crates.io]";
    let packets =
        [("tcp", "192.0.2.80:443"), ("tcp", "192.0.2.80:80"), ("tcp", "192.0.2.81:443"), ("tcp", "10.0.0.9:443")];
    assert_eq!(goes(network, &packets), [true, false, false, false]);
    let profile = profile(network);
    let packets = profile.packets.unwrap();
    assert!(packets.resolver && packets.names && packets.only == ["network.allow_domains"]);
    let zones = zones(&packets.policies).unwrap();
    let [wild, plain] = &zones[..] else { panic!("{zones:?}") };
    assert_eq!((wild.name.as_str(), wild.below, wild.key.as_str()), ("example.org", true, "network.allow_domains[0]"));
    assert_eq!((plain.name.as_str(), plain.below), ("crates.io", false));
}

#[test]
fn who_may_be_asked_for_names() {
    for (network, resolver, names) in [
        ("mode: private", false, true),
        ("mode: private, allow_cidrs: [192.0.2.0/24]", false, false),
        ("mode: private, allow_cidrs: [192.0.2.0/24], dns: {allow: true}", false, true),
        ("mode: private, dns: {allow: false}", false, false),
        ("mode: private, allow_domains: [a.b]", true, true),
        ("mode: private, dns: {proxy: {enabled: true, upstream: \"192.0.2.53:53\"}}", true, true),
    ] {
        let packets = profile(network).packets.unwrap();
        assert_eq!((packets.resolver, packets.names), (resolver, names), "{network}");
    }
    let one = profile("allow_domains: [a.b]").packets.unwrap();
    let both = one.clone().and(profile("allow_cidrs: [192.0.2.0/24]").packets.unwrap());
    assert!(!both.resolver && !both.names && both.policies.len() == 2, "one of them lets nobody be asked");
    let both = one.and(profile("allow_domains: [\"*.b\"]").packets.unwrap());
    assert!(both.resolver && both.policies.iter().all(|policy| policy.resolver));
}

#[test]
fn by_packets_the_broker_is_asked_no_more() {
    let one = profile("allow_cidrs: [192.0.2.0/24]");
    assert!(one.broker.sockets.is_some() && !one.broker.origins.is_empty());
    let other = one.by_packets();
    assert_eq!((other.broker.sockets, other.broker.origins.len()), (None, 0));
    assert_eq!(profile("mode: private, allow_cidrs: [192.0.2.0/24]").broker.sockets, None);
}

#[test]
fn who_comes_in() {
    let arrives = |network: &str, from: &str, port: u16| {
        let packets = profile(network).packets.unwrap();
        let packet = Packet {
            from: Some("eth0".into()),
            to: None,
            source: from.parse().unwrap(),
            destination: "10.213.0.2".parse().unwrap(),
            port: Some(port),
            ..packet("tcp", "192.0.2.1:80")
        };
        decide(&inside(&packets.policies, "zviz-a"), Hook::Input, &packet, &World::default()).fate == Fate::Accepted
    };
    assert!(arrives("mode: private", "192.0.2.1", 80), "nothing is said of who comes in");
    let network = "ingress: {allow: [192.0.2.0/24, \"tcp/203.0.113.0/24:80\"]}";
    assert!(arrives(network, "192.0.2.1", 22) && arrives(network, "203.0.113.1", 80));
    assert!(!arrives(network, "203.0.113.1", 22) && !arrives(network, "198.51.100.1", 80));
    assert!(!arrives("ingress: {deny_all: true}", "192.0.2.1", 80));
    assert_eq!(profile("ingress: {allow: []}").packets.unwrap().only, ["network.ingress.allow"]);
}

#[test]
fn so_many_at_a_time_and_in_a_second() {
    let rules = inside(&profile("connections_max: 2, connections_rate: 3").packets.unwrap().policies, "zviz-a");
    for (connections, begun, expected) in [
        (2, 3, (Fate::Accepted, "otherwise")),
        (3, 1, (Fate::Refused, "network.connections_max")),
        (1, 4, (Fate::Dropped, "network.connections_rate")),
    ] {
        let world = World { connections, begun, ..World::default() };
        let decision = decide(&rules, Hook::Output, &packet("tcp", "192.0.2.1:80"), &world);
        assert_eq!((decision.fate, decision.rule.as_deref()), (expected.0, Some(expected.1)));
    }
}

#[test]
fn reports_are_of_what_log_says() {
    let text = |network: &str| inside(&profile(network).packets.unwrap().policies, "zviz-a").to_string();
    let of = |log: &str| text(&format!("mode: private, egress: {{deny: [192.0.2.0/24]}}, log: {log}"));
    assert!(!of("none").contains("log prefix"));
    assert!(of("denied").contains("refuse network.egress.deny[0]") && !of("denied").contains("\"accept "));
    assert!(of("all").contains("\"refuse otherwise\"") || of("all").contains("\"accept otherwise\""));
}
