//! What a workload tries that knows how it is held.

use super::internet::{DNS, HOST, METADATA, OTHER, WEB, path_of, wait_for};
use super::sandboxes::{USER, World, flows};
use super::support::{requires, run, skip};

/// Sends datagrams under addresses that are not its own: `SOURCE DESTINATION PORT` each.
const UNDER: &str = "import socket, sys\n\
    words = sys.argv[1:]\n\
    for source, to, port in zip(words[::3], words[1::3], words[2::3]):\n\
    \x20   with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:\n\
    \x20       s.setsockopt(socket.IPPROTO_IPV6, 78, 1)\n\
    \x20       try:\n\
    \x20           s.bind((source, 9999))\n\
    \x20           s.sendto(b'x', (to, int(port)))\n\
    \x20       except OSError as error: print(source, error)\n";

/// Its answer would be somebody else's, to whom it would look like one to a question of theirs.
#[test]
fn nobody_speaks_under_another_address() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let world = World::new();
    let web = &world.internet.web;
    // The control: IPV6_FREEBIND is for everybody.
    let stranger = "2001:db8:113::99";
    let words = ["-c", UNDER, stranger, WEB.1, "443"];
    run(world.internet.other.space.command("python3").args(words)).ok();
    wait_for("a datagram", || web.seen().contains(&format!("udp 443 {stranger}")));
    let mut shell = world.shell(0, &["--net", "bridge"]);
    let (_, own) = shell.addresses();
    let sources = ["fd7a:7669:7a00::1", "fd7a:7669:7a00::ad5:102", HOST.1, stranger];
    let sent = sources.iter().map(|source| format!("{source} {} 7777", WEB.1)).collect::<Vec<_>>().join(" ");
    shell.does(&format!("/usr/bin/python3 -c \"{UNDER}\" {sent} {own} {} 80", WEB.1));
    wait_for("its own", || web.was_reached("udp", 80));
    assert!(!web.was_reached("udp", 7777), "{:?}", web.seen());
    shell.ends();
    world.is_clean();
}

/// Sends itself a datagram under a stranger's address, and answers: OWN STRANGER PORT.
const ANSWERS: &str = "import socket, sys\n\
    own, stranger, port = sys.argv[1:]\n\
    here, there = (socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in range(2))\n\
    here.bind((own, 5555))\n\
    here.settimeout(1)\n\
    there.setsockopt(socket.IPPROTO_IPV6, 78, 1)\n\
    there.bind((stranger, int(port)))\n\
    try:\n\
    \x20   there.sendto(b'x', (own, 5555))\n\
    \x20   here.sendto(b'secret', here.recvfrom(9)[1])\n\
    except OSError as error: print(error)\n";

/// The answer would be part of a conversation, which nobody has judged since it began at `lo`.
#[test]
fn nobody_is_answered_who_has_not_asked() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let world = World::new();
    let (web, other) = (&world.internet.web, &world.internet.other);
    // The control: without rules the answer goes to whom it seems to have come from.
    run(world.internet.dns.command("python3").args(["-c", ANSWERS, DNS.1, WEB.1, "443"])).ok();
    wait_for("an answer", || web.seen().contains(&format!("udp 443 {}", DNS.1)));
    let profile = world.internet.scratch.join("other.yaml");
    let yaml = format!("name: other\nnetwork: {{mode: private, egress: {{allow: ['{}']}}}}\n", OTHER.1);
    std::fs::write(&profile, yaml).unwrap();
    let mut shell = world.shell(0, &["--net", "bridge", "--profile", &profile.to_string_lossy()]);
    let (_, own) = shell.addresses();
    for stranger in [WEB.1, METADATA.1] {
        shell.does(&format!("/usr/bin/python3 -c \"{ANSWERS}\" {own} {stranger} 7777"));
    }
    // Nor does it keep anybody from asking himself.
    let said = shell.does(&format!("/usr/bin/python3 -c \"{ANSWERS}\" {own} {own} 7777"));
    assert_eq!(said, "");
    shell.does(&format!("/usr/bin/python3 -c \"{UNDER}\" {own} {} 80", OTHER.1));
    wait_for("what is allowed", || other.was_reached("udp", 80));
    assert!(!web.was_reached("udp", 7777), "{:?}", web.seen());
    let core = std::fs::read_to_string(&world.internet.core_log).unwrap();
    assert!(!core.contains("udp 7777"), "{core}");
    shell.ends();
    world.is_clean();
}

/// Sends a datagram by way of another host, in each way that takes no right: FIRST LAST PORT of IPv6, and then of IPv4.
const BY_WAY_OF: &str = "import socket, struct, sys\n\
    first, last, port, first4, last4, _ = sys.argv[1:]\n\
    a, b = (socket.inet_pton(socket.AF_INET6, one) for one in (first, last))\n\
    segments = bytes([0, 4, 4, 1, 1, 0, 0, 0]) + b + a\n\
    mobile = bytes([0, 2, 2, 1, 0, 0, 0, 0]) + a\n\
    packed = struct.pack('@Qii', 40, 41, 57) + mobile\n\
    label = socket.inet_pton(socket.AF_INET6, last) + struct.pack('!I', 0x12345) + struct.pack('@BBHHHI', 0, 1, 1, 9, 6, 0)\n\
    route = bytes([1, 131, 7, 4]) + socket.inet_aton(first4)\n\
    ways = [(41, option, header) for option in (57, 5) for header in (segments, mobile)]\n\
    for level, option, value in ways + [(41, 6, packed), (41, 32, label), (0, 4, route)]:\n\
    \x20   family, to = (socket.AF_INET, last4) if level == 0 else (socket.AF_INET6, last)\n\
    \x20   with socket.socket(family, socket.SOCK_DGRAM) as s:\n\
    \x20       try:\n\
    \x20           s.setsockopt(level, option, value)\n\
    \x20           s.connect((to, int(port)))\n\
    \x20           s.send(b'secret')\n\
    \x20           print(option, 'sent')\n\
    \x20       except OSError as error: print(option, error.errno)\n";

/// The first host of such a way gets the packet, whomever the socket is connected to.
#[test]
fn nobody_sends_by_way_of_whom_it_may_not_reach() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let world = World::new();
    let other = &world.internet.other.space;
    other.shell(&format!(
        "{nft} add table inet seen; {nft} add chain inet seen in '{{ type filter hook prerouting priority -400; }}'; \
         {nft} add rule inet seen in 'ip6 saddr {} meta l4proto udp counter'; \
         {nft} add rule inet seen in 'ip saddr {} meta l4proto udp counter'",
        HOST.1,
        HOST.0,
        nft = path_of("nft"),
    ));
    let seen = || other.shell(&format!("{} list table inet seen", path_of("nft"))).matches("packets 0 ").count() < 2;
    let profile = world.internet.scratch.join("web.yaml");
    let yaml = format!("name: web\nnetwork: {{mode: allow-cidr, allow_cidrs: [{}, '{}']}}\n", WEB.0, WEB.1);
    std::fs::write(&profile, yaml).unwrap();
    let words = ["-c", BY_WAY_OF, OTHER.1, WEB.1, "443", OTHER.0, WEB.0, "443"];
    let python = [&["/usr/bin/python3"], &words[..]].concat();
    for user in [0, USER] {
        let said = run(&mut world.run(user, &["--profile", &profile.to_string_lossy()], &python)).ok();
        let refused: Vec<String> = [57, 57, 5, 5, 6, 32, 4].iter().map(|option| format!("{option} 1")).collect();
        assert_eq!(said.lines().collect::<Vec<_>>(), refused, "as {user}");
        assert!(!seen());
    }
    let said = run(world.command(USER, "/usr/bin/python3").args(words)).ok();
    if !said.contains("57 sent") {
        skip("nobody_sends_by_way_of_whom_it_may_not_reach", &format!("this kernel takes no way from anybody: {said}"));
        return;
    }
    wait_for("a datagram by another way", seen);
}

#[test]
fn who_is_beside_the_host_by_ipv6_is_not_reached_unless_named() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv", program "pasta");
    let world = World::new();
    let near = flows(&["2001:db8:51::1"], 80);
    assert_eq!(world.tries_from(&world.internet.host, &near), near);
    assert_eq!(world.tries(0, &["--net", "bridge"], &near), [""; 0]);
    assert_eq!(world.tries(USER, &["--net", "pasta"], &near), [""; 0]);
    let profile = world.internet.scratch.join("near.yaml");
    let yaml = "name: near\nnetwork: {mode: private, egress: {allow: ['2001:db8:51::1']}}\n";
    std::fs::write(&profile, yaml).unwrap();
    assert_eq!(world.tries(0, &["--net", "bridge", "--profile", &profile.to_string_lossy()], &near), near);
    world.is_clean();
}
