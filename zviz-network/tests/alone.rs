//! What a container says to itself fills no table of the kernel's, and opens nothing. As root, in namespaces of its own.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod policies;
mod space;

use policies::network;
use space::{Far, apart, load, run};
use zviz_network::policy::{Policy, Rule, Verdict};
use zviz_network::rules::{inside, untracked};

/// How many conversations are begun.
const MANY: u32 = 10_000;
/// As many as something else could have, in a namespace with nobody else in it.
const FEW: u32 = 60;
/// What is let be of questions for names by UDP: what the rules say.
const NAMES: u32 = 16_384;

/// How many conversations the kernel keeps for this namespace.
fn kept() -> u32 {
    std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count").unwrap().trim().parse().unwrap()
}

/// How many more are kept after these have begun.
fn more(how: &str, many: u32) -> u32 {
    let before = kept();
    run(&format!("python3 {}/tests/flood.py {how} {many}", env!("CARGO_MANIFEST_DIR")));
    kept().saturating_sub(before)
}

/// Everything goes but what is guarded, and names are answered here.
fn open() -> Policy {
    Policy { resolver: true, ..Policy::new(Verdict::Accept) }
}

#[test]
fn what_is_said_at_lo_is_not_kept() {
    apart("what_is_said_at_lo_is_not_kept", || {
        let _far = Far::new(None);
        load(&inside(&[open()], "zviz-test"));
        let strange = ["strange", "strange-ipv6"];
        let own = ["loopback", "own", "own-ipv6", "loopback-ipv6", "odd", "tcp", "echoes"];
        for how in own.into_iter().chain(strange) {
            let more = more(how, MANY);
            assert!(more <= FEW, "{how}: {more}\n{}", run("nft list ruleset"));
        }
        // The control: without that chain and what bounds the rest, all are but those from strange addresses, which begin nothing.
        run("nft delete chain inet zviz-test alone");
        run("nft flush chain inet zviz-test output-names");
        for how in own {
            let more = more(how, MANY);
            assert!(more >= MANY / 2, "{how}: {more}");
        }
        for how in strange {
            let more = more(how, MANY);
            assert!(more <= FEW, "{how}: {more}");
        }
        // And without any rule but one that has connections tracked.
        run("nft flush chain inet zviz-test output");
        run("nft add rule inet zviz-test output ct state new accept");
        for how in strange {
            let more = more(how, MANY);
            assert!(more >= MANY / 2, "{how}: {more}");
        }
    });
}

#[test]
fn questions_for_names_are_kept_to_a_bound() {
    apart("questions_for_names_are_kept_to_a_bound", || {
        let _far = Far::new(None);
        // A second policy counts no question twice.
        load(&inside(&[open(), Policy::new(Verdict::Accept)], "zviz-test"));
        let tcp = more("names-tcp", MANY);
        assert!(tcp < MANY / 2, "{tcp}");
        let mut all = 0;
        for how in ["names", "names-outside", "names-ipv6"] {
            all += more(how, MANY);
            assert!(all <= NAMES + FEW, "{how}: {all}");
        }
        assert!(all >= NAMES / 2, "so many are let be: {all}");
        // The control.
        run("nft flush chain inet zviz-test output-names");
        for how in ["names-tcp", "names", "names-outside", "names-ipv6"] {
            // Those of before are known already.
            let more = more(how, 2 * MANY);
            assert!(more >= MANY, "{how}: {more}");
        }
    });
}

/// Datagrams that have come to the other end, those that nobody may send and those that are allowed.
fn seen(far: &Far) -> (u32, u32) {
    let listed = run(&far.there("nft list table inet seen"));
    let packets =
        |line: &str| -> u32 { line.split(' ').skip_while(|word| *word != "packets").nth(1).unwrap().parse().unwrap() };
    let (allowed, others): (Vec<&str>, Vec<&str>) =
        listed.lines().filter(|line| line.contains("counter")).partition(|line| line.contains("8888"));
    (others.into_iter().map(packets).sum(), allowed.into_iter().map(packets).sum())
}

#[test]
fn what_is_not_kept_opens_nothing() {
    apart("what_is_not_kept_opens_nothing", || {
        let far = Far::new(None);
        for address in ["192.0.2.9", "192.0.2.5", "2001:db8::9", "2001:db8::5"] {
            let flags = if address.contains(':') { " nodad" } else { "" };
            run(&far.there(&format!("ip addr add {address} dev far0{flags}")));
        }
        run(&far.there("nft add table inet seen"));
        run(&far.there("nft add chain inet seen in {type filter hook prerouting priority -500;}"));
        // Fragments have no port.
        for rule in
            ["ip frag-off & 0x3fff != 0 ip daddr 192.0.2.9 counter", "udp dport 7777 counter", "udp dport 8888 counter"]
        {
            run(&far.there(&format!("nft add rule inet seen in {rule}")));
        }
        let networks = ["192.0.2.5/32", "2001:db8::5/128"].map(network).into();
        let key = "network.egress.allow[0]".to_owned();
        let rule = Rule { key, verdict: Verdict::Accept, networks, protocol: None, ports: Vec::new() };
        let policy = Policy { egress: vec![rule], ..Policy::new(Verdict::Refuse) };
        let free = Policy { raw: false, ..policy.clone() };
        let attack = || run(&format!("python3 {}/tests/strange.py", env!("CARGO_MANIFEST_DIR")));
        load(&inside(&[policy], "zviz-test"));
        assert_eq!(attack(), "10.213.4.2\n127.0.0.1\nfd00::2\n");
        let (others, allowed) = seen(&far);
        assert_eq!((others, allowed), (0, 2), "{}", run(&far.there("nft list ruleset")));
        // The same without connection tracking, where who makes such packets has no place: it goes by addresses alone.
        load(&untracked(&[free], "zviz-test").unwrap());
        assert_eq!(attack(), "10.213.4.2\n127.0.0.1\nfd00::2\n");
        let (others, allowed) = seen(&far);
        assert_eq!((others, allowed), (0, 4), "{}", run(&far.there("nft list ruleset")));
        // The control: it could have got there.
        run("nft flush ruleset");
        let said = attack();
        for stranger in ["192.0.2.9", "2001:db8::9"] {
            assert!(said.contains(stranger), "{said}");
        }
        assert!(seen(&far).0 > 4, "{}", run(&far.there("nft list ruleset")));
    });
}
