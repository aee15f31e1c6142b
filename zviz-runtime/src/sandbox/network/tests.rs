use super::*;
use std::collections::BTreeSet;
use zviz_network::policy::{Policy, Protocol, Rule, Verdict};

fn facts(root: bool) -> Facts {
    Facts {
        root: [("etc".to_owned(), crate::sandbox::facts::RootEntry::Folder)].into(),
        is_root: root,
        state: Some("/run/zviz/web".into()),
        names: Names { there: NAMES.iter().map(|name| (*name).to_owned()).collect(), ..Names::default() },
        ..Facts::default()
    }
}

type Lowered = Result<Option<(Linked, Vec<Entry>)>, Problems>;

fn lowered(sandbox: &Sandbox, facts: &Facts) -> (Lowered, Vec<Note>) {
    let (mut notes, mut problems) = (Vec::new(), Problems::default());
    let linked = lower(sandbox, facts, &mut notes, &mut problems);
    (problems.or(linked), notes)
}

fn network(network: Network, ports: &[&str]) -> Sandbox {
    let mut sandbox = Sandbox::new(["true"]);
    sandbox.network(network);
    for port in ports {
        sandbox.publish(published(port).unwrap());
    }
    sandbox
}

#[test]
fn ports_are_written_as_others_write_them() {
    for (text, want) in [
        ("8080:80", "8080:80/tcp"),
        ("8080:80/udp", "8080:80/udp"),
        ("127.0.0.1:8080:80", "127.0.0.1:8080:80/tcp"),
        ("[::1]:8080:80/tcp", "[::1]:8080:80/tcp"),
        ("[2001:db8::5]:1:65535", "[2001:db8::5]:1:65535/tcp"),
    ] {
        assert_eq!(published(text).unwrap().to_string(), want);
    }
    for text in [
        "",
        "80",
        ":80",
        "80:",
        "0:80",
        "80:0",
        "65536:1",
        "+1:1",
        "a:1",
        "1:1/sctp",
        "1:1/",
        "::1:80:80",
        "[127.0.0.1]:1:1",
        "[::1]:1",
        "host:1:1",
        "224.0.0.1:1:1",
        "1.2.3.4:5:6:7",
        "1:1/tcp/udp",
        " 1:1",
    ] {
        assert!(published(text).is_err(), "{text:?}");
    }
}

#[test]
fn private_is_what_the_caller_can_have() {
    let link = |net, root| match lowered(&network(net, &[]), &facts(root)).0 {
        Ok(Some((linked, _))) => linked.link,
        other => panic!("{other:?}"),
    };
    assert!(matches!(link(Network::Private, true), Link::Bridge(_)));
    assert!(matches!(link(Network::Private, false), Link::Pasta(_)));
    assert!(matches!(link(Network::Pasta, true), Link::Pasta(_)));
    assert!(matches!(link(Network::Bridge, true), Link::Bridge(_)));
    let error = lowered(&network(Network::Bridge, &[]), &facts(false)).0.unwrap_err().to_string();
    assert_eq!(error, "--net bridge: makes devices of the host, which only root may: --net pasta does without");
}

#[test]
fn ports_want_a_network_and_no_two_the_same() {
    for (net, want) in [
        (Network::None, "-p 8080:80/tcp: the sandbox has no network to be reached by: --net private gives it one"),
        (Network::Host, "-p 8080:80/tcp: the network is the host's (--net host), and its ports are: leave -p out"),
    ] {
        assert_eq!(lowered(&network(net, &["8080:80"]), &facts(true)).0.unwrap_err().to_string(), want);
    }
    for (ports, fine) in [
        (&["1:1", "1:2"][..], false),
        (&["1:1", "127.0.0.1:1:1"], false),
        (&["127.0.0.1:1:1", "127.0.0.2:1:1"], true),
        (&["1:1", "1:1/udp", "2:1"], true),
    ] {
        assert_eq!(lowered(&network(Network::Bridge, ports), &facts(true)).0.is_ok(), fine, "{ports:?}");
    }
}

#[test]
fn the_loopback_device_of_the_host_is_left_by_ipv4_alone() {
    for (net, port, root, fine) in [
        (Network::Bridge, "[::1]:8080:80", true, false),
        (Network::Private, "[::1]:8080:80/udp", true, false),
        (Network::Bridge, "127.0.0.1:8080:80", true, true),
        (Network::Bridge, "[2001:db8::5]:8080:80", true, true),
        (Network::Private, "[::1]:8080:80", false, true),
        (Network::Pasta, "[::1]:8080:80", true, true),
    ] {
        let said = lowered(&network(net, &[port]), &facts(root)).0.map_err(|problems| problems.to_string());
        assert_eq!(said.is_ok(), fine, "{port}: {said:?}");
        let wanted = "does not leave the host's loopback device";
        assert!(said.is_ok() || said.is_err_and(|said| said.contains(wanted) && said.contains("--net pasta")));
    }
}

#[test]
fn no_flag_lets_in_whom_the_profile_keeps_out() {
    let rule = |protocol, ports: &str| Rule {
        key: "network.ingress.allow[0]".into(),
        verdict: Verdict::Accept,
        networks: Vec::new(),
        protocol,
        ports: ports.split_whitespace().map(|ports| ports.to_owned().try_into().unwrap()).collect(),
    };
    let tcp = Some(Protocol::Tcp);
    for (ingress, fine) in [
        (None, true),
        (Some(vec![]), false),
        (Some(vec![rule(None, "")]), true),
        (Some(vec![rule(tcp, "80")]), true),
        (Some(vec![rule(tcp, "81-90"), rule(None, "1-79")]), false),
        (Some(vec![rule(Some(Protocol::Udp), "80")]), false),
    ] {
        let mut sandbox = network(Network::Bridge, &["8080:80"]);
        let ingress = ingress.map(|rules| Ingress { rules });
        let policy = Policy { ingress, ..Policy::new(Verdict::Accept) };
        let packets = crate::profile::Packets { policies: vec![policy], ..Default::default() };
        sandbox.profile.packets = Some(packets);
        let said = lowered(&sandbox, &facts(true)).0.map_err(|problems| problems.to_string());
        assert_eq!(said.is_ok(), fine, "{said:?}");
    }
}

#[test]
fn files_are_laid_over_those_that_are_there() {
    let mut facts = facts(true);
    let inside = |facts: &Facts| {
        let (linked, notes) = lowered(&network(Network::Bridge, &[]), facts);
        let entries = linked.unwrap().unwrap().1;
        (entries.into_iter().map(|entry| entry.inside).collect::<Vec<_>>(), notes.len())
    };
    assert_eq!(inside(&facts), (vec!["/etc/resolv.conf".into(), "/etc/hosts".into(), "/etc/hostname".into()], 0));
    facts.names.there = BTreeSet::from(["hosts".to_owned()]);
    assert_eq!(inside(&facts), (vec!["/etc/hosts".into()], 2));
}

#[test]
fn only_servers_that_can_be_reached_are_named() {
    let mut names = Names { own: vec!["192.0.2.9".parse().unwrap()], ..Names::default() };
    names.read(
        "# x\nnameserver 127.0.0.53\nnameserver fe80::1\nnameserver fe80::1%eth0\nnameserver 192.0.2.9\nsearch a b\n",
    );
    assert_eq!(names.usable().count(), 0);
    names.read("nameserver  10.0.0.1 \nnameserver 2001:db8::53\noptions edns0\nfamily x\n");
    let servers: Vec<_> = names.usable().collect();
    assert_eq!(names.text(&servers), "nameserver 10.0.0.1\nnameserver 2001:db8::53\nsearch a b\noptions edns0\n");
}
