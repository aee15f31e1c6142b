//! Configs, hosts and profiles that hang together well enough to be planned most of the time.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};
use zviz_runtime::{Host, Profile};

const CAPABILITIES: &[&str] =
    &["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW", "CAP_SYS_ADMIN", "CAP_BPF", "CAP_SETUID", "CAP_LATER"];

const OPTIONS: &[&str] = &[
    "ro",
    "rw",
    "nosuid",
    "suid",
    "nodev",
    "dev",
    "noexec",
    "exec",
    "noatime",
    "relatime",
    "strictatime",
    "rro",
    "rrw",
    "rnosuid",
    "rnodev",
    "rslave",
    "private",
    "sync",
    "",
    "nosymfollow",
];

/// System calls, those that init needs among them.
pub const CALLS: &[&str] = &[
    "read",
    "write",
    "execve",
    "exit_group",
    "clone",
    "ptrace",
    "mkdir",
    "prctl",
    "capset",
    "setresuid",
    "setgroups",
    "chdir",
    "no_such_call",
];

/// System calls that are the payload's own affair.
const OTHER_CALLS: &[&str] = &["clone", "ptrace", "mkdir", "unshare", "mount", "socket", "no_such_call"];

/// Facts of a machine.
fn host() -> impl Strategy<Value = Host> {
    (any::<bool>(), any::<bool>(), 0_u32..8, 36_u32..41, 5_u32..8).prop_map(|(rootless, lsm, abi, last, major)| {
        let mut host: Host = serde_json::from_str(include_str!("../plans/host.json")).expect("facts of a host");
        if rootless {
            host.rootless = true;
            host.euid = 1000;
            host.egid = 1000;
        }
        host.apparmor = lsm;
        host.landlock_abi = abi;
        host.last_capability = last;
        host.kernel.major = major;
        host
    })
}

/// A profile, and one that is at least as strict.
pub fn profiles() -> impl Strategy<Value = (Profile, Profile)> {
    let flags = || (any::<u64>(), any::<bool>(), any::<bool>(), any::<bool>());
    (flags(), flags()).prop_map(|(a, b)| {
        let profile = |(capabilities, no_new_privs, landlock, seccomp): (u64, bool, bool, bool)| Profile {
            name: "generated".into(),
            capabilities,
            no_new_privs,
            landlock,
            seccomp,
            ..Profile::none()
        };
        (profile(a), profile((a.0 & b.0, a.1 || b.1, a.2 || b.2, a.3 || b.3)))
    })
}

fn words(pool: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(pool.to_vec(), 0..=pool.len()).prop_shuffle()
}

fn process() -> impl Strategy<Value = Value> {
    let sets = (words(CAPABILITIES), words(CAPABILITIES), words(CAPABILITIES), words(CAPABILITIES));
    let limits = words(&["RLIMIT_CORE", "RLIMIT_NOFILE", "RLIMIT_NPROC"]);
    (sets, any::<bool>(), 0_u32..3, limits, vec("[A-C]=[a-z]{0,3}", 0..6)).prop_map(
        |((bounding, permitted, inheritable, ambient), quiet, uid, limits, env)| {
            let limits: Vec<Value> = limits.iter().map(|t| json!({ "type": t, "soft": 1, "hard": 2 })).collect();
            json!({
                "user": { "uid": uid, "gid": uid },
                "args": ["sh"], "cwd": "/", "env": env, "noNewPrivileges": quiet, "rlimits": limits,
                "capabilities": {
                    "bounding": bounding, "permitted": permitted, "effective": permitted,
                    "inheritable": inheritable, "ambient": ambient
                }
            })
        },
    )
}

fn mount() -> impl Strategy<Value = Value> {
    let places = [
        ("bind", "/a"),
        ("bind", "/a/b"),
        ("bind", "/dev"),
        ("tmpfs", "/dev"),
        ("tmpfs", "/tmp"),
        ("tmpfs", "rel"),
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("mqueue", "/dev/mqueue"),
        ("cgroup", "/sys/fs/cgroup"),
    ];
    (select(places.to_vec()), words(OPTIONS)).prop_map(|((kind, place), mut options)| {
        if kind == "bind" {
            options.push("rbind");
        }
        json!({ "destination": place, "type": kind, "source": "/srv", "options": options })
    })
}

fn rule(calls: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let action =
        select(&["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_LOG", "SCMP_ACT_TRAP"][..]);
    let op = select(&["SCMP_CMP_EQ", "SCMP_CMP_NE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ"][..]);
    let args = vec((0_u8..6, op, 0_u64..9), 0..3);
    (subsequence(calls.to_vec(), 1..6), action, args).prop_map(|(names, action, args)| {
        let arg =
            |(index, op, value): (u8, &str, u64)| json!({ "index": index, "op": op, "value": value, "valueTwo": 1 });
        json!({ "names": names, "action": action, "args": args.into_iter().map(arg).collect::<Vec<_>>() })
    })
}

/// A seccomp section whose rules name `calls`.
pub fn seccomp(calls: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let default = select(&["SCMP_ACT_ALLOW", "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"][..]);
    (default, vec(rule(calls), 0..5)).prop_map(|(default, mut rules)| {
        if default != "SCMP_ACT_ALLOW" {
            rules.push(json!({ "names": CALLS, "action": "SCMP_ACT_ALLOW" }));
        }
        json!({ "defaultAction": default, "syscalls": rules })
    })
}

/// A whole config, and a machine that can carry it out.
pub fn case() -> impl Strategy<Value = (Value, Host)> {
    let namespaces = subsequence(vec!["pid", "network", "ipc", "uts", "user", "cgroup", "time"], 0..=7);
    let paths = || words(&["/proc/kcore", "/proc/keys", "/sys/firmware", "/proc/sys"]);
    let parameters =
        [("network", "net.ipv4.ip_forward"), ("ipc", "kernel.shmmax"), ("user", "user.max_user_namespaces")];
    let sysctl = btree_map(select(parameters.to_vec()), "[0-9]", 0..3);
    let rest = (sysctl, option::of(seccomp(OTHER_CALLS)), btree_map("[a-c]", "[a-z]{3}", 0..3), host());
    (process(), namespaces, vec(mount(), 0..6), any::<bool>(), paths(), paths(), rest).prop_map(
        |(mut process, namespaces, mut mounts, readonly, masked, readonly_paths, rest)| {
            let (sysctl, seccomp, annotations, mut host) = rest;
            let has = |name: &str| namespaces.contains(&name);
            let user = has("user");
            if user {
                process["user"] = json!({ "uid": 0, "gid": 0 });
                // In a user namespace each of these shows another namespace, which must be the container's.
                let owned = [("sysfs", "network"), ("proc", "pid"), ("mqueue", "ipc")];
                mounts.retain(|m| owned.iter().all(|(kind, needs)| m["type"] != *kind || has(needs)));
            }
            host.rootless &= user;
            if !host.rootless {
                host.euid = 0;
            }
            let list: Vec<Value> = namespaces.iter().chain(&["mount"]).map(|typ| json!({ "type": typ })).collect();
            let map = if user { json!([{ "containerID": 0, "hostID": 1000, "size": 1 }]) } else { json!(null) };
            let sysctl: Map<String, Value> = sysctl
                .into_iter()
                .filter(|((needs, _), _)| has(needs))
                .map(|((_, k), v)| (k.into(), v.into()))
                .collect();
            let config = json!({
                "ociVersion": "1.2.0", "process": process, "root": { "path": "rootfs", "readonly": readonly },
                "mounts": mounts, "annotations": annotations,
                "linux": {
                    "namespaces": list, "uidMappings": map, "gidMappings": map, "maskedPaths": masked,
                    "readonlyPaths": readonly_paths, "sysctl": sysctl, "seccomp": seccomp
                }
            });
            (config, host)
        },
    )
}
