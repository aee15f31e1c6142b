//! Network namespaces that others have made and are in.

use super::container::Container;
use super::internet::{DNS, Held, Internet, Space, path_of, wait_for};
use super::support::{requires, run};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::time::Duration;

/// Answers every question for an address with 203.0.113.10.
const NAMES: &str = "import socket, struct\n\
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
    s.bind(('0.0.0.0', 53))\n\
    while True:\n\
    \x20   q, who = s.recvfrom(4096)\n\
    \x20   end = q.index(0, 12) + 5\n\
    \x20   kind = struct.unpack('!H', q[end - 4:end - 2])[0]\n\
    \x20   a = bytes.fromhex('c00c000100010000012c0004') + bytes([203, 0, 113, 10]) if kind == 1 else b''\n\
    \x20   s.sendto(q[:2] + b'\\x81\\x80\\0\\1' + (b'\\0\\1' if a else b'\\0\\0') + bytes(4) + q[12:end] + a, who)\n";

/// Whether a name leads somewhere.
const RESOLVES: &str = "import socket\n\
    try: print(socket.gethostbyname('web.test'))\n\
    except OSError as error: print(error)\n";

/// A server of FTP without one: what is said to it, it says. So this answer is the server's own, and leads to port 7777.
const PASSIVE: &str = "import socket, sys\n\
    socket.setdefaulttimeout(5)\n\
    with socket.create_connection(('203.0.113.10', 80)) as control:\n\
    \x20   control.recv(100)\n\
    \x20   control.sendall(b'227 Entering Passive Mode (203,0,113,10,30,97)\\r\\n')\n\
    \x20   control.recv(100)\n\
    \x20   try: print(socket.create_connection(('203.0.113.10', 7777)).recv(100).decode().strip())\n\
    \x20   except OSError: print('refused')\n";

/// A datagram from port 5555, and what comes back.
const FLOW: &str = "import socket\n\
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:\n\
    \x20   one.settimeout(2)\n\
    \x20   one.bind(('0.0.0.0', 5555))\n\
    \x20   try:\n\
    \x20       one.sendto(b'x', ('203.0.113.20', 7777))\n\
    \x20       print(one.recv(100).decode().split()[0])\n\
    \x20   except OSError: print('refused')\n";

fn nft(space: &Space, words: &str) {
    space.shell(&format!("{} {words}", path_of("nft")));
}

/// What a container that runs says by `exec`.
fn says(container: &Container, script: &str) -> String {
    run(&mut container.zviz(&["exec", &container.id, "/usr/bin/python3", "-c", script])).ok().trim().to_owned()
}

#[test]
fn each_container_of_a_pod_has_its_own_record() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let internet = Internet::new();
    let pod = internet.member("pod", 77);
    let yaml = "network: {allow_cidrs: [203.0.113.10/32], log: all}\n";
    let of = |name| Container::new(&internet, name).joins(&pod).profile(yaml);
    let (first, second) = (of("first"), of("second"));
    first.starts();
    second.starts();
    assert_eq!(first.reaches_by_exec(&["tcp:203.0.113.10:80"]), ["tcp:203.0.113.10:80"]);
    let audit = internet.scratch.join("audit");
    let told = |container: &Container| {
        let text = fs::read_to_string(&audit).unwrap_or_default();
        text.lines().filter(|line| line.contains("\"connection\"") && line.contains(&container.id)).count()
    };
    wait_for("a line of each", || told(&first) == 1 && told(&second) == 1);
    first.deletes();
    assert_eq!(second.reaches_by_exec(&["tcp:203.0.113.10:80"]), ["tcp:203.0.113.10:80"]);
    wait_for("a line of the one that is there", || told(&second) == 2);
    assert_eq!(told(&first), 1);
    second.deletes();
    assert_eq!(pod.tables(), [""; 0]);
}

#[test]
fn one_container_of_a_pod_answers_for_names() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let internet = Internet::new();
    let pod = internet.member("pod", 77);
    let mut server = internet.dns.command("python3");
    let _server = Held::start(server.args(["-c", NAMES]));
    let named = "network: {allow_domains: [web.test]}\n";
    let of = |name, yaml| Container::new(&internet, name).joins(&pod).profile(yaml);
    let first = of("first", named);
    fs::write(internet.scratch.join("first/rootfs/etc/resolv.conf"), format!("nameserver {}\n", DNS.0)).unwrap();
    first.starts();
    wait_for("the server", || says(&first, RESOLVES) == "203.0.113.10");
    // Two cannot, and who comes second is told why. Nothing of it stays.
    let second = of("second", named);
    let done = second.runs(&["/usr/bin/true"]).exits(1);
    assert!(done.err.contains("another container in this network namespace has a resolver"), "{done}");
    assert_eq!(pod.tables().len(), 1);
    // Who may ask for names asks the first one's resolver, and leaves it to the first; who may ask for none shuts it for both.
    for (name, yaml, passes) in [
        ("open", "network: {egress: {deny: [203.0.113.20]}}\n", true),
        ("shut", "network: {dns: {allow: false}}\n", false),
    ] {
        let other = of(name, yaml);
        other.starts();
        assert_eq!(says(&first, RESOLVES) == "203.0.113.10", passes, "{name}: {}", says(&first, RESOLVES));
        other.deletes();
        assert_eq!(says(&first, RESOLVES), "203.0.113.10", "after {name}");
    }
    first.deletes();
    assert_eq!(pod.tables(), [""; 0]);
}

/// Asks again and again, and tries what nobody has named.
const ASKS_ON: &str = "import socket, time\n\
    until = time.time() + 2\n\
    names = passed = 0\n\
    while time.time() < until:\n\
    \x20   try: names += socket.gethostbyname('web.test') == '203.0.113.10'\n\
    \x20   except OSError: break\n\
    \x20   try: socket.create_connection(('203.0.113.20', 80), 1); passed += 1\n\
    \x20   except OSError: pass\n\
    print(names > 0, passed)\n";

/// Who answers for names, and who asks outside: the processes of the helper whose network namespace this is.
fn helpers(name: &str, space: &Space) -> Vec<i32> {
    let here = fs::read_link(space.path()).unwrap();
    let all = fs::read_dir("/proc").unwrap().flatten().filter(|entry| {
        fs::read_to_string(entry.path().join("comm")).is_ok_and(|comm| comm.trim() == name)
            && fs::read_link(entry.path().join("ns/net")).is_ok_and(|ns| ns == here)
    });
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The rules are the kernel's: without who fills them, names fail, and nothing else changes.
#[test]
fn the_death_of_who_answers_for_names_opens_nothing() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let internet = Internet::new();
    let pod = internet.member("pod", 77);
    let mut server = internet.dns.command("python3");
    let _server = Held::start(server.args(["-c", NAMES]));
    for (i, moment) in [300, 510, 730, 970].into_iter().enumerate() {
        let container = Container::new(&internet, &format!("dies{i}")).joins(&pod);
        let container = container.profile("network: {allow_domains: [web.test]}\n");
        let conf = internet.scratch.join(format!("dies{i}/rootfs/etc/resolv.conf"));
        fs::write(conf, format!("nameserver {}\noptions timeout:1 attempts:1\n", DNS.0)).unwrap();
        container.starts();
        wait_for("the server", || says(&container, RESOLVES) == "203.0.113.10");
        let (name, space) = [("zviz-net", &pod), ("zviz-net-ask", &internet.host)][i % 2];
        let said = std::thread::scope(|scope| {
            let asking = scope.spawn(|| says(&container, ASKS_ON));
            std::thread::sleep(Duration::from_millis(moment));
            let [pid] = helpers(name, space)[..] else { panic!("{name}: {:?}", helpers(name, space)) };
            kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
            asking.join().unwrap()
        });
        // On a busy machine it may have come before the first question.
        assert!(["True 0", "False 0"].contains(&&*said), "{name}: {said}");
        let flows = ["tcp:203.0.113.10:80", "tcp:203.0.113.20:80", "udp:203.0.113.20:80"];
        assert_eq!(container.reaches_by_exec(&flows), flows[..1], "{name}: what was named is pinned still");
        container.deletes();
        assert_eq!(pod.tables(), [""; 0]);
        wait_for("the end of the others", || helpers(name, space).is_empty());
    }
}

/// A program writes what it likes in a connection, and so does its server: what a helper of the kernel reads there opens nothing.
#[test]
fn what_is_said_in_a_connection_opens_no_other() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let internet = Internet::new();
    let pod = internet.member("pod", 77);
    nft(&pod, "add table inet engine");
    nft(&pod, "'add ct helper inet engine ftp { type \"ftp\" protocol tcp; }'");
    nft(&pod, "'add chain inet engine out { type filter hook output priority 0; }'");
    nft(&pod, "add rule inet engine out tcp dport 80 ct helper set ftp");
    // The control: whoever lets through what is related lets this through.
    nft(&pod, "'add chain inet engine rules { type filter hook output priority 1; policy drop; }'");
    nft(&pod, "add rule inet engine rules ct state established,related accept");
    nft(&pod, "add rule inet engine rules tcp dport 80 accept");
    let said = |command: &mut std::process::Command| run(command).ok().trim().to_owned();
    assert_eq!(said(pod.command("python3").args(["-c", PASSIVE])), "web");
    nft(&pod, "delete chain inet engine rules");
    let container =
        Container::new(&internet, "ftp").joins(&pod).profile("network: {allow_cidrs: ['tcp/203.0.113.10:80']}\n");
    container.starts();
    assert_eq!(says(&container, PASSIVE), "refused");
    container.deletes();
}

#[test]
fn flows_from_before_a_container_begin_anew() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let internet = Internet::new();
    let pod = internet.member("pod", 77);
    // Somebody's rules, so that connections are tracked; what they track is what the container's rules would take for known.
    nft(&pod, "add table inet engine");
    nft(&pod, "'add chain inet engine out { type filter hook output priority 0; }'");
    nft(&pod, "add rule inet engine out ct state established accept");
    let asks = || run(pod.command("python3").args(["-c", FLOW])).ok().trim().to_owned();
    assert_eq!(asks(), "other");
    // The control: it is known, and goes on where all else is refused.
    nft(&pod, "'add chain inet engine rules { type filter hook output priority 1; policy drop; }'");
    nft(&pod, "add rule inet engine rules ct state established accept");
    assert_eq!(asks(), "other");
    nft(&pod, "delete chain inet engine rules");
    let container =
        Container::new(&internet, "flows").joins(&pod).profile("network: {allow_cidrs: [203.0.113.10/32]}\n");
    container.starts();
    assert_eq!(says(&container, FLOW), "refused");
    container.deletes();
    assert_eq!(asks(), "other");
}
