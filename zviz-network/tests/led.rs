//! Without connection tracking, nobody is led to who may not be reached: by what a connection's socket is told later, by who calls a
//! group. As root, in namespaces of its own.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod peers;
mod policies;
mod space;

use peers::{ALLOWED, FORBIDDEN, eventually, peer, rules};
use space::{OWN, apart, load, nft, run};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

#[test]
fn a_connection_leads_to_nobody_else() {
    apart("a_connection_leads_to_nobody_else", || {
        let far = peer();
        // By way of somebody, so that addresses which nobody asks for have a way as well.
        run("ip route replace default via 192.0.2.5 dev eth0 onlink");
        run("ip -6 route replace default via 2001:db8::5 dev eth0 onlink");
        // An address of another device.
        run("ip link add eth1 type veth peer name end1");
        run("ip link set eth1 up");
        run("ip addr add 10.213.5.2/32 dev eth1");
        run("ip addr add fd01::2/128 dev eth1 nodad");
        run(&far.there("nft add table netdev seen"));
        run(&far.there("nft add chain netdev seen in {type filter hook ingress device far0 priority 0;}"));
        let forbidden = [
            ("ip", FORBIDDEN[0]),
            ("ip", "127.0.0.0/8"),
            ("ip6", FORBIDDEN[1]),
            ("ip6", "::1"),
            ("ip", "10.213.5.2"),
            ("ip6", "fd01::2"),
        ];
        for (family, address) in forbidden {
            run(&far.there(&format!("nft add rule netdev seen in {family} daddr {address} counter")));
        }
        let seen = || run(&far.there("nft list table netdev seen")).matches("packets 0 ").count();
        drop(eventually(ALLOWED[0]));
        let script = format!("{}/tests/led.py", env!("CARGO_MANIFEST_DIR"));
        // A source route of IPv4 was everybody's once; where it is a right now, that is as if it were not.
        for rights in ["-net_raw,-net_admin", "+net_raw"] {
            for raw in [false, true] {
                load(&rules(raw));
                // A moment ago these were somebody else, with whom a connection went on.
                let noted = [("remote_ipv4", "10.213.5.2"), ("remote_ipv6", "fd01::2")].into_iter().zip(OWN);
                for ((set, address), own) in noted.filter(|_| !raw) {
                    assert!(nft(&format!(
                        "add element inet zviz-test {set} {{ {address} timeout 1h, {own} timeout 1h }}"
                    )));
                }
                let told = run(&format!("setpriv --bounding-set {rights} --inh-caps {rights} python3 {script}"));
                let rules = run("nft list ruleset");
                assert_eq!(seen(), forbidden.len(), "{told}\n{rules}\n{}", run(&far.there("nft list ruleset")));
            }
        }
        // The control.
        run("nft flush ruleset");
        let told = run(&format!("python3 {script}"));
        assert_eq!(seen(), 0, "{told}\n{}", run(&far.there("nft list ruleset")));
    });
}

#[test]
fn what_is_not_tcp_is_judged_by_where_it_goes() {
    apart("what_is_not_tcp_is_judged_by_where_it_goes", || {
        let far = peer();
        std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647").unwrap();
        run(&far.there("nft add table netdev seen"));
        run(&far.there("nft add chain netdev seen in {type filter hook ingress device far0 priority 0;}"));
        // UDP, and what is like it where the kernel has it.
        let all = [
            ("ip", FORBIDDEN[0], "meta l4proto {17,136}"),
            ("ip6", FORBIDDEN[1], "meta l4proto {17,136}"),
            ("ip", FORBIDDEN[0], "icmp type echo-request"),
            ("ip6", FORBIDDEN[1], "icmpv6 type echo-request"),
            ("ip", "224.0.0.99", "meta l4proto 17"),
            ("ip6", "ff02::99", "meta l4proto 17"),
            ("ip", "255.255.255.255", "meta l4proto 17"),
        ];
        for (family, address, what) in all {
            run(&far.there(&format!("nft add rule netdev seen in {family} daddr {address} {what} counter")));
        }
        let seen = || run(&far.there("nft list table netdev seen")).matches("packets 0 ").count();
        drop(eventually(ALLOWED[0]));
        let script = format!("{}/tests/odd.py", env!("CARGO_MANIFEST_DIR"));
        let attack = || {
            run(&format!("setpriv --bounding-set -net_raw,-net_admin --inh-caps -net_raw,-net_admin python3 {script}"))
        };
        for raw in [false, true] {
            load(&rules(raw));
            let told = attack();
            assert_eq!(
                seen(),
                all.len(),
                "{told}\n{}\n{}",
                run("nft list ruleset"),
                run(&far.there("nft list ruleset"))
            );
        }
        // The control.
        run("nft flush ruleset");
        let told = attack();
        assert_eq!(seen(), 0, "{told}\n{}", run(&far.there("nft list ruleset")));
    });
}

#[test]
fn who_speaks_to_everybody_is_not_answered() {
    apart("who_speaks_to_everybody_is_not_answered", || {
        let far = peer();
        drop(eventually(ALLOWED[0]));
        run("ip addr add 10.213.4.2/24 broadcast 10.213.4.255 dev eth0");
        run(&far.there("ip addr add 10.213.4.9/24 broadcast 10.213.4.255 dev far0"));
        let script = format!("{}/tests/calls.py", env!("CARGO_MANIFEST_DIR"));
        let groups = ["239.1.2.3", "10.213.4.255", "255.255.255.255", "ff02::1:7"];
        // As with tracking, where an answer to a group is none; and the control.
        for raw in [Some(true), Some(false), None] {
            drop(run("nft flush ruleset"));
            raw.iter().for_each(|raw| load(&rules(*raw)));
            for group in groups {
                let (stranger, any) =
                    if group.contains(':') { (FORBIDDEN[1], "::") } else { (FORBIDDEN[0], "0.0.0.0") };
                let server = UdpSocket::bind((any, 7000)).unwrap();
                server.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                match group.parse().unwrap() {
                    IpAddr::V4(four) if four.is_multicast() => {
                        server.join_multicast_v4(&four, &OWN[0].parse().unwrap()).unwrap();
                    }
                    IpAddr::V6(six) => {
                        server.join_multicast_v6(&six, 0).unwrap();
                    }
                    IpAddr::V4(_) => {}
                }
                run(&far.there(&format!("python3 {script} {stranger} 7002 {group} 7000")));
                let (_, from) = server.recv_from(&mut [0; 9]).unwrap();
                assert_eq!(from, SocketAddr::new(stranger.parse().unwrap(), 7002));
                let told = server.send_to(b"x", from).map_err(|error| error.kind());
                let expected = if raw.is_some() { Err(ErrorKind::PermissionDenied) } else { Ok(1) };
                assert_eq!(told, expected, "{raw:?} {group}\n{}", run("nft list ruleset"));
            }
        }
    });
}
