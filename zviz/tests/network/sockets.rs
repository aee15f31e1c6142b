//! Kinds of sockets that lead past rules for packets, or nearly do.

use super::container::Container;
use super::internet::{Held, Internet, METADATA, OTHER, WEB, wait_for};
use super::sandboxes::{USER, World};
use super::support::{requires, run, skip};

const CRAFTED: &str = include_str!("crafted.py");
/// As much as a profile can give.
const RAW: &str = "capabilities: {keep: [CAP_NET_RAW]}\nsyscalls: {allow: [socket]}\n\
    network: {allow_cidrs: [203.0.113.10/32, '2001:db8:113::10/128']}\n";

/// A listener of an abstract name, which says a byte to whoever connects.
const LISTENER: &str = "import socket, sys\n\
    s = socket.socket(socket.AF_UNIX)\n\
    s.bind('\\0' + sys.argv[1])\n\
    s.listen()\n\
    open(sys.argv[2], 'w').write('ready')\n\
    while True: s.accept()[0].send(b'x')\n";

fn crafted<'a>(attempts: &[&'a str]) -> Vec<&'a str> {
    [&["/usr/bin/python3", "-c", CRAFTED], attempts].concat()
}

#[test]
fn raw_sockets_are_not_to_be_had_beside_rules() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let internet = Internet::new();
    let pod = internet.member("pod", 77);
    let raw = |(four, six): (&str, &str)| [format!("raw:{four}"), format!("raw:[{six}]")];
    let all = [raw(WEB), raw(OTHER), raw(METADATA)].concat();
    let words: Vec<&str> = all.iter().map(String::as_str).collect();
    let named = |name: &str| Container::new(&internet, name).joins(&pod);
    assert_eq!(named("plain").capabilities(&["CAP_NET_RAW"]).reaches(&words), all);
    assert_eq!(named("none").reaches(&words), [""; 0], "without the right");
    let held = named("held").capabilities(&["CAP_NET_RAW"]).profile(RAW);
    assert_eq!(held.reaches(&words), [""; 0]);
    // Whoever has one nevertheless is held to the rules like everybody.
    held.starts();
    assert_eq!(super::topology::through(pod.command("python3").arg(internet.probe()), &all), raw(WEB));
    held.deletes();
    assert_eq!(super::topology::through(pod.command("python3").arg(internet.probe()), &all), all);
}

#[test]
fn packet_sockets_are_not_to_be_had_beside_rules() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let internet = Internet::new();
    let pod = internet.member("pod", 77);
    let frames = [format!("frame:{}:7777", OTHER.0), format!("frame:[{}]:7777", OTHER.1)];
    let frames: Vec<&str> = frames.iter().map(String::as_str).collect();
    let named = |name: &str| Container::new(&internet, name).joins(&pod).capabilities(&["CAP_NET_RAW"]);
    let reached = || internet.other.seen().iter().filter(|line| line.starts_with("udp 7777")).count();
    let said = named("plain").runs(&crafted(&frames)).ok();
    assert_eq!(said.matches(" ok").count(), 2, "{said}");
    wait_for("two frames", || reached() == 2);
    let held = named("held").profile(RAW);
    let said = held.runs(&crafted(&frames)).ok();
    assert_eq!(said.matches(" E").count(), 2, "{said}");
    assert_eq!(reached(), 2);
    // Rings make sockets of any kind, which the filter does not see: not together with the right.
    let done = named("rings").profile(&RAW.replace("[socket]", "[io_uring_setup]")).runs(&["/usr/bin/true"]);
    assert!(done.code != 0 && done.err.contains("CAP_NET_RAW with packet sockets sends what no rule"), "{done}");
}

#[test]
fn machines_are_not_spoken_to() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv", program "pasta");
    let world = World::new();
    let control = run(world.internet.host.command("python3").args(["-c", CRAFTED, "vsock"])).ok();
    if control != "vsock ok" {
        skip("machines_are_not_spoken_to", &format!("this kernel has no AF_VSOCK: {control}"));
        return;
    }
    for (user, net) in [(0, "none"), (0, "bridge"), (USER, "none"), (USER, "pasta")] {
        let said = run(&mut world.run(user, &["--net", net], &crafted(&["vsock"]))).ok();
        assert!(said.starts_with("vsock E"), "{net} as {user}: {said}");
    }
    let pod = world.internet.member("pod", 77);
    for (name, profile) in [("plain", None), ("held", Some("network: {allow_cidrs: [203.0.113.10/32]}\n"))] {
        let container = Container::new(&world.internet, name).joins(&pod);
        let container = profile.into_iter().fold(container, Container::profile);
        let said = container.runs(&crafted(&["vsock"])).ok();
        assert_eq!(said == "vsock ok", profile.is_none(), "{name}: {said}");
    }
}

#[test]
fn abstract_sockets_of_the_host_are_not_reached() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv", program "pasta");
    let world = World::new();
    let (name, ready) = (world.internet.scratch.name().to_owned(), world.internet.scratch.join("abstract"));
    let mut listener = world.internet.host.command("python3");
    listener.args(["-c", LISTENER, &name]).arg(&ready);
    let _listener = Held::start(&mut listener);
    wait_for("a listener", || ready.exists());
    let attempt = format!("abstract:{name}");
    let reached = format!("{attempt} ok");
    // Whoever is in the host's network namespace gets there, whatever his user and his files are.
    for user in [0, USER] {
        assert_eq!(run(world.command(user, "/usr/bin/python3").args(["-c", CRAFTED, &attempt])).ok(), reached);
        let nets: &[&str] = if user == 0 { &["none", "host", "bridge", "pasta"] } else { &["none", "host", "pasta"] };
        for net in nets {
            let said = run(&mut world.run(user, &["--net", net], &crafted(&[&attempt]))).ok();
            assert!(said.starts_with(&format!("{attempt} E")), "{net} as {user}: {said}");
        }
    }
}
