//! A world of network namespaces that a test makes, none of which is the machine's own:
//!
//! ```text
//!            core: 203.0.113.1, 2001:db8:113::1, 198.51.100.1, 169.254.169.254, 10.99.0.1
//!  host ───────┤ br0
//!  .2          ├── web    203.0.113.10  2001:db8:113::10
//!  198.51.100  ├── other  203.0.113.20  2001:db8:113::20
//!              └── dns    203.0.113.53  2001:db8:113::53
//! ```
//!
//! zviz runs in `host`, which plays the machine, with a resolv.conf that names `dns`. A namespace is held by a process that the
//! kernel kills when the thread of the test ends, however it ends; devices go with their namespaces.

#![allow(dead_code, reason = "each test uses a part")]

use super::support::{Scratch, program};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);
const SERVER: &str = include_str!("server.py");
const PROBE: &str = include_str!("probe.py");

/// Ports on which every peer answers, by TCP and UDP.
pub const PORTS: &[&str] = &["80", "443", "7777"];
/// Addresses of the peers.
pub const WEB: (&str, &str) = ("203.0.113.10", "2001:db8:113::10");
pub const OTHER: (&str, &str) = ("203.0.113.20", "2001:db8:113::20");
pub const DNS: (&str, &str) = ("203.0.113.53", "2001:db8:113::53");
/// Where clouds keep what a sandbox must not read.
pub const METADATA: (&str, &str) = ("169.254.169.254", "fd00:ec2::254");
/// A private network behind the core.
pub const PRIVATE: (&str, &str) = ("10.99.0.1", "fd99::1");
/// What the host is called on its way out.
pub const HOST: (&str, &str) = ("198.51.100.2", "2001:db8:51::2");

/// A program that a test has started, and that ends with it.
pub struct Held(Child);

impl Held {
    pub fn start(command: &mut Command) -> Held {
        let command = command.stdin(Stdio::null());
        // Of this thread: a test has one of its own.
        let mut leashed = Command::new("setpriv");
        leashed.args(["--pdeathsig", "KILL"]).arg(command.get_program()).args(command.get_args());
        leashed.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Held(leashed.stdin(Stdio::null()).stdout(Stdio::null()).process_group(0).spawn().unwrap())
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A network namespace, as long as it lives.
pub struct Space {
    holder: Held,
}

impl Space {
    /// A fresh one, whose loopback device is up.
    pub fn new() -> Space {
        let own = fs::read_link("/proc/self/ns/net").unwrap();
        let holder = Held::start(Command::new("unshare").args(["--net", "sleep", "3600"]));
        let space = Space { holder };
        wait_for("a network namespace", || fs::read_link(space.path()).is_ok_and(|ns| ns != own));
        space.ip("link set lo up");
        // Addresses are there when they are asked for.
        space.shell(
            "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad; echo 0 >/proc/sys/net/ipv6/conf/all/accept_dad",
        );
        space
    }

    /// Where it is, as a bundle's config.json names one.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.holder.pid()).into()
    }

    /// A command in it.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display())).arg(program);
        command
    }

    /// The output of a shell script in it, which must succeed.
    #[track_caller]
    pub fn shell(&self, script: &str) -> String {
        said(self.command("sh").args(["-ec", script]))
    }

    /// ip(8) in it.
    #[track_caller]
    pub fn ip(&self, words: &str) -> String {
        said(self.command("ip").args(words.split_whitespace()))
    }

    /// A pair of devices: `name` here, `their_name` in another one, both up.
    #[track_caller]
    pub fn link(&self, name: &str, other: &Space, their_name: &str) {
        let there = other.holder.pid();
        self.ip(&format!("link add {name} type veth peer name {their_name} netns {there}"));
        self.ip(&format!("link set {name} up"));
        other.ip(&format!("link set {their_name} up"));
    }

    /// An address of each family at a device, with the way out by a gateway.
    #[track_caller]
    pub fn address(&self, device: &str, (four, six): (&str, &str), gateway: (&str, &str)) {
        self.ip(&format!("addr add {four}/24 dev {device}"));
        self.ip(&format!("-6 addr add {six}/64 dev {device} nodad"));
        self.ip(&format!("route add default via {}", gateway.0));
        self.ip(&format!("-6 route add default via {}", gateway.1));
    }

    /// Names of the tables of nftables in it.
    pub fn tables(&self) -> Vec<String> {
        let list = said(self.command(&path_of("nft")).args(["list", "tables"]));
        list.lines().filter_map(|line| line.rsplit(' ').next().map(str::to_owned)).collect()
    }

    /// Names of the devices in it.
    pub fn devices(&self) -> Vec<String> {
        let list = self.ip("-o link show");
        let name = |line: &str| line.split(": ").nth(1).map(|name| name.split('@').next().unwrap_or(name).to_owned());
        list.lines().filter_map(name).collect()
    }
}

/// A program of the system, which root's search path may not have.
pub fn path_of(name: &str) -> String {
    program(name).unwrap_or_else(|| name.into()).to_string_lossy().into_owned()
}

/// The output of a command that must succeed.
#[track_caller]
fn said(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Waits for something that happens in a moment.
#[track_caller]
pub fn wait_for(what: &str, mut there: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !there() {
        assert!(Instant::now() < until, "{what} is not there");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A peer with its server.
pub struct Peer {
    pub space: Space,
    log: PathBuf,
    _server: Held,
}

impl Peer {
    /// What has reached it: `tcp 80 203.0.113.77`, one line each.
    pub fn seen(&self) -> Vec<String> {
        fs::read_to_string(&self.log).unwrap().lines().skip(1).map(str::to_owned).collect()
    }

    /// Whether something of this protocol has reached it at this port.
    pub fn was_reached(&self, protocol: &str, port: u16) -> bool {
        self.seen().iter().any(|line| line.starts_with(&format!("{protocol} {port} ")))
    }
}

/// All of it.
pub struct Internet {
    pub host: Space,
    pub core: Space,
    pub web: Peer,
    pub other: Peer,
    pub dns: Space,
    /// Answers at the core's own addresses: metadata, the private network.
    pub core_log: PathBuf,
    _core_server: Held,
    pub scratch: Scratch,
}

impl Internet {
    /// A fresh one. The test needs root, ip(8), nft(8), python3, setpriv(1), nsenter(1), unshare(1).
    pub fn new() -> Internet {
        let scratch = Scratch::new("net");
        fs::write(scratch.join("server.py"), SERVER).unwrap();
        fs::write(scratch.join("probe.py"), PROBE).unwrap();
        fs::write(scratch.join("resolv.conf"), format!("nameserver {}\n", DNS.0)).unwrap();
        let (core, host) = (Space::new(), Space::new());
        core.shell("echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding");
        core.ip("link add br0 type bridge");
        core.ip("link set br0 up");
        for address in ["203.0.113.1/24", "169.254.169.254/32", "10.99.0.1/24"] {
            core.ip(&format!("addr add {address} dev br0"));
        }
        for address in ["2001:db8:113::1/64", "fd00:ec2::254/128", "fd99::1/64"] {
            core.ip(&format!("-6 addr add {address} dev br0 nodad"));
        }
        core.link("host0", &host, "up0");
        core.ip("addr add 198.51.100.1/24 dev host0");
        core.ip("-6 addr add 2001:db8:51::1/64 dev host0 nodad");
        host.address("up0", HOST, ("198.51.100.1", "2001:db8:51::1"));
        let world = |name| attached(&core, name);
        let (web, other, dns) = (world("web"), world("other"), world("dns"));
        web.address("eth0", WEB, GATEWAY);
        other.address("eth0", OTHER, GATEWAY);
        dns.address("eth0", DNS, GATEWAY);
        let (web, other) = (serve(&scratch, web, "web"), serve(&scratch, other, "other"));
        let (core_server, core_log) = server(&scratch, &core, "core");
        Internet { host, core, web, other, dns, core_log, _core_server: core_server, scratch }
    }

    /// A fresh namespace with an address on the internet, as CNI or a pod would give one: `203.0.113.LAST`.
    pub fn member(&self, name: &str, last: u8) -> Space {
        let space = attached(&self.core, name);
        let addresses = (format!("203.0.113.{last}"), format!("2001:db8:113::{last:x}"));
        space.address("eth0", (&addresses.0, &addresses.1), GATEWAY);
        space
    }

    /// The hook of a bundle that gives a new namespace such an address, as Docker's does: for `hooks.createRuntime`.
    pub fn hook(&self, name: &str, last: u8) -> serde_json::Value {
        let core = self.core.path();
        let script = format!(
            "pid=$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/'); {ip} link add {name} type veth peer name eth0 netns $pid; \
             {ip} link set {name} master br0; {ip} link set {name} up; \
             in=\"nsenter --net=/proc/$pid/ns/net\"; $in {ip} link set eth0 up; \
             $in {ip} addr add 203.0.113.{last}/24 dev eth0; $in {ip} -6 addr add 2001:db8:113::{last:x}/64 dev eth0 nodad; \
             $in {ip} route add default via {four}; $in {ip} -6 route add default via {six}",
            ip = path_of("ip"),
            four = GATEWAY.0,
            six = GATEWAY.1,
        );
        let net = format!("--net={}", core.display());
        let env = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"];
        serde_json::json!({ "path": path_of("nsenter"), "args": ["nsenter", net, "sh", "-ec", script], "env": env })
    }

    /// A command on the host, which has a resolv.conf of its own.
    pub fn on_host(&self, program: &Path) -> Command {
        let mut command = self.host.command("unshare");
        let script = "mount --bind \"$1\" /etc/resolv.conf; shift; exec \"$@\"";
        command.args(["--mount", "--propagation", "private", "sh", "-ec", script, "sh"]);
        command.arg(self.scratch.join("resolv.conf")).arg(program);
        command
    }

    /// The binary under test, on the host, with a state root of the test's own.
    pub fn zviz(&self) -> Command {
        let mut command = self.on_host(Path::new(super::support::ZVIZ));
        command.arg("--root").arg(self.scratch.join("root")).stdin(Stdio::null());
        command
    }

    /// Where the program is that tries flows: `python3 PROBE tcp:203.0.113.10:80`.
    pub fn probe(&self) -> String {
        self.scratch.join("probe.py").to_string_lossy().into_owned()
    }
}

const GATEWAY: (&str, &str) = ("203.0.113.1", "2001:db8:113::1");

fn attached(core: &Space, name: &str) -> Space {
    let space = Space::new();
    core.link(name, &space, "eth0");
    core.ip(&format!("link set {name} master br0"));
    space
}

fn serve(scratch: &Scratch, space: Space, name: &str) -> Peer {
    let (_server, log) = server(scratch, &space, name);
    Peer { space, log, _server }
}

fn server(scratch: &Scratch, space: &Space, name: &str) -> (Held, PathBuf) {
    let log = scratch.join(format!("{name}.log"));
    let mut command = space.command("python3");
    command.arg(scratch.join("server.py")).arg(name).arg(&log).args(PORTS);
    let server = Held::start(&mut command);
    wait_for("a server", || fs::read_to_string(&log).is_ok_and(|text| text.starts_with("ready")));
    (server, log)
}
