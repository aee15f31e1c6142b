//! Configs that are odd, but that callers write and other runtimes run.

use serde_json::{Value, json};
use zviz_runtime::plan::{Names, Uts};
use zviz_runtime::{Host, Plan, Profile, spec};

/// The plan of runc's default spec with `patch` laid over it, or the problems in words.
fn plan(patch: Value) -> Result<Plan, String> {
    let mut config = serde_json::from_slice(include_bytes!("plans/runc-default/config.json")).expect("JSON");
    merge(&mut config, patch);
    let spec = spec::parse(config.to_string().as_bytes(), "/bundle").map_err(|e| e.to_string())?;
    let host = Host::probe().expect("a Linux machine");
    Plan::build(&spec, &Profile::none(), &host, "c1").map_err(|e| e.to_string())
}

/// RFC 7396.
fn merge(into: &mut Value, patch: Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch,
    }
}

fn notes(plan: &Plan) -> Vec<String> {
    plan.notes.iter().map(ToString::to_string).collect()
}

fn namespaces(uts: Value) -> Value {
    json!([{ "type": "mount" }, { "type": "pid" }, { "type": "network" }, uts])
}

#[test]
fn a_container_of_a_pod_is_named_in_the_namespace_it_joins() {
    let patch = |uts| json!({ "hostname": "web-1", "linux": { "namespaces": namespaces(uts) } });
    let joined = plan(patch(json!({ "type": "uts", "path": "/proc/1/ns/uts" }))).expect("a plan");
    let names = Names { hostname: Some("web-1".into()), domainname: None };
    assert_eq!(joined.namespaces.uts, Uts::Join { path: "/proc/1/ns/uts".into(), names });
    let refused = plan(patch(json!({ "type": "ipc" }))).expect_err("the host's own name");
    assert!(refused.contains("hostname: needs a uts namespace"), "{refused}");
}

#[test]
fn options_of_a_file_system_are_ignored_on_a_bind_mount() {
    let bind = json!({ "destination": "/d", "source": "/etc", "options": ["rbind", "mode=755", "size=1k", "sync"] });
    let plan = plan(json!({ "mounts": [bind] })).expect("a plan");
    let note = "mounts[0].options: sync, mode, size: belongs to the file system, no effect on a bind mount";
    assert!(notes(&plan).contains(&note.to_owned()), "{:?}", plan.notes);
}

#[test]
fn relative_paths_to_hide_are_taken_from_the_root() {
    let linux = json!({ "maskedPaths": ["../a"], "readonlyPaths": ["b/c"] });
    let plan = plan(json!({ "linux": linux })).expect("a plan");
    assert_eq!(
        (plan.masked_paths[..].to_vec(), plan.readonly_paths[..].to_vec()),
        (vec!["/a".into()], vec!["/b/c".into()])
    );
    assert!(notes(&plan).contains(&"linux.maskedPaths[0]: \"../a\" is relative, taken from /".to_owned()));
}

#[test]
fn devices_are_moved_into_a_network_namespace_that_is_joined() {
    let patch =
        |net: Value| json!({ "linux": { "namespaces": [{ "type": "mount" }, net], "netDevices": { "e0": {} } } });
    let joined = plan(patch(json!({ "type": "network", "path": "/run/netns/a" })));
    // The hostname of the default spec needs a uts namespace; nothing else is wrong.
    assert_eq!(joined.expect_err("no uts namespace"), "hostname: needs a uts namespace");
    let refused = plan(patch(json!({ "type": "uts" }))).expect_err("the host's own network");
    assert!(refused.contains("linux.netDevices.e0: needs a network namespace"), "{refused}");
}

#[test]
fn a_filter_may_refuse_all_but_the_last_calls_of_init() {
    let allow = |names: &[&str]| {
        let rule = json!({ "names": names, "action": "SCMP_ACT_ALLOW" });
        let seccomp = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule] });
        plan(json!({ "process": { "noNewPrivileges": false }, "linux": { "seccomp": seccomp } }))
    };
    allow(&["read", "write", "execve", "exit_group", "capset"]).expect("a plan");
    let refused = allow(&["read", "write", "execve", "exit_group"]).expect_err("capabilities would stay");
    assert!(refused.contains("capset gets errno"), "{refused}");
}

#[test]
fn a_hook_in_the_container_has_the_environment_of_the_payload_if_none_is_given() {
    let start = json!([{ "path": "/bin/a" }, { "path": "/bin/b", "env": ["OWN=1"] }, { "path": "/bin/c", "env": [] }]);
    let hooks = json!({ "startContainer": start, "createRuntime": [{ "path": "/bin/d" }] });
    let plan = plan(json!({ "process": { "env": ["ONE=two"] }, "hooks": hooks })).expect("a plan");
    let env: Vec<_> = plan.hooks.start_container.iter().map(|hook| hook.env.join(" ")).collect();
    assert_eq!(env, ["ONE=two", "OWN=1", ""]);
    assert!(plan.hooks.create_runtime[0].env.is_empty());
}
