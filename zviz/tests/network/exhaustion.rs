//! What one sandbox can use up that others need.

use super::internet::WEB;
use super::sandboxes::{Shell, World, flows};
use super::support::{requires, run};
use serde_json::Value;

/// Sends a datagram from every port that nobody needs rights for, and says how many went: `ADDRESS PORT`.
const EVERY_PORT: &str = "import socket, sys\n\
    to = (sys.argv[1], int(sys.argv[2]))\n\
    sent = 0\n\
    for port in range(1024, 65536):\n\
    \x20   with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:\n\
    \x20       try:\n\
    \x20           one.bind(('0.0.0.0', port))\n\
    \x20           one.sendto(b'x', to)\n\
    \x20           sent += 1\n\
    \x20       except OSError: pass\n\
    print(sent)\n";

/// At the bridge, all go out by the host's address: who takes all of its ports takes them from everybody, the host too.
#[test]
fn one_sandbox_leaves_ports_of_the_host_to_others() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    let world = World::new();
    let (mut taker, mut other) =
        (world.shell(0, &["--net", "bridge", "--id", "taker"]), world.shell(0, &["--net", "bridge"]));
    // Peers whose ports are not used up by each other: with the rules of a sandbox, and, as the control, without them.
    for (port, rules) in [(443, true), (80, false)] {
        if !rules {
            let state: Value = serde_json::from_str(&run(&mut world.zviz(0, &["state", "taker"])).ok()).unwrap();
            let net = format!("--net=/proc/{}/ns/net", state["pid"]);
            let mut flush = world.internet.host.command("nsenter");
            run(flush.args([&net, &super::internet::path_of("nft"), "flush", "ruleset"])).ok();
        }
        let web = flows(&[WEB.0], port);
        let sent = taker.does(&format!("/usr/bin/python3 -c \"{EVERY_PORT}\" {} {port}", WEB.0));
        let sent: u32 = sent.trim().parse().unwrap();
        assert_eq!(sent < 5000, rules, "{sent}");
        let expected = if rules { &web[..] } else { &web[..1] };
        assert_eq!(other.tries(&web), expected, "of another, after {sent}");
        assert_eq!(world.tries_from(&world.internet.host, &web), expected, "of the host, after {sent}");
    }
    taker.ends();
    other.ends();
    world.is_clean();
}

/// Sends so many datagrams to itself, no two of one conversation: `COUNT OWN-ADDRESS`.
const TO_ITSELF: &str = "import socket, sys\n\
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:\n\
    \x20   for i in range(int(sys.argv[1])):\n\
    \x20       for to in [(f'127.7.{i >> 8}.{i & 255}', 99), (sys.argv[2], 1024 + i)]:\n\
    \x20           try: one.sendto(b'x', to)\n\
    \x20           except OSError as error: sys.exit(print(to, error))\n";

/// The kernel keeps what it knows of conversations in memory that is charged to nobody, and forgets those of others where it has
/// no room for more. What a program says to itself needs none of it.
#[test]
fn what_a_sandbox_says_to_itself_takes_no_memory_of_the_kernel() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv");
    const MANY: u32 = 10_000;
    let world = World::new();
    let mut shell = world.shell(0, &["--net", "bridge", "--id", "talker"]);
    let own = shell.addresses().0;
    let state: Value = serde_json::from_str(&run(&mut world.zviz(0, &["state", "talker"])).ok()).unwrap();
    let net = format!("--net=/proc/{}/ns/net", state["pid"]);
    let there = |words: &[&str]| run(world.internet.host.command("nsenter").arg(&net).args(words)).ok();
    let kept = || there(&["cat", "/proc/sys/net/netfilter/nf_conntrack_count"]).trim().parse::<u32>().unwrap();
    let talks = |shell: &mut Shell| shell.does(&format!("/usr/bin/python3 -c \"{TO_ITSELF}\" {MANY} {own}"));
    assert_eq!(talks(&mut shell), "");
    assert!(kept() < MANY / 100, "{}", kept());
    // The control: without the chain that leaves it out. What bounds names bounds this then.
    let nft = super::internet::path_of("nft");
    let table = there(&[&nft, "list", "tables"]);
    let table = table.lines().find_map(|line| line.strip_prefix("table inet zviz-")).unwrap();
    there(&[&nft, "delete", "chain", "inet", &format!("zviz-{table}"), "alone"]);
    talks(&mut shell);
    assert!(kept() > MANY / 2, "{}", kept());
    shell.ends();
    world.is_clean();
}
