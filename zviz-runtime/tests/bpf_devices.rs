//! A container whose profile has `bpf_devices` filters devices for its own cgroups, by the library from config.json to the end;
//! one with the default profile does not.
//!
//! ```text
//! test ── unshare(1), a view of cgroup v2 alone ──► outside: makes and runs the bundle ──► inside: its payload
//! ```
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../../zviz/tests/support/needs.rs"]
#[allow(dead_code, reason = "shared with tests that need more")]
mod needs;

use nix::errno::Errno;
use serde_json::json;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::Command;
use zviz_runtime::foreground::{Payload, Watch};
use zviz_runtime::plan::Request;
use zviz_runtime::store::{Root, Store};
use zviz_runtime::{Host, Plan, Profile, spec, start};
use zviz_sys::bpf::{self, CGROUP_DEVICE, Insn};
use zviz_sys::path;

const TEST: &str = "devices_are_filtered_inside";
/// CAP_SYS_ADMIN, linux/capability.h.
const SYS_ADMIN: u64 = 1 << 21;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["outside", with] => outside(with == "with"),
        ["inside", with] => inside(with == "with"),
        ["--list", ..] => println!("{TEST}: test"),
        _ => {
            test();
            println!("test {TEST} ... ok\ntest result: ok. 1 passed; 0 failed; 0 ignored");
        }
    }
}

fn test() {
    if !nix::unistd::geteuid().is_root() {
        return needs::skip(TEST, "needs root, for cgroups");
    }
    // On a hybrid host the container would not be shown the unified hierarchy.
    let view = "mount --make-rprivate / && { [ -e /sys/fs/cgroup/cgroup.procs ] || mount -t cgroup2 none /sys/fs/cgroup; } && \
                { mkdir /sys/fs/cgroup/zviz-probe-$$ && rmdir /sys/fs/cgroup/zviz-probe-$$ || exit 77; } && exec \"$@\"";
    let run = |args: &[&str]| {
        let exe = std::env::current_exe().unwrap();
        Command::new("unshare").args(["-m", "sh", "-c", view, "sh"]).arg(exe).args(args).output().unwrap()
    };
    for with in ["with", "without"] {
        let output = run(&["outside", with]);
        if output.status.code() == Some(77) {
            return needs::skip(TEST, "no cgroup of version 2 can be made");
        }
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{with}: {}\n{words}", output.status);
    }
}

fn config(exe: &Path, with: &str) -> serde_json::Value {
    let bind = |path: &str| json!({ "destination": path, "type": "bind", "source": path, "options": ["rbind", "ro"] });
    let there = ["/usr", "/bin", "/sbin", "/lib", "/lib64"].into_iter().filter(|path| Path::new(path).exists());
    let mut mounts: Vec<_> = there.map(bind).collect();
    mounts.extend([
        json!({ "destination": "/proc", "type": "proc", "source": "proc" }),
        json!({ "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] }),
        json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["rw"] }),
        json!({ "destination": "/test", "type": "bind", "source": exe, "options": ["bind", "ro"] }),
    ]);
    let ids = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    let namespaces = ["user", "pid", "network", "ipc", "uts", "mount", "cgroup"].map(|kind| json!({ "type": kind }));
    let sets = ["bounding", "effective", "permitted"].map(|set| (set.to_owned(), json!(["CAP_SYS_ADMIN"])));
    json!({
        "ociVersion": "1.2.1",
        "root": { "path": "rootfs" },
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": ["/test", "inside", with],
            "env": ["PATH=/usr/bin:/bin"],
            "cwd": "/",
            "noNewPrivileges": true,
            "capabilities": serde_json::Map::from_iter(sets)
        },
        "mounts": mounts,
        "linux": {
            "namespaces": namespaces,
            "uidMappings": ids,
            "gidMappings": ids,
            "cgroupsPath": format!("/zviz-devices-{}", std::process::id()),
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] }
        }
    })
}

fn outside(with: bool) {
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(dir.path(), Some(100_000), Some(100_000)).unwrap();
    let rootfs = dir.path().join("rootfs");
    fs::create_dir(&rootfs).unwrap();
    std::os::unix::fs::chown(&rootfs, Some(100_000), Some(100_000)).unwrap();
    let exe = std::env::current_exe().unwrap();
    let config = config(&exe, if with { "with" } else { "without" });
    fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    let mut profile = Profile { capabilities: SYS_ADMIN, landlock: false, ..Profile::default() };
    profile.broker.bpf_devices = with;
    let (spec, host) = (spec::load(dir.path()).unwrap(), Host::probe().unwrap());
    let id = zviz_runtime::container::Id::new("devices").unwrap();
    let plan = Plan::build(&spec, &profile, &host, Request::from("devices")).unwrap_or_else(|e| panic!("{e}"));
    let store = Store::open(&Root::Given(dir.path().join("store"))).unwrap();
    let mut watch = Watch::start(true).unwrap();
    let mut container = start::run(start::Request {
        store: &store,
        id,
        oci_version: "1.2.1",
        bundle: dir.path(),
        asked: Default::default(),
        output: None,
        plan,
        host: &host,
        console: None,
        preserve_fds: 0,
        die_with_parent: true,
        observer: None,
        warn: &|_| {},
    })
    .unwrap_or_else(|error| panic!("{error}"));
    container.unlock().unwrap();
    let outcome = watch.until_end(Payload::new(container.pid, container.pidfd.as_fd()));
    assert!(start::finish(container).unwrap().is_empty());
    assert_eq!(outcome.unwrap().status(), 0, "the payload");
}

fn load(answer: i32) -> Result<OwnedFd, Errno> {
    let set = Insn { code: 0xb7, registers: 0, offset: 0, immediate: answer };
    bpf::load(CGROUP_DEVICE, &[set, Insn { code: 0x95, registers: 0, offset: 0, immediate: 0 }], c"GPL")
}

fn open(path: &str) -> OwnedFd {
    path::open(&std::ffi::CString::new(path).unwrap(), libc::O_RDONLY | libc::O_DIRECTORY).unwrap()
}

/// Whether a process in this cgroup can read a device.
fn reads(cgroup: &str) -> bool {
    let script = format!("echo 0 > {cgroup}/cgroup.procs && exec head -c 1 /dev/zero");
    Command::new("sh").args(["-c", &script]).output().unwrap().status.success()
}

fn inside(with: bool) {
    let (own, sub) = ("/sys/fs/cgroup", "/sys/fs/cgroup/sub");
    fs::create_dir(sub).unwrap();
    assert!(reads(sub));
    if !with {
        assert_eq!(load(1).err(), Some(Errno::EPERM));
        return;
    }
    let none = load(0).unwrap();
    let attach = |cgroup: &str| bpf::attach(CGROUP_DEVICE, open(cgroup).as_fd(), none.as_fd(), None);
    assert_eq!(attach(own), Err(Errno::EPERM));
    attach(sub).unwrap();
    assert!(!reads(sub));
    // This process is not in it.
    assert!(fs::read("/dev/null").is_ok());
    bpf::detach(CGROUP_DEVICE, open(sub).as_fd(), none.as_fd()).unwrap();
    assert!(reads(sub));
}
