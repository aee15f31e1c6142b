//! Receipts: what is in force, of a sandbox and of a container, and of none where something is not.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use serde_json::{Value, json};
use std::fs;
use std::process::Command;
use support::{Scratch, ZVIZ, bundle, requires, run};

fn read(path: &str) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    zviz_runtime::profile::hashed::sha256(bytes)
}

#[test]
fn of_a_sandbox() {
    requires!(root);
    let scratch = Scratch::new("receipt");
    let base = "name: base\nextends: default\n";
    let own = "name: own\nextends: base\nresources: {open_files: 77, wall_time: 1m}\n";
    fs::create_dir_all(scratch.join("config/zviz/profiles")).unwrap();
    fs::write(scratch.join("config/zviz/profiles/base.yaml"), base).unwrap();
    fs::write(scratch.join("own.yaml"), own).unwrap();
    let mut zviz = Command::new(ZVIZ);
    zviz.current_dir(scratch.path()).env("XDG_CONFIG_HOME", scratch.join("config"));
    zviz.args(["run", "--receipt", "receipt.json", "--profile", "./own.yaml", "--env", "TOKEN=hunter2", "--"]);
    // It is there as soon as the command runs, or soon after.
    let inside =
        "grep -E '^(Seccomp|NoNewPrivs|CapBnd):' /proc/self/status; ulimit -n; echo password-of-the-command >&2";
    let said = run(zviz.args(["sh", "-c", inside])).ok();
    let text = fs::read_to_string(scratch.join("receipt.json")).unwrap();
    assert!(!text.contains("hunter2") && !text.contains("password-of"), "{text}");
    let receipt: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(receipt["schemaVersion"], 1);
    let texts = receipt["profile"]["texts"].as_array().unwrap();
    let hashes: Vec<&str> = texts.iter().map(|text| text["sha256"].as_str().unwrap()).collect();
    let default = include_bytes!("../../profiles/default.yaml");
    assert_eq!(hashes, [sha256(own.as_bytes()), sha256(base.as_bytes()), sha256(default)]);
    // What the command itself sees.
    assert!(said.contains("Seccomp:\t2\n") && receipt["seccomp"]["mode"] == 2, "{said}");
    assert!(said.contains("NoNewPrivs:\t1\n") && receipt["containment"]["noNewPrivileges"] == true);
    assert!(said.contains("CapBnd:\t0000000000000000") && receipt["containment"]["capabilities"] == json!({}));
    assert!(said.ends_with("77") && receipt["resources"]["rlimits"]["nofile"] == json!([77, 77]), "{said}");
    assert_eq!(receipt["resources"]["wallTimeMs"], 60_000);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(receipt["host"]["kernel"], kernel.trim());
    assert_eq!(receipt["network"]["mode"], "none");
}

#[test]
fn where_it_goes() {
    requires!(root);
    let scratch = Scratch::new("receipt-where");
    let zviz = |flags: &[&str]| {
        let mut zviz = Command::new(ZVIZ);
        run(zviz.current_dir(scratch.path()).arg("run").args(flags).args(["--", "true"]))
    };
    let receipt: Value = serde_json::from_str(&zviz(&["--receipt", "-"]).ok()).unwrap();
    assert_eq!(receipt["asked"]["program"], "true");
    let shell = format!("{ZVIZ} run --receipt fd:5 -- true 5>five");
    run(Command::new("sh").current_dir(scratch.path()).args(["-c", &shell])).ok();
    assert_eq!(read(scratch.join("five").to_str().unwrap())["asked"]["program"], "true");
    for (place, why) in
        [("fd:77", "--receipt fd:77: "), ("fd:x", "--receipt fd:x"), ("no/such", "--receipt: no/such: ")]
    {
        let done = zviz(&["--receipt", place]).exits(125);
        assert!(done.err.contains(why), "{done}");
    }
}

#[test]
fn it_goes_through_nothing_that_the_program_leaves() {
    requires!(root);
    let scratch = Scratch::new("receipt-links");
    fs::write(scratch.join("precious"), "text").unwrap();
    let zviz = |place: &str, script: &str| {
        let mut zviz = Command::new(ZVIZ);
        run(zviz.current_dir(scratch.path()).args(["run", "--report", place, "--", "sh", "-c", script]))
    };
    for script in ["ln -s precious report", "rm report; mkfifo report", "rm report; ln -s precious report"] {
        zviz("report", script).ok();
        let report = scratch.join("report");
        assert!(report.symlink_metadata().unwrap().is_file(), "{script}");
        assert_eq!(read(report.to_str().unwrap())["status"], 0, "{script}");
    }
    // Left by an earlier one.
    std::os::unix::fs::symlink("precious", scratch.join("link")).unwrap();
    assert!(zviz("link", "true").exits(125).err.contains("--report: link: "));
    assert_eq!(fs::read_to_string(scratch.join("precious")).unwrap(), "text");
    // What is no file is written to, as it is.
    let shell = format!("{ZVIZ} run --report /dev/stdout -- true | cat >piped; {ZVIZ} run --report /dev/null -- true");
    run(Command::new("sh").current_dir(scratch.path()).args(["-ec", &shell])).ok();
    assert_eq!(read(scratch.join("piped").to_str().unwrap())["status"], 0);
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}

#[test]
fn of_a_container_until_it_is_deleted() {
    requires!(root);
    let Some(bundle) = bundle("receipt", &["sleep", "1000"]) else { return };
    let (receipt, id) = (bundle.file("receipt.json"), bundle.name.as_str());
    bundle.edit(|spec| {
        spec["process"]["env"] = json!(["PATH=/bin", "TOKEN=hunter2"]);
        spec["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_ALLOW"});
    });
    let arguments = ["create", "--bundle", bundle.path(), "--receipt", &receipt, id];
    let mut create = bundle.command(&arguments);
    let null = std::process::Stdio::null;
    assert!(create.stdout(null()).stderr(null()).status().unwrap().success());
    let written = read(&receipt);
    assert!(!written.to_string().contains("hunter2"));
    let config = fs::read(bundle.file("config.json")).unwrap();
    assert_eq!(written["asked"]["configSha256"], sha256(&config));
    assert_eq!((&written["asked"]["form"], &written["profile"]["name"]), (&json!("bundle"), &json!("none")));
    assert_eq!((&written["seccomp"]["default"], written.get("landlock")), (&json!("allow"), None));
    assert_eq!(bundle.state()["receipt"], written);
    bundle.ok(&["start", id]);
    assert_eq!(bundle.state()["receipt"], written, "it is of what init reported");
    bundle.ok(&["delete", "--force", id]);
    bundle.leaves_nothing();
}

#[test]
fn of_none_where_a_layer_is_not_in_force() {
    requires!(root);
    let Some(bundle) = bundle("receipt-none", &["true"]) else { return };
    let receipt = bundle.file("receipt.json");
    let runs = ["run", "--bundle", bundle.path(), "--receipt", &receipt, &bundle.name];
    // Only init can find out.
    bundle.edit(|spec| spec["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "no number"}));
    bundle.refused(&runs, "linux.sysctl[\"net.ipv4.ip_forward\"]");
    assert!(!fs::exists(&receipt).unwrap());
    bundle.edit(|spec| spec["linux"]["sysctl"] = json!({"net.ipv4.ip_forward": "0"}));
    bundle.ok(&runs);
    assert_eq!(read(&receipt)["asked"]["form"], "bundle");
    // And none where the receipt itself cannot be: the container does not stay.
    let nowhere = bundle.file("no/such");
    bundle.refused(&["create", "--bundle", bundle.path(), "--receipt", &nowhere, &bundle.name], "--receipt: ");
    bundle.leaves_nothing();
}
