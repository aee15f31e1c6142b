//! Hooks that fail once the payload runs, or is gone. config.md, "POSIX-platform Hooks".

use crate::support::bundle;
use serde_json::{Value, json};

fn failing() -> [(&'static str, Value); 3] {
    [
        ("exit", json!([{ "path": "/bin/false" }])),
        ("absent", json!([{ "path": "/nonexistent" }])),
        ("timeout", json!([{ "path": "/bin/sleep", "args": ["sleep", "1000"], "timeout": 1 }])),
    ]
}

/// As with runc: the payload is killed, and `run` leaves nothing.
#[test]
fn a_poststart_hook_that_fails_ends_the_container() {
    let Some(bundle) = bundle("poststart", &["sleep", "1000"]) else { return };
    for (_, hooks) in failing() {
        bundle.edit(|spec| spec["hooks"] = json!({ "poststart": hooks }));
        bundle.refuses_to_run("hooks.poststart[0]");
        bundle.create();
        bundle.refused(&["start", &bundle.name], "hooks.poststart[0]");
        bundle.wait_for("stopped");
        bundle.ok(&["delete", &bundle.name]);
        bundle.leaves_nothing();
    }
}

/// The container is gone by then: it is told, and the others run.
#[test]
fn a_poststop_hook_that_fails_does_not_keep_the_container() {
    let Some(bundle) = bundle("poststop", &["true"]) else { return };
    for (name, mut hooks) in failing() {
        let ran = bundle.file(name);
        let last = json!({ "path": "/bin/sh", "args": ["sh", "-c", format!("echo ran >{ran}")] });
        hooks.as_array_mut().unwrap().push(last);
        bundle.edit(|spec| spec["hooks"] = json!({ "poststop": hooks }));
        let output = bundle.zviz(&["run", "--bundle", bundle.path(), &bundle.name]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && said.contains("hooks.poststop[0]"), "{name}: {said}");
        assert_eq!(std::fs::read_to_string(ran).unwrap(), "ran\n");
        bundle.leaves_nothing();
    }
}
