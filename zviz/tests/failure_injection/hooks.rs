//! Hooks that fail, and what follows. runtime.md, "Lifecycle"; config.md, "POSIX-platform Hooks".

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

/// A container whose start fails is destroyed, and then its poststop hooks run: steps 3 to 5, 12 and 13 of the lifecycle.
#[test]
fn poststop_hooks_run_after_a_hook_that_failed() {
    let Some(bundle) = bundle("undone", &["true"]) else { return };
    let ran = bundle.file("ran");
    let last = json!([{ "path": "/bin/sh", "args": ["sh", "-c", format!("cat >{ran}")] }]);
    for kind in ["prestart", "createRuntime", "createContainer", "startContainer", "poststart"] {
        for (name, mut hooks) in failing() {
            // By which the process of a hook is known.
            hooks[0]["env"] = json!([format!("TEST={}", bundle.path())]);
            if kind == "startContainer" && name == "timeout" {
                hooks[0]["path"] = json!("/bin/busybox");
            }
            bundle.edit(|spec| spec["hooks"] = json!({ kind: hooks, "poststop": last }));
            bundle.refuses_to_run(&format!("hooks.{kind}[0]"));
            let told: Value = serde_json::from_slice(&std::fs::read(&ran).unwrap()).unwrap();
            assert_eq!((&told["status"], &told["id"]), (&json!("stopped"), &json!(bundle.name)), "{kind} {name}");
            std::fs::remove_file(&ran).unwrap();
        }
    }
    // One that fails then is told beside the first error, and keeps nothing.
    let hooks = json!({ "createRuntime": [{ "path": "/bin/false" }], "poststop": [{ "path": "/bin/false" }] });
    bundle.edit(|spec| spec["hooks"] = hooks);
    bundle.refuses_to_run("hooks.createRuntime[0]");
    bundle.refuses_to_run("hooks.poststop[0]");
    // Where there was no container, none of them runs.
    bundle.edit(|spec| {
        spec["hooks"] = json!({ "poststop": last });
        spec["root"]["path"] = json!("absent");
    });
    bundle.refuses_to_run("absent");
    assert!(!std::path::Path::new(&ran).exists());
}
