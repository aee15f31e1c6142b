//! What the peers' conformance suites look for and no other test has, by the real binary as root.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use serde_json::json;
use std::os::unix::fs::symlink;
use support::bundle;

#[test]
fn a_policy_older_than_the_kernel_starts_its_container() {
    let Some(bundle) = bundle("old-policy", &["true"]) else { return };
    bundle.edit(|spec| {
        // What busybox needs to end well, and the one call that init makes under the filter; nothing newer than Linux 4.
        let names =
            ["read", "write", "execve", "exit_group", "capset", "brk", "arch_prctl", "mmap", "mprotect", "getuid"];
        let rule = json!({ "names": names, "action": "SCMP_ACT_ALLOW" });
        spec["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule] });
        spec["process"]["noNewPrivileges"] = json!(false);
    });
    bundle.ok(&["run", "--bundle", bundle.path(), &bundle.name]);
    bundle.leaves_nothing();
}

#[test]
fn the_right_that_loads_the_filter_is_gone_in_the_payload() {
    let Some(bundle) = bundle("spare-right", &["sh", "-c", "cat /proc/self/status"]) else { return };
    bundle.edit(|spec| {
        spec["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_ALLOW" });
        spec["process"]["noNewPrivileges"] = json!(false);
        let kill = json!(["CAP_KILL"]);
        spec["process"]["capabilities"] = json!({ "bounding": kill, "permitted": kill, "effective": kill });
    });
    let status = bundle.ok(&["run", "--bundle", bundle.path(), &bundle.name]);
    for line in ["CapPrm:\t0000000000000020", "CapEff:\t0000000000000020", "CapBnd:\t0000000000000020", "Seccomp:\t2"] {
        assert!(status.contains(line), "{line} in {status}");
    }
}

#[test]
fn unknown_capabilities_are_warned_of_and_left_out() {
    let Some(bundle) = bundle("unknown-cap", &["true"]) else { return };
    bundle.edit(|spec| spec["process"]["capabilities"] = json!({ "bounding": ["CAP_KILL", "CAP_TIMELORD"] }));
    let output = bundle.zviz(&["run", "--bundle", bundle.path(), &bundle.name]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{error}");
    let warning = "zviz: warning: process.capabilities: ignoring unknown or unavailable capabilities: [CAP_TIMELORD]\n";
    assert_eq!(error, warning);
}

#[test]
fn proc_and_sys_are_not_mounted_through_links() {
    for place in ["proc", "sys"] {
        let Some(bundle) = bundle(&format!("link-{place}"), &["true"]) else { return };
        symlink("../..", bundle.file(&format!("rootfs/{place}"))).unwrap();
        bundle.refused(
            &["create", "--bundle", bundle.path(), &bundle.name],
            "must be mounted on ordinary directory, not on a symbolic link",
        );
        bundle.leaves_nothing();
    }
}

#[test]
fn cpu_affinity_is_for_exec_alone() {
    let Some(bundle) = bundle("affinity", &["sleep", "1000"]) else { return };
    if std::thread::available_parallelism().unwrap().get() < 2 {
        return support::skip("cpu_affinity_is_for_exec_alone", "needs two processors");
    }
    bundle.edit(|spec| spec["process"]["execCPUAffinity"] = json!({ "initial": "0", "final": "1" }));
    bundle.create();
    let allowed = |status: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        line.unwrap().trim().to_owned()
    };
    let init = std::fs::read_to_string(format!("/proc/{}/status", bundle.state()["pid"])).unwrap();
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    assert_eq!(allowed(&init), allowed(&own));
    bundle.ok(&["start", &bundle.name]);
    let output = bundle.zviz(&["--debug", "exec", &bundle.name, "cat", "/proc/self/status"]);
    assert_eq!(allowed(&String::from_utf8(output.stdout).unwrap()), "1");
    assert!(String::from_utf8(output.stderr).unwrap().contains("affinity: 0x1"));
    bundle.ok(&["delete", "--force", &bundle.name]);
}

#[test]
fn a_name_is_set_in_the_namespace_that_is_joined() {
    let Some(sandbox) = bundle("pod", &["sleep", "1000"]) else { return };
    let Some(member) = bundle("pod-member", &["cat", "/proc/sys/kernel/hostname"]) else { return };
    sandbox.create();
    let uts = format!("/proc/{}/ns/uts", sandbox.state()["pid"]);
    member.edit(|spec| {
        spec["hostname"] = json!("web-1");
        for ns in spec["linux"]["namespaces"].as_array_mut().unwrap() {
            if ns["type"] == "uts" {
                ns["path"] = json!(uts);
            }
        }
    });
    assert_eq!(member.ok(&["run", "--bundle", member.path(), &member.name]), "web-1\n");
    sandbox.ok(&["start", &sandbox.name]);
    let seen = sandbox.ok(&["exec", &sandbox.name, "cat", "/proc/sys/kernel/hostname"]);
    assert_eq!(seen, "web-1\n");
    sandbox.ok(&["delete", "--force", &sandbox.name]);
}

#[test]
fn a_container_without_a_process_is_created_and_never_started() {
    let Some(bundle) = bundle("no-process", &[]) else { return };
    bundle.edit(|spec| drop(spec.as_object_mut().unwrap().remove("process")));
    bundle.create();
    assert_eq!(bundle.state()["status"], "created");
    bundle.refused(&["start", &bundle.name], "the container has no program to start");
    assert_eq!(bundle.state()["status"], "created");
    bundle.ok(&["delete", &bundle.name]);
    bundle.leaves_nothing();
}

#[test]
fn the_root_has_the_propagation_that_is_asked_for() {
    for (asked, field) in [("shared", "shared:"), ("unbindable", "unbindable"), ("private", "- "), ("slave", "- ")] {
        let Some(bundle) = bundle(&format!("root-{asked}"), &["cat", "/proc/self/mountinfo"]) else { return };
        bundle.edit(|spec| spec["linux"]["rootfsPropagation"] = json!(asked));
        let mounts = bundle.ok(&["run", "--bundle", bundle.path(), &bundle.name]);
        let root = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/")).unwrap();
        // After the mount options: the optional fields, then a hyphen. proc_pid_mountinfo(5).
        let after = root.splitn(7, ' ').nth(6).unwrap();
        assert!(after.starts_with(field), "{asked}: {root}");
    }
}
