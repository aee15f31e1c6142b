//! What only some hosts have: AppArmor, systemd, and every controller of cgroup v2. The virtual machine shows them.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use serde_json::json;
use std::path::Path;
use std::process::{Command, Stdio};
use support::{Bundle, bundle, missing, skip};

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
