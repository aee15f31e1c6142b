//! What rules let through, by the interpreter: the order, what is guarded, and that stricter is never more.

mod policies;

use policies::{network, packet, policy, rule, world};
use proptest::prelude::*;
use std::slice;
use zviz_network::policy::{Guarded, Limits, Log, Policy, Published, SANDBOXES, Transport, Verdict};
use zviz_network::rules::decide::{Fate, Packet, State, Tcp, World, decide};
use zviz_network::rules::{Hook, RESOLVER, Ruleset, bridge, inside, published, untracked};

fn out(policy: &Policy, packet: &Packet, world: &World) -> Fate {
    decide(&inside(slice::from_ref(policy), "zviz-test"), Hook::Output, packet, world).fate
}

/// A name's redirection and the link's own neighbours are nobody's rule.
fn asks_names_or_neighbours(policy: &Policy, packet: &Packet) -> bool {
    let link = ["fe80::/10", "ff02::/16", SANDBOXES[1]].map(network);
    let near = link.iter().chain(&policy.links).any(|link| link.contains(packet.destination));
    let port = packet.state == State::New && packet.port == Some(53);
    (policy.resolver && port) || (packet.icmp == Some(135) && near)
}

/// The same without what needs connections tracked.
fn untrackable(policy: Policy) -> Policy {
    let (named, log) = (Vec::new(), Log { allowed: false, ..policy.log });
    Policy { raw: false, resolver: false, named, ingress: None, limits: Limits::default(), log, ..policy }
}

fn fits(rule: &zviz_network::policy::Rule, packet: &Packet) -> bool {
    let mut only = Policy::new(Verdict::Refuse);
    only.guarded.clear();
    only.egress = vec![zviz_network::policy::Rule { verdict: Verdict::Accept, ..rule.clone() }];
    out(&only, packet, &World::default()) == Fate::Accepted
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_stricter_policy_never_lets_through_more(
        policy in policy(), packet in packet(), world in world(), deny in rule(vec![Verdict::Refuse, Verdict::Drop]),
        at in any::<prop::sample::Index>(), how in 0..7,
    ) {
        let mut stricter = policy.clone();
        match how {
            0 => stricter.egress.insert(at.index(policy.egress.len() + 1), deny),
            1 => { let accepts = |i: &usize| policy.egress[*i].verdict == Verdict::Accept;
                   let Some(i) = (0..policy.egress.len()).find(accepts) else { return Ok(()) };
                   stricter.egress.remove(i); }
            2 => stricter.otherwise = Verdict::Refuse,
            3 => stricter.named.truncate(policy.named.len().saturating_sub(1)),
            4 => stricter.limits.connections = Some(policy.limits.connections.unwrap_or(9) - 1),
            5 => { let networks: Vec<_> = deny.networks.clone();
                   for network in networks { stricter.guarded.push(Guarded { network, what: "more".into() }); }
                   // Who names a wider block has named nothing in a narrower one, but may name that.
                   if stricter.egress.iter().flat_map(|rule| &rule.networks).any(|named| stricter.guarded.iter().any(|block| block.what == "more" && block.network.covers(named))) { return Ok(()) } }
            _ => for rule in &mut stricter.egress {
                     if rule.verdict == Verdict::Accept && !rule.networks.is_empty() { rule.networks.truncate(1); } },
        }
        let (before, after) = (out(&policy, &packet, &world), out(&stricter, &packet, &world));
        prop_assert!(after != Fate::Accepted || before == Fate::Accepted, "{stricter:#?}");
    }

    #[test]
    fn two_policies_let_through_what_both_do(one in policy(), other in policy(), packet in packet(), world in world()) {
        // Each names what it does by sets of its own.
        let (mut one, mut other) = (one, other);
        (one.named, other.named) = (Vec::new(), Vec::new());
        other.resolver = one.resolver;
        let both = [one, other];
        let through = decide(&inside(&both, "zviz-test"), Hook::Output, &packet, &world).fate == Fate::Accepted;
        prop_assert_eq!(through, both.iter().all(|policy| out(policy, &packet, &world) == Fate::Accepted));
    }

    #[test]
    fn what_is_denied_is_denied(policy in policy(), packet in packet(), world in world()) {
        prop_assume!(!asks_names_or_neighbours(&policy, &packet));
        let denied = policy.egress.iter().any(|rule| rule.verdict != Verdict::Accept && fits(rule, &packet));
        prop_assert!(!denied || out(&policy, &packet, &world) != Fate::Accepted);
    }

    #[test]
    fn what_is_guarded_is_only_opened_by_its_name(policy in policy(), packet in packet(), world in world()) {
        prop_assume!(!asks_names_or_neighbours(&policy, &packet));
        let wire = |it: &&Guarded| match packet.destination {
            std::net::IpAddr::V6(six) if six.to_ipv4_mapped().is_some() => it.network == network("::/8"),
            address => it.network.contains(address),
        };
        let blocks: Vec<_> = policy.guarded.iter().filter(wire).collect();
        prop_assume!(!blocks.is_empty());
        let names = |rule: &&zviz_network::policy::Rule| rule.verdict == Verdict::Accept && fits(rule, &packet)
            && rule.networks.iter().any(|named| blocks.iter().all(|block| block.network.covers(named)));
        let named = policy.egress.iter().any(|rule| names(&rule));
        prop_assert!(named || out(&policy, &packet, &world) != Fate::Accepted);
    }

    #[test]
    fn what_is_established_goes_on_and_what_is_invalid_never(policy in policy(), packet in packet(), world in world()) {
        let established = Packet { state: State::Established, tcp: Tcp::GoesOn, ..packet.clone() };
        prop_assert_eq!(out(&policy, &established, &world), Fate::Accepted);
        let invalid = Packet { state: State::Invalid, icmp: None, ..packet };
        prop_assert_ne!(out(&policy, &invalid, &world), Fate::Accepted);
    }

    #[test]
    fn what_begins_is_judged_the_same_without_tracking(
        policy in policy(), packet in packet(), mut world in world(), home in any::<bool>(), own in any::<bool>(),
    ) {
        prop_assume!(packet.state == State::New);
        let (policy, mut packet) = (untrackable(policy), packet);
        if home { packet.to = Some("lo".into()); }
        world.own = if own { [packet.source].into() } else { ["192.0.2.200".parse().unwrap()].into() };
        let free = untracked(slice::from_ref(&policy), "zviz-test").unwrap();
        let of = |packet: &Packet, world: &World| decide(&free, Hook::Output, packet, world);
        let judged = decide(&inside(slice::from_ref(&policy), "zviz-test"), Hook::Output, &packet, &world);
        let begun = of(&packet, &world);
        prop_assert_eq!((begun.fate, &begun.rule), (judged.fate, &judged.rule));
        let goes_on = Packet { protocol: 6, port: Some(80), icmp: None, tcp: Tcp::GoesOn, ..packet.clone() };
        prop_assert_eq!(of(&goes_on, &world).fate, Fate::Accepted);
        // What leads to somebody else is judged like what begins there, and so is what goes out to a loopback address.
        let leads = |to: Option<&str>, tcp| {
            let destination = to.map_or(goes_on.destination, |to| to.parse().unwrap());
            of(&Packet { tcp, to: Some("eth0".into()), destination, ..goes_on.clone() }, &world).fate
        };
        prop_assert_eq!(leads(None, Tcp::Led), leads(None, Tcp::Begins));
        let home = if goes_on.destination.is_ipv4() { "127.0.0.2" } else { "::1" };
        prop_assert_eq!(leads(Some(home), Tcp::GoesOn), leads(Some(home), Tcp::Begins));
        // Whom a connection goes on with may not be spoken to for that.
        let mut noted = world.clone();
        for set in ["remote_ipv4", "remote_ipv6"] { noted.sets.insert(set.to_owned(), [packet.destination].into()); }
        prop_assert_eq!(of(&packet, &noted), begun);
        prop_assert_eq!(of(&Packet { tcp: Tcp::Led, ..goes_on.clone() }, &noted), of(&Packet { tcp: Tcp::Led, ..goes_on.clone() }, &world));
        // Who has sent something from there to here is answered, from here and to there alone.
        let answer = Packet { protocol: 17, port: Some(80), from_port: Some(7000), icmp: None, ..packet };
        let (address, set) = (answer.destination, if answer.source.is_ipv4() { "peers_ipv4" } else { "peers_ipv6" });
        let unasked = of(&answer, &world).fate;
        for (peer, accepted) in [((address, 80, 7000), true), ((address, 80, 7001), false), ((address, 81, 7000), false)] {
            world.remembered = [(set.to_owned(), [peer].into())].into();
            let expected = if accepted && own { Fate::Accepted } else { unasked };
            prop_assert_eq!(of(&answer, &world).fate, expected);
        }
    }

    #[test]
    fn what_needs_tracking_has_it(policy in policy()) {
        let free = untracked(slice::from_ref(&policy), "zviz-test").is_some();
        let needs = policy.raw || policy.resolver || !policy.named.is_empty() || policy.ingress.is_some()
            || policy.log.allowed || policy.limits.connections.is_some() || policy.limits.connections_per_second.is_some();
        prop_assert_eq!(free, !needs);
        let plain = untrackable(policy.clone());
        prop_assert!(untracked(&[plain.clone(), plain.clone()], "zviz-test").is_some());
        prop_assert_eq!(untracked(&[plain, policy], "zviz-test").is_some(), free);
    }

    #[test]
    fn the_resolver_has_port_53_of_everybody(mut policy in policy(), mut packet in packet(), world in world()) {
        policy.resolver = true;
        (packet.state, packet.protocol, packet.port, packet.icmp) = (State::New, 17, Some(53), None);
        prop_assume!(!packet.destination.to_canonical().is_ipv4() || packet.destination.is_ipv4());
        let decision = decide(&inside(slice::from_ref(&policy), "zviz-test"), Hook::Output, &packet, &world);
        prop_assert_eq!(decision.fate, Fate::Accepted);
        prop_assert!(RESOLVER.iter().any(|at| at.ip() == decision.packet.destination && Some(at.port()) == decision.packet.port));
    }

    #[test]
    fn text_is_the_same_every_time(policy in policy()) {
        let text = inside(slice::from_ref(&policy), "zviz-test").to_string();
        prop_assert_eq!(&inside(slice::from_ref(&policy), "zviz-test").to_string(), &text);
        let json = serde_json::to_string(&inside(slice::from_ref(&policy), "zviz-test")).unwrap();
        prop_assert_eq!(serde_json::from_str::<Ruleset>(&json).unwrap().to_string(), text);
    }
}

#[test]
fn what_listens_on_loopback_is_the_containers_unless_it_is_guarded() {
    let mut policy = Policy::new(Verdict::Accept);
    policy.guarded.push(Guarded { network: network("127.0.0.11/32"), what: "an engine's resolver".into() });
    let fate = |to: &str, state| {
        let packet = Packet {
            from: None,
            to: Some("lo".into()),
            source: "127.0.0.1".parse().unwrap(),
            destination: to.parse().unwrap(),
            protocol: 17,
            port: Some(40_000),
            from_port: None,
            icmp: None,
            tcp: Tcp::Begins,
            state,
            redirected: false,
        };
        out(&policy, &packet, &World::default())
    };
    assert_eq!((fate("127.0.0.1", State::New), fate("127.0.0.12", State::New)), (Fate::Accepted, Fate::Accepted));
    for state in [State::New, State::Established] {
        assert_ne!(fate("127.0.0.11", state), Fate::Accepted);
    }
}

#[test]
fn nobody_speaks_under_another_address_unless_nothing_is_guarded() {
    let own = ["10.213.0.5", "fd7a:7669:7a00::5"].map(|own| own.parse().unwrap());
    let world = World { own: own.into(), ..World::default() };
    let packet = |source: std::net::IpAddr, port, state| Packet {
        from: None,
        to: Some("eth0".into()),
        source,
        destination: if source.is_ipv4() { "192.0.2.9" } else { "2001:db8::9" }.parse().unwrap(),
        protocol: 17,
        port: Some(port),
        from_port: None,
        icmp: None,
        tcp: Tcp::Begins,
        state,
        redirected: false,
    };
    let mut policy = Policy::new(Verdict::Accept);
    policy.resolver = true;
    let counts = Policy { guarded: Vec::new(), ..policy.clone() };
    // Names as well: the resolver would answer to there.
    for port in [80, 53] {
        for source in own {
            assert_eq!(out(&policy, &packet(source, port, State::New), &world), Fate::Accepted);
        }
        for source in ["10.213.0.1", "fd7a:7669:7a00::1", "2001:db8::1"] {
            let packet = |state| packet(source.parse().unwrap(), port, state);
            assert_eq!(out(&policy, &packet(State::New), &world), Fate::Dropped, "{source} {port}");
            assert_eq!(out(&policy, &packet(State::Established), &world), Fate::Accepted, "{source} {port}");
            assert_eq!(out(&counts, &packet(State::New), &world), Fate::Accepted, "{source} {port}");
            let at_home = |state| Packet { to: Some("lo".into()), ..packet(state) };
            assert_eq!(out(&policy, &at_home(State::New), &world), Fate::Dropped, "its answer would go to {source}");
            assert_eq!(
                out(&policy, &at_home(State::Untracked), &world),
                Fate::Accepted,
                "what begins nothing is answered to nobody"
            );
        }
    }
}

#[test]
fn a_published_port_reaches_the_container_and_the_bridge_lets_it_by() {
    let ports = [Published { address: None, outside: 8080, inside: 80, transport: Transport::Tcp }];
    let container = ("10.213.0.5".parse().unwrap(), "fd7a:7669:7a00::5".parse().unwrap());
    let nat = published("zviz-p-x", "zviz0", container, &ports);
    let host = bridge("zviz0", &["10.213.0.0/16", "fd7a:7669:7a00::/64"].map(network));
    let world =
        World { own: ["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()].into(), ..World::default() };
    for (own, source, inside) in
        [("192.0.2.1", "192.0.2.9", "10.213.0.5"), ("2001:db8::1", "2001:db8::9", "fd7a:7669:7a00::5")]
    {
        let packet = |port| Packet {
            from: Some("eth0".into()),
            to: None,
            source: source.parse().unwrap(),
            destination: own.parse().unwrap(),
            protocol: 6,
            port: Some(port),
            from_port: None,
            icmp: None,
            tcp: Tcp::Begins,
            state: State::New,
            redirected: false,
        };
        let mut turned = decide(&nat, Hook::Prerouting, &packet(8080), &world).packet;
        assert_eq!((turned.destination, turned.port), (inside.parse().unwrap(), Some(80)));
        turned.to = Some("zviz0".into());
        assert_eq!(decide(&host, Hook::Forward, &turned, &world).fate, Fate::Accepted);
        let straight = Packet { redirected: false, ..turned.clone() };
        assert_eq!(decide(&host, Hook::Forward, &straight, &world).fate, Fate::Dropped, "not published");
        assert_eq!(decide(&nat, Hook::Prerouting, &packet(8081), &world).packet, packet(8081));
        let sandbox = Packet { from: Some("zviz0".into()), ..packet(8080) };
        assert_eq!(decide(&nat, Hook::Prerouting, &sandbox, &world).packet, sandbox);
        assert_eq!(decide(&host, Hook::Input, &sandbox, &world).fate, Fate::Dropped, "the host is not theirs");
        let own = Packet { from: None, ..packet(8080) };
        assert_eq!(decide(&nat, Hook::Output, &own, &world).packet.destination, turned.destination);
    }
    let mut policy = Policy::new(Verdict::Refuse);
    policy.publish(&ports);
    assert_eq!(policy.ingress, None, "everything comes in already");
    policy.ingress = Some(Default::default());
    policy.publish(&ports);
    let arriving = |port| Packet {
        from: Some("eth0".into()),
        to: None,
        source: "192.0.2.9".parse().unwrap(),
        destination: "10.213.0.5".parse().unwrap(),
        protocol: 6,
        port: Some(port),
        from_port: None,
        icmp: None,
        tcp: Tcp::Begins,
        state: State::New,
        redirected: false,
    };
    let fate = |port| decide(&inside(slice::from_ref(&policy), "t"), Hook::Input, &arriving(port), &world).fate;
    assert_eq!((fate(80), fate(8080)), (Fate::Accepted, Fate::Dropped));
}
