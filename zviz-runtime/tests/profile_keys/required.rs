//! `requirements`: a host that has what is asked for is used, and one that has not is refused, or has it left out with a note.

use serde_json::{Value, json};
use zviz_runtime::{Host, Plan, spec};

fn host() -> Host {
    serde_json::from_str(include_str!("../plans/host.json")).unwrap()
}

fn lacking(change: impl FnOnce(&mut Host)) -> Host {
    let mut host = host();
    change(&mut host);
    host
}

/// A plan under a profile, or what is wrong with it.
fn plan(text: &str, host: &Host, resources: &Value) -> Result<Plan, String> {
    let profile = super::profile(text).unwrap();
    let config = json!({
        "ociVersion": "1.2.0", "root": { "path": "rootfs" }, "process": { "args": ["sh"], "cwd": "/" },
        "linux": { "namespaces": [{ "type": "mount" }, { "type": "pid" }, { "type": "network" }], "resources": resources }
    });
    let spec = spec::parse(config.to_string().as_bytes(), "/bundle").unwrap();
    Plan::build(&spec, &profile, host, "c").map_err(|problems| problems.to_string())
}

fn wrong(text: &str, host: &Host) -> String {
    plan(text, host, &json!({})).err().unwrap_or_default()
}

/// A file of version 2, of which older cgroups know nothing.
#[test]
fn memory_is_slowed_down_where_the_kernel_can() {
    let high = "resources: {memory_high: 1M}";
    let older = lacking(|host| host.cgroup.v2.as_mut().unwrap().controllers.retain(|name| name != "memory"));
    assert!(
        wrong(high, &older)
            .contains("resources.memory_high: the cgroups of this caller have no memory controller of version 2")
    );
    assert_eq!(wrong(&format!("{high}\nrequirements: {{cgroup: optional}}"), &older), "");
    let written = |own: Value| plan(high, &host(), &json!({ "unified": own })).map(|plan| plan.to_string());
    for (own, value) in
        [(json!({}), "1048576"), (json!({"memory.high": "max"}), "1048576"), (json!({"memory.high": "4096"}), "4096")]
    {
        let plan = written(own).unwrap();
        assert!(plan.contains(&format!("memory.high = {value}\n")), "{plan}");
    }
    assert!(written(json!({"memory.high": "4K"})).unwrap_err().contains("must be bytes or max"));
}

#[test]
fn what_is_required_and_missing_is_refused() {
    let older = lacking(|host| (host.kernel.major, host.kernel.minor) = (5, 18));
    let without_landlock = lacking(|host| host.landlock_abi = 0);
    let without_ports = lacking(|host| host.landlock_abi = 3);
    let without_pids = lacking(|host| host.cgroup.v2.as_mut().unwrap().controllers.retain(|name| name != "pids"));
    let ports = "network: {ports: {allow_bind: [80]}}\n";
    let pids = "resources: {pids_max: 7}\n";
    for (what, required, lax, host, words) in [
        (
            "",
            "requirements: {seccomp_notify: required}",
            "requirements: {seccomp_notify: optional}",
            &older,
            "needs Linux 5.19",
        ),
        (
            "",
            "requirements: {landlock: required}",
            "requirements: {landlock: optional}",
            &without_landlock,
            "requires it",
        ),
        (
            ports,
            "requirements: {network_policy: required}",
            "requirements: {network_policy: optional}",
            &without_ports,
            "rules about ports need Landlock's ABI 4",
        ),
        (
            pids,
            "requirements: {cgroup: required}",
            "requirements: {cgroup: optional}",
            &without_pids,
            "no pids controller",
        ),
        (
            "",
            "requirements: {user_namespaces: required}",
            "requirements: {user_namespaces: optional}",
            &self::host(),
            "requirements.user_namespaces: the container has the host's",
        ),
        (
            "",
            "requirements: {lsm: required}",
            "requirements: {lsm: optional}",
            &self::host(),
            "requirements.lsm: neither an AppArmor profile nor a SELinux label",
        ),
    ] {
        let (required, lax) = (format!("{what}{required}"), format!("{what}{lax}"));
        assert!(wrong(&required, host).contains(words), "{required}: {}", wrong(&required, host));
        assert_eq!(wrong(&lax, host), "", "{lax}");
    }
    // Where they can be had, they are.
    for (what, key) in [("", "seccomp_notify"), ("", "landlock"), (ports, "network_policy"), (pids, "cgroup")] {
        assert_eq!(wrong(&format!("{what}requirements: {{{key}: required}}"), &host()), "", "{key}");
    }
}
