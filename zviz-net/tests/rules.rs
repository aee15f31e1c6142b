//! Rules, as nft(8) reads them back.

#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

mod support;

use std::os::fd::AsFd;
use support::{Container, ask, in_a_host, said, up};
use zviz_network::policy::{self, Policy, Protocol, Verdict};
use zviz_network::rules::{
    Action, Chain, Family, GROUP, Holds, Hook, Kind, Known, Match, Rule, Ruleset, Set, bridge, inside, published,
    untracked,
};
use zviz_network::wire::{Down, Reply, Request};

fn rule(comment: &str, matches: Vec<Match>, actions: Vec<Action>) -> Rule {
    Rule { comment: Some(comment.into()), matches, actions }
}

fn network(text: &str) -> zviz_network::address::Network {
    text.to_owned().try_into().unwrap()
}

fn ports(text: &str) -> zviz_network::address::Ports {
    text.to_owned().try_into().unwrap()
}

/// Every match and every action.
fn everything() -> Ruleset {
    let report = |prefix: &str| Action::Report { group: GROUP, prefix: prefix.into() };
    let output = vec![
        rule("lo", vec![Match::To("lo".into())], vec![Action::Accept]),
        rule("nd", vec![Match::Family(Family::V6), Match::Protocol(58), Match::IcmpType(135)], vec![Action::Accept]),
        rule("ping", vec![Match::Family(Family::V4), Match::Protocol(1), Match::IcmpType(8)], vec![Action::Accept]),
        rule("known", vec![Match::Established], vec![Action::Count, Action::Accept]),
        rule("odd", vec![Match::Invalid], vec![Action::Drop]),
        rule(
            "limits.rate",
            vec![Match::New, Match::RateOver { per_second: 20, burst: 40 }],
            vec![Action::Count, Action::Drop],
        ),
        rule("limits.count", vec![Match::New, Match::ConnectionsOver(100)], vec![Action::Count, Action::Reject]),
        rule("deny[0]", vec![Match::Destination(network("10.0.0.0/8"))], vec![Action::Count, Action::Drop]),
        rule("deny[1]", vec![Match::Destination(network("172.16.0.0/12"))], vec![Action::Count, Action::Reject]),
        rule("deny[2]", vec![Match::Destination(network("192.0.2.7"))], vec![Action::Count, Action::Reject]),
        rule("deny[3]", vec![Match::Destination(network("fc00::/7"))], vec![Action::Count, Action::Drop]),
        rule("deny[4]", vec![Match::Destination(network("fd00:1::/32"))], vec![Action::Count, Action::Drop]),
        rule("deny[5]", vec![Match::Destination(network("2001:db8::1"))], vec![Action::Count, Action::Drop]),
        rule(
            "tcp",
            vec![Match::Destination(network("198.51.100.0/24")), Match::Protocol(6), Match::Port(ports("443"))],
            vec![Action::Count, report("tcp"), Action::Accept],
        ),
        rule("udp", vec![Match::Protocol(17), Match::Port(ports("8000-8100"))], vec![Action::Count, Action::Accept]),
        rule("names[0]", vec![Match::DestinationIn("n4".into(), Family::V4)], vec![Action::Count, Action::Accept]),
        rule("names[0]", vec![Match::DestinationIn("n6".into(), Family::V6)], vec![Action::Count, Action::Accept]),
        rule("dnat", vec![Match::Redirected], vec![Action::Accept]),
        rule("self", vec![Match::Local], vec![Action::Accept]),
        rule("spoofed", vec![Match::Foreign], vec![Action::Drop]),
        rule("denied", vec![Match::RateWithin { per_second: 5, burst: 10 }], vec![report("otherwise")]),
        rule("reset", vec![Match::Protocol(6)], vec![Action::Count, Action::Reset]),
        Rule { comment: None, matches: vec![], actions: vec![Action::Count, Action::Reject] },
    ];
    let forward = vec![
        rule("in", vec![Match::From("zviz0".into()), Match::NotTo("zviz0".into())], vec![Action::Accept]),
        rule("out", vec![Match::NotFrom("zviz0".into()), Match::Source(network("10.213.0.0/16"))], vec![Action::Drop]),
    ];
    let redirect = |family, to: &str| {
        rule(
            "dns",
            vec![Match::Family(family), Match::Protocol(17), Match::Port(ports("53"))],
            vec![Action::Redirect { to: to.parse().unwrap(), port: Some(53_053) }],
        )
    };
    let bare = rule(
        "bare",
        vec![Match::Destination(network("192.0.2.9"))],
        vec![Action::Redirect { to: "192.0.2.10".parse().unwrap(), port: None }],
    );
    let names = vec![redirect(Family::V4, "127.200.53.53"), redirect(Family::V6, "::1"), bare];
    let alone = vec![
        rule("from", vec![Match::Protocol(17), Match::FromPort(ports("53053"))], vec![Action::Accept]),
        rule("from range", vec![Match::Protocol(6), Match::FromPort(ports("80-90"))], vec![Action::Accept]),
        rule("goes on", vec![Match::NotTo("lo".into()), Match::Protocol(6), Match::GoesOn], vec![Action::Accept]),
        rule("straight", vec![Match::Family(Family::V4), Match::Straight], vec![Action::Accept]),
        rule("straight", vec![Match::Family(Family::V6), Match::Straight], vec![Action::Accept]),
        rule("elsewhere", vec![Match::Remote], vec![Action::Accept]),
        rule("alone", vec![Match::To("lo".into())], vec![Action::Untrack]),
    ];
    let leaving = vec![rule("nat", vec![Match::Source(network("10.213.0.0/16"))], vec![Action::Masquerade])];
    let chain = |name: &str, kind, hook, priority, drops, rules| Chain {
        name: name.into(),
        kind,
        hook,
        priority,
        drops,
        rules,
    };
    Ruleset {
        table: "zviz-all".into(),
        sets: vec![
            Set { name: "n4".into(), family: Family::V4, holds: Holds::Addresses, size: 100 },
            Set { name: "n6".into(), family: Family::V6, holds: Holds::Addresses, size: 200 },
        ],
        chains: vec![
            chain("output", Kind::Filter, Hook::Output, 0, true, output),
            chain("forward", Kind::Filter, Hook::Forward, 10, false, forward),
            chain("alone", Kind::Filter, Hook::Output, -300, false, alone),
            chain("names", Kind::Nat, Hook::Output, -101, false, names),
            chain("leaving", Kind::Nat, Hook::Postrouting, 100, false, leaving),
        ],
        parts: vec![],
    }
}

/// As a profile has them.
fn of_a_profile() -> Ruleset {
    let rule = |key: &str, verdict, networks: &[&str], protocol, list: &[&str]| policy::Rule {
        key: key.into(),
        verdict,
        networks: networks.iter().map(|text| network(text)).collect(),
        protocol,
        ports: list.iter().map(|text| ports(text)).collect(),
    };
    let guarded = |text: &str, what: &str| policy::Guarded { network: network(text), what: what.into() };
    let named = |key: &str, name: &str, list: &[&str]| policy::Named {
        key: key.into(),
        name: name.into(),
        below: false,
        ports: list.iter().map(|text| ports(text)).collect(),
    };
    let policy = Policy {
        egress: vec![
            rule("network.egress.deny[0]", Verdict::Drop, &["203.0.113.0/24", "2001:db8:1::/48"], None, &["25"]),
            rule("network.egress.allow[0]", Verdict::Accept, &["169.254.169.254"], Some(Protocol::Tcp), &["80"]),
            rule("network.egress.allow[1]", Verdict::Accept, &["0.0.0.0/0", "::/0"], None, &["443", "8000-8010"]),
            rule("network.egress.allow[2]", Verdict::Accept, &[], Some(Protocol::Icmp), &[]),
        ],
        named: vec![
            named("network.allow_domains[0]", "crates.io", &["443"]),
            named("network.allow_domains[1]", "a.b", &[]),
        ],
        otherwise: Verdict::Refuse,
        guarded: vec![
            guarded("169.254.0.0/16", "link-local"),
            guarded("fe80::/10", "link-local"),
            guarded("10.0.0.0/8", "private"),
        ],
        resolver: true,
        links: vec![network("::/0"), network("fd00::/64")],
        ingress: Some(policy::Ingress {
            rules: vec![rule("network.ingress.allow[0]", Verdict::Accept, &[], None, &["8080"])],
        }),
        raw: true,
        limits: policy::Limits { connections: Some(100), connections_per_second: Some(50) },
        log: policy::Log { denied: true, allowed: true },
    };
    inside(&[policy], "zviz-profile")
}

fn without_tracking() -> Ruleset {
    let egress = vec![policy::Rule {
        key: "network.egress.allow[0]".into(),
        verdict: Verdict::Accept,
        networks: vec![network("198.51.100.0/24")],
        protocol: None,
        ports: vec![ports("80")],
    }];
    untracked(&[Policy { raw: false, egress, ..Policy::new(Verdict::Refuse) }], "zviz-untracked").unwrap()
}

fn of_the_host() -> Ruleset {
    bridge("zviz0", &[network("10.213.0.0/16"), network("fd7a:7669:7a00::/64")])
}

fn of_ports() -> Ruleset {
    let port = |transport, outside| policy::Published { address: None, outside, inside: 80, transport };
    let container = ("10.213.0.2".parse().unwrap(), "fd7a:7669:7a00::2".parse().unwrap());
    let list = [port(policy::Transport::Tcp, 8080), port(policy::Transport::Udp, 8081)];
    published("zviz-p-1", "zviz0", container, &list)
}

/// Without what is asked of each packet once more: what all that leads here has asked for.
fn less(rule: &[String], known: Known) -> Vec<String> {
    let asked =
        |what: &str, value: u8| [format!("[ meta load {what} => reg 1 ]"), format!("[ cmp eq reg 1 {value:#010x} ]")];
    let family = known.family.map(|family| asked("nfproto", if family == Family::V4 { 2 } else { 10 }));
    let all: Vec<_> = family.into_iter().chain(known.protocol.map(|number| asked("l4proto", number))).collect();
    let (mut left, mut rest) = (Vec::new(), rule);
    while let [first, others @ ..] = rest {
        let again = all.iter().any(|pair| rest.starts_with(pair));
        left.extend((!again).then(|| first.clone()));
        rest = if again { &rest[2..] } else { others };
    }
    left
}

/// Sets and chains, without what is in them.
fn outline(listed: &str) -> Vec<&str> {
    let is_one = |line: &&str| {
        !line.starts_with("\t\t")
            || ["type", "size", "flags", "timeout"].iter().any(|word| line.trim().starts_with(word))
    };
    listed.lines().filter(is_one).collect()
}

/// What nft(8) makes of the text of the same ruleset is what we made, but for what we know already.
#[test]
fn nft_makes_the_same_of_them() {
    in_a_host("nft_makes_the_same_of_them", || {
        for ruleset in [everything(), of_a_profile(), without_tracking(), of_the_host(), of_ports()] {
            let (ours, nfts) = (Container::new(), Container::new());
            assert_eq!(ask(&up(ruleset.clone()), &[ours.network().as_fd()]), Reply::Done);
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), ruleset.to_string()).unwrap();
            said(&nfts.run(&["nft", "-f", file.path().to_str().unwrap()]));
            assert_eq!(outline(&ours.rules()), outline(&nfts.rules()));
            let (ours, nfts, known) = (ours.expressions(), nfts.expressions(), ruleset.known());
            assert_eq!((ours.len(), nfts.len()), (ruleset.rules().count(), ruleset.rules().count()));
            for ((chain, rule), (nfts_chain, nfts)) in ours.iter().zip(&nfts) {
                let mut known = known.get(chain.as_str()).copied().unwrap_or_default();
                // What no header of IPv6 begins with.
                if nfts.iter().any(|expression| expression == "[ cmp eq reg 1 0x00000045 ]") {
                    known.family = Some(Family::V4);
                }
                assert_eq!((chain, rule), (nfts_chain, &less(nfts, known)), "{ruleset}");
                assert_eq!(rule, &less(rule, known), "what is known is asked for");
            }
        }
    });
}

#[test]
fn a_table_is_replaced_and_removed() {
    in_a_host("a_table_is_replaced_and_removed", || {
        let container = Container::new();
        let network = container.network();
        assert_eq!(ask(&up(everything()), &[network.as_fd()]), Reply::Done);
        let before = container.rules();
        assert_eq!(ask(&up(everything()), &[network.as_fd()]), Reply::Done);
        assert_eq!(container.rules(), before);
        let down = Request::Down(Down { tables: vec![], links: vec![], inside: Some("zviz-all".into()) });
        for _ in 0..2 {
            assert_eq!(ask(&down, &[network.as_fd()]), Reply::Done);
            assert_eq!(container.rules(), "");
        }
    });
}

/// A policy that does without connection tracking, in both forms.
fn both(table: &str) -> Request {
    let policies = [Policy { raw: false, ..Policy::new(Verdict::Refuse) }];
    let Request::Up(mut up) = up(inside(&policies, table)) else { unreachable!() };
    up.untracked = untracked(&policies, table);
    assert!(up.untracked.is_some());
    Request::Up(up)
}

#[test]
fn connections_are_tracked_where_others_have_rules() {
    in_a_host("connections_are_tracked_where_others_have_rules", || {
        let tracked = |container: &Container| container.rules().contains("ct state");
        let container = Container::new();
        let network = container.network();
        // Alone, and once more.
        for _ in 0..2 {
            assert_eq!(ask(&both("zviz-a"), &[network.as_fd()]), Reply::Done);
            assert!(!tracked(&container), "{}", container.rules());
        }
        assert_eq!(ask(&both("zviz-b"), &[network.as_fd()]), Reply::Done);
        assert!(tracked(&container), "{}", container.rules());
        for family in ["ip", "inet", "arp"] {
            let container = Container::new();
            said(&container.run(&["nft", "add", "table", family, "engine"]));
            assert_eq!(ask(&both("zviz-a"), &[container.network().as_fd()]), Reply::Done);
            assert!(tracked(&container), "{family}: {}", container.rules());
        }
    });
}
