//! A dockerd of the test's own, and its client.

use crate::support::{Daemon, Done, Scratch, ZVIZ, busybox_rootfs, program, run, run_with_input};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// Where the daemon itself lives: beside a loopback it has a bridge, and no way out.
const OWN_NETWORK: &str = "ip link set lo up; exec \"$@\"";

/// Docker, with the image `box` (busybox).
pub struct Docker {
    // In this order they are dropped: the folder goes when nothing uses it any more.
    daemon: Daemon,
    cgroups: CgroupParent,
    pub scratch: Scratch,
}

impl Docker {
    /// # Panics
    /// If it does not start.
    pub fn start() -> Self {
        Docker::start_with(&[])
    }

    /// With more flags of dockerd.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_with(flags: &[&str]) -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", OWN_NETWORK, "sh"]).arg(program("dockerd").unwrap());
        Docker::start_by(command, flags)
    }

    /// By a command that ends with the daemon's name, in whatever network that has.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_by(mut command: Command, flags: &[&str]) -> Self {
        let scratch = Scratch::new("docker");
        let cgroups = CgroupParent(scratch.name());
        fs::write(scratch.join("none.json"), "{}").unwrap();
        for (flag, file) in
            [("--config-file", "none.json"), ("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")]
        {
            command.arg(flag).arg(scratch.join(file));
        }
        command.arg("--host").arg(format!("unix://{}", scratch.join("sock").display()));
        command.arg(format!("--add-runtime=zviz={ZVIZ}")).arg("--default-runtime=zviz");
        command.args(["--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"]);
        command.arg(format!("--cgroup-parent=/{}", cgroups.0)).args(flags);
        let daemon = Daemon::start(&command, &scratch.join("log"));
        let mut docker = Docker { daemon, cgroups, scratch };
        let version = |docker: &Docker| docker.cli(&["version"]).code == 0;
        let mut daemon_answers = version(&docker);
        while !daemon_answers {
            let socket = docker.scratch.join("sock");
            docker.daemon.wait_until("dockerd", || socket.exists());
            std::thread::sleep(Duration::from_millis(50));
            daemon_answers = version(&docker);
        }
        docker.import();
        docker
    }

    fn import(&self) {
        let root = self.scratch.join("rootfs");
        busybox_rootfs(&root);
        let tar = self.scratch.join("rootfs.tar");
        run(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&tar).arg(".")).ok();
        self.cli(&["import", tar.to_str().unwrap(), "box"]).ok();
    }

    /// The client.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("docker").unwrap());
        command.env("DOCKER_HOST", format!("unix://{}", self.scratch.join("sock").display()));
        command.env("DOCKER_CONFIG", self.scratch.join("client")).env("DOCKER_BUILDKIT", "0");
        command.args(arguments);
        command
    }

    /// `docker ARGUMENTS`.
    #[track_caller]
    pub fn cli(&self, arguments: &[&str]) -> Done {
        run(&mut self.command(arguments))
    }

    /// `docker run --rm --network none FLAGS box COMMAND`.
    #[track_caller]
    pub fn run(&self, flags: &[&str], command: &[&str]) -> Done {
        self.run_with_input(flags, command, b"")
    }

    #[track_caller]
    pub fn run_with_input(&self, flags: &[&str], command: &[&str], input: &[u8]) -> Done {
        let network = !flags.iter().any(|flag| flag.starts_with("--network"));
        let mut docker = self.command(&["run", "--rm"]);
        docker.args(network.then_some("--network=none")).args(flags).arg("box").args(command);
        run_with_input(&mut docker, input)
    }

    /// A shell script in a new container.
    #[track_caller]
    pub fn sh(&self, flags: &[&str], script: &str) -> Done {
        self.run(flags, &["sh", "-c", script])
    }

    /// A container in the background.
    #[track_caller]
    pub fn background(&self, flags: &[&str], script: &str) -> Container<'_> {
        let network = !flags.iter().any(|flag| flag.starts_with("--network"));
        let mut docker = self.command(&["run", "--detach"]);
        docker.args(network.then_some("--network=none")).args(flags).args(["box", "sh", "-c", script]);
        Container { docker: self, id: run(&mut docker).ok() }
    }

    /// A command line of `docker`, for a shell.
    pub fn words(&self, arguments: &str) -> String {
        format!("docker --host unix://{} {arguments}", self.scratch.join("sock").display())
    }

    /// What zviz remembers: its `--root`. The name is that of the kind of shim, whatever runtime it calls.
    pub fn runtime_root(&self) -> PathBuf {
        self.scratch.join("exec/runtime-runc/moby")
    }

    /// The cgroup that all containers are in.
    pub fn cgroup_parent(&self) -> &str {
        &self.cgroups.0
    }
}

/// A container that is removed when it is dropped.
pub struct Container<'a> {
    pub docker: &'a Docker,
    pub id: String,
}

impl Container<'_> {
    /// `docker VERB FLAGS ID`.
    #[track_caller]
    pub fn cli(&self, verb_and_flags: &[&str]) -> Done {
        self.docker.cli(&[verb_and_flags, &[&*self.id]].concat())
    }

    /// A field of `docker inspect`: `.State.Pid`.
    #[track_caller]
    pub fn field(&self, field: &str) -> String {
        self.cli(&["inspect", "--format", &format!("{{{{{field}}}}}")]).ok()
    }

    /// `docker exec FLAGS ID sh -c SCRIPT`.
    #[track_caller]
    pub fn exec(&self, flags: &[&str], script: &str) -> Done {
        self.docker.cli(&[&["exec"], flags, &[&*self.id, "sh", "-c", script]].concat())
    }

    /// What it has written.
    #[track_caller]
    pub fn logs(&self) -> String {
        self.cli(&["logs"]).ok()
    }

    /// Its exit code, once it has ended.
    #[track_caller]
    pub fn wait(&self) -> i32 {
        self.cli(&["wait"]).ok().parse().unwrap()
    }

    /// Waits until a field is as wanted.
    #[track_caller]
    pub fn wait_for(&self, field: &str, wanted: &str) {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let is = self.field(field);
            if is == wanted {
                return;
            }
            assert!(Instant::now() < end, "{field} is {is}, not {wanted}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until it has written a line.
    #[track_caller]
    pub fn wait_for_line(&self, line: &str) {
        let end = Instant::now() + Duration::from_secs(30);
        while !self.logs().lines().any(|l| l.trim() == line) {
            assert!(Instant::now() < end, "no line {line:?} in {:?}", self.logs());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let _ = self.docker.command(&["rm", "--force", "--volumes", &self.id]).output();
    }
}

/// The cgroups of all containers: a name of the test's own in each hierarchy.
struct CgroupParent(String);

impl Drop for CgroupParent {
    fn drop(&mut self) {
        for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            let _ = fs::remove_dir(hierarchy.path().join(&self.0));
        }
    }
}
