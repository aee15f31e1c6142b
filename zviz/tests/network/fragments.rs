//! Packets in pieces: put together before any rule is asked, so that no piece goes where the whole would not.

use super::container::Container;
use super::internet::{Internet, OTHER, WEB, wait_for};
use super::sandboxes::{USER, World};
use super::support::{requires, run};

const CRAFTED: &str = include_str!("crafted.py");
const PROFILE: &str = "network: {mode: private, allow_cidrs: [203.0.113.10/32, '2001:db8:113::10/128']}\n";
const PORTS: &str = "allow_cidrs: ['203.0.113.10/32:443', '[2001:db8:113::10/128]:443']";

/// Datagrams of more bytes than a link takes at a time, and back.
fn large((four, six): (&str, &str)) -> [String; 2] {
    [format!("big:{four}:7777"), format!("big:[{six}]:7777")]
}

#[test]
fn large_datagrams_go_where_small_ones_do() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv", program "pasta");
    let world = World::new();
    let profile = world.internet.scratch.join("large.yaml");
    std::fs::write(&profile, format!("name: large\n{PROFILE}")).unwrap();
    let all = [large(WEB), large(OTHER)].concat();
    for (user, net) in [(0, "bridge"), (0, "pasta"), (USER, "private")] {
        // The control.
        assert_eq!(world.tries(user, &["--net", net], &all), all, "{net} as {user}");
        let before = world.internet.other.seen().len();
        let held = world.tries(user, &["--net", net, "--profile", &profile.to_string_lossy()], &all);
        assert_eq!(held, large(WEB), "{net} as {user}");
        assert_eq!(world.internet.other.seen().len(), before, "{net} as {user}");
        wait_for("the end of pasta", || world.pastas().is_empty());
    }
    world.is_clean();
}

/// No workload under rules has a raw socket; the rules hold whoever has one in their namespace.
#[test]
fn pieces_of_a_packet_get_nowhere_by_themselves() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let internet = Internet::new();
    let pod = internet.member("pod", 77);
    // A first piece that has the ports and nothing else, and pieces that ask not to be put together.
    let sends = |port: u16| {
        for peer in [WEB, OTHER] {
            let pieces = [format!("tiny:{}:{port}", peer.0), format!("tiny:[{}]:{port}", peer.1)];
            let said = run(pod.command("python3").args(["-c", CRAFTED]).args(pieces));
            assert_eq!(said.code, 0, "{said}");
            let kept = format!("kept:{}:{port}", peer.0);
            assert_eq!(run(pod.command("python3").args(["-c", CRAFTED, &kept])).code, 0);
        }
    };
    let reached = |port: u16| {
        let of = format!("udp {port} ");
        [&internet.web, &internet.other].map(|peer| peer.seen().iter().filter(|line| line.starts_with(&of)).count())
    };
    sends(7777);
    wait_for("six datagrams", || reached(7777) == [3, 3]);
    // Connection tracking puts them together. Without it a piece has no port, and no rule about ports lets it by.
    for (id, limits) in [("counted", ", connections_max: 99"), ("held", "")] {
        let held = Container::new(&internet, id).joins(&pod).profile(&format!("network: {{{PORTS}{limits}}}\n"));
        held.starts();
        [7777, 80, 443].into_iter().for_each(sends);
        // What is put together and is for a port that is listed. All of it was sent before.
        wait_for("two datagrams", || reached(443)[0] == 2);
        assert_eq!((reached(7777), reached(80), reached(443)), ([3, 3], [0, 0], [2, 0]), "{:?}", internet.web.seen());
        held.deletes();
    }
    sends(80);
    wait_for("all of them", || reached(80) == [3, 3]);
}
