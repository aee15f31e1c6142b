//! What the tests of the real binary share: saying what they need and skipping out loud, folders and daemons that go when
//! the test does, a root file system and bundles of busybox.
#![allow(dead_code, unused_macros, unused_imports, reason = "each test file uses a part")]

mod daemon;
mod leftovers;
mod needs;
mod rootfs;
mod run;
mod scratch;

pub use daemon::Daemon;
pub use leftovers::{cgroups, processes};
pub use needs::{Need, missing, name_of, program, skip, unmet};
pub use rootfs::busybox_rootfs;
pub use run::{Done, copied, run, run_with_input};
pub use scratch::Scratch;

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The binary under test.
pub const ZVIZ: &str = env!("CARGO_BIN_EXE_zviz");

/// Leaves the test, saying why, where something that it needs is not here: `requires!(root, program "dockerd",
/// v1 "memory")`. In a function that returns nothing.
macro_rules! requires {
    ($($kind:ident $($what:literal)?),+ $(,)?) => {{
        fn here() {}
        let needs = [$($crate::support::requires!(@need $kind $($what)?)),+];
        if $crate::support::unmet($crate::support::name_of(&here), &needs) {
            return;
        }
    }};
    (@need root) => { $crate::support::Need::Root };
    (@need program $name:literal) => { $crate::support::Need::Program($name) };
    (@need v1 $controller:literal) => { $crate::support::Need::V1($controller) };
    (@need file $path:literal) => { $crate::support::Need::File($path) };
}
pub(crate) use requires;

/// A bundle of busybox and a state root, with ids that no other test has.
pub struct Bundle {
    dir: tempfile::TempDir,
    /// The container's id, and its cgroup's name.
    pub name: String,
    /// The binary; that of the build, unless a test may spoil it.
    pub binary: PathBuf,
}

/// A bundle whose payload is a command of busybox. None where a container cannot be made here; the reason is printed.
pub fn bundle(name: &str, args: &[&str]) -> Option<Bundle> {
    if !nix::unistd::geteuid().is_root() {
        skip(name, "needs root");
        return None;
    }
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].iter().map(PathBuf::from).find(|path| path.exists());
    let Some(busybox) = busybox else {
        skip(name, "busybox is not installed (package busybox-static)");
        return None;
    };
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("rootfs/bin");
    std::fs::create_dir_all(&bin).unwrap();
    copied(busybox, bin.join("busybox"));
    for applet in ["sh", "sleep", "cat", "echo", "true"] {
        std::os::unix::fs::symlink("busybox", bin.join(applet)).unwrap();
    }
    let name = format!("zviz-test-{name}-{}", std::process::id());
    let bundle = Bundle { name, dir, binary: env!("CARGO_BIN_EXE_zviz").into() };
    assert!(bundle.zviz(&["spec", "--bundle", bundle.path()]).status.success());
    bundle.edit(|spec| {
        spec["process"]["terminal"] = json!(false);
        spec["process"]["args"] = json!(args);
    });
    Some(bundle)
}

impl Bundle {
    pub fn path(&self) -> &str {
        self.dir.path().to_str().unwrap()
    }

    pub fn edit(&self, change: impl FnOnce(&mut Value)) {
        let path = self.dir.path().join("config.json");
        let mut spec = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut spec);
        std::fs::write(path, spec.to_string()).unwrap();
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--root").arg(self.dir.path().join("root")).args(arguments).stdin(Stdio::null());
        command
    }

    pub fn zviz(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.zviz(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn refused(&self, arguments: &[&str], words: &str) {
        let output = self.zviz(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(words), "{arguments:?}: {error}");
    }

    pub fn create(&self) {
        // Init keeps standard output and error.
        let status = self
            .command(&["create", "--bundle", self.path(), "--pid-file", &self.file("pid"), &self.name])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(status.unwrap().success());
    }

    /// `run`, with this shell script as the payload; what it printed, errors among it.
    pub fn script(&self, script: &str) -> String {
        self.edit(|spec| spec["process"]["args"] = json!(["sh", "-c", format!("exec 2>&1; {script}")]));
        self.ok(&["run", "--bundle", self.path(), &self.name])
    }

    /// `run` fails with these words, and nothing is left.
    pub fn refuses_to_run(&self, words: &str) {
        self.refused(&["run", "--bundle", self.path(), &self.name], words);
        self.leaves_nothing();
    }

    /// A path in the container's root, from outside.
    pub fn rootfs(&self, path: &str) -> PathBuf {
        self.dir.path().join("rootfs").join(path)
    }

    /// A new folder outside of the root.
    pub fn folder(&self, name: &str) -> String {
        std::fs::create_dir(self.dir.path().join(name)).unwrap();
        self.file(name)
    }

    pub fn file(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    pub fn state(&self) -> Value {
        serde_json::from_str(&self.ok(&["state", &self.name])).unwrap()
    }

    pub fn wait_for(&self, status: &str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.state()["status"] != status {
            assert!(Instant::now() < deadline, "{} is not {status}", self.state());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn leaves_nothing(&self) {
        assert_eq!(self.ok(&["list", "-q"]), "");
        let left: Vec<String> = std::fs::read_dir(self.dir.path().join("root"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with('.'))
            .collect();
        assert!(left.is_empty(), "{left:?}");
        let cgroups = leftovers::cgroups(Path::new("/sys/fs/cgroup"), &self.name);
        assert!(cgroups.is_empty(), "{cgroups:?}");
        let processes = leftovers::processes(&[&self.name, self.path()]);
        assert!(processes.is_empty(), "{processes:?}");
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(self.path()));
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        // What a failed test leaves.
        let _ = self.zviz(&["delete", "--force", &self.name]);
    }
}
