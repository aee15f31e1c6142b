//! What a config comes to on three sorts of host.

use super::*;
use crate::host::cgroup::{Hierarchy, Unified};
use serde_json::{Value, json};

pub(super) fn unified() -> CgroupHost {
    let controllers = ["cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma"].map(str::to_owned).to_vec();
    let own = PathBuf::from("/sys/fs/cgroup/system.slice/containerd.service");
    let v2 = Unified { mount: "/sys/fs/cgroup".into(), own, controllers, writable: true };
    CgroupHost { mode: Mode::V2, v2: Some(v2), v1: Vec::new(), systemd: true }
}

pub(super) fn hybrid() -> CgroupHost {
    let hierarchy = |controllers: &[&str], name: &str| Hierarchy {
        controllers: controllers.iter().map(|c| (*c).to_owned()).collect(),
        mount: format!("/sys/fs/cgroup/{name}").into(),
        own: format!("/sys/fs/cgroup/{name}/own").into(),
        writable: true,
    };
    let mount = PathBuf::from("/sys/fs/cgroup/unified");
    let v2 = Unified { own: mount.join("own"), mount, controllers: vec!["hugetlb".to_owned()], writable: true };
    let v1 = vec![
        hierarchy(&["cpu", "cpuacct"], "cpu,cpuacct"),
        hierarchy(&["memory"], "memory"),
        hierarchy(&["name=systemd"], "systemd"),
    ];
    CgroupHost { mode: Mode::Hybrid, v2: Some(v2), v1, systemd: false }
}

struct Outcome {
    cgroup: Cgroup,
    problems: String,
    notes: Vec<String>,
}

fn decide(host: &CgroupHost, linux: Value, systemd: bool, rootless: bool) -> Outcome {
    let linux: oci::Linux = serde_json::from_value(linux).unwrap();
    let (mut problems, mut notes) = (Problems::default(), Vec::new());
    let cgroup = plan(Some(&linux), host, systemd, rootless, "id", &mut problems, &mut notes);
    Outcome { cgroup, problems: problems.to_string(), notes: notes.into_iter().map(|n| n.0).collect() }
}

fn resources(host: &CgroupHost, resources: Value) -> Outcome {
    decide(host, json!({ "resources": resources }), false, false)
}

fn writes(outcome: &Outcome) -> Vec<String> {
    assert_eq!(outcome.problems, "");
    outcome.cgroup.v2_writes().iter().map(|w| format!("{}={}", w.file, w.value)).collect()
}

fn dirs(cgroup: &Cgroup) -> Vec<String> {
    cgroup.v2.iter().chain(&cgroup.v1).map(|g| g.dir().display().to_string()).collect()
}

#[test]
fn where_a_cgroup_goes() {
    let at = |host: &CgroupHost, path: Option<&str>| {
        let linux = path.map_or(json!({}), |p| json!({ "cgroupsPath": p }));
        dirs(&decide(host, linux, false, false).cgroup)
    };
    assert_eq!(at(&unified(), None), ["/sys/fs/cgroup/system.slice/id"]);
    assert_eq!(at(&unified(), Some("a/b")), ["/sys/fs/cgroup/system.slice/a/b"]);
    assert_eq!(at(&unified(), Some("/a/b")), ["/sys/fs/cgroup/a/b"]);
    assert_eq!(
        at(&hybrid(), Some("a")),
        [
            "/sys/fs/cgroup/unified/a",
            "/sys/fs/cgroup/cpu,cpuacct/own/a",
            "/sys/fs/cgroup/memory/own/a",
            "/sys/fs/cgroup/systemd/own/a",
        ]
    );
    assert_eq!(at(&hybrid(), Some("/a"))[2], "/sys/fs/cgroup/memory/a");
    // A host whose shell is in the root of the hierarchy.
    let mut host = unified();
    host.v2.as_mut().unwrap().own = "/sys/fs/cgroup".into();
    assert_eq!(at(&host, None), ["/sys/fs/cgroup/id"]);
}

#[test]
fn systemd_units_have_a_place_or_are_yet_to_get_one() {
    let path = json!({ "cgroupsPath": "kube-pods.slice:cri:x" });
    let root = decide(&unified(), path.clone(), true, false);
    assert_eq!(dirs(&root.cgroup), ["/sys/fs/cgroup/kube.slice/kube-pods.slice/cri-x.scope"]);
    let user = decide(&unified(), json!({}), true, true);
    assert_eq!((user.problems.as_str(), dirs(&user.cgroup).len()), ("", 0));
    assert!(matches!(user.cgroup.driver, Driver::Systemd(unit) if unit.user && unit.slice == "user.slice"));
    let absent = decide(&hybrid(), path, true, false);
    assert_eq!(absent.problems, "--systemd-cgroup: systemd does not run on this host");
}

#[test]
fn every_limit_of_version_2() {
    let outcome = resources(
        &unified(),
        json!({
            "memory": { "limit": 1000, "reservation": 500, "swap": 1500, "kernel": 7 },
            "cpu": { "shares": 1024, "quota": 5000, "period": 20000, "burst": 100, "idle": 0, "cpus": "0-1", "mems": "0" },
            "pids": { "limit": -1 },
            "blockIO": {
                "weight": 500,
                "weightDevice": [{ "major": 8, "minor": 0, "weight": 10 }],
                "throttleReadBpsDevice": [{ "major": 8, "minor": 0, "rate": 1 }],
                "throttleWriteBpsDevice": [{ "major": 8, "minor": 0, "rate": 2 }],
                "throttleReadIOPSDevice": [{ "major": 8, "minor": 0, "rate": 3 }],
                "throttleWriteIOPSDevice": [{ "major": 8, "minor": 16, "rate": 0 }],
            },
            "hugepageLimits": [{ "pageSize": "2MB", "limit": 4194304 }],
            "rdma": { "mlx5_1": { "hcaHandles": 3, "hcaObjects": 10 } },
            "unified": { "memory.high": "900" },
        }),
    );
    let expected = [
        "pids.max=max",
        "memory.swap.max=500",
        "memory.max=1000",
        "memory.low=500",
        "io.bfq.weight=500",
        "io.bfq.weight=8:0 10",
        "io.max=8:0 rbps=1",
        "io.max=8:0 wbps=2",
        "io.max=8:0 riops=3",
        "io.max=8:16 wiops=max",
        "cpu.idle=0",
        "cpu.weight=100",
        "cpu.max=5000 20000",
        "cpu.max.burst=100",
        "cpuset.cpus=0-1",
        "cpuset.mems=0",
        "hugetlb.2MB.max=4194304",
        "hugetlb.2MB.rsvd.max=4194304",
        "rdma.max=mlx5_1 hca_handle=3 hca_object=10",
        "memory.high=900",
    ];
    assert_eq!(writes(&outcome), expected);
    assert_eq!(outcome.cgroup.v1_settings(), []);
    assert!(outcome.notes.iter().any(|n| n.contains("memory.kernel")));
}

#[test]
fn zero_is_not_set_and_minus_one_is_no_limit() {
    let none = json!({ "memory": { "limit": 0, "swap": 0 }, "cpu": { "shares": 0, "quota": 0, "period": 0 } });
    assert_eq!(writes(&resources(&unified(), none)), [] as [&str; 0]);
    let lifted = json!({ "memory": { "limit": -1 }, "cpu": { "quota": -1 } });
    assert_eq!(writes(&resources(&unified(), lifted)), ["memory.swap.max=max", "memory.max=max", "cpu.max=max 100000"]);
    assert_eq!(writes(&resources(&unified(), json!({ "pids": { "limit": 0 } }))), ["pids.max=1"]);
    assert_eq!(writes(&resources(&unified(), json!({ "cpu": { "quota": -5 } }))), ["cpu.max=max 100000"]);
    let only_a_period = json!({ "cpu": { "period": 50000 } });
    assert_eq!(writes(&resources(&unified(), only_a_period)), ["cpu.max=max 50000"]);
}

#[test]
fn a_hybrid_host_enforces_where_the_controller_is() {
    let asked = json!({ "memory": { "limit": 1000 }, "hugepageLimits": [{ "pageSize": "2MB", "limit": 0 }] });
    let outcome = resources(&hybrid(), asked);
    assert_eq!(writes(&outcome), ["hugetlb.2MB.max=0", "hugetlb.2MB.rsvd.max=0"]);
    assert_eq!(outcome.cgroup.v1_settings(), [v1::Setting::MemoryLimit(1000)]);
    assert_eq!(outcome.cgroup.v2.unwrap().controllers, ["hugetlb"]);
    assert_eq!(
        resources(&hybrid(), json!({ "pids": { "limit": 5 }, "unified": { "memory.high": "1" } })).problems,
        "linux.resources.pids.limit: this host has no pids controller to enforce it; \
         linux.resources.unified[\"memory.high\"]: this host has no memory controller of cgroup v2"
    );
}

#[test]
fn what_is_wrong_has_a_place() {
    let cases = [
        (json!({ "memory": { "limit": -2 } }), "memory.limit: -2 is negative; no limit is -1"),
        (json!({ "memory": { "swap": 5 } }), "memory.swap: needs memory.limit, of which it holds the sum with swap"),
        (json!({ "memory": { "swappiness": 60 } }), "memory.swappiness: cgroup v2 has no such limit"),
        (json!({ "memory": { "disableOOMKiller": true } }), "memory.disableOOMKiller: cgroup v2 has no such limit"),
        (json!({ "cpu": { "cpus": "0-" } }), "cpu.cpus: \"0-\" is not a list such as \"0-2,7\""),
        (json!({ "cpu": { "cpus": "3-1" } }), "cpu.cpus: \"3-1\" is not a list such as \"0-2,7\""),
        (json!({ "cpu": { "mems": "0;1" } }), "cpu.mems: \"0;1\" is not a list such as \"0-2,7\""),
        (json!({ "cpu": { "period": 999 } }), "cpu.period: must be between 1000 and 1000000 microseconds"),
        (json!({ "cpu": { "idle": 2 } }), "cpu.idle: must be 0 or 1"),
        (json!({ "cpu": { "realtimeRuntime": 5 } }), "cpu.realtimeRuntime: cgroup v2 has no such limit"),
        (json!({ "pids": { "limit": -7 } }), "pids.limit: -7 is negative; no limit is -1"),
        (json!({ "blockIO": { "weight": 5 } }), "blockIO.weight: a weight of 5 is not between 10 and 1000"),
        (json!({ "blockIO": { "leafWeight": 50 } }), "blockIO.leafWeight: cgroup v2 has no such limit"),
        (
            json!({ "blockIO": { "throttleReadBpsDevice": [{ "major": -1, "minor": 0, "rate": 1 }] } }),
            "blockIO.throttleReadBpsDevice[0]: -1:0 is not a device number",
        ),
        (
            json!({ "hugepageLimits": [{ "pageSize": "2/../MB", "limit": 0 }] }),
            "hugepageLimits[0]: \"2/../MB\" is not a page size such as \"2MB\"",
        ),
        (
            json!({ "hugepageLimits": [{ "pageSize": "2MB", "limit": -1 }] }),
            "hugepageLimits[0]: a limit of -1 is negative",
        ),
        (json!({ "rdma": { "a b": { "hcaHandles": 1 } } }), "rdma[\"a b\"]: \"a b\" is not a name"),
        (json!({ "network": { "classID": 1 } }), "network.classID: this host has no net_cls controller to enforce it"),
        (
            json!({ "unified": { "../cgroup.procs": "1" } }),
            "unified[\"../cgroup.procs\"]: is not the name of a cgroup file such as \"memory.high\"",
        ),
        (json!({ "unified": { "cgroup.procs": "1" } }), "unified[\"cgroup.procs\"]: is not a limit"),
        (
            json!({ "unified": { "misc.max": "x 1" } }),
            "unified[\"misc.max\"]: this host has no misc controller of cgroup v2",
        ),
        (
            json!({ "devices": [{ "allow": true, "access": "x" }] }),
            "devices[0].access: \"x\" is not made of \"r\", \"w\" and \"m\"",
        ),
        (
            json!({ "devices": [{ "allow": true, "type": "p", "access": "r" }] }),
            "devices[0].type: p is not \"a\", \"b\" or \"c\"",
        ),
        (
            json!({ "devices": [{ "allow": true, "type": "c", "major": -2, "access": "r" }] }),
            "devices[0].major: -2 is not a device number",
        ),
    ];
    for (asked, problem) in cases {
        let problems = resources(&unified(), asked.clone()).problems;
        let first = problems.split("; linux.").next().unwrap_or_default();
        assert_eq!(first, format!("linux.resources.{problem}"), "{asked}");
    }
}

#[test]
fn without_privilege_nothing_is_made_unless_it_was_asked_for() {
    let mut host = unified();
    host.v2.as_mut().unwrap().writable = false;
    let none = decide(&host, json!({}), false, true);
    assert_eq!((none.problems.as_str(), &none.cgroup.driver), ("", &Driver::None));
    assert!(none.notes[0].starts_with("cgroup: none"));
    let limited = decide(&host, json!({ "resources": { "pids": { "limit": 5 } } }), false, true);
    assert!(limited.problems.contains("pids controller") && limited.problems.contains("Delegate=yes"));
    let named = decide(&host, json!({ "cgroupsPath": "/a" }), false, true);
    assert_eq!(dirs(&named.cgroup), ["/sys/fs/cgroup/a"]);
    assert_eq!(named.cgroup.devices, None);
}

#[test]
fn rules_end_with_what_every_container_may_use() {
    let rules = |linux: Value| {
        let cgroup = decide(&unified(), linux, false, false).cgroup;
        cgroup.devices.unwrap().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let usual = rules(json!({}));
    assert_eq!((usual.len(), usual[0].as_str()), (12, "deny a *:* rwm"));
    assert!(usual.contains(&"allow c 136:* rwm".to_owned()));
    // A node of its own at the path of a default one takes the default's place, rules included.
    let own = rules(json!({ "devices": [{ "path": "/dev/null", "type": "c", "major": 1, "minor": 3 }] }));
    assert!(!own.contains(&"allow c 1:3 rwm".to_owned()));
    let all = rules(json!({ "resources": { "devices": [{ "allow": true, "access": "rwm" }] } }));
    assert_eq!(all[0], "allow a *:* rwm");
}

#[test]
fn version_1_has_no_holes() {
    let exceptions = |text: &[&str]| {
        let rules: Vec<_> = text.iter().map(|r| devices::Rule::try_from((*r).to_owned()).unwrap()).collect();
        devices::exceptions(&rules).map(|(default, list)| {
            (default, list.iter().map(|r| format!("{} {}", r.device(), r.access)).collect::<Vec<_>>())
        })
    };
    let list = |default: bool, items: &[&str]| Ok((default, items.iter().map(|i| (*i).to_owned()).collect::<Vec<_>>()));
    assert_eq!(exceptions(&["allow c 1:3 rwm", "deny c 1:3 w"]), list(false, &["c 1:3 rm"]));
    assert_eq!(exceptions(&["allow c 1:3 rw", "deny c 1:* rwm"]), list(false, &[]));
    assert_eq!(exceptions(&["deny a *:* rwm", "allow a *:* m"]), list(false, &["c *:* m", "b *:* m"]));
    assert_eq!(exceptions(&["allow a *:* rwm", "deny b 8:0 w"]), list(true, &["b 8:0 w"]));
    assert!(exceptions(&["allow c 1:* rw", "deny c 1:3 w"]).unwrap_err().contains("hole"));
    assert!(exceptions(&["allow c 1:* r", "deny c 1:3 w"]).is_ok());
}

#[test]
fn a_planned_cgroup_survives_the_state_file() {
    let asked =
        json!({ "memory": { "limit": 1000 }, "unified": { "memory.high": "5" }, "rdma": { "a": { "hcaHandles": 1 } } });
    let cgroup = resources(&unified(), asked).cgroup;
    let text = serde_json::to_string(&cgroup).unwrap();
    assert_eq!(serde_json::from_str::<Cgroup>(&text).unwrap(), cgroup);
    assert!(text.contains("\"allow c 5:0 rwm\""), "{text}");
}
