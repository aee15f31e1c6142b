//! Programs about devices, loaded and attached from inside a container by way of the broker, and what is refused.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../../../zviz/tests/support/needs.rs"]
#[allow(dead_code, reason = "shared with tests that need more")]
mod needs;
mod stage;

use nix::errno::Errno;
use stage::{Place, brokered, brokered_root, open};
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use zviz_broker::policy::{Death, Policy};
use zviz_sys::bpf::{self, CGROUP_DEVICE, Insn};
use zviz_sys::ids;

fn insn(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Insn {
    Insn { code, registers: to | from << 4, offset, immediate }
}

const EXIT: Insn = Insn { code: 0x95, registers: 0, offset: 0, immediate: 0 };

fn answers(value: i32) -> [Insn; 2] {
    [insn(0xb7, 0, 0, 0, value), EXIT]
}

fn load(program: &[Insn]) -> Result<OwnedFd, Errno> {
    bpf::load(CGROUP_DEVICE, program, c"GPL")
}

fn attach(cgroup: &Path, program: &OwnedFd) -> Result<(), Errno> {
    bpf::attach(CGROUP_DEVICE, open(cgroup).as_fd(), program.as_fd(), None)
}

fn detach(cgroup: &Path, program: &OwnedFd) -> Result<(), Errno> {
    bpf::detach(CGROUP_DEVICE, open(cgroup).as_fd(), program.as_fd())
}

fn with_devices() -> Policy {
    Policy { bpf_devices: true, ..Policy::default() }
}

/// Whether a process in this cgroup can read a device.
fn reads(cgroup: &Path, device: &str) -> bool {
    let script = format!("echo 0 > {}/cgroup.procs && exec head -c 1 {device}", cgroup.display());
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() || words.contains("not permitted"), "{words}");
    output.status.success()
}

fn what_is_attached_holds() {
    let place = Place::new("holds");
    let sub = place.own.join("sub");
    brokered(&place, with_devices(), || {
        // Before, and beside it after: it is the program that denies.
        assert!(reads(&sub, "/dev/zero"));
        let none = load(&answers(0)).unwrap();
        attach(&sub, &none).unwrap();
        assert!(!reads(&sub, "/dev/zero"));
        let other = place.own.join("other");
        fs::create_dir(&other).unwrap();
        assert!(reads(&other, "/dev/zero"));
        // One below that allows everything changes nothing.
        let deeper = sub.join("deeper");
        fs::create_dir(&deeper).unwrap();
        let all = load(&answers(1)).unwrap();
        attach(&deeper, &all).unwrap();
        assert!(!reads(&deeper, "/dev/zero"));
        // What is attached is told, and taken off.
        let told = bpf::query(CGROUP_DEVICE, open(&sub).as_fd()).unwrap();
        assert_eq!((told.flags, told.ids.len()), (bpf::ALLOW_MULTI, 1));
        assert_eq!(bpf::query(CGROUP_DEVICE, open(&other).as_fd()).unwrap().ids, [0; 0]);
        assert_eq!(detach(&sub, &all), Err(Errno::ENOENT));
        detach(&sub, &none).unwrap();
        assert!(reads(&deeper, "/dev/zero"));
        assert_eq!(bpf::query(CGROUP_DEVICE, open(&sub).as_fd()).unwrap().ids, [0; 0]);
        // By kind and number, as container tools have it: character devices 1:5 alone are denied.
        let zero = [
            insn(0x61, 2, 1, 0, 0),
            insn(0x54, 2, 0, 0, 0xffff),
            insn(0x61, 4, 1, 4, 0),
            insn(0x61, 5, 1, 8, 0),
            insn(0x55, 2, 0, 4, 2),
            insn(0x55, 4, 0, 3, 1),
            insn(0x55, 5, 0, 2, 5),
            insn(0xb7, 0, 0, 0, 0),
            EXIT,
            insn(0xb7, 0, 0, 0, 1),
            EXIT,
        ];
        attach(&sub, &load(&zero).unwrap()).unwrap();
        assert!(!reads(&sub, "/dev/zero") && reads(&sub, "/dev/urandom"));
    });
}

fn programs_that_can_do_more_are_refused() {
    let place = Place::new("programs");
    brokered(&place, with_devices(), || {
        // The kernel would take each of these, but for the last, from who may load programs.
        let call = [insn(0x85, 0, 0, 0, 5), insn(0xb7, 0, 0, 0, 1), EXIT];
        let stack = [insn(0x7a, 10, 0, -8, 1), insn(0xb7, 0, 0, 0, 1), EXIT];
        let wide = [insn(0x18, 0, 0, 0, 1), insn(0, 0, 0, 0, 0), EXIT];
        let back = [insn(0xb7, 0, 0, 0, 1), insn(0x15, 0, 0, 1, 1), insn(0x05, 0, 0, -2, 0), EXIT];
        let map = [insn(0x18, 1, 1, 0, 0), insn(0, 0, 0, 0, 0), insn(0xb7, 0, 0, 0, 1), EXIT];
        for program in [&call[..], &stack, &wide, &back, &map] {
            assert_eq!(load(program).err(), Some(Errno::EPERM), "{program:?}");
        }
        for (kind, attach) in [(1, 0), (9, 0), (13, 8), (29, 0)] {
            let other = bpf::Kind { program: kind, attach };
            assert_eq!(bpf::load(other, &answers(1), c"GPL").err(), Some(Errno::EPERM), "{kind}");
        }
        // The same one is the same.
        let [one, two] = [answers(1), answers(1)].map(|program| load(&program).unwrap());
        let sub = place.own.join("sub");
        attach(&sub, &one).unwrap();
        assert_eq!(attach(&sub, &two), Err(Errno::EINVAL));
        detach(&sub, &two).unwrap();
        assert_eq!(detach(&sub, &one), Err(Errno::ENOENT));
        // There is an end to them.
        let many = (0..300).find_map(|value| load(&[insn(0xb7, 2, 0, 0, value), insn(0xb7, 0, 0, 0, 1), EXIT]).err());
        assert_eq!(many, Some(Errno::ENOSPC));
        assert!(load(&answers(1)).is_ok());
    });
    // The kernel agrees that most of these are programs: it is the broker that refuses them.
    let call = [insn(0x85, 0, 0, 0, 5), insn(0xb7, 0, 0, 0, 1), EXIT];
    assert!(load(&call).is_ok());
}

fn what_is_not_the_containers_stays() {
    let place = Place::new("stays");
    let beside = place.top.join("beside");
    fs::create_dir(&beside).unwrap();
    let foreign = place.program.try_clone().unwrap();
    brokered(&place, with_devices(), || {
        let none = load(&answers(0)).unwrap();
        let sub = place.own.join("sub");
        // Each is one where it may write: no lack of permissions it was.
        for elsewhere in [&place.own, &place.top, &beside] {
            assert_eq!(attach(elsewhere, &none), Err(Errno::EPERM), "{}", elsewhere.display());
        }
        assert_eq!(bpf::query(CGROUP_DEVICE, open(&place.own).as_fd()).err(), Some(Errno::EPERM));
        // The host's program: not taken off where it is, nor attached where others may be.
        assert_eq!(detach(&place.own, &foreign), Err(Errno::EPERM));
        assert_eq!(attach(&sub, &foreign), Err(Errno::EPERM));
        // No cgroups, and no programs.
        let file = fs::File::open("/dev/null").unwrap();
        assert_eq!(attach(Path::new("/tmp"), &none), Err(Errno::EBADF));
        assert_eq!(bpf::attach(CGROUP_DEVICE, file.as_fd(), none.as_fd(), None), Err(Errno::EBADF));
        let bad = bpf::attach(CGROUP_DEVICE, open(&sub).as_fd(), file.as_fd(), None);
        assert_eq!(bad, Err(Errno::EINVAL));
        assert_eq!(attach(&sub, &none), Ok(()));
    });
    let attached = bpf::query(CGROUP_DEVICE, open(&place.own).as_fd()).unwrap().ids;
    assert_eq!(attached, [bpf::id(place.program.as_fd()).unwrap()]);
    assert_eq!(bpf::query(CGROUP_DEVICE, open(&beside).as_fd()).unwrap().ids, [0; 0]);
}

fn whoever_may_not_change_a_cgroup_attaches_nothing_to_it() {
    let place = Place::new("rights");
    let sub = place.own.join("sub");
    // Of somebody whom the container does not know.
    let foreign = place.own.join("foreign");
    fs::create_dir(&foreign).unwrap();
    std::os::unix::fs::chown(foreign.join("cgroup.procs"), Some(stage::IDS), Some(stage::IDS)).unwrap();
    let seen = || ids::set_dumpable(true).unwrap();
    brokered(&place, with_devices(), || {
        let none = load(&answers(0)).unwrap();
        assert_eq!(attach(&foreign, &none), Err(Errno::EACCES));
        attach(&sub, &none).unwrap();
        // A user of the container's, who has been given a program and a directory.
        ids::set_uid(1000).unwrap();
        seen();
        assert_eq!(load(&answers(1)).err(), Some(Errno::EPERM));
        assert_eq!(detach(&sub, &none), Err(Errno::EPERM));
        // In a user namespace of its own it has capabilities, but the cgroup is still not its own.
        let users = u64::from(libc::CLONE_NEWUSER.cast_unsigned());
        zviz_sys::process::unshare(users).unwrap();
        seen();
        assert_eq!(detach(&sub, &none), Err(Errno::EACCES));
    });
}

/// A program that lets others below it take its place does not hold below a container: nothing may be attached there then.
fn nothing_is_attached_where_it_would_give_more() {
    let place = Place::new("override");
    let own = open(&place.own);
    bpf::detach(CGROUP_DEVICE, own.as_fd(), place.program.as_fd()).unwrap();
    let sub = place.own.join("sub");
    let none = load(&answers(0)).unwrap();
    overridable(&place.top, &none);
    assert!(!reads(&sub, "/dev/zero"));
    brokered(&place, with_devices(), || {
        assert_eq!(attach(&sub, &load(&answers(1)).unwrap()), Err(Errno::EPERM));
    });
    assert!(!reads(&sub, "/dev/zero"));
    // The kernel would have: this is what was prevented.
    attach(&sub, &load(&answers(1)).unwrap()).unwrap();
    assert!(reads(&sub, "/dev/zero"));
}

/// BPF_F_ALLOW_OVERRIDE, which zviz never uses.
fn overridable(cgroup: &Path, program: &OwnedFd) {
    use std::os::fd::AsRawFd;
    let script = "my $attributes = pack('L4', $ARGV[0], $ARGV[1], 6, 1); \
        exit(syscall($ARGV[2] + 0, 8, $attributes, 16) != 0)";
    let cgroup = open(cgroup);
    for fd in [cgroup.as_fd(), program.as_fd()] {
        zviz_sys::fd::keep_over_exec(fd).unwrap();
    }
    let numbers = [i64::from(cgroup.as_raw_fd()), i64::from(program.as_raw_fd()), libc::SYS_bpf].map(|n| n.to_string());
    assert!(Command::new("perl").args(["-e", script]).args(numbers).status().unwrap().success());
}

/// A line of a status file. proc_pid_status(5).
fn status(pid: i32, key: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(":")).map(|value| value.trim().to_owned())
}

/// The loader of the broker that the same process has started as this one.
fn loader() -> i32 {
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let parent = |pid: i32| status(pid, "PPid")?.parse::<i32>().ok();
    let ours = nix::unistd::getppid().as_raw();
    let is = |pid: &i32| {
        status(*pid, "Name").as_deref() == Some("zviz-loader") && parent(*pid).and_then(parent) == Some(ours)
    };
    pids.into_iter().find(is).unwrap()
}

fn the_loader_has_two_rights_and_its_death_allows_nothing() {
    let place = Place::new("death");
    let policy = Policy { death: Death::Degrade, ..with_devices() };
    brokered(&place, policy, || {
        let none = load(&answers(0)).unwrap();
        let loader = loader();
        let told = |key| status(loader, key).unwrap();
        // CAP_BPF and CAP_NET_ADMIN.
        for set in ["CapEff", "CapPrm"] {
            assert_eq!(told(set), format!("{:016x}", 1u64 << 39 | 1 << 12));
        }
        assert_eq!(["CapInh", "CapAmb"].map(told), ["0000000000000000"; 2]);
        assert_eq!((told("NoNewPrivs"), told("Seccomp")), ("1".into(), "2".into()));
        // The host's root is root of this user namespace, so that it may do this.
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(loader), nix::sys::signal::Signal::SIGKILL).unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        while status(loader, "State").is_some_and(|state| !state.starts_with('Z')) {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(1));
        }
        for _ in 0..3 {
            assert_eq!(load(&answers(1)).err(), Some(Errno::ENOSYS));
            assert_eq!(attach(&place.own.join("sub"), &none), Err(Errno::ENOSYS));
        }
    });
}

/// Runtimes as they are, with all that they try before and around it.
fn runtimes_filter_devices(runtime: &str) {
    if needs::program(runtime).is_none() {
        return needs::skip(&format!("{runtime}_filters_devices"), &format!("{runtime} is not installed"));
    }
    let bundle = tempfile::tempdir().unwrap();
    fs::create_dir(bundle.path().join("rootfs")).unwrap();
    let bind =
        |path: &&str| serde_json::json!({ "destination": path, "type": "bind", "source": path, "options": ["rbind"] });
    let there = ["/usr", "/bin", "/lib", "/lib64"].into_iter().filter(|path| Path::new(path).exists());
    let mut mounts: Vec<_> = there.map(|path| bind(&path)).collect();
    mounts.push(serde_json::json!({ "destination": "/proc", "type": "proc", "source": "proc" }));
    mounts.push(serde_json::json!({ "destination": "/dev", "type": "tmpfs", "source": "tmpfs" }));
    let config = serde_json::json!({
        "ociVersion": "1.0.2",
        "root": { "path": "rootfs" },
        "process": { "args": ["sleep", "100"], "cwd": "/", "env": ["PATH=/usr/bin:/bin"], "user": { "uid": 0, "gid": 0 } },
        "mounts": mounts,
        "linux": {
            "cgroupsPath": "/inner",
            "namespaces": [{ "type": "pid" }, { "type": "mount" }, { "type": "ipc" }, { "type": "uts" }],
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] }
        }
    });
    fs::write(bundle.path().join("config.json"), config.to_string()).unwrap();
    let place = Place::new(runtime);
    brokered_root(&place, with_devices(), || {
        let run = |args: &[&str]| {
            let root = bundle.path().join("root");
            Command::new(runtime).arg("--root").arg(root).args(args).stdin(Stdio::null()).stdout(Stdio::null()).status()
        };
        let created = run(&["create", "--bundle", bundle.path().to_str().unwrap(), "inner"]).unwrap();
        assert!(created.success(), "{runtime}");
        let inner = Path::new("/sys/fs/cgroup/inner");
        assert_eq!(bpf::query(CGROUP_DEVICE, open(inner).as_fd()).unwrap().ids.len(), 1, "{runtime}");
        assert!(fs::read_to_string(inner.join("cgroup.procs")).unwrap().lines().count() == 1);
        let deleted = run(&["delete", "--force", "inner"]).unwrap();
        assert!(deleted.success(), "{runtime}");
    });
}

fn runc_filters_devices() {
    runtimes_filter_devices("runc");
}

fn crun_filters_devices() {
    // Before 1.9 it raises the limit first, and gives up where it may not.
    if zviz_sys::sched::set_rlimit(0, libc::RLIMIT_MEMLOCK, u64::MAX, u64::MAX).is_err() {
        return needs::skip("crun_filters_devices", "crun raises RLIMIT_MEMLOCK, which takes CAP_SYS_RESOURCE");
    }
    runtimes_filter_devices("crun");
}

fn without_the_key_nothing_is_loaded() {
    let place = Place::new("none");
    let policy = Policy { sysinfo: true, ..Policy::default() };
    brokered(&place, policy, || {
        assert_eq!(load(&answers(1)).err(), Some(Errno::ENOSYS));
    });
}

const TESTS: &[(&str, fn())] = &[
    ("what_is_attached_holds", what_is_attached_holds),
    ("programs_that_can_do_more_are_refused", programs_that_can_do_more_are_refused),
    ("what_is_not_the_containers_stays", what_is_not_the_containers_stays),
    ("whoever_may_not_change_a_cgroup_attaches_nothing_to_it", whoever_may_not_change_a_cgroup_attaches_nothing_to_it),
    ("nothing_is_attached_where_it_would_give_more", nothing_is_attached_where_it_would_give_more),
    ("the_loader_has_two_rights_and_its_death_allows_nothing", the_loader_has_two_rights_and_its_death_allows_nothing),
    ("runc_filters_devices", runc_filters_devices),
    ("crun_filters_devices", crun_filters_devices),
    ("without_the_key_nothing_is_loaded", without_the_key_nothing_is_loaded),
];

/// One after the other, in one thread. Any argument names those to run.
fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if std::env::args().any(|argument| argument == "--list") {
        return TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
    }
    let chosen = TESTS.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|part| name.contains(part)));
    let missing = stage::missing();
    let mut passed = 0;
    for (name, test) in chosen {
        match &missing {
            Some(why) => needs::skip(name, why),
            None => test(),
        }
        passed += 1;
        println!("test {name} ... ok");
    }
    println!("test result: ok. {passed} passed; 0 failed; 0 ignored");
}
