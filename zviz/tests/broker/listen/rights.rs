//! What the broker does for a container, it does with the rights of the process that asks, and with no others.

use super::served::{Place, Runtime, children, field, status, with_capabilities, with_users};
use crate::support::requires;
use serde_json::{Value, json};
use std::fs;

/// What the profile `nested` mediates.
pub const MOUNTS: &[&str] = &["mknod", "mknodat", "mount", "pivot_root", "umount2"];

/// As Docker's, and one that may mount.
const USUAL: &[&str] = &[
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// A tmpfs, as large as the broker lets it be, and so by its hand.
const MOUNT: &str =
    "mount -t tmpfs -o size=100g tmpfs /tmp && df -k /tmp | tail -n1 | awk '{ print $2 }' || echo refused";

#[test]
fn a_mount_needs_the_callers_own_right() {
    requires!(root, program "busybox", program "runc", program "crun");
    let place = Place::new("nested", &[]);
    let with_admin = [USUAL, &["CAP_SYS_ADMIN"]].concat();
    for runtime in Runtime::all() {
        for users in [false, true] {
            let said = |calls: &[&str], capabilities: &[&str], user: u32| {
                let bundle = place.bundle("mounts", calls, MOUNT, |spec: &mut Value| {
                    with_capabilities(spec, capabilities);
                    spec["process"]["user"] = json!({ "uid": user, "gid": user });
                    if users {
                        with_users(spec);
                    }
                });
                place.run(runtime, &bundle).ok()
            };
            assert_eq!(said(MOUNTS, &with_admin, 0), "524288", "{runtime:?}, {users}");
            assert_eq!(said(&[], &with_admin, 0), "104857600", "the control: {runtime:?}, {users}");
            assert_eq!(said(MOUNTS, USUAL, 0), "refused", "{runtime:?}, {users}");
            assert_eq!(said(MOUNTS, &with_admin, 1000), "refused", "{runtime:?}, {users}");
        }
    }
}

/// The parts of a broker whose container has no user namespace, as the kernel sees them while it serves.
#[test]
fn hands_have_what_their_caller_has_and_no_more() {
    requires!(root, program "busybox", program "runc", program "crun");
    let mut place = Place::new("nested", &[]);
    let script = "mount -t tmpfs tmpfs /nonexistent 2>/dev/null; cat /proc/self/status > /tmp/status.new; \
                  mv /tmp/status.new /tmp/status; i=0; until [ -e /tmp/go ] || [ $((i += 1)) -gt 800 ]; do sleep 0.05; done";
    for (runtime, privileges) in [(Runtime::Runc, true), (Runtime::Runc, false), (Runtime::Crun, false)] {
        for user in [0, 1000] {
            for file in ["status", "go"] {
                let _ = fs::remove_file(place.path("rootfs/tmp").join(file));
            }
            let bundle = place.bundle("looked-at", MOUNTS, script, |spec| {
                with_capabilities(spec, USUAL);
                spec["process"]["user"] = json!({ "uid": user, "gid": user + 5, "additionalGids": [7, 2000] });
                spec["process"]["noNewPrivileges"] = json!(privileges);
            });
            std::thread::scope(|scope| {
                let container = scope.spawn(|| place.run(runtime, &bundle));
                let written = place.path("rootfs/tmp/status");
                while !written.exists() {
                    assert!(!container.is_finished(), "{}", place.log());
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
                let caller = fs::read_to_string(written).unwrap();
                let eyes = place.brokers(1)[0];
                let [hands] = children(eyes)[..] else { panic!("{:?}", children(eyes)) };
                let [hand] = children(hands)[..] else { panic!("{:?}", children(hands)) };
                // It has its name when it has become who it is.
                let named = || fs::read_to_string(format!("/proc/{hand}/comm")).is_ok_and(|name| name == "zviz-hand\n");
                while !named() {
                    assert!(!container.is_finished(), "{}", place.log());
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                for name in ["Uid", "Gid", "Groups", "CapEff", "CapAmb"] {
                    assert_eq!(status(hand, name), field(&caller, name), "{runtime:?}, {user}: {name}");
                }
                assert_eq!(status(hand, "CapPrm"), field(&caller, "CapEff"), "{runtime:?}, {user}");
                assert_eq!((status(hand, "Seccomp"), status(hand, "NoNewPrivs")), ("2".into(), "1".into()));
                assert_eq!(
                    fs::read_dir(format!("/proc/{hand}/fd")).unwrap().count(),
                    2,
                    "its socket, and the pid namespace"
                );
                // What makes hands, and what it could hand on.
                let bounding = u64::from_str_radix(&field(&caller, "CapBnd"), 16).unwrap();
                let needed = [2, 5, 6, 7, 18, 19, 21].iter().fold(0u64, |mask, bit| mask | 1 << bit);
                for set in ["CapEff", "CapPrm", "CapBnd"] {
                    assert_eq!(status(hands, set), format!("{:016x}", bounding | needed), "{runtime:?}: {set}");
                }
                // CAP_SYS_PTRACE and CAP_KILL.
                assert_eq!(status(eyes, "CapPrm"), format!("{:016x}", 1 << 19 | 1 << 5));
                fs::write(place.path("rootfs/tmp/go"), "").unwrap();
                container.join().unwrap().ok();
            });
            let pid = place.pid();
            place.wait_until("the broker ends", || children(pid).is_empty());
        }
    }
}

/// With a user namespace, no part of the broker has any right over the host but to look into what is its user's own.
#[test]
fn a_user_namespace_leaves_the_broker_without_rights() {
    requires!(root, program "busybox", program "runc");
    let place = Place::new("nested", &[]);
    let script = "mount -t tmpfs tmpfs /nonexistent 2>/dev/null; touch /tmp/ready; \
                  i=0; until [ -e /tmp/go ] || [ $((i += 1)) -gt 800 ]; do sleep 0.05; done";
    let bundle = place.bundle("users", MOUNTS, script, with_users);
    std::thread::scope(|scope| {
        let container = scope.spawn(|| place.run(Runtime::Runc, &bundle));
        while !place.path("rootfs/tmp/ready").exists() {
            assert!(!container.is_finished(), "{}", place.log());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let eyes = place.brokers(1)[0];
        let [hands] = children(eyes)[..] else { panic!("{:?}", children(eyes)) };
        assert_eq!(status(eyes, "CapPrm"), "0000000000000000");
        let own = fs::read_link("/proc/self/ns/user").unwrap();
        assert_ne!(fs::read_link(format!("/proc/{hands}/ns/user")).unwrap(), own);
        fs::write(place.path("rootfs/tmp/go"), "").unwrap();
        container.join().unwrap().ok();
    });
}
