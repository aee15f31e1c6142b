//! A container that stays in the mount namespace of the host, as runc allows: its mounts are made there, below its root,
//! and go when it does. The "host" is a namespace of the test's own.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use serde_json::json;
use std::process::Stdio;
use std::time::Instant;
use support::{Bundle, bundle};

/// A bundle without a mount namespace, in a mount namespace of this thread whose mounts propagate so.
fn host(name: &str, propagation: MsFlags, args: &[&str]) -> Option<Bundle> {
    let bundle = bundle(name, args)?;
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    for propagation in [MsFlags::MS_PRIVATE, propagation] {
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | propagation, None::<&str>).unwrap();
    }
    bundle.edit(|spec| {
        let namespaces = spec["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "mount");
        for list in ["maskedPaths", "readonlyPaths"] {
            spec["linux"].as_object_mut().unwrap().remove(list);
        }
    });
    Some(bundle)
}

/// Mounts below the bundle, as the host sees them.
fn mounts(bundle: &Bundle) -> Vec<String> {
    let all = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let places = all.lines().filter_map(|line| line.split(' ').nth(4));
    places.filter(|place| place.starts_with(bundle.path())).map(str::to_owned).collect()
}

fn gone(bundle: &Bundle) {
    assert_eq!(mounts(bundle), Vec::<String>::new());
    bundle.leaves_nothing();
}

fn namespace_of(process: &str) -> std::path::PathBuf {
    std::fs::read_link(format!("/proc/{process}/ns/mnt")).unwrap()
}

#[test]
fn its_mounts_are_the_hosts_until_it_is_deleted() {
    for propagation in [MsFlags::MS_PRIVATE, MsFlags::MS_SHARED] {
        let Some(bundle) = host("nomnt", propagation, &["sleep", "1000"]) else { return };
        let before = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        bundle.create();
        bundle.ok(&["start", &bundle.name]);
        let pid = bundle.state()["pid"].to_string();
        assert_eq!(namespace_of(&pid), namespace_of("thread-self"));
        let proc = bundle.rootfs("proc").to_str().unwrap().to_owned();
        assert!(mounts(&bundle).contains(&proc), "{:?}", mounts(&bundle));
        // Into the same root, and no further.
        let seen = bundle.ok(&["exec", &bundle.name, "sh", "-c", "cd /; echo *; busybox readlink /proc/self/ns/mnt"]);
        assert!(seen.starts_with("bin ") && seen.contains(&*namespace_of("thread-self").to_string_lossy()), "{seen}");
        bundle.ok(&["delete", "--force", &bundle.name]);
        gone(&bundle);
        let after = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        assert_eq!(before, after, "nothing of the host's has changed");
    }
}

#[test]
fn run_hooks_and_failures_leave_no_mount() {
    let Some(bundle) = host("nomntrun", MsFlags::MS_SHARED, &["true"]) else { return };
    assert_eq!(bundle.script("echo in; test -e /proc/self/stat && echo proc"), "in\nproc\n");
    gone(&bundle);
    std::fs::write(bundle.rootfs("hook"), "#!/bin/sh\necho hooked >/marker\n").unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(bundle.rootfs("hook"), executable).unwrap();
    bundle.edit(|spec| {
        spec["root"]["readonly"] = json!(false);
        spec["hooks"] = json!({ "startContainer": [{ "path": "/hook" }] });
    });
    assert_eq!(bundle.script("cat /marker"), "hooked\n", "the hook ran in the container's root");
    gone(&bundle);
    bundle.edit(|spec| spec["process"]["args"] = json!(["/nonexistent"]));
    bundle.refuses_to_run("/nonexistent");
    gone(&bundle);
    bundle.edit(|spec| spec["hooks"] = json!({ "createContainer": [{ "path": "/bin/false" }] }));
    bundle.refuses_to_run("hooks.createContainer[0]");
    gone(&bundle);
}

#[test]
fn a_runtime_that_is_killed_leaves_what_delete_takes_away() {
    let Some(bundle) = host("nomntkill", MsFlags::MS_SHARED, &["sleep", "1000"]) else { return };
    std::fs::create_dir(bundle.file("root")).unwrap();
    let begin = Instant::now();
    bundle.create();
    let whole = begin.elapsed();
    bundle.ok(&["delete", "--force", &bundle.name]);
    let mut seen = 0;
    for moment in (0..40).map(|n| whole * n / 32) {
        let mut create = bundle.command(&["create", "--bundle", bundle.path(), &bundle.name]);
        let mut create = create.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(moment);
        create.kill().unwrap();
        create.wait().unwrap();
        seen += usize::from(!mounts(&bundle).is_empty());
        bundle.ok(&["delete", "--force", &bundle.name]);
        gone(&bundle);
    }
    assert!(seen > 0, "none was killed while it had mounts");
}

/// What has taken the root's place is not the container's, and stays.
#[test]
fn delete_takes_away_no_mount_of_others() {
    let Some(bundle) = host("nomntother", MsFlags::MS_PRIVATE, &["sleep", "1000"]) else { return };
    bundle.create();
    let rootfs = bundle.rootfs("");
    nix::mount::umount2(&rootfs, nix::mount::MntFlags::MNT_DETACH).unwrap();
    mount(Some("tmpfs"), &rootfs, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    bundle.ok(&["delete", "--force", &bundle.name]);
    assert_eq!(mounts(&bundle).len(), 1);
    nix::mount::umount(&rootfs).unwrap();
    gone(&bundle);
}

#[test]
fn what_needs_a_mount_namespace_is_refused() {
    let Some(bundle) = host("nomntbad", MsFlags::MS_PRIVATE, &["true"]) else { return };
    std::fs::create_dir(bundle.file("root")).unwrap();
    let good = std::fs::read(bundle.file("config.json")).unwrap();
    let refused = |words: &str| {
        bundle.refuses_to_run(words);
        gone(&bundle);
        std::fs::write(bundle.file("config.json"), &good).unwrap();
    };
    bundle.edit(|spec| spec["linux"]["maskedPaths"] = json!(["/proc/kcore"]));
    refused("linux.maskedPaths");
    bundle.edit(|spec| spec["linux"]["readonlyPaths"] = json!(["/proc/sys"]));
    refused("linux.readonlyPaths");
    bundle.edit(|spec| spec["linux"]["rootfsPropagation"] = json!("shared"));
    refused("linux.rootfsPropagation");
    bundle.edit(|spec| {
        spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
        for map in ["uidMappings", "gidMappings"] {
            spec["linux"][map] = json!([{ "containerID": 0, "hostID": 100_000, "size": 1000 }]);
        }
    });
    refused("linux.namespaces");
    let notes = bundle.ok(&["plan", "--bundle", bundle.path()]);
    assert!(notes.contains("CAP_SYS_CHROOT can leave the root"), "{notes}");
}
