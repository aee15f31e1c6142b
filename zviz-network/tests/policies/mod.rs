//! Policies and packets that are made up: from few addresses and ports, so that they meet.
#![allow(dead_code, clippy::unwrap_used)]

use proptest::prelude::*;
use std::net::IpAddr;
use zviz_network::address::{Network, Ports};
use zviz_network::policy::{Guarded, Ingress, Limits, Log, Named, Policy, Protocol, Rule, Verdict};
use zviz_network::rules::decide::{Packet, State, Tcp, World};

pub const NETWORKS: &[&str] = &[
    "0.0.0.0/0",
    "::/0",
    "10.0.0.0/8",
    "10.213.0.0/16",
    "10.213.4.0/24",
    "10.0.0.0/7",
    "169.254.169.254/32",
    "169.254.0.0/16",
    "192.0.2.0/24",
    "192.0.2.7/32",
    "192.0.0.0/16",
    "224.0.0.0/4",
    "2001:db8::/32",
    "2001:db8::7/128",
    "fd00::/8",
    "fc00::/6",
    "fe80::/10",
    "64:ff9b::/96",
    "::/8",
];

pub const ADDRESSES: &[&str] = &[
    "10.1.2.3",
    "10.213.4.5",
    "10.213.9.9",
    "11.0.0.1",
    "169.254.169.254",
    "192.0.2.7",
    "192.0.2.8",
    "192.0.0.9",
    "203.0.113.1",
    "224.0.0.1",
    "255.255.255.255",
    "2001:db8::7",
    "2001:db8::8",
    "2001:470::1",
    "fd00::1",
    "fe80::1",
    "ff02::1",
    "64:ff9b::a00:1",
    "::ffff:10.0.0.1",
    "2002:a00:1::1",
];

pub fn network(text: &str) -> Network {
    Network::try_from(text.to_owned()).unwrap()
}

fn ports() -> impl Strategy<Value = Vec<Ports>> {
    let range = prop::sample::select(vec!["53", "80", "443", "8000-8099", "0-65535"]);
    prop::collection::vec(range.prop_map(|text| Ports::try_from(text.to_owned()).unwrap()), 0..3)
}

fn protocol() -> impl Strategy<Value = Option<Protocol>> {
    prop::sample::select(vec![None, None, Some(Protocol::Tcp), Some(Protocol::Udp), Some(Protocol::Icmp)])
}

pub fn rule(verdicts: Vec<Verdict>) -> impl Strategy<Value = Rule> {
    let networks = prop::collection::vec(prop::sample::select(NETWORKS).prop_map(network), 0..3);
    (prop::sample::select(verdicts), networks, protocol(), ports(), 0..9).prop_map(
        |(verdict, networks, protocol, ports, i)| Rule {
            key: format!("network.egress[{i}]"),
            verdict,
            networks,
            protocol,
            ports,
        },
    )
}

pub fn policy() -> impl Strategy<Value = Policy> {
    use Verdict::{Accept, Drop, Refuse};
    let named = (prop::sample::select(vec!["crates.io", "example.org"]), any::<bool>(), ports()).prop_map(
        |(name, below, ports)| Named { key: "network.allow_domains[0]".into(), name: name.into(), below, ports },
    );
    let limits = (prop::option::of(1..4u32), prop::option::of(1..4u32));
    let log = (any::<bool>(), any::<bool>());
    (
        prop::collection::vec(rule(vec![Accept, Accept, Refuse, Drop]), 0..5),
        prop::collection::vec(named, 0..3),
        prop::sample::select(vec![Accept, Refuse, Drop]),
        prop::option::of(prop::collection::vec(rule(vec![Accept, Refuse]), 0..3)),
        (any::<bool>(), limits, log, any::<bool>(), any::<bool>()),
    )
        .prop_map(|(egress, named, otherwise, ingress, (resolver, limits, log, bridged, raw))| {
            let mut policy = Policy::new(otherwise);
            (policy.egress, policy.named, policy.resolver) = (egress, named, resolver);
            policy.ingress = ingress.map(|rules| Ingress { rules });
            policy.limits = Limits { connections: limits.0, connections_per_second: limits.1 };
            policy.raw = raw;
            policy.log = Log { denied: log.0, allowed: log.1 };
            if bridged {
                policy.guarded.push(Guarded { network: network("10.213.0.0/16"), what: "other sandboxes".into() });
                policy.guarded.push(Guarded { network: network("192.0.2.8/32"), what: "this host".into() });
                policy.links.push(network("fd00::/64"));
            }
            policy
        })
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop::sample::select(ADDRESSES).prop_map(|text| text.parse().unwrap())
}

/// One that begins something.
pub fn packet() -> impl Strategy<Value = Packet> {
    let port = prop::sample::select(vec![22u16, 53, 80, 443, 8050]);
    let kind = prop::sample::select(vec![0u8, 1, 2, 3]);
    (address(), kind, port, prop::sample::select(vec![State::New, State::New, State::Invalid, State::Untracked]))
        .prop_map(|(destination, kind, port, state)| {
            let icmp =
                if destination.is_ipv4() { (1, 8) } else { (58, if state == State::Untracked { 135 } else { 128 }) };
            let (protocol, port, icmp) = match kind {
                0 => (6, Some(port), None),
                1 => (17, Some(port), None),
                2 => (icmp.0, None, Some(icmp.1)),
                _ => (132, None, None),
            };
            let source = if destination.is_ipv4() { "10.213.4.2" } else { "fd00::2" }.parse().unwrap();
            let to = Some("eth0".to_owned());
            Packet {
                from: None,
                to,
                source,
                destination,
                protocol,
                port,
                from_port: None,
                icmp,
                tcp: Tcp::Begins,
                state,
                redirected: false,
            }
        })
}

/// With addresses in the sets of names, hostile ones among them.
pub fn world() -> impl Strategy<Value = World> {
    (prop::collection::btree_set(address(), 0..6), 1..6u32, 1..6u32).prop_map(|(addresses, connections, begun)| {
        let sets =
            (0..3).flat_map(|i| ["ipv4", "ipv6"].map(|family| (format!("names{i}_{family}"), addresses.clone())));
        World { sets: sets.collect(), connections, begun, ..World::default() }
    })
}
