//! Plans of one more process in a container: every layer of the container, and what was asked for.

use serde_json::{Value, json};
use zviz_runtime::plan::{Changes, Exec, Names, Namespace, Net, Time, User, Uts};
use zviz_runtime::{Host, Plan, Profile, spec};

const CAP_KILL: u64 = 1 << 5;
const CAP_NET_RAW: u64 = 1 << 13;

fn host() -> Host {
    serde_json::from_str(include_str!("plans/host.json")).expect("facts of a host")
}

fn container(change: impl FnOnce(&mut Value)) -> Plan {
    let mut config = json!({
        "ociVersion": "1.2.0",
        "root": { "path": "rootfs" },
        "process": {
            "args": ["sleep", "9"], "cwd": "/srv", "env": ["A=1", "B=2"], "noNewPrivileges": true, "oomScoreAdj": 7,
            "user": { "uid": 5, "gid": 6, "additionalGids": [7] },
            "rlimits": [{ "type": "RLIMIT_CORE", "soft": 0, "hard": 0 }],
            "capabilities": { "bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"] }
        },
        "mounts": [{ "destination": "/proc", "type": "proc", "source": "proc" }],
        "linux": {
            "namespaces": [
                { "type": "mount" }, { "type": "pid" }, { "type": "uts", "path": "/run/uts" }, { "type": "network" }
            ],
            "maskedPaths": ["/proc/kcore"],
            "seccomp": {
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{ "names": ["ptrace", "capset"], "action": "SCMP_ACT_ERRNO" }]
            }
        }
    });
    change(&mut config);
    let spec = spec::parse(config.to_string().as_bytes(), "/bundle").expect("a config");
    Plan::build(&spec, &Profile::none(), &host(), "c").expect("a plan")
}

fn changes(change: impl FnOnce(&mut Changes)) -> Exec {
    let mut changes = Changes { args: vec!["ls".into()], ..Changes::default() };
    change(&mut changes);
    Exec::Changes(changes)
}

fn whole(process: &Value) -> Exec {
    let (process, _) = spec::parse_process(process.to_string().as_bytes()).expect("a process");
    Exec::Process(Box::new(process))
}

fn refusal(container: &Plan, exec: &Exec) -> String {
    Plan::build_exec(container, exec, &host(), 42).expect_err("must be refused").to_string()
}

#[test]
fn what_the_container_has_is_joined_and_what_it_shares_stays_shared() {
    let container = container(|_| {});
    let plan = Plan::build_exec(&container, &changes(|_| {}), &host(), 42).expect("a plan");
    let ns = &plan.namespaces;
    let join = |name: &str| Namespace::Join(format!("/proc/42/ns/{name}"));
    assert_eq!((&ns.mount, &ns.pid), (&join("mnt"), &join("pid")));
    assert_eq!(ns.uts, Uts::Join { path: "/proc/42/ns/uts".into(), names: Names::default() });
    assert_eq!(ns.net, Net::Join { path: "/proc/42/ns/net".into(), devices: Vec::new() });
    assert_eq!((&ns.ipc, &ns.cgroup), (&Namespace::Host, &Namespace::Host));
    assert_eq!((&ns.user, &ns.time), (&User::Host, &Time::Host));
    assert!(plan.rootfs.is_none() && plan.mounts.is_empty() && plan.devices.is_empty() && plan.masked_paths.is_empty());
    assert_eq!((&plan.seccomp, &plan.cgroup), (&container.seccomp, &container.cgroup));
}

#[test]
fn changes_leave_the_rest_as_the_containers() {
    let container = container(|_| {});
    let exec = changes(|c| {
        c.env = vec!["B=3".into(), "C=4".into()];
        c.user = Some((8, None));
        c.additional_gids = vec![9];
        c.capabilities = vec!["CAP_NET_RAW".into()];
    });
    let process = Plan::build_exec(&container, &exec, &host(), 42).expect("a plan").process;
    assert_eq!((process.args, process.cwd.as_str()), (vec!["ls".to_owned()], "/srv"));
    assert_eq!(process.env, ["A=1", "B=3", "C=4"]);
    assert_eq!((process.credentials.uid, process.credentials.gid), (8, 6));
    assert_eq!(process.credentials.groups, Some(vec![7, 9]));
    assert_eq!(process.capabilities.permitted, CAP_KILL | CAP_NET_RAW);
    assert_eq!(process.capabilities.ambient, 0);
    assert!(process.no_new_privs && process.rlimits == container.process.rlimits);
}

#[test]
fn a_whole_process_takes_what_it_leaves_out_from_the_container() {
    let container = container(|_| {});
    let bare = json!({ "args": ["id"], "cwd": "/", "noNewPrivileges": true });
    let process = Plan::build_exec(&container, &whole(&bare), &host(), 42).expect("a plan").process;
    assert_eq!(process.capabilities, container.process.capabilities);
    assert_eq!((process.oom_score_adj, process.rlimits), (Some(7), container.process.rlimits.clone()));
    assert_eq!((process.credentials.uid, process.env), (0, Vec::new()));
    let own = json!({ "args": ["id"], "cwd": "/", "noNewPrivileges": true, "capabilities": {}, "rlimits": [] });
    let process = Plan::build_exec(&container, &whole(&own), &host(), 42).expect("a plan").process;
    assert_eq!((process.capabilities.permitted, process.rlimits.len()), (0, 0));
}

#[test]
fn what_cannot_be_is_refused_with_its_place() {
    let plain = container(|_| {});
    assert_eq!(refusal(&plain, &changes(|c| c.args.clear())), "exec: must name a program");
    assert_eq!(refusal(&plain, &changes(|c| c.cwd = Some("x".into()))), "--cwd: must be absolute");
    let odd = changes(|c| c.capabilities = vec!["CAP_X".into()]);
    assert_eq!(refusal(&plain, &odd), "--cap: unknown capability \"CAP_X\"");
    // The filter of the container refuses capset, which only a process with no_new_privs does without.
    let loose = changes(|c| c.no_new_privs = Some(false));
    assert!(refusal(&plain, &loose).contains("capset gets errno EPERM"));
    // What the container's profile does not grant, nothing in it gets.
    let bound = Plan { profile: Profile::default(), ..container(|_| {}) };
    let more = changes(|c| c.capabilities = vec!["CAP_KILL".into()]);
    assert_eq!(refusal(&bound, &more), "--cap: CAP_KILL: the profile default does not grant it");
    assert!(refusal(&bound, &loose).starts_with("--no-new-privs: the profile default has it always"));
    let all =
        json!({ "args": ["id"], "cwd": "/", "capabilities": { "bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"] } });
    let process = Plan::build_exec(&bound, &whole(&all), &host(), 42).expect("a plan").process;
    assert!(process.capabilities == Default::default() && process.no_new_privs);
    let mapped = container(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().expect("a list");
        namespaces.push(json!({ "type": "user" }));
        let map = json!([{ "containerID": 0, "hostID": 1000, "size": 10 }]);
        config["linux"]["uidMappings"] = map.clone();
        config["linux"]["gidMappings"] = map;
    });
    let far = changes(|c| c.user = Some((10, None)));
    assert_eq!(refusal(&mapped, &far), "process.user.uid: 10 is not mapped in linux.uidMappings");
    assert!(spec::parse_process(br#"{"cwd":"/","rlimits":[{"type":"X"}]}"#).is_err());
}

/// Found by the fuzzer: the profile's word was held against who had not been asked.
#[test]
fn a_container_without_a_process_has_one_put_in() {
    let config = json!({
        "ociVersion": "1.2.0", "root": { "path": "rootfs" }, "linux": { "namespaces": [{ "type": "mount" }, { "type": "pid" }] }
    });
    let spec = spec::parse(config.to_string().as_bytes(), "/bundle").expect("a config");
    for profile in [Profile::none(), Profile::default()] {
        let container = Plan::build(&spec, &profile, &host(), "c").expect("a plan");
        let plan = Plan::build_exec(&container, &changes(|_| {}), &host(), 42).expect("a plan");
        assert_eq!(plan.process.no_new_privs, profile.no_new_privs, "{}", profile.name);
    }
}
