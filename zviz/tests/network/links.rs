//! Sandboxes at the bridge: what they reach, and who reaches them.

use super::internet::{HOST, METADATA, OTHER, PRIVATE, WEB, path_of};
use super::sandboxes::{HOSTS, PORT, USER, World, flows};
use super::support::{requires, run};

const BRIDGE: &[&str] = &["--net", "bridge"];
const GATEWAY: (&str, &str) = ("10.213.0.1", "fd7a:7669:7a00::1");

#[test]
fn the_internet_is_reached_and_nothing_near() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let world = World::new();
    let mut first = world.shell(0, &["--net", "bridge", "-p", "8080:8000", "-p", "8080:8000/udp"]);
    first.serves("first");
    let (four, six) = first.addresses();
    assert!(four.starts_with("10.213.") && six.starts_with("fd7a:7669:7a00::"), "{four} {six}");
    let near = [
        flows(&[&four, &six], PORT),
        flows(&[GATEWAY.0, GATEWAY.1, HOST.0, HOST.1, "127.0.0.1", "::1"], HOSTS),
        flows(&[METADATA.0, METADATA.1, PRIVATE.0, PRIVATE.1], 80),
    ]
    .concat();
    let far = flows(&[WEB.0, WEB.1, OTHER.0, OTHER.1], 80);
    let all = [near, far.clone()].concat();
    let second = world.tries(0, BRIDGE, &all);
    assert_eq!(second, far);
    // The controls: all that was not reached answers.
    assert_eq!(world.tries_from(&world.internet.host, &flows(&["127.0.0.1", "::1", HOST.0, HOST.1], HOSTS)).len(), 8);
    assert_eq!(
        world.tries_from(&world.internet.host, &flows(&[METADATA.0, METADATA.1, PRIVATE.0, PRIVATE.1], 80)).len(),
        8
    );
    let published = flows(&[HOST.0, HOST.1], 8080);
    assert_eq!(world.tries_from(&world.internet.web.space, &published), published);
    // As who they were seen.
    assert!(world.internet.web.seen().iter().all(|line| [HOST.0, HOST.1].iter().any(|host| line.ends_with(host))));
    first.ends();
    world.is_clean();
}

#[test]
fn only_published_ports_are_reached() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let world = World::new();
    let host = &world.internet.host;
    let mut open = world.shell(0, &["--net", "private", "-p", "8080:8000", "-p", "127.0.0.1:8081:8000/tcp"]);
    open.serves("open");
    let (four, six) = open.addresses();
    let web = &world.internet.web.space;
    web.shell(&format!("ip route add {four} via 203.0.113.1; ip -6 route add {six} via 2001:db8:113::1"));
    world.internet.core.shell(&format!("ip route add {four} via {}; ip -6 route add {six} via {}", HOST.0, HOST.1));
    let tcp = |address: &str, port: u16| flows(&[address], port).into_iter().next().unwrap();
    let tried = [tcp(HOST.0, 8080), tcp(HOST.1, 8080), tcp(HOST.0, 8081), tcp(&four, PORT), tcp(&six, PORT)];
    assert_eq!(world.tries_from(web, &tried), tried[..2], "from the internet");
    let tried = [tcp("127.0.0.1", 8080), tcp("127.0.0.1", 8081), tcp(HOST.0, 8080), tcp(HOST.0, 8081)];
    assert_eq!(world.tries_from(host, &tried), tried[..3], "from the host");
    // Taken, by another sandbox and by a program.
    let refused = |flags: &[&str], words: &str| {
        let done = run(&mut world.run(0, flags, &["true"]));
        assert!(done.code == 125 && done.err.contains(words), "{flags:?}: {done}");
    };
    refused(&["--net", "bridge", "-p", "8080:80"], "-p 8080:80/tcp: port 8080 of this host is in use");
    refused(&["--net", "pasta", "-p", "8080:80"], "-p 8080:80/tcp: port 8080 of this host is in use");
    refused(&["--net", "bridge", "-p", &format!("{HOSTS}:80")], "is in use by python3");
    refused(&["--net", "bridge", "-p", "[::1]:8082:80"], "what is for ::1 does not leave the host's loopback device");
    refused(&["-p", "1:1"], "--net private gives it one");
    refused(&["--net", "host", "-p", "1:1"], "leave -p out");
    let done = run(&mut world.run(USER, BRIDGE, &["true"]));
    assert!(done.code == 125 && done.err.contains("--net pasta does without"), "{done}");
    open.ends();
    world.is_clean();
    // Free again.
    world.run(0, &["--net", "bridge", "-p", "8080:80"], &["true"]).status().unwrap();
}

#[test]
fn the_host_forgets_whom_an_address_was_of() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let world = World::new();
    let known = || world.internet.host.ip("neighbour show dev zviz0 nud permanent");
    for flags in [&["--net", "bridge"][..], &["--net", "bridge", "-p", "8080:80"]] {
        let mut shell = world.shell(0, flags);
        let (four, six) = shell.addresses();
        let said = known();
        assert!(said.contains(&format!("{four} ")) && said.contains(&format!("{six} ")), "{said}");
        shell.ends();
        assert_eq!(known(), "", "{flags:?}");
    }
    world.is_clean();
}

#[test]
fn its_files_are_its_own_and_its_packets_as_large_as_the_hosts() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let world = World::new();
    world.internet.host.ip("link set up0 mtu 1380");
    let read = "cat /etc/resolv.conf /etc/hosts /etc/hostname; hostname; cat /sys/class/net/eth0/mtu";
    let mut shell = world.shell(0, &["--net", "bridge", "--hostname", "web.example"]);
    let (four, six) = shell.addresses();
    let said = shell.does(read.rsplit_once(';').unwrap().0);
    let local = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
    let own = format!("{four}\tweb.example web\n{six}\tweb.example web\n");
    assert_eq!(said, format!("nameserver 203.0.113.53\n{local}{own}web.example\nweb.example\n"));
    assert!(shell.does("ip link show eth0").contains("mtu 1380"));
    // A port below 1024, and a name of its own that leads to itself.
    assert_eq!(
        shell.does("/usr/bin/python3 -c 'import socket; socket.create_server((\"web.example\", 80)); print(1)'"),
        "1\n"
    );
    shell.ends();
    // Those of the host stay.
    let before = std::fs::read("/etc/hosts").unwrap();
    let none = run(&mut world.run(0, &["--net", "none", "--hostname", "web"], &["cat", "/etc/hosts"])).ok();
    assert_eq!(none.trim(), String::from_utf8_lossy(&before).trim());
    world.is_clean();
}

/// What is for the sandbox would go there: answers, to somebody who has not asked.
#[test]
fn a_network_of_others_with_its_addresses_is_told_of() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let world = World::new();
    let (host, web) = (&world.internet.host, flows(&[WEB.0], 80));
    for half in ["10.213.0.0/17", "10.213.128.0/17"] {
        host.ip(&format!("route add {half} via 198.51.100.1"));
    }
    let done = run(&mut world.run(0, &["--net", "bridge"], &["true"]));
    let why =
        "is somewhere else for this host: a route of 17 bits leads there by up0, and sandboxes have 10.213.0.1/16";
    assert!(done.code == 125 && done.err.contains(why), "{done}");
    world.is_clean();
    // A wider one leaves them alone, and so does a narrow one of other addresses.
    for half in ["10.213.0.0/17", "10.213.128.0/17"] {
        host.ip(&format!("route del {half}"));
    }
    for other in ["10.0.0.0/8", "10.214.0.0/24"] {
        host.ip(&format!("route add {other} via 198.51.100.1"));
    }
    assert_eq!(world.tries(0, &["--net", "bridge"], &web), web);
    world.is_clean();
}

#[test]
fn a_firewall_that_drops_is_told_of() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let world = World::new();
    let nft = path_of("nft");
    let told = |world: &World| run(&mut world.zviz(0, &["doctor"])).out;
    assert!(!told(&world).contains("drops what is forwarded"));
    let chain = "add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }";
    world.internet.host.shell(&format!("{nft} add table ip filter; {nft} '{chain}'"));
    let said = told(&world);
    assert!(said.contains("filter/FORWARD drops what is forwarded") && said.contains("DOCKER-USER"), "{said}");
    assert_eq!(world.tries(0, BRIDGE, &[format!("tcp:{}:80", WEB.0)]), [""; 0]);
}
