//! An agent, and containers of three runtimes whose listeners go to it.

use crate::support::{Daemon, Done, Scratch, ZVIZ, busybox_rootfs, cgroups, program, run};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Who makes the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    Zviz,
    Runc,
    Crun,
}

impl Runtime {
    /// Those that are installed.
    pub fn all() -> Vec<Runtime> {
        let others = [(Runtime::Runc, "runc"), (Runtime::Crun, "crun")];
        let there = others.into_iter().filter(|(_, name)| program(name).is_some()).map(|(runtime, _)| runtime);
        [Runtime::Zviz].into_iter().chain(there).collect()
    }

    /// Its command line, with its state in `state`.
    pub fn command(self, state: &Path) -> Command {
        match self {
            Runtime::Zviz => with(Command::new(ZVIZ), state),
            Runtime::Runc => with(Command::new(program("runc").unwrap()), state),
            Runtime::Crun => {
                // It refuses a host with hierarchies of both versions: this one shows it a single one.
                let view = "mount --make-rprivate /; mount -t cgroup2 none /sys/fs/cgroup; exec crun \"$@\"";
                let mut unshare = Command::new("unshare");
                unshare.args(["-m", "sh", "-c", view, "crun"]);
                with(unshare, state)
            }
        }
    }
}

fn with(mut command: Command, state: &Path) -> Command {
    command.arg("--root").arg(state);
    command
}

/// Shared by the agent and the containers of a test. `agent` goes first: nothing outlives the folder.
pub struct Place {
    agent: Option<Daemon>,
    scratch: Scratch,
}

impl Place {
    /// An agent for a profile, which can be connected to.
    pub fn new(profile: &str, flags: &[&str]) -> Self {
        let scratch = Scratch::new("agent");
        busybox_rootfs(&scratch.join("rootfs"));
        let mut place = Place { agent: None, scratch };
        place.start(profile, flags);
        place
    }

    /// Another agent in the place of one that is gone.
    pub fn start(&mut self, profile: &str, flags: &[&str]) {
        let _ = fs::remove_file(self.pid_file());
        let mut command = Command::new(ZVIZ);
        command.args(["--debug", "broker", "--profile", profile, "--listen"]).arg(self.socket());
        command.arg("--pid-file").arg(self.pid_file()).args(flags);
        let mut agent = Daemon::start(&command, &self.scratch.join("log"));
        let file = self.pid_file();
        agent.wait_until("the agent", || file.exists());
        self.agent = Some(agent);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    pub fn socket(&self) -> PathBuf {
        self.scratch.join("socket")
    }

    fn pid_file(&self) -> PathBuf {
        self.scratch.join("pid")
    }

    pub fn pid(&self) -> i32 {
        fs::read_to_string(self.pid_file()).unwrap().parse().unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.scratch.join("log")).unwrap()
    }

    /// Waits for something that comes by itself.
    #[track_caller]
    pub fn wait_until(&mut self, what: &str, answers: impl FnMut() -> bool) {
        self.agent.as_mut().unwrap().wait_until(what, answers);
    }

    /// A bundle: `calls` go to the agent; none is no filter at all.
    pub fn bundle(&self, name: &str, calls: &[&str], script: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
        let folder = self.scratch.join(name);
        let _ = fs::create_dir(&folder);
        let _ = fs::remove_file(folder.join("config.json"));
        run(Command::new(ZVIZ).args(["spec", "--bundle"]).arg(&folder)).ok();
        let file = folder.join("config.json");
        let mut spec: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        // The newest that crun 1.8 knows.
        spec["ociVersion"] = json!("1.0.2");
        spec["root"] = json!({ "path": self.scratch.join("rootfs"), "readonly": false });
        spec["process"]["terminal"] = json!(false);
        spec["process"]["args"] = json!(["sh", "-c", script]);
        spec["linux"].as_object_mut().unwrap().remove("resources");
        spec["linux"]["cgroupsPath"] = json!(format!("/{}-{name}", self.scratch.name()));
        let mut rules = vec![json!({ "names": calls, "action": "SCMP_ACT_NOTIFY" })];
        if calls.contains(&"mount") {
            let names = ["fsconfig", "fsmount", "fsopen", "fspick", "mount_setattr", "move_mount", "open_tree"];
            rules.push(json!({ "names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": 38 }));
        }
        let seccomp = json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": self.socket(), "syscalls": rules });
        match calls {
            [] => drop(spec["linux"].as_object_mut().unwrap().remove("seccomp")),
            _ => spec["linux"]["seccomp"] = seccomp,
        }
        change(&mut spec);
        fs::write(file, spec.to_string()).unwrap();
        folder
    }

    /// A verb of a runtime.
    pub fn command(&self, runtime: Runtime, arguments: &[&str]) -> Command {
        let mut command = runtime.command(&self.scratch.join(format!("state-{runtime:?}")));
        command.args(arguments);
        command
    }

    /// Runs a container of a bundle to its end.
    pub fn run(&self, runtime: Runtime, bundle: &Path) -> Done {
        let id = format!("{}-{}", self.scratch.name(), bundle.file_name().unwrap().to_string_lossy());
        run(self.command(runtime, &["run", "--bundle"]).arg(bundle).arg(id))
    }

    /// The brokers of so many containers, once all of them serve. Each is the agent's child as soon as the process that
    /// looked at its connection has ended; until that is reaped it is one as well, without a name or memory of a broker.
    pub fn brokers(&self, count: usize) -> Vec<i32> {
        let deadline = Instant::now() + Duration::from_secs(50);
        loop {
            let serving = self.log().matches("are served by").count();
            let eyes = |pid: &i32| status(*pid, "Name") == "zviz-eyes";
            let brokers: Vec<_> = children(self.pid()).into_iter().filter(eyes).collect();
            if brokers.len() == count && serving >= count {
                return brokers;
            }
            assert!(Instant::now() < deadline, "{} of {count} brokers\n{}", brokers.len(), self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Of a runtime that was killed before it had told anybody of its cgroups.
        for group in cgroups(Path::new("/sys/fs/cgroup"), &self.scratch.name()) {
            let _ = fs::remove_dir(group);
        }
    }
}

/// The children of a process of one thread.
pub fn children(pid: i32) -> Vec<i32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// Bytes in memory that a process shares with no other. proc_pid_smaps_rollup(5).
pub fn own_memory(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let kilobytes = |line: &str| line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok());
    text.lines().filter(|line| line.starts_with("Private_")).filter_map(kilobytes).sum::<u64>() << 10
}

/// A line of a process's status.
pub fn status(pid: i32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    field(&text, name)
}

/// A line of the text of a status.
pub fn field(text: &str, name: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A user namespace for a container of root's.
pub fn with_users(spec: &mut Value) {
    spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
    let map = json!([{ "containerID": 0, "hostID": 300_000, "size": 65536 }]);
    spec["linux"]["uidMappings"] = map.clone();
    spec["linux"]["gidMappings"] = map;
}

/// Capabilities, in the sets of a config.
pub fn with_capabilities(spec: &mut Value, names: &[&str]) {
    for set in ["bounding", "effective", "permitted"] {
        spec["process"]["capabilities"][set] = json!(names);
    }
    for set in ["inheritable", "ambient"] {
        spec["process"]["capabilities"][set] = json!([]);
    }
}
