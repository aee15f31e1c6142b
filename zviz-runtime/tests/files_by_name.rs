//! What rules about files cannot be had with.

use serde_json::{Value, json};
use zviz_runtime::{Host, Plan, Profile, spec};

fn plan(namespaces: &Value, profile: &Profile) -> Result<Plan, String> {
    let config = json!({
        "ociVersion": "1.2.0", "root": { "path": "rootfs" }, "process": { "args": ["sh"], "cwd": "/" },
        "linux": { "namespaces": namespaces }
    });
    let spec = spec::parse(config.to_string().as_bytes(), "/bundle").expect("a config");
    let host: Host = serde_json::from_str(include_str!("plans/host.json")).expect("facts of a host");
    Plan::build(&spec, profile, &host, "c").map_err(|problems| problems.to_string())
}

#[test]
fn one_root_and_numbers_of_ones_own() {
    let own = json!([{ "type": "mount" }, { "type": "pid" }]);
    let ask = Profile::built_in("ask").expect("a profile");
    let nested = Profile { nested: true, ..ask.clone() };
    assert!(plan(&own, &ask).is_ok());
    let refused = plan(&own, &nested).unwrap_err();
    assert!(refused.contains("rules about files cannot hold for sandboxes inside"), "{refused}");
    let refused = plan(&json!([{ "type": "mount" }]), &ask).unwrap_err();
    assert!(refused.contains("rules about files need a pid namespace"), "{refused}");
}
