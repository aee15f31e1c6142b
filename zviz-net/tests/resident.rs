//! What stays with a container: how programs reach it, what it tells, what it may do, and what is left of it.

#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

mod names;
mod support;

use names::sandbox::{Sandbox, addresses, internet};
use names::{ask, ask_at, ask_by_tcp, outside};
use simple_dns::{RCODE, TYPE};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};
use support::{Container, in_a_host};

#[test]
fn packets_that_are_no_questions_are_survived() {
    in_a_host("packets_that_are_no_questions_are_survived", || {
        outside(internet);
        let sandbox = Sandbox::new(Container::new(), &["good.test"]);
        let told = sandbox.inside(|| {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            for length in 0..600 {
                let packet: Vec<u8> = (0..length).map(|i: u32| (i.wrapping_mul(length + 7) >> 3) as u8).collect();
                let _ = socket.send_to(&packet, names::RESOLV_CONF);
            }
            let mut streams: Vec<_> =
                (0..80).map(|_| std::net::TcpStream::connect(names::RESOLV_CONF).unwrap()).collect();
            for stream in &mut streams {
                let _ = std::io::Write::write_all(stream, &[0xff; 64]);
            }
            (ask("good.test", TYPE::A), ask_by_tcp(&["good.test"]), ask_at("127.9.9.9:53", "good.test", TYPE::A))
        });
        assert_eq!(told.0.addresses, addresses(&["93.184.216.34"]));
        assert_eq!((&told.1[0].addresses, &told.2.addresses), (&told.0.addresses, &told.0.addresses));
        sandbox.end();
    });
}

#[test]
fn every_address_of_a_resolver_is_this_one() {
    in_a_host("every_address_of_a_resolver_is_this_one", || {
        outside(internet);
        let sandbox = Sandbox::new(Container::new(), &["good.test"]);
        for at in ["127.0.0.1:53", "[::1]:53", "127.200.53.53:53053", "[::1]:53053"] {
            let told = sandbox.inside(move || ask_at(at, "good.test", TYPE::A));
            assert_eq!(told.addresses, addresses(&["93.184.216.34"]), "{at}");
        }
        sandbox.end();
    });
}

/// Programs with resolvers of their own: libc's, and busybox's, which is static.
#[test]
fn programs_ask_as_ever() {
    in_a_host("programs_ask_as_ever", || {
        outside(internet);
        let sandbox = Sandbox::new(Container::new(), &["good.test"]);
        let conf = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(conf.path(), "nameserver 127.200.53.53\nsearch wild.test\n").unwrap();
        let script = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
        let run = |args: &[&str]| {
            let conf = conf.path().to_str().unwrap();
            sandbox.container.run(&[&["unshare", "--mount", "sh", "-c", script, conf], args].concat())
        };
        let found = support::said(&run(&["getent", "ahosts", "good.test"]));
        assert!(found.contains("93.184.216.34") && found.contains("2606:4700::1"), "{found}");
        let start = Instant::now();
        assert_eq!(run(&["getent", "ahosts", "evil.test"]).status.code(), Some(2));
        // It is told that there is no such name, and neither asks again nor waits.
        assert!(start.elapsed() < Duration::from_secs(4));
        match std::process::Command::new("busybox").arg("true").status() {
            Ok(_) => {
                let found = String::from_utf8(run(&["busybox", "nslookup", "good.test"]).stdout).unwrap();
                assert!(found.contains("93.184.216.34"), "{found}");
            }
            Err(error) => support::skip("programs_ask_as_ever", &format!("busybox: {error}")),
        }
        sandbox.end();
    });
}

#[test]
fn whoever_is_killed_leaves_nothing() {
    in_a_host("whoever_is_killed_leaves_nothing", || {
        outside(internet);
        let mut sandbox = Sandbox::new(Container::new(), &["good.test", "*.wild.test"]);
        let pid = sandbox.helper.child.id();
        let children = || std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let asker = zviz_sys::process::pidfd_open(children().trim().parse().unwrap()).unwrap();
        let ended = |of: &OwnedFd| {
            use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
            poll(&mut [PollFd::new(of.as_fd(), PollFlags::POLLIN)], PollTimeout::from(5000u16)) == Ok(1)
        };
        // Neither has a right that it does not need.
        let rights = |pid: &str| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            let of = |key: &str| {
                status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default().trim().to_owned()
            };
            [of("CapPrm:"), of("CapEff:"), of("NoNewPrivs:"), of("Seccomp:")]
        };
        let none = format!("{:016x}", 0);
        sandbox.inside(|| ask("good.test", TYPE::A));
        assert_eq!(rights(children().trim()), [&none, &none, "1", "2"].map(str::to_owned));
        assert_eq!(rights(&pid.to_string()), [&format!("{:016x}", 1 << 12), &format!("{:016x}", 1 << 12), "1", "2"]);
        zviz_sys::process::pidfd_send_signal(asker.as_fd(), nix::libc::SIGKILL).unwrap();
        assert!(ended(&asker));
        let told = sandbox.inside(|| (ask("www.wild.test", TYPE::A), ask("evil.test", TYPE::A)));
        assert_eq!((told.0.code, told.1.code), (RCODE::ServerFailure, RCODE::NameError));
        sandbox.helper.child.kill().unwrap();
        sandbox.helper.child.wait().unwrap();

        let mut sandbox = Sandbox::new(Container::new(), &["good.test"]);
        let pid = sandbox.helper.child.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let asker = zviz_sys::process::pidfd_open(children.trim().parse().unwrap()).unwrap();
        sandbox.helper.child.kill().unwrap();
        sandbox.helper.child.wait().unwrap();
        assert!(ended(&asker));
    });
}

#[test]
fn in_a_user_namespace() {
    in_a_host("in_a_user_namespace", || {
        outside(internet);
        let sandbox = Sandbox::new(Container::with_users(), &["good.test"]);
        let told = sandbox.inside(|| ask("good.test", TYPE::A));
        assert_eq!(told.addresses, addresses(&["93.184.216.34"]));
        assert!(sandbox.elements("names0_ipv4").contains("93.184.216.34"));
        sandbox.end();
    });
}

#[test]
fn connections_are_told_with_the_name_that_was_asked_for() {
    in_a_host("connections_are_told_with_the_name_that_was_asked_for", || {
        outside(internet);
        let sandbox = Sandbox::new(Container::new(), &["good.test"]);
        for line in [
            "ip link add out type veth peer name beyond",
            "ip link set beyond up",
            "ip addr add 192.0.2.2/24 dev out",
            "ip link set out up",
            "ip route add default via 192.0.2.1",
        ] {
            let output = sandbox.container.run(&line.split(' ').collect::<Vec<_>>());
            if !output.status.success() {
                return support::skip("connections_are_told", "no device that leads nowhere can be made");
            }
        }
        sandbox.inside(|| {
            let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
            let send = |to: &str| socket.send_to(b"x", to);
            assert!(send("93.184.216.34:443").is_err(), "before its name was asked for");
            ask("good.test", TYPE::A);
            send("93.184.216.34:443").unwrap();
            assert!(send("93.184.216.35:443").is_err());
        });
        // Reports come within hundredths of a second.
        std::thread::sleep(Duration::from_millis(300));
        let lines = sandbox.end();
        let connections: Vec<serde_json::Value> = lines
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .filter(|line: &serde_json::Value| line["event"] == "connection" && line["protocol"] == "udp")
            .collect();
        let told = |line: &serde_json::Value| {
            format!("{} {} {} {} {}", line["verdict"], line["rule"], line["to"], line["port"], line["name"])
                .replace('"', "")
        };
        let told: Vec<String> = connections.iter().map(told).collect();
        assert_eq!(told.len(), 3, "{lines:?}");
        // Its report may come after the name was asked for.
        assert!(told[0].starts_with("deny ") && told[0].contains(" 93.184.216.34 443 "), "{told:?}");
        assert_eq!(told[1], "allow network.allow_domains[0] 93.184.216.34 443 good.test");
        assert!(told[2].starts_with("deny ") && told[2].ends_with(" 93.184.216.35 443 null"), "{told:?}");
    });
}
