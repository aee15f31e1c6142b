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

/// What is wrong with a plan under a profile; nothing where it can be had.
fn wrong(text: &str, host: &Host, namespaces: &Value) -> String {
    let profile = super::profile(text).unwrap();
    let config = json!({
        "ociVersion": "1.2.0", "root": { "path": "rootfs" }, "process": { "args": ["sh"], "cwd": "/" },
        "linux": { "namespaces": namespaces }
    });
    let spec = spec::parse(config.to_string().as_bytes(), "/bundle").unwrap();
    Plan::build(&spec, &profile, host, "c").err().map(|problems| problems.to_string()).unwrap_or_default()
}

#[test]
fn what_is_required_and_missing_is_refused() {
    let own = json!([{ "type": "mount" }, { "type": "pid" }, { "type": "network" }]);
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
        assert!(wrong(&required, host, &own).contains(words), "{required}: {}", wrong(&required, host, &own));
        assert_eq!(wrong(&lax, host, &own), "", "{lax}");
    }
    // Where they can be had, they are.
    for (what, key) in [("", "seccomp_notify"), ("", "landlock"), (ports, "network_policy"), (pids, "cgroup")] {
        assert_eq!(wrong(&format!("{what}requirements: {{{key}: required}}"), &host(), &own), "", "{key}");
    }
}
