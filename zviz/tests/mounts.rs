//! Mounts of a config as the payload sees them, by the real binary as root.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use support::bundle;

fn mount(spec: &mut Value, mount: Value) {
    spec["mounts"].as_array_mut().unwrap().push(mount);
}

/// What the payload's own /proc/self/mountinfo says of a place: the options of the mount.
fn options<'a>(mountinfo: &'a str, place: &str) -> Vec<&'a str> {
    let line = mountinfo.lines().rfind(|line| line.split(' ').nth(4) == Some(place));
    line.unwrap_or_else(|| panic!("no {place} in {mountinfo}")).split(' ').nth(5).unwrap().split(',').collect()
}

#[test]
fn a_tmpfs_takes_its_mode_from_the_directory_below_it() {
    let Some(bundle) = bundle("modes", &["busybox", "stat", "-c", "%a", "/private", "/given", "/new"]) else { return };
    let private = bundle.file("rootfs/private");
    fs::create_dir_all(&private).unwrap();
    fs::set_permissions(&private, fs::Permissions::from_mode(0o2710)).unwrap();
    fs::create_dir_all(bundle.file("rootfs/given")).unwrap();
    bundle.edit(|spec| {
        mount(spec, json!({ "destination": "/private", "type": "tmpfs", "source": "tmpfs" }));
        mount(spec, json!({ "destination": "/given", "type": "tmpfs", "source": "tmpfs", "options": ["mode=701"] }));
        // Nothing is there: the kernel's own.
        mount(spec, json!({ "destination": "/new", "type": "tmpfs", "source": "tmpfs" }));
    });
    assert_eq!(bundle.ok(&["run", "--bundle", bundle.path(), &bundle.name]), "2710\n701\n1777\n");
    bundle.leaves_nothing();
}

#[test]
fn attributes_are_those_of_the_options() {
    let Some(bundle) = bundle("attributes", &["cat", "/proc/self/mountinfo"]) else { return };
    let source = bundle.file("source");
    fs::create_dir_all(&source).unwrap();
    bundle.edit(|spec| {
        let all = ["rbind", "ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "nosymfollow"];
        mount(spec, json!({ "destination": "/all", "source": source, "options": all }));
        let back = ["bind", "ro", "nosuid", "rw", "suid", "strictatime"];
        mount(spec, json!({ "destination": "/back", "source": source, "options": back }));
        mount(spec, json!({ "destination": "/tree", "source": source, "options": ["rbind", "rro", "rnoexec"] }));
        let late = ["ro", "nosuid"];
        mount(spec, json!({ "destination": "/late", "type": "tmpfs", "source": "tmpfs", "options": late }));
        mount(spec, json!({ "destination": "/late/inside", "source": source, "options": ["bind"] }));
        mount(spec, json!({ "destination": "/late/inside", "options": ["remount", "nodev"] }));
    });
    let seen = bundle.ok(&["run", "--bundle", bundle.path(), &bundle.name]);
    assert_eq!(options(&seen, "/all"), ["ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "nosymfollow"]);
    let back = options(&seen, "/back");
    assert!(back.contains(&"rw") && !back.contains(&"nosuid") && !back.contains(&"relatime"), "{back:?}");
    assert!(["ro", "noexec"].iter().all(|word| options(&seen, "/tree").contains(word)));
    assert!(["ro", "nosuid"].iter().all(|word| options(&seen, "/late").contains(word)));
    assert!(["rw", "nodev"].iter().all(|word| options(&seen, "/late/inside").contains(word)));
    bundle.leaves_nothing();
}

/// A link of the image in the way of a remount would change a mount that nobody named.
#[test]
fn a_remount_does_not_follow_a_link_of_the_image() {
    let Some(bundle) = bundle("remount-link", &["cat", "/proc/self/mountinfo"]) else { return };
    bundle.edit(|spec| mount(spec, json!({ "destination": "/sys", "options": ["remount", "rw"] })));
    let seen = bundle.ok(&["run", "--bundle", bundle.path(), &bundle.name]);
    assert!(options(&seen, "/sys").contains(&"rw"), "the control: what is named is changed\n{seen}");
    std::os::unix::fs::symlink("/sys", bundle.file("rootfs/innocent")).unwrap();
    bundle.edit(|spec| spec["mounts"].as_array_mut().unwrap().last_mut().unwrap()["destination"] = json!("/innocent"));
    bundle.refuses_to_run("(remount on /innocent, mounts[7]): the way there is a symbolic link");
    bundle.leaves_nothing();
}

/// Every option that config.md wants, each on a tmpfs and on a bind mount of its own, is taken by this kernel.
#[test]
fn every_option_of_the_specification_is_taken() {
    let Some(bundle) = bundle("options", &["cat", "/proc/self/mountinfo"]) else { return };
    let source = bundle.file("source");
    fs::create_dir_all(&source).unwrap();
    let of_others = ["bind", "rbind", "remount", "idmap", "ridmap"];
    let words = zviz_runtime::plan::mounts::KNOWN_OPTIONS.iter().filter(|word| !of_others.contains(word));
    let words: Vec<&str> = words.copied().collect();
    bundle.edit(|spec| {
        for word in &words {
            let place = |kind: &str| format!("/{kind}-{word}");
            mount(spec, json!({ "destination": place("t"), "type": "tmpfs", "source": "tmpfs", "options": [word] }));
            if !["tmpcopyup", "src-nofollow"].contains(word) {
                mount(spec, json!({ "destination": place("b"), "source": source, "options": ["bind", word] }));
            }
        }
    });
    let seen = bundle.ok(&["run", "--bundle", bundle.path(), &bundle.name]);
    for (word, attribute) in [("ro", "ro"), ("rro", "ro"), ("nosuid", "nosuid"), ("rnoatime", "noatime")] {
        for kind in ["t", "b"] {
            assert!(options(&seen, &format!("/{kind}-{word}")).contains(&attribute), "{kind} {word}");
        }
    }
    assert!(seen.lines().any(|line| line.contains(" /t-sync ") && line.contains("sync")));
    bundle.leaves_nothing();
}
