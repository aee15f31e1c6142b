//! Containers of an ordinary user, from a bundle, by the real binary.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "../callers/mod.rs"]
mod callers;
mod more;
#[path = "../support/mod.rs"]
mod support;

use callers::Caller;
use serde_json::{Value, json};
use std::fs;
use std::process::{Output, Stdio};
use support::{busybox_rootfs, requires};

struct Rootless {
    caller: Caller,
}

impl Rootless {
    /// A bundle in the user's own folder, as `zviz spec --rootless` begins it.
    fn new(args: &[&str]) -> Self {
        let rootless = Rootless { caller: Caller::new(false) };
        busybox_rootfs(&rootless.caller.work.join("rootfs"));
        rootless.ok(&["spec", "--rootless"]);
        rootless.edit(|spec| {
            spec["process"]["terminal"] = json!(false);
            spec["process"]["args"] = json!(args);
        });
        rootless
    }

    fn edit(&self, change: impl FnOnce(&mut Value)) {
        let path = self.caller.work.join("config.json");
        let mut spec = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut spec);
        fs::write(path, spec.to_string()).unwrap();
    }

    fn zviz(&self, arguments: &[&str]) -> Output {
        let mut zviz = self.caller.program(self.caller.place.path().join("zviz"));
        zviz.arg("--root").arg(self.caller.state()).args(arguments).output().unwrap()
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.zviz(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn create(&self, id: &str) {
        // Init keeps standard output and error.
        let mut zviz = self.caller.program(self.caller.place.path().join("zviz"));
        zviz.arg("--root").arg(self.caller.state()).args(["create", id]).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(zviz.status().unwrap().success());
    }
}

#[test]
fn the_life_of_a_container() {
    requires!(root, program "busybox", program "useradd");
    let user = Rootless::new(&["sleep", "1000"]);
    user.create("one");
    assert_eq!(serde_json::from_str::<Value>(&user.ok(&["state", "one"])).unwrap()["status"], "created");
    user.ok(&["start", "one"]);
    assert_eq!(user.ok(&["exec", "one", "id", "-u"]), "0\n");
    assert_eq!(user.zviz(&["exec", "one", "sh", "-c", "exit 5"]).status.code(), Some(5));
    assert_eq!(user.ok(&["list", "-q"]), "one\n");
    // Root inside is the user outside, and nobody else.
    let pid = serde_json::from_str::<Value>(&user.ok(&["state", "one"])).unwrap()["pid"].to_string();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let uid = user.caller.ids().0.to_string();
    assert!(status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().skip(1).all(|id| id == uid)));
    user.ok(&["kill", "one", "KILL"]);
    user.ok(&["delete", "--force", "one"]);
    assert!(user.caller.left().is_empty());
}

#[test]
fn what_an_ordinary_user_may_not_ask_for_is_named() {
    requires!(root, program "busybox", program "useradd");
    let user = Rootless::new(&["sh", "-c", "echo inside"]);
    // The control: without them it runs.
    assert_eq!(user.ok(&["run", "good"]), "inside\n");
    let faults: [(&str, Value, &str); 3] = [
        ("/linux/uidMappings/0/hostID", json!(0), "linux.uidMappings"),
        ("/linux/uidMappings/0/size", json!(70000), "linux.uidMappings"),
        ("/linux/resources", json!({ "memory": { "limit": 1 << 26 } }), "memory"),
    ];
    let good = fs::read(user.caller.work.join("config.json")).unwrap();
    for (place, value, words) in faults {
        fs::write(user.caller.work.join("config.json"), &good).unwrap();
        user.edit(|spec| {
            if place == "/linux/resources" {
                spec["linux"]["resources"] = value;
            } else {
                *spec.pointer_mut(place).unwrap() = value;
            }
        });
        let output = user.zviz(&["run", "bad"]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(words) && error.lines().count() == 1, "{place}: {error}");
        assert!(user.caller.left().is_empty(), "{place}");
    }
}
