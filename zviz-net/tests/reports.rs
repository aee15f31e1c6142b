//! What rules report of packets, and what they count.

#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

mod support;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;
use support::{Container, ask, in_a_host};
use zviz_net::report::Reports;
use zviz_network::rules::{Action, Chain, Family, GROUP, Hook, Kind, Match, Rule, Ruleset};
use zviz_network::wire::{Counter, Reply, Request};

/// Reports all of UDP, and refuses TCP of IPv6.
fn rules() -> Ruleset {
    let report = |prefix: &str| Action::Report { group: GROUP, prefix: prefix.into() };
    let rule = |comment: &str, matches, actions| Rule { comment: Some(comment.into()), matches, actions };
    let udp = rule("udp", vec![Match::Protocol(17)], vec![Action::Count, report("accept udp")]);
    // Of one port: the reset passes this chain, too.
    let five = "5".to_owned().try_into().unwrap();
    let six = vec![Match::Family(Family::V6), Match::Protocol(6), Match::Port(five)];
    let tcp = rule("tcp6", six, vec![Action::Count, report("refuse tcp6"), Action::Reset]);
    let chain = |rules| Chain {
        name: "output".into(),
        kind: Kind::Filter,
        hook: Hook::Output,
        priority: 0,
        drops: false,
        rules,
    };
    Ruleset { table: "zviz-r".into(), sets: vec![], chains: vec![chain(vec![udp, tcp])], parts: vec![] }
}

/// Waits until so many have come.
fn wait(reports: &mut Reports, count: usize) -> Vec<zviz_net::report::Report> {
    let mut all = Vec::new();
    while all.len() < count {
        let mut fds = [PollFd::new(reports.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, PollTimeout::from(5000_u16)).unwrap(), 1, "{all:?}");
        all.extend(reports.read().unwrap());
    }
    all
}

#[test]
fn packets_are_reported_and_counted() {
    in_a_host("packets_are_reported_and_counted", || {
        let container = Container::new();
        let network = container.network();
        assert_eq!(ask(&support::up(rules()), &[network.as_fd()]), Reply::Done);
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                nix::sched::setns(container.network(), nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
                zviz_sys::net::bring_loopback_up().unwrap();
                let mut reports = Reports::open().unwrap();
                assert!(reports.read().unwrap().is_empty());
                for (from, to) in [("127.0.0.1:0", "127.0.0.1:7"), ("[::1]:0", "[::1]:9")] {
                    let socket = UdpSocket::bind(from).unwrap();
                    socket.send_to(b"12345678", to).unwrap();
                    let to: SocketAddr = to.parse().unwrap();
                    let all = wait(&mut reports, 1);
                    let headers = if to.is_ipv4() { 20 } else { 40 };
                    assert_eq!(all.len(), 1, "{all:?}");
                    assert_eq!(all[0].prefix, "accept udp");
                    assert_eq!(all[0].packet.ports, Some((socket.local_addr().unwrap().port(), to.port())));
                    assert_eq!((all[0].packet.destination, all[0].packet.protocol), (to.ip(), 17));
                    assert_eq!(all[0].packet.length, headers + 8 + 8);
                }
                let refused = TcpStream::connect_timeout(&"[::1]:5".parse().unwrap(), Duration::from_secs(5));
                assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
                assert_eq!(wait(&mut reports, 1)[0].prefix, "refuse tcp6");
                // A second listener has another group, and does not take the first one's place.
                assert_eq!((reports.group(), Reports::open().unwrap().group()), (GROUP, GROUP + 1));
                assert_eq!(reports.lost(), 0);
            });
            inside.join().unwrap();
        });
        let counted = ask(&Request::Counters { table: "zviz-r".into() }, &[network.as_fd()]);
        let counter = |rule: &str, packets, bytes| Counter { rule: rule.into(), packets, bytes };
        let Reply::Counters(counters) = counted else { panic!("{counted:?}") };
        assert_eq!(counters[0], counter("udp", 2, 36 + 56));
        assert_eq!((counters[1].rule.as_str(), counters[1].packets), ("tcp6", 1));
        assert_eq!(counters.len(), 2);
        let none = ask(&Request::Counters { table: "zviz-none".into() }, &[network.as_fd()]);
        assert_eq!(support::fault(none), "there is no table zviz-none");
    });
}
