//! Sandboxes of `zviz run -- COMMAND` on the test's host, with what they try flows by.

use super::internet::{Held, Internet, Space, wait_for};
use super::support::{Done, ZVIZ, run};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Who is not root.
pub const USER: u32 = 1000;
/// The port at which a sandbox's own server answers.
pub const PORT: u16 = 8000;
/// A port of the host at which a program of the host's own answers.
pub const HOSTS: u16 = 9000;

/// The host, with a server of its own and a device that pasta makes its own of.
pub struct World {
    pub internet: Internet,
    _server: Held,
}

impl World {
    pub fn new() -> World {
        let internet = Internet::new();
        let log = internet.scratch.join("host.log");
        let mut server = internet.host.command("python3");
        server.arg(internet.scratch.join("server.py")).arg("host").arg(&log).arg(HOSTS.to_string());
        let _server = Held::start(&mut server);
        wait_for("the host's server", || fs::read_to_string(&log).is_ok_and(|text| text.starts_with("ready")));
        for name in ["server.py", "probe.py"] {
            open(&internet.scratch.join(name), 0o644);
        }
        open(internet.scratch.path(), 0o755);
        let world = World { internet, _server };
        for user in [0, USER] {
            fs::create_dir(world.root(user)).unwrap();
            open(&world.root(user), 0o700);
            std::os::unix::fs::chown(world.root(user), Some(user), Some(user)).unwrap();
        }
        world
    }

    /// Some program on the host, of root or of an ordinary user.
    pub fn command(&self, user: u32, program: &str) -> Command {
        let mut command = self.internet.on_host(Path::new("sh"));
        // As udev leaves it. The mount namespace is this command's own.
        let tun = "mount -t tmpfs none /dev/net; mknod -m 666 /dev/net/tun c 10 200; cd /; exec \"$@\"";
        command.args(["-ec", tun, "sh", "setpriv", "--clear-groups"]);
        command.args([format!("--reuid={user}"), format!("--regid={user}")]).arg(program);
        command.env("HOME", "/tmp").stdin(Stdio::null());
        command
    }

    /// `zviz` of root or of an ordinary user.
    pub fn zviz(&self, user: u32, words: &[&str]) -> Command {
        let mut command = self.command(user, ZVIZ);
        command.arg("--root").arg(self.root(user)).args(words);
        command
    }

    pub fn root(&self, user: u32) -> PathBuf {
        self.internet.scratch.join(if user == 0 { "root" } else { "root-of-user" })
    }

    /// `zviz run` with these flags of a command in a sandbox.
    pub fn run(&self, user: u32, flags: &[&str], words: &[&str]) -> Command {
        let mut command = self.zviz(user, &["run", "--cwd", "/", "--env", "PATIENCE=5"]);
        for name in ["probe.py", "server.py"] {
            command.arg("--ro").arg(format!("{}:/{name}", self.internet.scratch.join(name).display()));
        }
        command.args(flags).arg("--").args(words);
        command
    }

    /// What becomes of flows from a sandbox.
    #[track_caller]
    pub fn tries(&self, user: u32, flags: &[&str], flows: &[String]) -> Vec<String> {
        let mut words = vec!["/usr/bin/python3", "/probe.py"];
        words.extend(flows.iter().map(String::as_str));
        through(run(&mut self.run(user, flags, &words)))
    }

    /// What becomes of flows from a space outside.
    #[track_caller]
    pub fn tries_from(&self, space: &Space, flows: &[String]) -> Vec<String> {
        through(run(space.command("python3").env("PATIENCE", "5").arg(self.internet.probe()).args(flows)))
    }

    /// A sandbox in which a shell does what it is told until this is dropped.
    #[track_caller]
    pub fn shell(&self, user: u32, flags: &[&str]) -> Shell {
        let mut command = self.run(user, flags, &["sh"]);
        let mut zviz = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (zviz.stdin.take(), BufReader::new(zviz.stdout.take().unwrap()));
        Shell { zviz, input, output }
    }

    /// Devices and tables of sandboxes, and addresses that are held: nothing of it is there.
    #[track_caller]
    pub fn is_clean(&self) {
        let host = &self.internet.host;
        let devices: Vec<String> = host.devices().into_iter().filter(|name| name.starts_with("zv-")).collect();
        let tables: Vec<String> = host.tables().into_iter().filter(|name| name.starts_with("zviz-p-")).collect();
        assert!(devices.is_empty() && tables.is_empty(), "{devices:?} {tables:?}");
        assert_eq!(self.leases(), [""; 0]);
        assert_eq!(self.pastas(), [0; 0]);
    }

    /// Addresses that are held.
    pub fn leases(&self) -> Vec<String> {
        let found = fs::read_dir(self.lease_folder()).into_iter().flatten().flatten();
        found.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }

    fn lease_folder(&self) -> PathBuf {
        let inode = fs::metadata(self.internet.host.path()).map_or(0, |found| found.ino());
        Path::new("/run/zviz-net").join(inode.to_string())
    }

    /// Processes of pasta that have their sockets on this host, and live.
    pub fn pastas(&self) -> Vec<i32> {
        let host = fs::read_link(self.internet.host.path()).unwrap();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            let is_here = fs::read_link(entry.path().join("ns/net")).is_ok_and(|ns| ns == host);
            if (name.starts_with("passt") || name.starts_with("pasta")) && is_here {
                found.extend(entry.file_name().to_str().and_then(|pid| pid.parse::<i32>().ok()));
            }
        }
        found
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The machine's own folder of leases, of which this host's part is this test's.
        let _ = fs::remove_dir_all(self.lease_folder());
    }
}

/// A sandbox that waits for what it is told.
pub struct Shell {
    zviz: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Shell {
    /// Does something in it, and takes what it prints.
    #[track_caller]
    pub fn does(&mut self, script: &str) -> String {
        writeln!(self.input.as_mut().unwrap(), "{script}\necho .END").unwrap();
        let mut said = String::new();
        loop {
            let mut line = String::new();
            let read = self.output.read_line(&mut line).unwrap();
            assert!(read > 0, "the sandbox has ended: {script}: {said}");
            if line.trim() == ".END" {
                return said;
            }
            said.push_str(&line);
        }
    }

    /// Starts a server in it, at [`PORT`].
    #[track_caller]
    pub fn serves(&mut self, name: &str) {
        self.does(&format!("/usr/bin/python3 /server.py {name} /tmp/log {PORT} >/tmp/err 2>&1 &"));
        self.does("for i in $(seq 600); do grep -qs ready /tmp/log && break; sleep 0.1; done; cat /tmp/err");
    }

    /// Its addresses.
    #[track_caller]
    pub fn addresses(&mut self) -> (String, String) {
        let said = self.does("ip -o addr show dev eth0 scope global");
        let of = |family: &str| {
            let line = said.lines().find_map(|line| line.split_once(family)).unwrap_or_else(|| panic!("{said}"));
            line.1.split_whitespace().next().unwrap().split('/').next().unwrap().to_owned()
        };
        (of(" inet "), of(" inet6 "))
    }

    /// What becomes of flows from it.
    #[track_caller]
    pub fn tries(&mut self, flows: &[String]) -> Vec<String> {
        let said = self.does(&format!("/usr/bin/python3 /probe.py {}", flows.join(" ")));
        passed(&said)
    }

    /// Ends it, and waits for that.
    #[track_caller]
    pub fn ends(mut self) {
        drop(self.input.take());
        assert!(self.zviz.wait().unwrap().success());
    }

    /// Kills the runtime without a word, and waits for its end.
    pub fn is_killed(&mut self) {
        self.zviz.kill().unwrap();
        self.zviz.wait().unwrap();
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        drop(self.input.take());
        if self.zviz.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = self.zviz.wait();
        }
    }
}

#[track_caller]
fn through(done: Done) -> Vec<String> {
    passed(&done.ok())
}

fn passed(said: &str) -> Vec<String> {
    said.lines().filter_map(|line| line.split_once(" ok ").map(|(flow, _)| flow.to_owned())).collect()
}

/// TCP and UDP to one port of each of these addresses.
pub fn flows(addresses: &[&str], port: u16) -> Vec<String> {
    let written = |address: &&str| if address.contains(':') { format!("[{address}]") } else { (*address).to_owned() };
    let hosts = addresses.iter().map(written);
    hosts.flat_map(|host| ["tcp", "udp"].map(|kind| format!("{kind}:{host}:{port}"))).collect()
}

fn open(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
