//! Profiles for bundles: annotations, and what the host says of them.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;
use support::{Bundle, bundle, requires};

/// A bundle, and a host's policy whose folder has these profiles.
fn with_profiles(name: &str, profiles: &[(&str, &str)], policy: &str) -> Option<Bundle> {
    let bundle = bundle(name, &["true"])?;
    let folder = bundle.folder("profiles");
    for (name, text) in profiles {
        fs::write(format!("{folder}/{name}.yaml"), text).unwrap();
    }
    let folders =
        if policy.contains("annotations:") { String::new() } else { format!("annotations: {{folder: {folder}}}\n") };
    fs::write(bundle.file("config.yaml"), folders + policy).unwrap();
    for name in ["tmp", "work"] {
        fs::create_dir(bundle.rootfs(name)).unwrap();
    }
    bundle.edit(|spec| spec["root"]["readonly"] = json!(false));
    Some(bundle)
}

/// Runs a script with annotations.
fn script(bundle: &Bundle, annotations: &[(&str, &str)], script: &str) -> Output {
    let given: serde_json::Map<String, Value> =
        annotations.iter().map(|(key, value)| (format!("zviz.io/{key}"), json!(value))).collect();
    bundle.edit(|spec| {
        spec["annotations"] = Value::Object(given);
        spec["process"]["args"] = json!(["sh", "-c", format!("exec 2>&1; {script}")]);
    });
    let config = bundle.file("config.yaml");
    bundle.zviz(&["--config", &config, "run", "--bundle", bundle.path(), &bundle.name])
}

fn said(bundle: &Bundle, annotations: &[(&str, &str)], text: &str) -> String {
    let output = script(bundle, annotations, text);
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr)
}

const OWN: &str = "name: own
extends: default
filesystem: {hidden: [/secret], writable: [/tmp], patterns: {deny_read: ['*.key']}}
resources: {open_files: 64}
";

#[test]
fn an_annotation_names_a_profile() {
    requires!(root);
    let Some(bundle) = with_profiles("annotated", &[("own", OWN)], "") else { return };
    fs::write(bundle.rootfs("secret"), "seen\n").unwrap();
    fs::write(bundle.rootfs("a.key"), "read\n").unwrap();
    let attempts =
        "cat /secret; cat /a.key; echo wrote > /work/x; cat /work/x; echo tmp > /tmp/y; cat /tmp/y; ulimit -n";
    let plain = said(&bundle, &[], attempts);
    assert!(plain.starts_with("seen\nread\nwrote\ntmp\n") && !plain.ends_with("\n64\n"), "{plain}");
    fs::remove_file(bundle.rootfs("work/x")).unwrap();
    let own = said(&bundle, &[("profile", "own")], attempts);
    assert!(!own.contains("seen") && !own.contains("read\n") && !own.contains("wrote\n"), "{own}");
    assert!(own.ends_with("tmp\n64\n"), "{own}");
    assert!(!bundle.rootfs("work/x").exists());
    bundle.leaves_nothing();
}

#[test]
fn capabilities_are_dropped_as_a_profile_says() {
    requires!(root);
    let own = |text: &str| format!("name: own\nextends: default\ncapabilities: {text}\n");
    let (some, all) = (own("{drop_all: false, bounding: {drop: [KILL]}}"), own("{drop_all: false}"));
    let kept = own("{drop_all: true, keep: [KILL]}");
    let profiles = [("some", &*some), ("all", &*all), ("kept", &*kept)];
    let Some(bundle) = with_profiles("dropped", &profiles, "") else { return };
    let given = json!(["CAP_KILL", "CAP_CHOWN"]);
    bundle.edit(|spec| {
        spec["process"]["capabilities"] = json!({ "bounding": given, "permitted": given, "effective": given });
    });
    let left = |profile: &str| {
        let script = "cat /proc/self/status | while read a b; do [ $a = CapBnd: ] && echo $b; done";
        u64::from_str_radix(said(&bundle, &[("profile", profile)], script).trim(), 16).unwrap()
    };
    // CAP_CHOWN is 0, CAP_KILL 5: capabilities(7).
    assert_eq!((left("all"), left("some"), left("kept"), left("default")), (0b10_0001, 1, 0b10_0000, 0));
    bundle.leaves_nothing();
}

#[test]
fn what_cannot_be_asked_for_is_refused() {
    requires!(root);
    let Some(bundle) = with_profiles("refused", &[("own", OWN)], "") else { return };
    assert_eq!(said(&bundle, &[("strict-mode", "false")], "echo ran"), "ran\n");
    for (key, value, expected) in [
        ("profil", "own", "annotations[zviz.io/profil]: is unknown (did you mean zviz.io/profile?)"),
        ("profile", "../own", "annotations[zviz.io/profile]: \"../own\" is no name of a profile"),
        ("profile", "/etc/zviz/own", "is no name of a profile"),
        ("profile", "nobody", "there is no profile \"nobody\""),
        ("audit", "true", "annotations[zviz.io/audit]: "),
        ("timeout", "soon", "annotations[zviz.io/timeout]: "),
        ("broker-timeout", "5", "no profile is laid over this container: name one in zviz.io/profile"),
        ("network-policy", "a/b", "is no name of a profile"),
    ] {
        let output = script(&bundle, &[(key, value)], "echo ran");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && output.stdout.is_empty() && error.contains(expected),
            "{key}={value}: {error}"
        );
        bundle.leaves_nothing();
    }
}

#[test]
fn the_hosts_policy_holds_for_all_bundles() {
    requires!(root);
    let policy = "annotations: {profiles: [virtualised]}\ndefault_profile: default\n";
    let Some(bundle) = with_profiles("hostly", &[], policy) else { return };
    let capabilities = "cat /proc/self/status | while read a b; do [ $a = CapBnd: ] && echo $b; done";
    assert_eq!(said(&bundle, &[], capabilities), "0000000000000000\n");
    let error = said(&bundle, &[("profile", "nested")], "echo ran");
    assert!(error.contains("lets annotations name virtualised, not nested"), "{error}");
    assert_eq!(said(&bundle, &[("profile", "virtualised")], "cat /proc/self/comm").trim(), "cat");
    let write = |text: &str| fs::write(bundle.file("config.yaml"), text).unwrap();
    write("security: {no_new_privs: true}\n");
    let bits = "cat /proc/self/status | while read a b; do [ $a = NoNewPrivs: ] && echo $b; done";
    bundle.edit(|spec| spec["process"]["noNewPrivileges"] = json!(false));
    assert_eq!(said(&bundle, &[], bits), "1\n");
    write("security: {require_seccomp: true}\n");
    bundle.edit(|spec| spec["linux"]["seccomp"] = Value::Null);
    assert!(said(&bundle, &[], "echo ran").contains("linux.seccomp: is required of every container on this host"));
    assert_eq!(said(&bundle, &[("profile", "default"), ("strict-mode", "true")], "echo ran"), "ran\n");
    write("\ndefault_profle: default\n");
    assert!(
        said(&bundle, &[], "echo ran")
            .contains("config.yaml:2: default_profle: is no key (did you mean default_profile?)")
    );
    write("default_profile: default\n");
    fs::set_permissions(bundle.file("config.yaml"), fs::Permissions::from_mode(0o646)).unwrap();
    assert!(said(&bundle, &[], "echo ran").contains("can be written by others"));
    bundle.leaves_nothing();
}

#[test]
fn a_network_policy_goes_on_top() {
    requires!(root);
    let profiles = [("wide", "name: wide\nextends: default\nnetwork: {mode: host}\n")];
    let Some(bundle) = with_profiles("network", &profiles, "") else { return };
    let joins = |yes: bool| {
        bundle.edit(|spec| {
            let list = spec["linux"]["namespaces"].as_array_mut().unwrap();
            list.retain(|one| one["type"] != "network");
            if !yes {
                list.push(json!({"type": "network"}));
            }
        });
    };
    joins(true);
    assert_eq!(said(&bundle, &[("profile", "wide")], "echo ran"), "ran\n");
    for list in [&[("network-policy", "none")][..], &[("profile", "wide"), ("network-policy", "none")]] {
        let error = said(&bundle, list, "echo ran");
        assert!(error.contains("network.mode: none is required, and the container is given one"), "{error}");
    }
    joins(false);
    assert_eq!(said(&bundle, &[("profile", "wide"), ("network-policy", "none")], "echo ran"), "ran\n");
    bundle.leaves_nothing();
}

#[test]
fn decisions_are_recorded_where_the_host_says() {
    requires!(root);
    let Some(bundle) = with_profiles("recorded", &[("own", OWN)], "") else { return };
    fs::write(bundle.rootfs("a.key"), "read\n").unwrap();
    let log = bundle.file("audit.jsonl");
    let text = fs::read_to_string(bundle.file("config.yaml")).unwrap();
    fs::write(bundle.file("config.yaml"), format!("{text}audit: {{file: {log}}}\n")).unwrap();
    script(&bundle, &[("profile", "own")], "cat /a.key");
    assert!(!fs::exists(&log).unwrap());
    script(&bundle, &[("profile", "own"), ("audit", "true")], "cat /a.key");
    let records = fs::read_to_string(&log).unwrap();
    assert!(records.contains(&bundle.name) && records.contains("/a.key"), "{records}");
    bundle.leaves_nothing();
}

#[test]
fn time_is_up_for_those_who_wait() {
    requires!(root);
    let Some(bundle) = with_profiles("timed", &[("timed", "name: timed\nresources: {wall_time: 300ms}\n")], "") else {
        return;
    };
    assert_eq!(said(&bundle, &[], "sleep 1; echo slept"), "slept\n");
    for list in [&[("profile", "timed")][..], &[("timeout", "300ms")], &[("profile", "timed"), ("timeout", "1h")]] {
        let output = script(&bundle, list, "sleep 20; echo slept");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(124), 0), "{list:?}: {output:?}");
        bundle.leaves_nothing();
    }
}

#[test]
fn time_is_up_where_nobody_waits() {
    requires!(root);
    let Some(bundle) = with_profiles("watched", &[], "") else { return };
    let make = |time: &str| {
        bundle.edit(|spec| {
            spec["annotations"] = json!({"zviz.io/timeout": time});
            spec["process"]["args"] = json!(["sleep", "100"]);
        });
        bundle.create();
    };
    let watchers = || {
        let named = |entry: &fs::DirEntry| {
            fs::read_to_string(entry.path().join("comm")).is_ok_and(|name| name == "zviz-watcher\n")
                && fs::read_to_string(entry.path().join("status")).is_ok_and(|status| !status.contains("State:\tZ"))
        };
        let ours = |entry: fs::DirEntry| entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        fs::read_dir("/proc").unwrap().flatten().filter(named).filter_map(ours).collect::<Vec<i32>>()
    };
    make("500ms");
    // Time begins with the program.
    std::thread::sleep(std::time::Duration::from_millis(600));
    assert_eq!(bundle.state()["status"], "created");
    bundle.ok(&["start", &bundle.name]);
    assert_eq!(bundle.state()["status"], "running");
    assert_eq!(bundle.state()["ended"], Value::Null);
    bundle.wait_for("stopped");
    assert_eq!(bundle.state()["ended"], "wall_time");
    bundle.ok(&["delete", &bundle.name]);
    bundle.leaves_nothing();

    make("1h");
    let before = watchers();
    bundle.ok(&["start", &bundle.name]);
    let watcher = *watchers().iter().find(|pid| !before.contains(pid)).unwrap();
    let of = |file: &str| fs::read_to_string(format!("/proc/{watcher}/{file}")).unwrap();
    let status = of("status");
    for line in ["CapEff:\t0000000000000020", "CapPrm:\t0000000000000020", "NoNewPrivs:\t1", "Threads:\t1"] {
        assert!(status.contains(line), "{line} not in {status}");
    }
    // What it has of its own: the rest is the runtime's file, which all share.
    let own = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    let kilobytes: u32 = own.trim().trim_end_matches(" kB").parse().unwrap();
    // What the runtime had in memory when it was forked, which is twice as much in a debug build.
    assert!(kilobytes < 4096, "{kilobytes} kB");
    // Null thrice, init, the reason; and a moment longer the socket over which it has said that it is ready.
    let descriptors = || fs::read_dir(format!("/proc/{watcher}/fd")).unwrap().count();
    let closed = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        descriptors() == 5
    });
    assert!(closed, "{} descriptors", descriptors());
    bundle.ok(&["delete", "--force", &bundle.name]);
    assert!(!watchers().contains(&watcher));
    bundle.leaves_nothing();

    // It goes with a container that ends by itself.
    make("1h");
    bundle.ok(&["start", &bundle.name]);
    bundle.ok(&["kill", &bundle.name, "KILL"]);
    bundle.wait_for("stopped");
    assert_eq!(bundle.state()["ended"], Value::Null);
    bundle.ok(&["delete", &bundle.name]);
    assert!(watchers().iter().all(|pid| before.contains(pid)));
    bundle.leaves_nothing();
}

#[test]
fn what_is_recorded_is_what_the_profile_says() {
    requires!(root);
    let level = |name: &str, level: &str| format!("{}{level}", OWN.replace("own", name));
    let (none, denials, full) = (
        level("none", "audit: {level: none}\n"),
        level("denials", "audit: {level: denials}\n"),
        level("full", "audit: {level: full}\n"),
    );
    let profiles = [("none", &*none), ("denials", &*denials), ("full", &*full), ("own", OWN)];
    let Some(bundle) = with_profiles("levels", &profiles, "") else { return };
    fs::write(bundle.rootfs("a.key"), "read\n").unwrap();
    fs::write(bundle.rootfs("a.text"), "read\n").unwrap();
    let log = bundle.file("audit.jsonl");
    let plain = fs::read_to_string(bundle.file("config.yaml")).unwrap();
    let records = |name: &str| {
        fs::write(bundle.file("config.yaml"), format!("{plain}audit: {{file: {log}}}\n")).unwrap();
        script(&bundle, &[("profile", name), ("audit", "true")], "cat /a.key /a.text; true");
        let text = fs::read_to_string(&log).unwrap();
        fs::remove_file(&log).unwrap();
        (text.contains("/a.key"), text.contains("/a.text"))
    };
    assert_eq!(records("full"), (true, true));
    assert_eq!(records("denials"), (true, false));
    // Asked for by an annotation, a profile cannot have it left out.
    assert!(records("none").0);
    assert!(records("own").0);
    bundle.leaves_nothing();
}

#[test]
fn the_manual_has_every_key_of_the_hosts_policy() {
    let manual = include_str!("../../docs/profiles.md");
    for (path, key) in zviz_profile::schema::leaves_of(zviz_profile::host::ROOT) {
        assert!(manual.contains(&format!("| `{path}` | {}", key.about)), "{path}");
    }
    for name in zviz_runtime::profile::annotations::KNOWN {
        assert!(manual.contains(&format!("| `zviz.io/{name}` |")), "{name}");
    }
}
