//! What netlink says from inside about rules, routes and links: nothing that changes them.

use super::container::Container;
use super::internet::{Internet, path_of};
use super::sandboxes::{USER, World};
use super::support::{requires, run};

const PROFILE: &str =
    "network:\n  allow_cidrs: [203.0.113.10/32]\n  sockets: {allow: [tcp, udp, unix, netlink, icmp]}\n";

/// Each would widen what is reached, or change who one is.
fn changes() -> Vec<String> {
    let (nft, ip) = (path_of("nft"), path_of("ip"));
    [
        format!("{nft} add table inet own"),
        format!("{nft} flush ruleset"),
        format!("{ip} addr add 203.0.113.99/32 dev eth0"),
        format!("{ip} -6 addr add 2001:db8:113::99/128 dev eth0"),
        format!("{ip} link add own type bridge"),
        format!("{ip} link set eth0 mtu 1400"),
        format!("{ip} link set eth0 address 02:00:00:00:00:99"),
        format!("{ip} neigh replace 203.0.113.20 lladdr 02:00:00:00:00:20 dev eth0"),
        format!("{ip} route add 192.0.2.0/24 dev eth0"),
        format!("{ip} rule add from all lookup 99"),
        "echo 1 >/proc/sys/net/ipv4/ip_forward".to_owned(),
        format!("{ip} link set eth0 down"),
    ]
    .into()
}

/// A script that says `done` or `not` of each.
fn script() -> String {
    let each = changes()
        .into_iter()
        .map(|change| format!("if {{ {change}; }} 2>/dev/null; then echo done; else echo not; fi"));
    each.collect::<Vec<_>>().join("\n")
}

#[test]
fn nothing_is_changed_from_inside() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let internet = Internet::new();
    let script = script();
    let words = ["/bin/sh", "-c", &script];
    let all = |said: &str| vec![said.to_owned(); changes().len()].join("\n");
    // The control: who has the right can do each of them.
    let plain = Container::new(&internet, "plain").hooked("plain", 78).capabilities(&["CAP_NET_ADMIN"]);
    plain.edit(|spec| spec["linux"]["readonlyPaths"] = serde_json::json!([]));
    plain.edit(|spec| spec["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/sys"));
    assert_eq!(plain.runs(&words).ok(), all("done"));
    let held = Container::new(&internet, "held").hooked("held", 79).profile(PROFILE);
    assert_eq!(held.runs(&words).ok(), all("not"));
    let pod = internet.member("pod", 77);
    let held = Container::new(&internet, "pod").joins(&pod).profile(PROFILE);
    held.starts();
    let before = state(&pod);
    let done = run(&mut held.zviz(&["exec", &held.id, "/bin/sh", "-c", &script]));
    assert_eq!(done.ok(), all("not"));
    assert_eq!(state(&pod), before);
    assert_eq!(held.reaches_by_exec(&["tcp:203.0.113.10:80", "tcp:203.0.113.20:80"]), ["tcp:203.0.113.10:80"]);
}

/// What netlink tells of a namespace.
fn state(space: &super::internet::Space) -> String {
    let nft = path_of("nft");
    space.shell(&format!("{nft} -s list ruleset; ip -o addr show; ip -o link show; ip route; ip rule"))
}

#[test]
fn a_namespace_of_users_gives_no_right_over_it() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv", program "pasta");
    let world = World::new();
    let all = vec!["not"; changes().len()].join("\n");
    let script = script();
    let path = world.internet.scratch.join("nested.yaml");
    let rules = "network: {mode: private, allow_cidrs: [203.0.113.10/32]}\n";
    std::fs::write(&path, format!("name: own\nextends: nested\n{rules}")).unwrap();
    let nested = path.to_string_lossy();
    for (user, net) in [(0, "bridge"), (USER, "pasta")] {
        let flags = ["--net", net];
        assert_eq!(run(&mut world.run(user, &flags, &["sh", "-c", &script])).ok(), all, "{net} as {user}");
        // Root of a user namespace of its own, where the profile lets it have one: the network's belongs to another.
        let flags = ["--net", net, "--profile", &nested];
        let inner = ["unshare", "--user", "--map-root-user", "sh", "-c", &script];
        assert_eq!(run(&mut world.run(user, &flags, &inner)).ok(), all, "{net} as {user}");
        // And with a network of its own it has a right over that one, which leads nowhere.
        let own = "ip link set lo up && ip link add own type bridge && ip link show own >/dev/null && echo own; \
                   PATIENCE=1 /usr/bin/python3 /probe.py tcp:203.0.113.10:80 tcp:203.0.113.20:80";
        let inner = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", own];
        let said = run(&mut world.run(user, &flags, &inner)).ok();
        assert!(said.contains("own") && !said.contains(" ok "), "{net} as {user}: {said}");
        super::internet::wait_for("the end of pasta", || world.pastas().is_empty());
    }
    world.is_clean();
}
