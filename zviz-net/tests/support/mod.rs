//! Network namespaces of a test's own, and the helper in one of them. No test touches the machine's own.

#![allow(dead_code, clippy::unwrap_used, reason = "each test program uses a part, and a panic is how tests fail")]

use nix::sched::{CloneFlags, unshare};
use std::fs::{File, Permissions};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use zviz_network::rules::Ruleset;
use zviz_network::wire::{self, Descriptor, Reply, Request, Up};
use zviz_sys::rights;

/// Says that a test was not made, and why, as tests/all counts it.
pub fn skip(test: &str, why: &str) {
    // Straight to the descriptor: what goes through println! is only seen of a test that fails.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("SKIP {test}: {why}\n").as_bytes());
}

/// Runs a test in a thread that is in a network namespace of its own: this test's host. Skipped where none can be made.
pub fn in_a_host(name: &str, test: impl FnOnce() + Send + 'static) {
    let name = name.to_owned();
    let thread = std::thread::Builder::new().name(name.clone()).spawn(move || {
        // As an ordinary user: this thread's user namespace stays as it is, for one with several threads cannot have its own.
        if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
            return skip(&name, &format!("no network namespace can be made: {error}"));
        }
        zviz_sys::net::bring_loopback_up().unwrap();
        test();
    });
    if let Err(panic) = thread.unwrap().join() {
        std::panic::resume_unwind(panic);
    }
}

/// A container's network namespace. It goes when this is dropped.
pub struct Container {
    child: Child,
    owned: bool,
    user: Option<u32>,
}

impl Container {
    /// In a network namespace of its own, below the calling thread's user namespace.
    pub fn new() -> Container {
        Container::unshared(&["--net"], None).expect("unshare ends early")
    }

    /// In a user namespace of its own as well, which owns it.
    pub fn with_users() -> Container {
        Container::of_user(None).expect("unshare ends early")
    }

    /// As [`Container::with_users`], as another user if one is named. None where that user can
    /// make none.
    pub fn of_user(user: Option<u32>) -> Option<Container> {
        Container::unshared(&["--user", "--map-root-user", "--net"], user)
    }

    fn unshared(flags: &[&str], user: Option<u32>) -> Option<Container> {
        let mut command = Command::new("unshare");
        command.args(flags).args(["sh", "-c", "echo; exec sleep 600"]).stdout(Stdio::piped());
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        // Here there may be no such user.
        let mut child = command.spawn().ok()?;
        let read = child.stdout.take().unwrap().read_exact(&mut [0]);
        let container = Container { child, owned: flags.contains(&"--user"), user };
        read.is_ok().then_some(container)
    }

    fn file(&self, kind: &str) -> File {
        File::open(format!("/proc/{}/ns/{kind}", self.child.id())).unwrap()
    }

    pub fn network(&self) -> File {
        self.file("net")
    }

    pub fn pid(&self) -> i32 {
        self.child.id().try_into().unwrap()
    }

    pub fn has_users(&self) -> bool {
        self.owned
    }

    pub fn users(&self) -> File {
        self.file("user")
    }

    /// Runs a program inside.
    pub fn run(&self, args: &[&str]) -> Output {
        let pid = self.child.id().to_string();
        let users: &[&str] = if self.owned { &["--user", "--preserve-credentials"] } else { &[] };
        let mut command = Command::new("nsenter");
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command.args(["--target", &pid, "--net"]).args(users).args(args).output().unwrap()
    }

    /// What nft prints of its rules, without their handles.
    pub fn rules(&self) -> String {
        said(&self.run(&["nft", "list", "ruleset"]))
    }
}

impl Container {
    /// Its rules as the kernel has them: each one's chain, its expressions, its comment.
    pub fn expressions(&self) -> Vec<(String, Vec<String>)> {
        let text = said(&self.run(&["nft", "--debug=netlink", "list", "ruleset"]));
        let mut rules = Vec::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match (words.as_slice(), rules.last_mut()) {
                // Its handle, and that of the one before it.
                (["inet", _, chain, _, ..], _) if words.iter().skip(3).all(|handle| handle.parse::<u64>().is_ok()) => {
                    rules.push((chain.to_string(), vec![]))
                }
                (["", "", "[" | "userdata", ..], Some((_, lines))) => lines.push(line.trim().to_owned()),
                _ => {}
            }
        }
        rules
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a program printed, which must have succeeded.
pub fn said(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A running helper.
pub struct Helper {
    pub child: Child,
    pub socket: UnixStream,
}

/// A copy of the helper that everybody may execute, wherever this was built. Another process makes it: one that a test beside
/// this one starts would have it open for writing for a moment, and then it cannot be executed.
pub fn readable_helper(folder: &tempfile::TempDir) -> PathBuf {
    let path = folder.path().join("zviz-net");
    said(&Command::new("cp").arg(env!("CARGO_BIN_EXE_zviz-net")).arg(&path).output().unwrap());
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    path
}

impl Helper {
    pub fn start() -> Helper {
        Helper::start_as(env!("CARGO_BIN_EXE_zviz-net").as_ref(), None)
    }

    pub fn start_as(program: &Path, user: Option<u32>) -> Helper {
        let (ours, its) = UnixStream::pair().unwrap();
        let its: std::os::fd::OwnedFd = its.into();
        let mut command = Command::new(program);
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        let child = command.stdin(its).spawn().unwrap();
        Helper { child, socket: ours }
    }

    pub fn send(&self, request: &Request, descriptors: &[BorrowedFd<'_>]) {
        let mut bytes = Vec::new();
        wire::send(&mut bytes, request).unwrap();
        self.send_bytes(&bytes, descriptors);
    }

    pub fn send_bytes(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
        let sent = rights::send_with(self.socket.as_fd(), bytes, descriptors).unwrap();
        std::io::Write::write_all(&mut &self.socket, &bytes[sent..]).unwrap();
    }

    pub fn reply(&self) -> Reply {
        wire::receive(&self.socket).unwrap()
    }

    pub fn end(mut self) {
        assert!(self.child.wait().unwrap().success());
    }
}

/// Asks a helper of its own.
pub fn ask(request: &Request, descriptors: &[BorrowedFd<'_>]) -> Reply {
    let helper = Helper::start();
    helper.send(request, descriptors);
    let reply = helper.reply();
    helper.end();
    reply
}

/// Why it was not done.
pub fn fault(reply: Reply) -> String {
    match reply {
        Reply::Fault { what } => what,
        other => panic!("{other:?}"),
    }
}

/// To put rules in force, and nothing else.
pub fn up(inside: Ruleset) -> Request {
    Request::Up(Box::new(Up {
        container: "c1".into(),
        descriptors: vec![Descriptor::Network],
        bridge: None,
        inside: Some(inside),
        untracked: None,
        resolver: None,
        joined: false,
        events: false,
        record: None,
    }))
}
