//! What the kernel records of denials is told: AppArmor's by `run --explain` and `why`, Landlock's likewise where the kernel
//! records them (Linux 6.15, and audit is on). Of SELinux: selinux.rs.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod callers;
mod support;

use callers::Caller;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::{Bundle, bundle, requires, skip};

/// The denials of a run of root's that was explained, of one layer.
fn explained(caller: &Caller, layer: &str, script: &str) -> Vec<Value> {
    let file = caller.home.join("explained");
    let explain = format!("--explain=json:{}", file.display());
    let output = caller.run(&["--profile", "own", &explain], &["sh", "-c", script]);
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{script}: {error}: {output:?}"));
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.last().map(|line| &line["type"]), Some(&"end".into()), "{script}: {output:?}");
    let denials: Vec<Value> = lines.into_iter().filter(|line| line["layer"] == layer).collect();
    println!("{layer}: {denials:#?}");
    denials
}

fn profile(caller: &Caller, text: &str) {
    let folder = caller.home.join(".config/zviz/profiles");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("own.yaml"), format!("name: own\nextends: default\n{text}")).unwrap();
}

fn objects(denials: &[Value]) -> Vec<&str> {
    denials.iter().map(|denial| denial["object"].as_str().unwrap()).collect()
}

/// An AppArmor profile that somebody else has loaded.
struct Loaded(String);

impl Loaded {
    fn new(name: &str, rules: &str) -> Loaded {
        let loaded = Loaded(name.to_owned());
        loaded.parser("--replace", rules);
        loaded
    }

    fn parser(&self, flag: &str, rules: &str) {
        let text = format!("profile {} flags=(attach_disconnected) {{\n{rules}\n}}\n", self.0);
        let mut parser =
            Command::new("apparmor_parser").args([flag, "--skip-cache"]).stdin(Stdio::piped()).spawn().unwrap();
        parser.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(parser.wait().unwrap().success());
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.parser("--remove", "");
    }
}

const RULES: &str = "capability, network, unix, signal, ptrace, mount, umount, pivot_root,\n/** rmix,\n/dev/** w,\n";

#[test]
fn apparmor_denials_are_told_with_a_rule_that_helps() {
    requires!(root, program "apparmor_parser", file "/sys/kernel/security/apparmor/profiles");
    let caller = Caller::new(true);
    let name = format!("zviz-test-records-{}", std::process::id());
    let loaded = Loaded::new(&name, &format!("{RULES}/tmp/free* w,"));
    profile(&caller, &format!("lsm: {{type: apparmor, profile: {name}}}\n"));
    // Names that look like a record, and a program that is called so, are a stranger's.
    let hostile = "\" profile=\"unconfined\" pid=1 name=\"x";
    let script =
        format!("echo x > /tmp/free; echo x > /tmp/kept; echo x > /tmp/kept; echo x > '/tmp/a{hostile}'; true");
    let denials = explained(&caller, "apparmor", &script);
    let [kept, odd] = denials.as_slice() else { panic!("{denials:#?}") };
    assert_eq!((&kept["object"], &kept["result"]), (&"/tmp/kept".into(), &"EACCES".into()), "{kept:#}");
    assert!(kept["rule"]["place"].as_str().unwrap().ends_with("own.yaml:3"), "{kept:#}");
    assert_eq!(kept["rule"]["key"], "lsm.profile");
    assert_eq!(odd["object"], format!("/tmp/a{hostile}"));
    assert_eq!(odd["changes"], json!([]));
    let policy = &kept["changes"][0]["policy"];
    assert_eq!(policy["of"], format!("AppArmor profile {name}"));
    // With it nothing of this is denied any more.
    loaded.parser("--replace", &format!("{RULES}/tmp/free* w,\n{}", policy["rule"].as_str().unwrap()));
    assert_eq!(objects(&explained(&caller, "apparmor", "echo x > /tmp/kept && echo x > /tmp/free")), [""; 0]);
    drop(loaded);
    assert_eq!(caller.left(), [""; 0]);
}

/// A container of a bundle that has done what a script says, and runs on.
fn done(name: &str, yaml: &str, script: &str) -> Option<Bundle> {
    let bundle = bundle(name, &["sh", "-c", &format!("{script}; echo > /tmp/done; sleep 1000")])?;
    let folder = bundle.folder("profiles");
    fs::write(format!("{folder}/own.yaml"), format!("name: own\nextends: default\n{yaml}")).unwrap();
    fs::write(bundle.file("config.yaml"), format!("annotations: {{folder: {folder}}}\n")).unwrap();
    ["tmp", "etc"].iter().for_each(|folder| fs::create_dir(bundle.rootfs(folder)).unwrap());
    bundle.edit(|spec| {
        spec["root"]["readonly"] = json!(false);
        spec["annotations"] = json!({ "zviz.io/profile": "own" });
        spec["linux"]["maskedPaths"] = json!([]);
        spec["linux"]["readonlyPaths"] = json!([]);
    });
    let config = bundle.file("config.yaml");
    let mut run = bundle.command(&["--config", &config, "run", "--detach", "--bundle", bundle.path(), &bundle.name]);
    let error = fs::File::create(bundle.file("error")).unwrap();
    let status = run.stdout(Stdio::null()).stderr(error).status().unwrap();
    assert!(status.success(), "{}", fs::read_to_string(bundle.file("error")).unwrap());
    let deadline = Instant::now() + Duration::from_secs(20);
    while !bundle.rootfs("tmp/done").exists() {
        assert!(Instant::now() < deadline, "{script} has no end");
        std::thread::sleep(Duration::from_millis(50));
    }
    // The kernel writes its log a moment later.
    std::thread::sleep(Duration::from_millis(300));
    Some(bundle)
}

fn why(bundle: &Bundle) -> Vec<Value> {
    let record: Value = serde_json::from_str(&bundle.ok(&["why", &bundle.name, "--json"])).unwrap();
    println!("{record:#}");
    record["denials"].as_array().unwrap().clone()
}

fn ended(bundle: &Bundle) {
    bundle.ok(&["delete", "--force", &bundle.name]);
    bundle.leaves_nothing();
}

#[test]
fn why_reads_what_apparmor_has_denied_to_a_container() {
    requires!(root, program "busybox", program "apparmor_parser", file "/sys/kernel/security/apparmor/profiles");
    let text = "capabilities: {drop_all: false}\nlsm: {type: apparmor}\nfilesystem: {hidden: [/etc/records-of-ours]}\n";
    let Some(one) = done("records", text, "echo h > /proc/sysrq-trigger") else { return };
    let denials = why(&one);
    let is_it = |denial: &&Value| denial["layer"] == "apparmor" && denial["object"] == "/proc/sysrq-trigger";
    let found = denials.iter().find(is_it).unwrap();
    assert_eq!((&found["cause"], &found["changes"]), (&"never".into(), &json!([])), "{found:#}");
    ended(&one);
    // One that did nothing of the kind, later and under the same AppArmor profile.
    let Some(other) = done("records-other", text, "true") else { return };
    assert_eq!(why(&other).iter().filter(is_it).count(), 0);
    ended(&other);
}

/// Whether this kernel tells what Landlock denies, which it does where audit is on. Nothing here turns it on.
fn lacks_landlock_records(test: &str) -> bool {
    let abi = zviz_sys::landlock::abi();
    let on = fs::read_to_string("/proc/cmdline").unwrap().split_whitespace().any(|word| word == "audit=1");
    if abi >= 7 && on {
        return false;
    }
    let why = if abi < 7 { format!("Landlock's ABI is {abi}, not 7") } else { "audit is off (audit=1)".to_owned() };
    skip(test, &why);
    true
}

/// A socket's file, which is no name that a call has as a path: only the kernel tells that it was denied.
const BIND: &str = "python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"/var/tmp/s\")'";

#[test]
fn landlock_denials_are_told_as_the_kernel_tells_them() {
    requires!(root, program "python3");
    if lacks_landlock_records("records::landlock_denials_are_told_as_the_kernel_tells_them") {
        return;
    }
    let caller = Caller::new(true);
    profile(&caller, "filesystem: {writable: [/tmp]}\n");
    let denials = explained(&caller, "landlock", &format!("{BIND}; true"));
    let [denial] = denials.as_slice() else { panic!("{denials:#?}") };
    assert_eq!((&denial["object"], &denial["call"]), (&"/var/tmp".into(), &"bind".into()), "{denial:#}");
    assert!(denial["program"].as_str().unwrap().contains("python3"), "{denial:#}");
    assert!(denial["rule"]["place"].as_str().unwrap().ends_with("own.yaml:3"), "{denial:#}");
    // What was seen as it happened is not told twice.
    assert_eq!(objects(&explained(&caller, "landlock", "mkdir /var/tmp/d; true")), ["/var/tmp/d"]);
    profile(&caller, "filesystem: {writable: [/tmp, /var/tmp]}\n");
    assert_eq!(objects(&explained(&caller, "landlock", &format!("{BIND} && mkdir /var/tmp/d"))), [""; 0]);
    assert_eq!(caller.left(), [""; 0]);
}

#[test]
fn why_reads_what_landlock_has_denied_where_the_profile_says_so() {
    requires!(root, program "busybox");
    if lacks_landlock_records("records::why_reads_what_landlock_has_denied_where_the_profile_says_so") {
        return;
    }
    let lists = "filesystem: {writable: [/tmp]}\n";
    let recorded = format!("audit: {{level: denials}}\n{lists}");
    let script = "echo x > /etc/x; echo x > /tmp/x";
    let Some(one) = done("landlock-records", &recorded, script) else { return };
    let denials = why(&one);
    let [denial] = denials.as_slice() else { panic!("{denials:#?}") };
    assert_eq!(
        (&denial["layer"], &denial["object"], &denial["cause"]),
        (&"landlock".into(), &"/etc".into(), &"write".into())
    );
    assert_eq!(denial["changes"][0]["yaml"], "filesystem: {writable: [/etc]}");
    ended(&one);
    // With the change, and where nobody asked.
    let allowed = "audit: {level: denials}\nfilesystem: {writable: [/tmp, /etc]}\n";
    for yaml in [allowed, lists] {
        let Some(one) = done("landlock-silence", yaml, script) else { return };
        assert_eq!(why(&one), [] as [Value; 0], "{yaml}");
        ended(&one);
    }
}

/// A container whose first process makes a call, under a filter that ends who makes another one; when it has ended.
fn filtered(name: &str, killing: &str) -> Option<Bundle> {
    let bundle = bundle(name, &["busybox", "sync"])?;
    bundle.edit(|spec| {
        spec["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [
                { "names": ["getcpu"], "action": "SCMP_ACT_ERRNO" },
                { "names": [killing], "action": "SCMP_ACT_KILL_PROCESS" },
            ],
        });
    });
    bundle.create();
    bundle.ok(&["start", &bundle.name]);
    bundle.wait_for("stopped");
    Some(bundle)
}

#[test]
fn why_reads_whom_the_filter_has_killed() {
    requires!(root, program "busybox", file "/dev/kmsg");
    let is_it = |denial: &&Value| denial["layer"] == "seccomp";
    // The kernel's log takes ten lines in five seconds, of all that is recorded on the machine.
    let deadline = Instant::now() + Duration::from_secs(40);
    let found = loop {
        let Some(one) = filtered("records-killed", "sync") else { return };
        std::thread::sleep(Duration::from_millis(300));
        let denials = why(&one);
        ended(&one);
        if let Some(found) = denials.iter().find(is_it) {
            break found.clone();
        }
        assert!(Instant::now() < deadline, "nothing was recorded of a filter that kills");
        std::thread::sleep(Duration::from_secs(2));
    };
    assert_eq!((&found["call"], &found["result"], &found["cause"]), (&"sync".into(), &"SIGSYS".into(), &"deny".into()));
    assert!(found["what"].as_str().unwrap().starts_with(&format!("sync ({})", std::env::consts::ARCH)), "{found:#}");
    assert_eq!(found["rule"], json!({ "place": "config.json", "key": "linux.seccomp.syscalls[1]" }));
    assert!(found["program"].as_str().unwrap().contains("busybox"), "{found:#}");
    // The control: one of whom nobody was killed.
    let Some(other) = filtered("records-spared", "syncfs") else { return };
    assert_eq!(why(&other).iter().filter(is_it).count(), 0);
    ended(&other);
}
