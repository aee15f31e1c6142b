//! ICMP and ICMPv6, in both directions: echo requests by the rules, errors by the connection that they are about.

use super::container::Container;
use super::internet::{Internet, OTHER, WEB};
use super::sandboxes::{USER, World};
use super::support::{requires, run};

const SOCKETS: &str = "  sockets: {allow: [tcp, udp, unix, netlink, icmp]}\n";
/// A port at which nobody is.
const CLOSED: &str = "udp:203.0.113.10:9 udp:[2001:db8:113::10]:9";
const POD: (&str, &str) = ("203.0.113.77", "2001:db8:113::4d");

fn echoes((four, six): (&str, &str)) -> [String; 2] {
    [format!("icmp:{four}"), format!("icmp:[{six}]")]
}

/// Who of `web` and `other` has an answer from the pod.
fn asked(internet: &Internet) -> [Vec<String>; 2] {
    [&internet.web, &internet.other].map(|peer| {
        let flows = echoes(POD).map(|flow| flow.replace("icmp", "raw"));
        let said = run(peer.space.command("python3").arg(internet.probe()).args(flows)).ok();
        said.lines().filter_map(|line| line.split_once(" ok ").map(|(flow, _)| flow.replace("raw", "icmp"))).collect()
    })
}

#[test]
fn echo_requests_go_out_by_the_rules() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv", program "pasta");
    let world = World::new();
    // Pasta's own socket is one that this lets everybody have.
    world.internet.host.shell("echo 0 2147483647 >/proc/sys/net/ipv4/ping_group_range");
    let all = [echoes(WEB), echoes(OTHER)].concat();
    let profile = |name: &str, text: &str| {
        let path = world.internet.scratch.join(format!("{name}.yaml"));
        std::fs::write(&path, format!("name: {name}\nnetwork:\n  mode: private\n{SOCKETS}{text}")).unwrap();
        path.to_string_lossy().into_owned()
    };
    let any = profile("any", "");
    let echo = profile("echo", "  egress: {allow: ['icmp/203.0.113.10', 'icmp/2001:db8:113::10']}\n");
    let ports = profile("ports", "  egress: {allow: ['203.0.113.10:80', '[2001:db8:113::10]:80']}\n");
    for (user, net) in [(0, "bridge"), (USER, "pasta")] {
        let tries = |profile: &str| world.tries(user, &["--net", net, "--profile", profile], &all);
        assert_eq!(tries(&any), all, "{net}");
        assert_eq!(tries(&echo), echoes(WEB), "{net}");
        assert_eq!(tries(&ports), [""; 0], "{net}");
        super::internet::wait_for("the end of pasta", || world.pastas().is_empty());
    }
    world.is_clean();
}

#[test]
fn echo_requests_come_in_by_the_rules() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let internet = Internet::new();
    let pod = internet.member("pod", 77);
    assert_eq!(asked(&internet), [echoes(POD), echoes(POD)]);
    let none: [String; 0] = [];
    let (both, web) = (echoes(POD).to_vec(), none.to_vec());
    for (name, ingress, answered) in [
        ("closed", "  ingress: {deny_all: true}\n", [&web, &web]),
        ("web", "  ingress: {allow: ['icmp/203.0.113.10', 'icmp/2001:db8:113::10']}\n", [&both, &web]),
        ("tcp", "  ingress: {allow: ['tcp/203.0.113.0/24', 'tcp/2001:db8:113::/64']}\n", [&web, &web]),
        ("all", "  ingress: {allow: ['203.0.113.0/24', '2001:db8:113::/64']}\n", [&both, &both]),
    ] {
        let profile = format!("network:\n  allow_cidrs: [203.0.113.10/32, '2001:db8:113::10/128']\n{SOCKETS}{ingress}");
        let container = Container::new(&internet, name).joins(&pod).profile(&profile);
        container.starts();
        assert_eq!(asked(&internet).each_ref(), answered, "{name}");
        // Whoever is let in or not: its own echoes are answered, and what is wrong with what it sends is told.
        let own = echoes(WEB);
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        assert_eq!(container.reaches_by_exec(&own), own, "{name}");
        let script = format!("/usr/bin/python3 /probe.py {CLOSED}");
        let said = run(&mut container.zviz(&["exec", &container.id, "/bin/sh", "-c", &script])).ok();
        assert_eq!(said.matches("ECONNREFUSED").count(), 2, "{name}: {said}");
        container.deletes();
    }
    assert_eq!(asked(&internet), [echoes(POD), echoes(POD)]);
}
