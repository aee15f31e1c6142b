//! The resolver of a container, asked from within, with a resolver outside that is the test's own and does what it wants.

#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

mod names;
mod support;

use names::{answer, ask, ask_at, ask_by_tcp, inside, outside};
use simple_dns::{RCODE, TYPE};
use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};
use support::{Container, Helper, in_a_host};
use zviz_network::names::zones;
use zviz_network::policy::{Log, Named, Policy, Verdict};
use zviz_network::wire::{Descriptor, Reply, Request, Resolver, Up};
use zviz_network::{rules, wire};

/// A container with a resolver, which ends with it.
struct Sandbox {
    container: Container,
    helper: Helper,
    events: std::io::PipeReader,
}

fn policy(names: &[&str]) -> Policy {
    let mut policy = Policy::new(Verdict::Refuse);
    policy.resolver = true;
    policy.log = Log { denied: true, allowed: true };
    policy.named = names
        .iter()
        .enumerate()
        .map(|(index, text)| Named {
            key: format!("network.allow_domains[{index}]"),
            name: text.trim_start_matches("*.").into(),
            below: text.starts_with("*."),
            ports: Vec::new(),
        })
        .collect();
    policy
}

impl Sandbox {
    fn new(container: Container, names: &[&str]) -> Sandbox {
        let policies = [policy(names)];
        let (events, writer) = std::io::pipe().unwrap();
        let process = zviz_sys::process::pidfd_open(container.pid()).unwrap();
        let mut kinds = vec![Descriptor::Network, Descriptor::Process, Descriptor::Events];
        let mut descriptors: Vec<OwnedFd> = vec![container.network().into(), process, writer.into()];
        if container.has_users() {
            kinds.push(Descriptor::User);
            descriptors.push(container.users().into());
        }
        let up = Up {
            container: "c1".into(),
            descriptors: kinds,
            bridge: None,
            inside: Some(rules::inside(&policies, "zviz-test")),
            resolver: Some(Resolver {
                upstream: vec![names::OUTSIDE.parse().unwrap()],
                names: zones(&policies),
                guarded: ["10.0.0.0/8", "169.254.0.0/16", "fc00::/7"]
                    .map(|n| n.to_owned().try_into().unwrap())
                    .to_vec(),
            }),
            events: true,
        };
        let helper = Helper::start();
        let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        helper.send(&Request::Up(Box::new(up)), &descriptors);
        assert_eq!(wire::receive::<Reply>(&helper.socket).unwrap(), Reply::Done);
        Sandbox { container, helper, events }
    }

    fn inside<T: Send + 'static>(&self, act: impl FnOnce() -> T + Send + 'static) -> T {
        inside(self.container.network(), act)
    }

    /// The elements of a set, as nft prints them.
    fn elements(&self, set: &str) -> String {
        support::said(&self.container.run(&["nft", "list", "set", "inet", "zviz-test", set]))
    }

    /// Ends the container; the helper must end by itself, and whoever it started. Gives the lines that it wrote.
    fn end(self) -> Vec<String> {
        let Sandbox { container, mut helper, events } = self;
        drop(container);
        let start = Instant::now();
        assert!(helper.child.wait().unwrap().success());
        assert!(start.elapsed() < Duration::from_secs(5));
        // The asker has the pipe no more than the helper.
        BufReader::new(events).lines().map(Result::unwrap).collect()
    }
}

fn internet(name: &str, packet: &[u8], stream: bool) -> Vec<Vec<u8>> {
    let say = |records: &[(&str, u32, &str)]| vec![answer(packet, records)];
    match name {
        "good.test" => say(&[("good.test", 0, "93.184.216.34"), ("good.test", 300, "2606:4700::1")]),
        "www.wild.test" => say(&[
            ("www.wild.test", 60, "cdn.other.test"),
            ("cdn.other.test", 40, "93.184.216.35"),
            ("unasked.test", 40, "93.184.216.99"),
        ]),
        "rebind.wild.test" => say(&[("rebind.wild.test", 60, "93.184.216.36"), ("rebind.wild.test", 60, "10.0.0.1")]),
        "alias.wild.test" => say(&[("alias.wild.test", 60, "metadata.corp"), ("metadata.corp", 60, "169.254.169.254")]),
        "big.wild.test" if !stream => {
            let mut packet = answer(packet, &[]);
            packet[2] |= 2;
            vec![packet]
        }
        "big.wild.test" => {
            let all: Vec<String> = (0..3000).map(|i| format!("93.185.{}.{}", i / 250, i % 250 + 1)).collect();
            let records: Vec<_> = all.iter().map(|address| ("big.wild.test", 60, address.as_str())).collect();
            say(&records)
        }
        "spoof.wild.test" => {
            let mut wrong_id = answer(packet, &[("spoof.wild.test", 60, "6.6.6.6")]);
            wrong_id[1] ^= 1;
            let mut wrong_name = answer(packet, &[("spoof.wild.test", 60, "6.6.6.6")]);
            wrong_name[13] ^= 1;
            vec![wrong_id, wrong_name, vec![1, 2, 3], answer(packet, &[("spoof.wild.test", 60, "93.184.216.37")])]
        }
        "broken.wild.test" => {
            let mut broken = packet.to_vec();
            broken[2] |= 0x80;
            broken[7] = 9;
            vec![broken]
        }
        _ => Vec::new(),
    }
}

fn addresses(list: &[&str]) -> Vec<std::net::IpAddr> {
    list.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn names_are_answered_and_pinned() {
    in_a_host("names_are_answered_and_pinned", || {
        let asked = outside(internet);
        let sandbox = Sandbox::new(Container::new(), &["good.test", "*.wild.test"]);
        // An answer of no seconds can be used for some.
        let told = sandbox.inside(|| ask("Good.TEST", TYPE::A));
        assert_eq!((told.code, &told.addresses, told.ttl), (RCODE::NoError, &addresses(&["93.184.216.34"]), Some(0)));
        let pinned = sandbox.elements("names0_ipv4");
        assert!(pinned.contains("93.184.216.34") && pinned.contains("timeout 31s"), "{pinned}");
        // Twice with an answer of some seconds, of which the second is from memory.
        for _ in 0..2 {
            let told = sandbox.inside(|| ask("good.test.", TYPE::AAAA));
            assert_eq!(told.addresses, addresses(&["2606:4700::1"]));
        }
        assert!(sandbox.elements("names0_ipv6").contains("2606:4700::1"));
        let told = sandbox.inside(|| ask("www.wild.test", TYPE::A));
        assert_eq!((&told.addresses, told.ttl), (&addresses(&["93.184.216.35"]), Some(40)));
        let pinned = sandbox.elements("names1_ipv4");
        assert!(pinned.contains("93.184.216.35") && !pinned.contains("93.184.216.99"), "{pinned}");
        // An address that is asked for again stays longer.
        sandbox.inside(|| ask("good.test", TYPE::A));
        assert_eq!(
            *asked.lock().unwrap(),
            ["good.test 1", "good.test 28", "www.wild.test 1", "good.test 1"],
            "what has left"
        );
        let lines = sandbox.end();
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert!(lines[2].contains("\"container\":\"c1\",\"event\":\"name\",\"verdict\":\"allow\""), "{}", lines[2]);
        assert!(lines[2].contains("\"rule\":\"network.allow_domains[1]\",\"name\":\"www.wild.test\",\"kind\":1}"));
    });
}

#[test]
fn what_is_not_allowed_does_not_leave() {
    in_a_host("what_is_not_allowed_does_not_leave", || {
        let asked = outside(internet);
        let sandbox = Sandbox::new(Container::new(), &["good.test", "*.wild.test"]);
        let secret = "mzxw6ytboi4dsnzqgq2tmnbvgiydambqgaydambrgizdgnbvgy3tqojqmfrgg.wild.test";
        for (name, kind, code) in [
            ("evil.test", TYPE::A, RCODE::NameError),
            ("good.test.evil.test", TYPE::A, RCODE::NameError),
            ("wild.test", TYPE::A, RCODE::NameError),
            ("1.0.0.10.in-addr.arpa", TYPE::PTR, RCODE::NameError),
            (secret, TYPE::A, RCODE::NameError),
            ("good.test", TYPE::TXT, RCODE::NoError),
        ] {
            let told = sandbox.inside(move || ask(name, kind));
            assert_eq!((told.code, told.addresses), (code, vec![]), "{name}");
        }
        assert_eq!(*asked.lock().unwrap(), [""; 0]);
        let lines = sandbox.end();
        assert_eq!(lines.len(), 6, "{lines:?}");
        assert!(lines[0].contains("\"verdict\":\"deny\",\"rule\":\"network.allow_domains\",\"name\":\"evil.test\""));
    });
}

#[test]
fn answers_of_strangers() {
    in_a_host("answers_of_strangers", || {
        outside(internet);
        let sandbox = Sandbox::new(Container::new(), &["good.test", "*.wild.test"]);
        for name in ["rebind.wild.test", "alias.wild.test"] {
            let told = sandbox.inside(move || ask(name, TYPE::A));
            assert_eq!((told.code, told.addresses), (RCODE::NoError, vec![]), "{name}");
        }
        let told = sandbox.inside(|| ask("spoof.wild.test", TYPE::A));
        assert_eq!(told.addresses, addresses(&["93.184.216.37"]));
        for name in ["broken.wild.test", "silent.wild.test"] {
            let told = sandbox.inside(move || ask(name, TYPE::A));
            assert_eq!((told.code, told.addresses), (RCODE::ServerFailure, vec![]), "{name}");
        }
        // Three thousand addresses: on a stream outside, and 64 of them inside, where they need one as well.
        let told = sandbox.inside(|| ask("big.wild.test", TYPE::A));
        assert!(told.truncated && told.addresses.is_empty());
        let told = sandbox.inside(|| ask_by_tcp(&["big.wild.test", "evil.test", "www.wild.test"]));
        assert_eq!(told.iter().map(|told| told.addresses.len()).collect::<Vec<_>>(), [64, 0, 1]);
        let pinned = sandbox.elements("names1_ipv4");
        assert!(pinned.contains("93.185.0.64") && !pinned.contains("93.185.0.65"), "{pinned}");
        assert!(!pinned.contains("10.0.0.1") && !pinned.contains("93.184.216.36"), "{pinned}");
        let lines = sandbox.end();
        assert!(lines.iter().any(|line| line.contains("\"why\":\"it leads to 169.254.169.254\"")), "{lines:?}");
    });
}

#[test]
fn a_name_of_many_entries_is_pinned_for_each() {
    in_a_host("a_name_of_many_entries_is_pinned_for_each", || {
        outside(internet);
        let sandbox = Sandbox::new(Container::new(), &["big.wild.test"; 24]);
        let told = sandbox.inside(|| ask_by_tcp(&["big.wild.test"]));
        assert_eq!(told[0].addresses.len(), 64);
        for set in ["names0_ipv4", "names11_ipv4", "names23_ipv4"] {
            let pinned = sandbox.elements(set);
            assert_eq!(pinned.matches("93.185.0.").count(), 64, "{pinned}");
        }
        sandbox.end();
    });
}

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

#[test]
fn with_all_names_nothing_leads_back_in() {
    in_a_host("with_all_names_nothing_leads_back_in", || {
        outside(internet);
        let sandbox = Sandbox::new(Container::new(), &[]);
        let told = sandbox.inside(|| (ask("www.wild.test", TYPE::A), ask("rebind.wild.test", TYPE::A)));
        assert_eq!((told.0.addresses, told.1.addresses), (addresses(&["93.184.216.35"]), vec![]));
        let lines = sandbox.end();
        assert!(lines[1].contains("\"verdict\":\"deny\",\"rule\":\"network.dns\""), "{lines:?}");
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
