//! The resolver of a container, asked from within, with a resolver outside that is the test's own and does what it wants.

#![allow(clippy::unwrap_used, reason = "a panic is how tests fail")]

mod names;
mod support;

use names::sandbox::{Sandbox, addresses, internet};
use names::{ask, ask_by_tcp, outside};
use simple_dns::{RCODE, TYPE};
use support::{Container, in_a_host};

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
fn what_no_longer_fits_is_not_told() {
    in_a_host("what_no_longer_fits_is_not_told", || {
        outside(internet);
        let sandbox = Sandbox::new(Container::new(), &["*.wild.test"]);
        // A set has room for 2,048.
        let names: Vec<String> = (0..34).map(|i| format!("many{i}.wild.test")).collect();
        let told = sandbox.inside(move || {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            [&names[..], &["many33.wild.test", "many0.wild.test"]]
                .concat()
                .into_iter()
                .map(|name| ask_by_tcp(&[name]).remove(0))
                .collect::<Vec<_>>()
        });
        for (at, told) in told.iter().enumerate() {
            let fits = !(32..35).contains(&at);
            let code = if fits { RCODE::NoError } else { RCODE::ServerFailure };
            assert_eq!((told.code, told.addresses.len()), (code, if fits { 64 } else { 0 }), "{at}");
        }
        let pinned = sandbox.elements("names0_ipv4");
        assert_eq!(pinned.matches("93.186.").count(), 2048);
        let lines = sandbox.end();
        let refused: Vec<&String> = lines.iter().filter(|line| line.contains("\"verdict\":\"deny\"")).collect();
        assert_eq!(refused.len(), 3, "{lines:?}");
        for (line, name) in refused.into_iter().zip(["many32.wild.test", "many33.wild.test", "many33.wild.test"]) {
            assert!(line.contains(name) && line.contains("\"why\":\"there is no room for its addresses"), "{line}");
            assert!(line.contains("\"rule\":\"network.allow_domains[0]\""), "{line}");
        }
    });
}

/// What a process has of memory, in KiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn ten_thousand_names_below_a_wildcard_leave_room_for_others() {
    in_a_host("ten_thousand_names_below_a_wildcard_leave_room_for_others", || {
        const MANY: usize = 10_000;
        let asked = outside(internet);
        // Of the second nothing is known about the first: what is spelled out costs nothing.
        let sandbox = Sandbox::new(Container::new(), &["*.wild.test", "good.test"]);
        let first = sandbox.inside(|| ask("www.wild.test", TYPE::A));
        assert_eq!(first.code, RCODE::NoError);
        let before = resident(sandbox.helper.child.id());
        let told =
            sandbox.inside(|| (0..MANY).map(|i| ask(&format!("many{i}.wild.test"), TYPE::A)).collect::<Vec<_>>());
        // They do not fit a datagram, so that it is said to be cut.
        let answered = told.iter().filter(|told| told.code == RCODE::NoError && told.truncated).count();
        let failed = told.iter().filter(|told| told.code == RCODE::ServerFailure && told.addresses.is_empty()).count();
        assert_eq!(answered + failed, MANY);
        // So many at once, and a few in every second since.
        let left = asked.lock().unwrap().iter().filter(|name| name.starts_with("many")).count();
        assert!((1..MANY / 10).contains(&left) && (1..=32).contains(&answered), "{answered} of {left}");
        let pinned = sandbox.elements("names0_ipv4").matches("93.").count();
        assert!((1..=2048).contains(&pinned), "{pinned}");
        let grown = resident(sandbox.helper.child.id()).saturating_sub(before);
        assert!(grown < 16 << 10, "{grown} KiB more");
        // Neither the rule that is spelled out nor what is known is any worse for it.
        let told = sandbox.inside(|| (ask("good.test", TYPE::A), ask("www.wild.test", TYPE::A)));
        assert_eq!(told.0.addresses, addresses(&["93.184.216.34"]));
        assert_eq!(told.1.addresses, addresses(&["93.184.216.35"]));
        let lines = sandbox.end();
        let why = |why: &str| lines.iter().any(|line| line.contains(why));
        assert!(why("too many names in a short time") && why("there is no room for its addresses"), "{lines:?}");
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
