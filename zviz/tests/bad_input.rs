//! Names, bundles and configs that are wrong, through the real binary: one clear line that names the place, and nothing
//! left. The table of malformed configs is in zviz-runtime, that of command lines in `arguments.rs`.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use support::{Bundle, bundle};

fn refused(bundle: &Bundle, id: &str, words: &str) {
    for verb in ["run", "create"] {
        let output = bundle.zviz(&[verb, "--bundle", bundle.path(), id]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{verb} {id:?}: {error}");
        assert!(error.contains(words) && error.lines().count() == 1, "{verb} {id:?}: {error:?} without {words:?}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn names() {
    let Some(bundle) = bundle("names", &["true"]) else { return };
    let long = "x".repeat(2000);
    for id in ["", ".", "..", "../x", "a/b", "/x", "a b", "a\nb", "x:y", "a\u{e4}", &long] {
        refused(&bundle, id, "container");
    }
    assert!(!Path::new(bundle.path()).join("x").exists());
}

#[test]
fn bundles() {
    let Some(bundle) = bundle("bundles", &["true"]) else { return };
    let path = Path::new(bundle.path()).to_owned();
    let config = path.join("config.json");
    let good = fs::read(&config).unwrap();
    let id = bundle.name.clone();
    let no_such = bundle.zviz(&["run", "--bundle", "/nonexistent", &id]);
    assert!(String::from_utf8_lossy(&no_such.stderr).contains("/nonexistent"));

    fs::remove_file(&config).unwrap();
    refused(&bundle, &id, "config.json: No such file");
    fs::create_dir(&config).unwrap();
    refused(&bundle, &id, "config.json: Is a directory");
    fs::remove_dir(&config).unwrap();
    symlink("config.json", &config).unwrap();
    refused(&bundle, &id, "config.json: Too many levels");
    fs::remove_file(&config).unwrap();
    for (text, words) in [
        ("", "config.json:1:0"),
        ("{", "config.json:1"),
        ("[]", "config.json"),
        ("{\"ociVersion\": 1}", "ociVersion"),
        ("{\"ociVersion\": \"2.0.0\"}", "ociVersion"),
        ("{\"ociVersion\": \"1.0.2\",\n \"process\": x}", "config.json:2:"),
    ] {
        fs::write(&config, text).unwrap();
        refused(&bundle, &id, words);
    }

    type Fault = (fn(&mut Value), &'static str);
    let faults: [Fault; 8] = [
        (|s| s["root"]["path"] = json!("/"), "root.path"),
        (|s| s["root"]["path"] = json!("absent"), "absent"),
        (|s| s["root"]["path"] = json!("config.json"), "config.json"),
        (|s| s["root"] = Value::Null, "root"),
        (|s| s["process"]["cwd"] = json!("relative"), "process.cwd"),
        (|s| s["process"]["capabilities"]["bounding"] = json!("CAP_CHOWN"), "process.capabilities"),
        (|s| s["linux"]["namespaces"] = json!([{ "type": "pid" }, { "type": "pid" }]), "linux.namespaces[1]"),
        (|s| s["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_MAYBE" }), "linux.seccomp.defaultAction"),
    ];
    for (change, words) in faults {
        fs::write(&config, &good).unwrap();
        bundle.edit(change);
        refused(&bundle, &id, words);
    }
    fs::create_dir_all(bundle.file("root")).unwrap();
    bundle.leaves_nothing();
}

/// As with runc: a link could lead to the host's root.
#[test]
fn a_root_behind_a_link() {
    let Some(bundle) = bundle("link", &["sh", "-c", "echo inside"]) else { return };
    let path = Path::new(bundle.path());
    fs::rename(path.join("rootfs"), path.join("real")).unwrap();
    symlink("real", path.join("rootfs")).unwrap();
    refused(&bundle, &bundle.name, "rootfs");
    // The control: the same folder by its own name.
    bundle.edit(|spec| spec["root"]["path"] = json!("real"));
    assert_eq!(bundle.ok(&["run", "--bundle", bundle.path(), &bundle.name]), "inside\n");
    symlink("/", path.join("host")).unwrap();
    bundle.edit(|spec| spec["root"]["path"] = json!("host"));
    refused(&bundle, &bundle.name, "host");
    bundle.leaves_nothing();
}
