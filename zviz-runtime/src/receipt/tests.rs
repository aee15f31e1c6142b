use super::*;
use crate::container::Id;
use crate::plan::cgroup::{Cgroup, Driver, Group};
use crate::plan::{Landlock, LandlockRights, LandlockRule, Namespace, Net, Note, Plan, Rlimit, Seccomp};
use serde_json::Value;
use zviz_broker::policy::Policy as Brokered;
use zviz_seccomp::{Action, Policy};

fn machine() -> Machine {
    Machine { kernel: "6.1.0".into(), landlock_abi: 7, seccomp_flags: Vec::new(), seccomp_actions: Vec::new() }
}

fn full() -> State {
    let mut plan = Plan::default();
    plan.namespaces.pid = Namespace::New;
    plan.namespaces.net = Net::New { devices: Vec::new() };
    plan.process.args = vec!["server".into(), "--password=hunter2".into()];
    plan.process.env = vec!["TOKEN=hunter2".into()];
    plan.process.capabilities.bounding = 1;
    plan.process.apparmor_profile = Some("tight".into());
    plan.process.rlimits = vec![Rlimit { resource: libc::RLIMIT_CORE, soft: 0, hard: u64::MAX }];
    let policy = Policy::new(Action::Errno(38));
    plan.seccomp = Some(Seccomp { policy: policy.into(), listener_path: None, listener_metadata: None, program: None });
    let rule = LandlockRule { path: "/".into(), rights: LandlockRights::Read, optional: false, truncate: false };
    plan.landlock = Some(Landlock {
        abi: 3,
        rules: vec![rule],
        scoped: false,
        bind: Some(vec![80]),
        connect: None,
        recorded: false,
    });
    plan.profile.broker = Brokered { sysinfo: true, ..Brokered::default() };
    plan.notes = vec![Note("swap is not limited".into())];
    let group = Group { controllers: vec!["pids".into()], mount: "/cg".into(), path: "x".into() };
    plan.cgroup = Cgroup { driver: Driver::Cgroupfs, v2: Some(group), ..Cgroup::none() };
    plan.cgroup.resources.pids = Some(7);
    let filter = Loaded { instructions: 3, sha256: "abc".into() };
    let applied = Applied { at: "now".into(), filter: Some(filter), broker: true, cgroups: vec!["/cg/x".into()] };
    let asked = Asked::command(vec!["--env TOKEN".into()], &plan.process.args);
    State { asked, applied: Some(applied), ..State::new("1.2.0", Id::new("x").unwrap(), "/", plan) }
}

fn shown(state: &State) -> Value {
    serde_json::to_value(Receipt::of(state, &machine()).unwrap()).unwrap()
}

#[test]
fn every_layer_is_in_it() {
    let receipt = shown(&full());
    assert_eq!(receipt["containment"]["namespaces"], serde_json::json!({"network": "new", "pid": "new"}));
    assert_eq!(receipt["containment"]["capabilities"]["bounding"][0], "CAP_CHOWN");
    assert_eq!((&receipt["seccomp"]["sha256"], &receipt["seccomp"]["instructions"]), (&"abc".into(), &3.into()));
    assert_eq!(receipt["broker"]["handlers"], serde_json::json!(["sysinfo"]));
    let handled = receipt["landlock"]["handled"].as_array().unwrap();
    assert!(handled.contains(&"fs_truncate".into()) && handled.contains(&"net_bind_tcp".into()), "{handled:?}");
    assert!(!handled.contains(&"fs_ioctl_dev".into()) && !handled.contains(&"net_connect_tcp".into()));
    assert_eq!(receipt["lsm"]["apparmor"], "tight");
    assert_eq!(
        (&receipt["resources"]["limits"]["pids"], &receipt["resources"]["cgroups"][0]),
        (&7.into(), &"/cg/x".into())
    );
    assert_eq!(receipt["resources"]["rlimits"]["core"], serde_json::json!([0, null]));
    assert_eq!((&receipt["network"]["mode"], &receipt["notes"][0]), (&"none".into(), &"swap is not limited".into()));
}

#[test]
fn without_a_layer_it_is_another_one() {
    type Without = fn(&mut State);
    let layers: [(&str, Without); 9] = [
        ("containment", |state| state.plan.namespaces.pid = Namespace::Host),
        ("seccomp", |state| state.plan.seccomp = None),
        ("broker", |state| state.applied.as_mut().unwrap().broker = false),
        ("landlock", |state| state.plan.landlock = None),
        ("lsm", |state| state.plan.process.apparmor_profile = None),
        ("resources", |state| state.plan.cgroup.resources.pids = None),
        ("network", |state| state.plan.namespaces.net = Net::Host),
        ("notes", |state| state.plan.notes.clear()),
        ("profile", |state| state.plan.profile.no_new_privs = !state.plan.profile.no_new_privs),
    ];
    let with = shown(&full());
    for (layer, without) in layers {
        let mut state = full();
        without(&mut state);
        let shown = shown(&state);
        assert_ne!(shown[layer], with[layer], "{layer}");
    }
    for layer in ["seccomp", "broker", "landlock", "lsm"] {
        assert!(with.get(layer).is_some(), "{layer}");
    }
}

#[test]
fn nothing_is_said_that_was_not_seen() {
    let mut state = full();
    state.applied.as_mut().unwrap().filter = None;
    assert_eq!(shown(&state).get("seccomp"), None, "planned, and not loaded");
    state.applied = None;
    assert_eq!(Receipt::of(&state, &machine()), None, "init has not reported");
}

#[test]
fn no_secret_is_in_it() {
    let text = Receipt::of(&full(), &machine()).unwrap().to_json().unwrap();
    assert!(text.contains("--env TOKEN") && text.contains("\"program\": \"server\""), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}
