//! Hosts by name, in sandboxes of `zviz run`: as long as an answer lasts, and what goes on after it.

use super::internet::{Held, Internet, OTHER, WEB, wait_for};
use super::sandboxes::{USER, World};
use super::support::{requires, run};
use std::fs;
use std::path::PathBuf;

const SERVER: &str = include_str!("dns.py");
/// Names of the world's peers.
pub const HOSTS: &[(&str, (&str, &str))] = &[("web.example", WEB), ("other.example", OTHER)];

/// Who answers for names on the internet, in answers that last so many seconds.
pub fn served(internet: &Internet, ttl: u32) -> Held {
    let (script, log) = (internet.scratch.join("dns.py"), internet.scratch.join("dns.log"));
    fs::write(&script, SERVER).unwrap();
    let mut command = internet.dns.command("python3");
    command.env("TTL", ttl.to_string()).arg(script).arg(&log);
    for (name, (four, six)) in HOSTS {
        command.args([format!("{name}={four}"), format!("{name}={six}")]);
    }
    let server = Held::start(&mut command);
    wait_for("a server for names", || fs::read_to_string(&log).is_ok_and(|text| text.starts_with("ready")));
    server
}

/// A profile that every user can read.
pub fn profile(world: &World, name: &str, network: &str) -> String {
    let path: PathBuf = world.internet.scratch.join(format!("{name}.yaml"));
    fs::write(&path, format!("name: {name}\nextends: default\n{network}")).unwrap();
    path.to_string_lossy().into_owned()
}

/// Connects by name, waits until the address has gone, and says what is reached by then: by what began before, by something
/// new, and after the name was asked for again.
const OUTLIVES: &str = r#"
import socket, sys, time
NAME = sys.argv[1]
def new(address, kind=socket.SOCK_STREAM):
    one = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    one.settimeout(5)
    one.connect((address, 80))
    if kind == socket.SOCK_DGRAM: one.send(b"x")
    one.recv(99)
    return one
def told(what, does):
    try: does(); print(what, "yes")
    except OSError: print(what, "no")
def goes_on(one):
    one.send(b"still"); assert one.recv(99).strip().endswith(b"still")
for address in sys.argv[2:]: told(f"{address} unasked", lambda: new(address))
addresses = sorted({found[4][0] for found in socket.getaddrinfo(NAME, 80)}, reverse=True)
print(*addresses)
kinds = socket.SOCK_STREAM, socket.SOCK_DGRAM
begun = {(address, kind): new(address, kind) for address in addresses for kind in kinds}
until = time.monotonic() + 60
def closed(address):
    try: new(address).close(); return False
    except OSError: return True
while time.monotonic() < until and not all(map(closed, addresses)):
    # Datagrams are a conversation as long as there are some.
    for one in begun.values(): goes_on(one)
    time.sleep(1)
for address in addresses:
    told(f"{address} new", lambda: new(address))
    told(f"{address} new datagram", lambda: new(address, socket.SOCK_DGRAM))
for (address, kind), one in begun.items(): told(f"{address} {kind.name} begun", lambda: goes_on(one))
socket.getaddrinfo(NAME, 80)
for address in addresses: told(f"{address} again", lambda: new(address))
"#;

#[test]
fn what_has_begun_goes_on_when_an_answer_is_over() {
    requires!(root, program "ip", program "nft", program "python3", program "setpriv", program "pasta");
    let world = World::new();
    let _names = served(&world.internet, 1);
    let rules = "network: {mode: private, allow_domains: ['web.example:80']}\n";
    let profile = profile(&world, "named", rules);
    let (four, six) = WEB;
    let expected = format!(
        "{four} unasked no\n{six} unasked no\n{four} {six}\n\
         {four} new no\n{four} new datagram no\n{six} new no\n{six} new datagram no\n\
         {four} SOCK_STREAM begun yes\n{four} SOCK_DGRAM begun yes\n{six} SOCK_STREAM begun yes\n{six} SOCK_DGRAM begun yes\n\
         {four} again yes\n{six} again yes"
    );
    for (user, net) in [(0, "bridge"), (USER, "pasta")] {
        let script = ["/usr/bin/python3", "-c", OUTLIVES, "web.example", four, six];
        let said = run(&mut world.run(user, &["--net", net, "--profile", &profile], &script)).ok();
        assert_eq!(said, expected, "{net} as {user}");
        wait_for("the end of pasta", || world.pastas().is_empty());
    }
    world.is_clean();
}
