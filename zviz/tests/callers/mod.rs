//! Who runs zviz in a test: root, and an ordinary user that is made for it and removed after.
#![allow(dead_code, reason = "each test file uses a part")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

/// The binary and folders, below one temporary folder that every user may enter.
pub struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("zviz-test-").tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        // Where the tests were built an ordinary user may not look.
        crate::support::copied(env!("CARGO_BIN_EXE_zviz"), folder.path().join("zviz"));
        Place { folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// An ordinary user of this machine, as long as it lives.
struct User {
    name: String,
    uid: u32,
    gid: u32,
}

impl User {
    fn new() -> Self {
        let name = format!("zviz-t{}", std::process::id());
        let done = Command::new("useradd").args(["--no-create-home", "--shell", "/bin/sh", &name]).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        let id = |flag: &str| {
            let output = Command::new("id").args([flag, &name]).output().unwrap();
            String::from_utf8_lossy(&output.stdout).trim().parse().unwrap()
        };
        User { uid: id("-u"), gid: id("-g"), name }
    }
}

/// The one user of all tests of a file, and how many hold it. Made and removed under the lock: neither useradd(8) nor
/// userdel(8) likes company.
static USER: Mutex<Option<(Arc<User>, usize)>> = Mutex::new(None);

/// A hold on it.
struct Hold(Arc<User>);

impl Hold {
    fn new() -> Self {
        let mut user = USER.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let (user, holds) = user.get_or_insert_with(|| (Arc::new(User::new()), 0));
        *holds += 1;
        Hold(Arc::clone(user))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut user = USER.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some((_, holds)) = user.as_mut() {
            *holds -= 1;
        }
        if let Some((last, _)) = user.take_if(|(_, holds)| *holds == 0) {
            let _ = Command::new("userdel").arg(&last.name).stderr(Stdio::null()).status();
        }
    }
}

/// One who calls, with a folder to work in and a home.
pub struct Caller {
    pub place: Place,
    user: Hold,
    pub root: bool,
    pub work: PathBuf,
    pub home: PathBuf,
}

impl Caller {
    /// Root of this machine, and an ordinary user.
    pub fn both() -> [Caller; 2] {
        [Caller::new(true), Caller::new(false)]
    }

    pub fn new(root: bool) -> Caller {
        let (place, user) = (Place::new(), Hold::new());
        let make = |name: &str| {
            let path = place.path().join(name);
            fs::create_dir(&path).unwrap();
            if !root {
                chown(&path, Some(user.0.uid), Some(user.0.gid)).unwrap();
            }
            path
        };
        let (work, home) = (make("work"), make("home"));
        make("state");
        Caller { place, user, root, work, home }
    }

    pub fn name(&self) -> &'static str {
        if self.root { "root" } else { "an ordinary user" }
    }

    /// The ordinary user's name, whoever calls.
    pub fn user(&self) -> &str {
        &self.user.0.name
    }

    /// The caller's own ids.
    pub fn ids(&self) -> (u32, u32) {
        if self.root { (0, 0) } else { (self.user.0.uid, self.user.0.gid) }
    }

    /// A program as this caller, with an environment of its own.
    pub fn program(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.work).stdin(Stdio::null()).env_clear();
        command.env("HOME", &self.home).env("USER", self.user()).env("LANG", "C.UTF-8");
        // Root would keep stages in /var/lib.
        command.env("XDG_STATE_HOME", self.home.join(".state"));
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        if !self.root {
            command.uid(self.user.0.uid).gid(self.user.0.gid);
        }
        command
    }

    /// `zviz run FLAGS -- COMMAND`.
    pub fn sandbox(&self, flags: &[&str], command: &[&str]) -> Command {
        let mut zviz = self.program(self.place.path().join("zviz"));
        zviz.arg("--root").arg(self.state()).arg("run").args(flags).arg("--").args(command);
        zviz
    }

    pub fn state(&self) -> PathBuf {
        self.place.path().join("state")
    }

    /// Runs it, and says whose it was if it is not as expected.
    pub fn run(&self, flags: &[&str], command: &[&str]) -> Output {
        self.sandbox(flags, command).output().unwrap()
    }

    /// What a shell script prints inside. It must end well.
    pub fn says(&self, flags: &[&str], script: &str) -> String {
        let output = self.run(flags, &["sh", "-euc", script]);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "as {}: {}\n{script}\n{out}\n{err}", self.name(), output.status);
        out.trim_end().to_owned()
    }

    /// What is left of containers in the store.
    pub fn left(&self) -> Vec<String> {
        let entries =
            fs::read_dir(self.state()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        entries.filter(|name| !name.starts_with('.')).collect()
    }
}
