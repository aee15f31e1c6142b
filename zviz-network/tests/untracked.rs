//! Without connection tracking: TCP that goes on is let through, what begins is judged, and who has no raw socket sends nothing
//! else; what comes in is answered. As root, in namespaces of its own.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod peers;
mod policies;
mod space;

use peers::{ALLOWED, FORBIDDEN, PORT, connect, eventually, peer, rules};
use space::{Far, OWN, apart, load, nft, run};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// Who is noted, and how many have room there.
const SETS: [&str; 2] = ["remote_ipv4", "remote_ipv6"];
const ROOM: u32 = 4096;
/// Enough that what would be kept of them shows.
const MANY: u32 = 300;
const FEW: u32 = 20;

fn said(mut stream: &TcpStream, many: usize) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let (sent, mut back) = (vec![7; many], vec![0; many]);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| (&mut &*stream).write_all(&sent));
        stream.read_exact(&mut back)?;
        writing.join().unwrap()
    })?;
    assert_eq!(sent, back);
    Ok(())
}

fn kept() -> u32 {
    std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count").unwrap().trim().parse().unwrap()
}

#[test]
fn nothing_is_kept_of_connections_and_they_go_on() {
    apart("nothing_is_kept_of_connections_and_they_go_on", || {
        let _far = peer();
        for raw in [false, true] {
            load(&rules(raw));
            let before = kept();
            for address in ALLOWED {
                said(&eventually(address), 4 << 20).unwrap();
                for _ in 0..MANY / 2 {
                    said(&connect(address, PORT).unwrap(), 1).unwrap();
                }
            }
            let more = kept().saturating_sub(before);
            assert!(if raw { more >= MANY } else { more <= FEW }, "raw: {raw}: {more}\n{}", run("nft list ruleset"));
            for address in FORBIDDEN {
                connect(address, PORT).unwrap_err();
            }
            run("nft flush ruleset");
            // The control: they could be reached.
            for address in FORBIDDEN {
                said(&connect(address, PORT).unwrap(), 1).unwrap();
            }
        }
    });
}

/// Packets of TCP that have come to those who may not be reached.
fn seen(far: &Far) -> u32 {
    let listed = run(&far.there("nft list table inet seen"));
    let packets = |line: &str| line.split(' ').skip_while(|word| *word != "packets").nth(1)?.parse::<u32>().ok();
    listed.lines().filter_map(packets).sum()
}

#[test]
fn who_has_no_raw_socket_sends_nothing_to_who_is_forbidden() {
    apart("who_has_no_raw_socket_sends_nothing_to_who_is_forbidden", || {
        let far = peer();
        run(&far.there("nft add table inet seen"));
        run(&far.there("nft add chain inet seen in {type filter hook prerouting priority -500;}"));
        for (family, address) in ["ip", "ip6"].iter().zip(FORBIDDEN) {
            run(&far.there(&format!("nft add rule inet seen in {family} daddr {address} meta l4proto tcp counter")));
        }
        drop(eventually(ALLOWED[0]));
        let script = format!("{}/tests/connections.py", env!("CARGO_MANIFEST_DIR"));
        let attack =
            |rights: &str| run(&format!("setpriv --bounding-set {rights} --inh-caps {rights} python3 {script}"));
        load(&rules(false));
        let told = attack("-net_raw,-net_admin");
        assert_eq!(seen(&far), 0, "{told}\n{}", run("nft list ruleset"));
        assert!(told.contains("raw: Operation not permitted"), "{told}");
        // With a raw socket, what these rules let through is not theirs to let through...
        let told = attack("+net_raw");
        assert!(seen(&far) > 0, "{told}");
        // ... so where there is one, connections are tracked.
        let before = seen(&far);
        load(&rules(true));
        let told = attack("+net_raw");
        assert_eq!(seen(&far), before, "{told}\n{}", run("nft list ruleset"));
        // The control: without rules, all of the attempts get there.
        run("nft flush ruleset");
        let told = attack("-net_raw,-net_admin");
        assert!(seen(&far) >= before + 8, "{told}");
    });
}

#[test]
fn whom_a_connection_goes_on_with_is_noted_and_not_needed() {
    apart("whom_a_connection_goes_on_with_is_noted_and_not_needed", || {
        let _far = peer();
        load(&rules(false));
        let own = TcpListener::bind((OWN[0], 0)).unwrap();
        let mut one = TcpStream::connect(own.local_addr().unwrap()).unwrap();
        one.write_all(b"x").unwrap();
        for (set, address) in SETS.into_iter().zip(ALLOWED) {
            let listed = || run(&format!("nft list set inet zviz-test {set}"));
            said(&eventually(address), 1).unwrap();
            let told = listed();
            assert!(told.contains(address) && OWN.iter().all(|own| !told.contains(own)), "{told}");
            let kept = connect(address, PORT).unwrap();
            let until = Instant::now() + Duration::from_secs(20);
            while listed().contains(address) {
                assert!(Instant::now() < until, "{}", listed());
                std::thread::sleep(Duration::from_millis(50));
            }
            // With no room, it is looked up each time.
            let others = |at: u32| match address.contains(':') {
                true => format!("2001:db8:7::{at:x} timeout 1h"),
                false => format!("{} timeout 1h", Ipv4Addr::from_bits(0x0b00_0000 + at)),
            };
            let all: Vec<String> = (0..ROOM).map(others).collect();
            // What is over has its place for a moment still.
            while !nft(&format!("add element inet zviz-test {set} {{ {} }}", all.join(", "))) {
                assert!(Instant::now() < until, "{}", listed());
                std::thread::sleep(Duration::from_millis(200));
            }
            said(&kept, 1).unwrap();
            said(&connect(address, PORT).unwrap(), 1).unwrap();
            assert!(!listed().contains(address), "there was room");
        }
    });
}

/// What a socket of the far namespace receives for what it sends, by way of python3 there: a datagram of so many bytes to us.
fn asks(far: &Far, from: &str, port: u16, to: (&str, u16), bytes: usize) -> String {
    let script = format!("{}/tests/asks.py", env!("CARGO_MANIFEST_DIR"));
    run(&far.there(&format!("python3 {script} {from} {port} {} {} {bytes}", to.0, to.1)))
}

/// For how many seconds it may be answered.
fn left(set: &str, stranger: &str) -> u32 {
    let told = run(&format!("nft list set inet zviz-test {set}"));
    let (_, left) = told.split_once(&format!("{stranger} . 7002 . 7000 expires ")).unwrap();
    left.split_once('s').unwrap().0.parse().unwrap()
}

#[test]
fn who_comes_in_is_answered_and_nobody_else() {
    apart("who_comes_in_is_answered_and_nobody_else", || {
        let far = peer();
        drop(eventually(ALLOWED[0]));
        load(&rules(false));
        for (own, stranger) in OWN.iter().zip(FORBIDDEN) {
            let server = UdpSocket::bind((*own, 7000)).unwrap();
            let other = UdpSocket::bind((*own, 7001)).unwrap();
            server.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            std::thread::scope(|scope| {
                // In one datagram and in fragments, and back the same.
                scope.spawn(|| {
                    for _ in 0..2 {
                        let mut bytes = [0; 9000];
                        let (length, from) = server.recv_from(&mut bytes).unwrap();
                        // From elsewhere and to elsewhere, then to whom it is meant for.
                        for (socket, to) in [(&other, from), (&server, SocketAddr::new(from.ip(), 7003))] {
                            let error = socket.send_to(&bytes[..1], to).unwrap_err();
                            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
                        }
                        server.send_to(&bytes[..length], from).unwrap();
                    }
                });
                for bytes in [100, 8000] {
                    assert_eq!(asks(&far, stranger, 7002, (own, 7000), bytes), format!("{bytes}\n"));
                }
            });
            assert_eq!(asks(&far, stranger, 0, (own, 0), 56), "56\n", "an echo");
            // Nobody listens there: the kernel says so.
            assert_eq!(asks(&far, stranger, 7004, (own, 7005), 100), "Connection refused\n");
            // Unasked, and when it is long ago.
            let set = if own.contains(':') { "peers_ipv6" } else { "peers_ipv4" };
            assert!(run(&format!("nft list set inet zviz-test {set}")).contains(stranger));
            // As long as something is said, by either.
            let before = left(set, stranger);
            let until = Instant::now() + Duration::from_secs(20);
            while left(set, stranger) >= before {
                assert!(Instant::now() < until, "{}", run("nft list ruleset"));
                std::thread::sleep(Duration::from_millis(50));
            }
            let least = left(set, stranger);
            while left(set, stranger) <= least {
                assert!(Instant::now() < until, "{}", run("nft list ruleset"));
                server.send_to(b"x", (stranger, 7002)).unwrap();
            }
            let unasked = |to: u16| server.send_to(b"x", (stranger, to)).unwrap_err().kind();
            server.send_to(b"x", (stranger, 7002)).unwrap();
            assert_eq!(unasked(7006), ErrorKind::PermissionDenied);
            run(&format!("nft flush set inet zviz-test {set}"));
            assert_eq!(unasked(7002), ErrorKind::PermissionDenied);
        }
    });
}
