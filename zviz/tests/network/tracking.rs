//! Connections are tracked for who needs that, and for nobody else; what is let through is the same.

use super::container::Container;
use super::internet::{Internet, OTHER, Space, WEB};
use super::support::{requires, run};

const LIST: &str =
    "allow_cidrs: [203.0.113.10/32, '2001:db8:113::10/128'], sockets: {allow: [tcp, udp, unix, netlink, icmp]}";
const KEPT: &str = "capabilities: {keep: [CAP_NET_RAW, CAP_NET_BIND_SERVICE]}\n";

fn flows() -> Vec<String> {
    let of = |(four, six): (&str, &str)| {
        let places = ["tcp", "udp"].map(|kind| [format!("{kind}:{four}:80"), format!("{kind}:[{six}]:80")]).concat();
        [places, vec![format!("icmp:{four}"), format!("icmp:[{six}]")]].concat()
    };
    [of(WEB), of(OTHER)].concat()
}

/// Whether rules of this namespace ask for connections, and how many are kept there.
fn tracked(space: &Space) -> (bool, u32) {
    let rules = run(space.command("nft").args(["list", "ruleset"])).ok();
    assert!(rules.contains("network.allow_cidrs[0]"), "{rules}");
    let kept = space.shell("cat /proc/sys/net/netfilter/nf_conntrack_count").trim().parse().unwrap();
    (rules.contains("ct state"), kept)
}

#[test]
fn only_who_needs_it_has_connections_tracked() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let internet = Internet::new();
    let pod = internet.member("pod", 77);
    let flows = flows();
    let flows: Vec<&str> = flows.iter().map(String::as_str).collect();
    let (web, _) = flows.split_at(flows.len() / 2);
    let none = [].as_slice();
    for (name, more, rights, theirs, is_tracked) in [
        ("plain", "", none, false, false),
        ("limit", ", connections_max: 99", none, false, true),
        ("rate", ", connections_rate: 99", none, false, true),
        ("name", ", allow_domains: [a.example]", none, false, true),
        ("log", ", log: all", none, false, true),
        ("ingress", ", ingress: {deny_all: true}", none, false, true),
        ("raw", "", ["CAP_NET_RAW"].as_slice(), false, true),
        ("others", "", none, true, true),
        ("again", "", none, false, false),
    ] {
        if theirs {
            run(pod.command("nft").args(["add", "table", "ip", "engine"])).ok();
        }
        let profile = format!("network: {{{LIST}{more}}}\n{KEPT}");
        let container = Container::new(&internet, name).joins(&pod).capabilities(rights).profile(&profile);
        container.starts();
        assert_eq!(container.reaches_by_exec(&flows), web, "{name}");
        let (asks, kept) = tracked(&pod);
        assert_eq!(asks, is_tracked, "{name}");
        // Those of before stay for a while.
        assert!(if name == "plain" { kept == 0 } else { kept > 0 }, "{name}: {kept}");
        // Who comes later with a right that the rules do not reckon with is refused, and with no other.
        let added = |right| run(&mut container.zviz(&["exec", "--cap", right, &container.id, "/usr/bin/true"]));
        added("CAP_NET_BIND_SERVICE").ok();
        let done = added("CAP_NET_RAW");
        match is_tracked && !theirs {
            true => drop(done.ok()),
            // That others were there is not known any more.
            false => assert!(done.code != 0 && done.err.contains("exec: CAP_NET_RAW was no right"), "{name}: {done}"),
        }
        container.deletes();
        if theirs {
            run(pod.command("nft").args(["delete", "table", "ip", "engine"])).ok();
        }
    }
    // Of the second one all are tracked, and the first one's go on.
    let profile = format!("network: {{{LIST}}}\n");
    let first = Container::new(&internet, "first").joins(&pod).profile(&profile);
    first.starts();
    assert!(!tracked(&pod).0);
    let second = Container::new(&internet, "second").joins(&pod).profile(&profile);
    second.starts();
    assert!(tracked(&pod).0);
    for container in [&first, &second] {
        assert_eq!(container.reaches_by_exec(&flows), web);
    }
}
