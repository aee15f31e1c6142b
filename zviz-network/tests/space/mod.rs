//! A network namespace of a test's own, in which the test runs again. As root.
#![allow(dead_code, clippy::unwrap_used, reason = "each test program uses a part, and a panic is how tests fail")]

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use zviz_network::rules::Ruleset;

const ROLE: &str = "ZVIZ_TEST_NAMESPACE";
pub const ECHO: &str = "ZVIZ_TEST_ECHO";
pub const OWN: [&str; 2] = ["10.213.4.2", "fd00::2"];

/// The same test in a namespace of its own.
pub fn apart(test: &str, inside: impl FnOnce()) {
    if std::env::var_os(ROLE).is_some() {
        return inside();
    }
    let has = |program: &str| {
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    let able =
        Command::new("unshare").args(["--net", "nft", "add", "table", "inet", "probe"]).stderr(Stdio::null()).status();
    if !able.is_ok_and(|status| status.success()) || !has("ip") || !has("nsenter") || !has("python3") {
        let why = "needs root, unshare(1), nsenter(1), ip(8), python3, nft(8) and nf_tables in the kernel";
        let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("SKIP {test}: {why}\n").as_bytes());
        return;
    }
    let own = std::env::current_exe().unwrap();
    let again =
        Command::new("unshare").arg("--net").arg(own).args(["--exact", test, "--nocapture"]).env(ROLE, test).output();
    let again = again.unwrap();
    let said = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(again.status.success(), "{}{}", said(&again.stdout), said(&again.stderr));
}

pub fn run(words: &str) -> String {
    let words: Vec<&str> = words.split(' ').collect();
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The namespace at the other end, as long as this lives.
pub struct Far(Child);

impl Far {
    pub fn new(role: Option<&str>) -> Far {
        let own = std::env::current_exe().unwrap();
        let mut command = Command::new("unshare");
        command.arg("--net").env_remove(ROLE).stdin(Stdio::null());
        match role {
            None => command.args(["sleep", "600"]),
            Some(role) => command
                .arg(own)
                .args(["--exact", role, "--ignored", "--nocapture"])
                .env(ECHO, "1")
                .stdout(Stdio::null()),
        };
        let far = Far(command.spawn().unwrap());
        let space = || std::fs::read_link(format!("/proc/{}/ns/net", far.0.id())).unwrap();
        let ours = std::fs::read_link("/proc/self/ns/net").unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        while space() == ours {
            assert!(Instant::now() < until, "no namespace");
            std::thread::sleep(Duration::from_millis(5));
        }
        run("ip link set lo up");
        run(&format!("ip link add eth0 type veth peer name far0 netns {}", far.0.id()));
        run("ip link set eth0 up");
        run(&far.there("ip link set far0 up"));
        run(&format!("ip addr add {}/32 dev eth0", OWN[0]));
        run(&format!("ip -6 addr add {}/128 dev eth0 nodad", OWN[1]));
        run("ip route add default dev eth0");
        run("ip -6 route add default dev eth0");
        far
    }

    pub fn there(&self, words: &str) -> String {
        format!("nsenter --net=/proc/{}/ns/net {words}", self.0.id())
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn load(ruleset: &Ruleset) {
    assert!(nft(&ruleset.to_string()));
}

/// Whether the kernel takes all of it.
pub fn nft(script: &str) -> bool {
    let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    nft.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    nft.wait().unwrap().success()
}
