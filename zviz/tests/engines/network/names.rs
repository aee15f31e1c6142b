//! Names under Docker: what a profile allows, and the resolver that Docker itself has in networks that users define.

use super::by_docker::Daemon;
use crate::internet::{Held, wait_for};
use std::fs;

/// Looks names up and connects to port 80: of each, whether there was an answer, and who said something.
const VISIT: &str = r#"
import socket, sys
for name in sys.argv[1:]:
    try:
        socket.getaddrinfo(name, 80)
        with socket.create_connection((name, 80), 3) as one:
            print(name, one.recv(99).decode().strip())
    except OSError as error:
        print(name, "unknown" if isinstance(error, socket.gaierror) else "unreached")
"#;

/// Asks 127.0.0.11 for IPv4 addresses of names: at port 53, and at the port that Docker listens on, which proc tells.
const ASK: &str = r#"
import socket, struct, sys
with open("/proc/net/udp") as table:
    places = [line.split()[1].split(":") for line in table.readlines()[1:]]
own = [int(port, 16) for address, port in places if address == "0B00007F"]
assert len(own) == 1, places
for port in [53, own[0]]:
    for name in sys.argv[1:]:
        labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.settimeout(2)
            try:
                one.connect(("127.0.0.11", port))
                one.send(struct.pack("!HHHHHH", 7, 0x100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1")
                said = "yes" if one.recv(512)[7] else "no"
            except OSError:
                said = "none"
        print("named" if port == 53 else "own", name, said)
"#;

const NAMES: [&str; 2] = ["web.example", "other.example"];

fn python(daemon: &Daemon, flags: &[&str], script: &str, names: &[&str]) -> Vec<String> {
    let said = daemon.run(flags, &[&["/usr/bin/python3", "-c", script], names].concat()).ok();
    said.lines().map(str::to_owned).collect()
}

pub fn of_allowed_hosts(daemon: &Daemon) {
    for network in ["--network=bridge", "--network=own"] {
        let visit = |flags: &[&str]| python(daemon, &[flags, &[network]].concat(), VISIT, &NAMES);
        assert_eq!(visit(&[]), ["web.example web", "other.example other"], "{network}");
        let before = daemon.world.asked().unwrap().len();
        assert_eq!(visit(&["--runtime=names"]), ["web.example web", "other.example unknown"], "{network}");
        let asked = daemon.world.asked().unwrap().split_off(before);
        assert!(!asked.is_empty() && asked.iter().all(|line| line.starts_with("web.example ")), "{asked:?}");
        // Allowed by address, whoever is asked.
        assert_eq!(visit(&["--runtime=asks"]), ["web.example web", "other.example other"], "{network}");
        // Nobody is to be asked.
        let before = daemon.world.asked().unwrap().len();
        assert_eq!(visit(&["--runtime=one"]), ["web.example unknown", "other.example unknown"], "{network}");
        assert_eq!(daemon.world.asked().unwrap().len(), before);
    }
    daemon.world.is_clean();
}

const ASKED: [&str; 3] = ["web.example", "other.example", "beside"];

/// What is said of each name at port 53 of Docker's resolver, and at its own.
fn ask(daemon: &Daemon, runtime: &str) -> Vec<String> {
    let flags = ["--network=own", &format!("--runtime={runtime}")];
    python(daemon, &flags, ASK, &ASKED)
}

fn all(named: [&str; 3], own: [&str; 3]) -> Vec<String> {
    let each = |by: &str, said: [&str; 3]| -> Vec<String> {
        ASKED.iter().zip(said).map(|(name, said)| format!("{by} {name} {said}")).collect()
    };
    [each("named", named), each("own", own)].concat()
}

/// Docker's resolver listens in the container's namespace. Where the host asks a server on its loopback device, it asks that one
/// from the host, where no rule of the container's is.
pub fn engines_own(daemon: &Daemon) {
    let scratch = &daemon.world.internet.scratch;
    let (conf, log) = (scratch.join("resolv.conf"), scratch.join("host-dns.log"));
    let mut command = daemon.world.internet.host.command("python3");
    command.arg(scratch.join("dns.py")).arg(&log).args(["web.example=203.0.113.10", "other.example=203.0.113.20"]);
    let _server = Held::start(&mut command);
    wait_for("a server for names", || fs::read_to_string(&log).is_ok_and(|text| text.starts_with("ready")));
    let beside = daemon.background(&["--network=own", "--name=beside"]);
    let (yes, none) = (["yes"; 3], ["none"; 3]);
    let usual = fs::read_to_string(&conf).unwrap();
    for text in [&*usual, "nameserver 127.0.0.1\n"] {
        fs::write(&conf, text).unwrap();
        for runtime in ["plain", "asks"] {
            assert_eq!(ask(daemon, runtime), all(yes, yes), "{runtime}: {text}");
        }
        // Port 53 is zviz's own, which knows of no container; Docker's is not reached by its other port, either.
        assert_eq!(ask(daemon, "names"), all(["yes", "no", "no"], none), "{text}");
        let before = fs::read_to_string(&log).unwrap();
        assert_eq!(before != "ready\n", text != usual, "{before}");
        assert_eq!(ask(daemon, "one"), all(none, none), "{text}");
        assert_eq!(fs::read_to_string(&log).unwrap(), before);
    }
    fs::write(&conf, usual).unwrap();
    drop(beside);
    daemon.world.is_clean();
}
