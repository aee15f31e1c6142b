//! What only some hosts have: AppArmor, systemd, and every controller of cgroup v2. The virtual machine shows them.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use serde_json::json;
use std::path::Path;
use std::process::{Command, Stdio};
use support::{Bundle, ZVIZ, bundle, missing, skip};

const SHELL: &str = "/proc/self/attr/current";

/// Loads a profile, and unloads it when it goes.
struct Profile {
    file: tempfile::NamedTempFile,
}

impl Profile {
    fn load(text: &str) -> Profile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let loaded = Command::new("apparmor_parser").arg("--replace").arg(file.path()).output().unwrap();
        assert!(loaded.status.success(), "{loaded:?}");
        Profile { file }
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        let _ = Command::new("apparmor_parser").arg("--remove").arg(self.file.path()).stderr(Stdio::null()).status();
    }
}

fn run(bundle: &Bundle) -> std::process::Output {
    bundle.zviz(&["run", "--bundle", bundle.path(), &bundle.name])
}

#[test]
fn an_apparmor_profile_is_in_force_for_the_payload_and_for_exec() {
    let test = "apparmor";
    if !std::fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with(b"Y")) {
        return skip(test, "this kernel has no AppArmor");
    }
    if let Some(program) = missing(&["apparmor_parser"]) {
        return skip(test, &format!("{program} is not installed"));
    }
    let script = format!("cat {SHELL}; echo secret >/tmp/denied && echo written; sleep 1000");
    let Some(bundle) = bundle(test, &["sh", "-c", &script]) else { return };
    std::fs::create_dir(Path::new(bundle.path()).join("rootfs/tmp")).unwrap();
    // CVE-2025-52881, CVE-2019-19921: files of the image where labels are written, which lead to a bait.
    std::fs::write(bundle.rootfs("bait"), "bait").unwrap();
    for attr in ["proc/self/attr", "proc/self/attr/apparmor", "proc/thread-self/attr", "proc/thread-self/attr/apparmor"]
    {
        std::fs::create_dir_all(bundle.rootfs(attr)).unwrap();
        std::os::unix::fs::symlink(bundle.rootfs("bait"), bundle.rootfs(attr).join("exec")).unwrap();
    }
    let name = format!("zviz-test-{}", std::process::id());
    let _profile = Profile::load(&format!(
        "#include <tunables/global>\nprofile {name} flags=(attach_disconnected) {{\n  file,\n  signal,\n  \
         deny /tmp/denied rwklx,\n}}\n"
    ));
    let once = |profile: Option<&str>| {
        bundle.edit(|spec| {
            spec["process"]["args"] = json!(["sh", "-c", script.replace("; sleep 1000", "")]);
            spec["process"]["apparmorProfile"] = json!(profile);
            spec["root"]["readonly"] = json!(false);
        });
        let output = run(&bundle);
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    // The control: without the profile the same write is made.
    assert!(once(Some("unconfined")).contains("written"));
    let confined = once(Some(&name));
    assert!(confined.contains(&format!("{name} (enforce)")) && !confined.contains("written"), "{confined}");

    bundle.edit(|spec| spec["process"]["args"] = json!(["sleep", "1000"]));
    bundle.create();
    bundle.ok(&["start", &bundle.name]);
    assert!(bundle.ok(&["exec", &bundle.name, "cat", SHELL]).contains(&format!("{name} (enforce)")));
    bundle.ok(&["delete", "--force", &bundle.name]);
    assert_eq!(std::fs::read_to_string(bundle.rootfs("bait")).unwrap(), "bait");

    // One that is not loaded ends the start.
    bundle.edit(|spec| spec["process"]["apparmorProfile"] = json!("zviz-no-such-profile"));
    bundle.refused(&["run", "--bundle", bundle.path(), &bundle.name], "apparmor");
    bundle.leaves_nothing();
}

#[test]
fn systemd_holds_the_container_in_a_scope_with_its_limits() {
    let test = "systemd";
    if !Path::new("/run/systemd/system").exists() {
        return skip(test, "systemd is not running");
    }
    let Some(bundle) = bundle(test, &["sleep", "1000"]) else { return };
    let unit = format!("zviz-{}.scope", bundle.name);
    bundle.edit(|spec| {
        spec["linux"]["cgroupsPath"] = json!(format!("system.slice:zviz:{}", bundle.name));
        spec["linux"]["resources"]["memory"] = json!({ "limit": 64 << 20 });
        spec["linux"]["resources"]["pids"] = json!({ "limit": 20 });
    });
    let status = bundle
        .command(&["--systemd-cgroup", "create", "--bundle", bundle.path(), &bundle.name])
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .status();
    assert!(status.unwrap().success());
    let show = |property: &str| {
        let output = Command::new("systemctl").args(["show", "--value", "-p", property, &unit]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    assert_eq!(show("ActiveState"), "active");
    assert_eq!((show("MemoryMax"), show("TasksMax")), ((64u32 << 20).to_string(), "20".to_owned()));
    bundle.ok(&["start", &bundle.name]);
    let inside = bundle.ok(&["exec", &bundle.name, "cat", "/proc/self/cgroup"]);
    assert!(inside.starts_with("0::"), "{inside}");
    bundle.ok(&["delete", "--force", &bundle.name]);
    assert_ne!(show("ActiveState"), "active");
    bundle.leaves_nothing();
}

#[test]
fn a_memory_limit_of_cgroup_v2_ends_what_exceeds_it() {
    let test = "memory-v2";
    let controllers = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    if !controllers.split_whitespace().any(|c| c == "memory") {
        return skip(test, "cgroup v2 has no memory controller here");
    }
    // A tmpfs counts as memory of who fills it.
    let Some(bundle) = bundle(test, &["sh", "-c", "cat /dev/zero >/dev/shm/x; echo survived"]) else { return };
    let with = |limit: Option<u64>| {
        bundle.edit(|spec| {
            let limit = limit.map(|limit| json!({ "limit": limit, "swap": limit }));
            spec["linux"]["resources"]["memory"] = json!(limit);
        });
        run(&bundle)
    };
    // The control: without a limit, the tmpfs is full before memory is, and the shell goes on.
    assert!(String::from_utf8_lossy(&with(None).stdout).contains("survived"));
    let limited = with(Some(16 << 20));
    let killed = !limited.status.success() || !String::from_utf8_lossy(&limited.stderr).contains("No space left");
    assert!(killed, "{limited:?}");
    bundle.leaves_nothing();
}

/// Inside a sandbox inside: makes a cgroup below its own, loads a program that denies every device, and attaches it there and to
/// its own. Says what came of each, and whether a process in there can read a device.
const FILTER_DEVICES: &str = r#"
mkdir /tmp/tree && mount -t cgroup2 none /tmp/tree || exit 1
mkdir /tmp/tree/a 2>/tmp/words
perl -e '
    my ($bpf, $open) = map { $_ + 0 } @ARGV;
    my $code = pack("CCsl", 0xb7, 0, 0, 0) . pack("CCsl", 0x95, 0, 0, 0);
    my $load = pack("LLQQ", 15, 2, unpack("Q", pack("p", $code)), unpack("Q", pack("p", "GPL")));
    my $program = syscall($bpf, 5, $load, 24);
    print $program < 0 ? "refused" : "loaded";
    for my $cgroup ("/tmp/tree/a", "/tmp/tree") {
        my $path = $cgroup;
        my $attach = pack("L4", syscall($open, -100, $path, 0), $program, 6, 2);
        print syscall($bpf, 8, $attach, 16) < 0 ? " refused" : " attached";
    }' "$1" "$2"
echo 0 >/tmp/tree/a/cgroup.procs && head -c 1 /dev/zero >/tmp/byte 2>/tmp/words && echo " read" || echo " denied"
"#;

#[test]
fn a_sandbox_filters_devices_where_its_profile_lets_it() {
    let test = "devices";
    if !nix::unistd::geteuid().is_root() {
        return skip(test, "needs root");
    }
    let controllers = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    if !controllers.split_ascii_whitespace().any(|controller| controller == "pids") {
        return skip(test, "the sandbox's cgroup is not one of version 2");
    }
    if let Some(program) = missing(&["perl", "unshare"]) {
        return skip(test, &format!("{program} is not installed"));
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("devices.yaml");
    std::fs::write(&file, "name: devices\nextends: nested\nsyscalls:\n  broker: [bpf]\n").unwrap();
    let said = |profile: &str| {
        let numbers = [libc::SYS_bpf, libc::SYS_openat].map(|number| number.to_string());
        let mut command = Command::new(ZVIZ);
        command.args(["run", "--profile", profile, "--", "unshare", "-UrmC", "sh", "-c", FILTER_DEVICES, "sh"]);
        let output = command.args(numbers).current_dir(folder.path()).stdin(Stdio::null()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    assert_eq!(said(file.to_str().unwrap()), "loaded attached refused denied");
    // Nothing can be made below its cgroup, nor be loaded.
    assert!(said("nested").starts_with("refused refused refused"));
}
