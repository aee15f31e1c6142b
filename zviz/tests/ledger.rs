//! What can be used up: each limit ends or hinders what goes beyond it, and what stays below it is as without a limit; and who
//! waits is told which it was, with the profile's line.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod callers;
mod support;

use callers::Caller;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use support::{bundle, requires};

/// A limit, a script that goes beyond it, the exit code of that, and what is said of it; `tight` and `wide` are its values.
struct Case {
    key: &'static str,
    tight: &'static str,
    wide: &'static str,
    script: &'static str,
    code: i32,
    said: &'static str,
}

const fn case(
    key: &'static str,
    values: (&'static str, &'static str),
    script: &'static str,
    code: i32,
    said: &'static str,
) -> Case {
    Case { key, tight: values.0, wide: values.1, script, code, said }
}

/// Those that the runtime, or the kernel with a signal, makes known.
#[rustfmt::skip]
const TOLD: &[Case] = &[
    case("file_size", ("1M", "4M"), "exec head -c 2000000 /dev/zero > /tmp/a", 153, "a file would have become larger (SIGXFSZ)"),
    case("cpu_time", ("1s", "100s"), "exec python3 -c 'import time\nwhile time.process_time() < 2.5: pass'", 152, "a process used so much processor time (SIGXCPU)"),
    case("wall_time", ("300ms", "60s"), "sleep 1", 124, "its time was up"),
    case("output_max", ("1000", "1M"), "head -c 200000 /dev/zero; sleep 0.1", 137, "it wrote more than that"),
];

/// Those of cgroups, as root of this machine or of one of version 2.
#[rustfmt::skip]
const TOLD_BY_CGROUPS: &[Case] = &[
    case("memory_max", ("32M", "256M"), "exec python3 -c 'x = bytearray(100000000)'", 137, "the kernel killed 1 process for want of memory"),
    case("cpu_time_total", ("500ms", "60s"), "for i in 1 2; do python3 -c 'import time\nwhile time.process_time() < 1: pass' & done; wait", 137, "its processor time was used up"),
];

/// Those that the kernel tells the program alone: it fails, and nothing is said.
#[rustfmt::skip]
const UNTOLD: &[Case] = &[
    case("open_files", ("64", "1000"), "exec python3 -c 'import os; [os.dup(0) for i in range(99)]'", 1, ""),
    case("tmpfs_max", ("1M", "16M"), "head -c 2000000 /dev/zero > /tmp/a", 1, ""),
    case("tmpfs_inodes_max", ("100", "1000"), "for i in $(seq 200); do : > /tmp/$i || exit 1; done", 2, ""),
    case("ptys_max", ("2", "20"), "exec python3 -c 'import os; [os.open(\"/dev/ptmx\", os.O_RDWR) for i in range(4)]'", 1, ""),
];

fn profile(caller: &Caller, text: &str) -> String {
    let path = caller.place.path().join("own.yaml");
    fs::write(&path, format!("name: own\nextends: default\nresources:\n{text}")).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn run(caller: &Caller, text: &str, script: &str) -> (Output, Value) {
    let (profile, report) = (profile(caller, text), caller.work.join("report.json"));
    let _ = fs::remove_file(&report);
    let output = caller.run(&["--profile", &profile, "--report", report.to_str().unwrap()], &["sh", "-c", script]);
    let text = fs::read(&report).unwrap_or_else(|e| panic!("{e}: {output:?}"));
    (output, serde_json::from_slice(&text).unwrap())
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn holds(caller: &Caller, case: &Case) {
    let Case { key, tight, wide, script, code, said } = case;
    let (output, report) = run(caller, &format!("  {key}: {tight}\n"), script);
    let who = caller.name();
    assert_eq!(output.status.code(), Some(*code), "as {who}: {key}: {output:?}");
    let limit = report["limits"].as_array().unwrap().iter().find(|limit| limit["limit"] == *key);
    let limit = limit.unwrap_or_else(|| panic!("{key} is not among {report}"));
    assert_eq!(limit["askedBy"], format!("resources.{key}"), "{report}");
    assert!(limit["place"].as_str().unwrap().ends_with("own.yaml:4"), "{report}");
    if said.is_empty() {
        assert_eq!((&report["endedBy"], limit["unseen"].is_string()), (&Value::Null, true), "{key}: {report}");
        assert!(!error(&output).contains("limit"), "{key}: {output:?}");
    } else {
        assert_eq!((&report["endedBy"]["limit"], &report["endedBy"]["what"]), (&json!(key), &json!(said)), "{report}");
        let line = format!("own.yaml:4): {said}\n");
        let text = error(&output);
        assert!(text.contains(&format!("ended by a limit: {key} ")) && text.contains(&line), "as {who}: {text}");
        assert_eq!(report["status"], *code);
    }
    // With room enough the same ends well, and nothing is said.
    let (output, report) = run(caller, &format!("  {key}: {wide}\n"), script);
    assert!(output.status.success() && output.stderr.is_empty(), "as {who}: {key}: the control: {output:?}");
    assert_eq!((&report["endedBy"], &report["hinderedBy"]), (&Value::Null, &json!([])), "{key}: {report}");
}

#[test]
fn each_limit_ends_or_hinders_what_goes_beyond_it() {
    requires!(root, program "python3");
    for caller in Caller::both() {
        TOLD.iter().chain(UNTOLD).for_each(|case| holds(&caller, case));
        assert_eq!(caller.left(), [""; 0]);
    }
}

#[test]
fn cgroups_tell_of_theirs() {
    requires!(root, program "python3");
    let unified = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    if !Path::new("/sys/fs/cgroup/memory").exists() && !unified.contains("memory") {
        return support::skip("cgroups_tell_of_theirs", "there is no memory controller");
    }
    let caller = Caller::new(true);
    TOLD_BY_CGROUPS.iter().for_each(|case| holds(&caller, case));
    // Something inside was hindered, and the rest went on.
    let forks = "(sleep 0.3 & sleep 0.3 & sleep 0.3 & sleep 0.3 & sleep 0.3 & wait) 2>/dev/null; exit 0";
    let (output, report) = run(&caller, "  pids_max: 5\n", forks);
    let hindered = &report["hinderedBy"][0];
    assert_eq!(
        (output.status.code(), &report["endedBy"], &hindered["limit"]),
        (Some(0), &Value::Null, &json!("pids_max"))
    );
    assert!(error(&output).contains("a limit was in the way: pids_max 5 (resources.pids_max, "), "{output:?}");
    assert!(report["usage"]["pidsRefused"].as_u64().unwrap() > 0, "{report}");
    let hog = "python3 -c 'x = bytearray(100000000)'; exit 3";
    let (output, report) = run(&caller, "  memory_max: 48M\n", hog);
    assert_eq!((output.status.code(), &report["hinderedBy"][0]["limit"]), (Some(3), &json!("memory_max")), "{report}");
    assert!(report["usage"]["memoryPeakBytes"].as_u64().unwrap() > 30 << 20, "{report}");
    // Memory is that of folders in memory too.
    let (output, report) = run(&caller, "  memory_max: 32M\n", "exec head -c 100000000 /dev/zero > /tmp/a");
    assert_eq!((output.status.code(), &report["endedBy"]["limit"]), (Some(137), &json!("memory_max")), "{report}");
    assert_eq!(caller.left(), [""; 0]);
}

#[test]
fn output_ends_where_it_is_to() {
    requires!(root);
    for caller in Caller::both() {
        let flood = "printf out-; printf err- >&2; head -c 200000 /dev/zero | tr '\\0' x; exit 3";
        let (output, report) = run(&caller, "  output_max: 1000\n  output_action: truncate\n", flood);
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        let text = error(&output);
        let (said, told) = text.split_once("zviz: ").unwrap();
        // Which of the two pipes is heard first nobody says.
        assert!(output.stdout.len() + said.len() == 1000 && matches!(said, "" | "err-"), "{said:?}");
        assert!(told.contains("199008 bytes of output were thrown away"), "{told}");
        assert_eq!(
            (&report["usage"]["outputBytes"], &report["usage"]["outputDroppedBytes"]),
            (&json!(200_008), &json!(199_008))
        );
        let (output, report) = run(&caller, "  output_max: 1000\n", "yes");
        assert_eq!((output.stdout.len(), output.status.code(), &report["status"]), (1000, Some(137), &json!(137)));
        // All of it comes, in order, whoever holds the pipe still.
        let (output, _) = run(&caller, "  output_max: 1M\n", "seq 20000; sleep 100 &");
        assert!(output.stdout.ends_with(b"\n20000\n") && output.stdout.len() == 108_894, "{}", output.stdout.len());
        // A reader that goes away ends it as without a pipe between.
        let profile = profile(&caller, "  output_max: 100M\n");
        let shell = "{ timeout 20 \"$@\"; echo $? >&2; } | head -n 1";
        let mut zviz = caller.program("sh");
        zviz.args(["-c", shell, "sh"]).arg(caller.place.path().join("zviz")).arg("--root").arg(caller.state());
        let output = zviz.args(["run", "--profile", &profile, "--", "yes"]).output().unwrap();
        assert_eq!((output.stdout.as_slice(), error(&output).trim()), (&b"y\n"[..], "141"), "{output:?}");
    }
}

#[test]
fn a_limit_that_is_too_low_to_start_with_is_named() {
    requires!(root);
    let caller = Caller::new(true);
    let mut cases = vec![("open_files: 3", "open_files 3 (resources.open_files, ")];
    cases.push(("tmpfs_inodes_max: 5", "tmpfs_inodes_max 5 (resources.tmpfs_inodes_max, "));
    if Path::new("/sys/fs/cgroup/pids").exists() {
        cases.push(("pids_max: 1", "pids_max 1 (resources.pids_max, "));
    }
    for (text, said) in cases {
        let profile = profile(&caller, &format!("  {text}\n"));
        let output = caller.run(&["--profile", &profile], &["true"]);
        assert_eq!(output.status.code(), Some(125), "{text}");
        let line = format!("{said}{profile}:4) may be too low to start with: raise it\n");
        assert!(error(&output).contains(&line), "{text}: {output:?}");
    }
    assert_eq!(caller.left(), [""; 0]);
}

#[test]
fn core_files_are_written_only_if_a_profile_says_so() {
    requires!(root);
    let caller = Caller::new(true);
    let inside = |text: &str| {
        let profile = profile(&caller, &format!("  open_files: 100\n{text}"));
        let zviz = caller.sandbox(&["--profile", &profile], &["sh", "-c", "ulimit -c"]);
        let mut shell = caller.program("sh");
        shell.args(["-c", "ulimit -c 7; exec \"$@\"", "sh"]).arg(zviz.get_program());
        let output = shell.args(zviz.get_args()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!((inside(""), inside("  core_dumps: true\n")), ("0\n".into(), "7\n".into()));
}

/// A bundle whose annotation names a profile with these limits.
fn bundled(name: &str, text: &str, script: &str) -> Option<support::Bundle> {
    let bundle = bundle(name, &["sh", "-c", script])?;
    let folder = bundle.folder("profiles");
    fs::write(format!("{folder}/own.yaml"), format!("name: own\nextends: default\nresources:\n{text}")).unwrap();
    fs::write(bundle.file("config.yaml"), format!("annotations: {{folder: {folder}}}\n")).unwrap();
    bundle.edit(|spec| spec["annotations"] = json!({"zviz.io/profile": "own"}));
    Some(bundle)
}

#[test]
fn containers_have_them_too() {
    requires!(root, v1 "cpuacct");
    let burn = "while :; do :; done";
    let Some(bundle) = bundled("ledger", "  cpu_time_total: 500ms\n", burn) else { return };
    let (config, report, id) = (bundle.file("config.yaml"), bundle.file("report.json"), bundle.name.as_str());
    let output = bundle.zviz(&["--config", &config, "run", "--bundle", bundle.path(), "--report", &report, id]);
    assert_eq!(output.status.code(), Some(137), "{output:?}");
    let told: Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    assert_eq!(told["endedBy"]["limit"], "cpu_time_total");
    assert!(told["usage"]["cpuUsec"].as_u64().unwrap() >= 500_000, "{told}");
    // Nobody waits: its watcher does.
    let null = std::process::Stdio::null;
    let detached = ["--config", &config, "run", "--detach", "--bundle", bundle.path(), id];
    assert!(bundle.command(&detached).stdout(null()).stderr(null()).status().unwrap().success());
    bundle.wait_for("stopped");
    assert_eq!(bundle.state()["ended"], "cpu_time_total");
    bundle.ok(&["delete", id]);
    // Without a limit it goes on.
    bundle.edit(|spec| spec["annotations"] = json!({}));
    assert!(bundle.command(&detached).stdout(null()).stderr(null()).status().unwrap().success());
    std::thread::sleep(std::time::Duration::from_millis(1200));
    assert_eq!(bundle.state()["status"], "running");
    bundle.ok(&["delete", "--force", id]);
    bundle.leaves_nothing();
}

#[test]
fn output_is_counted_by_who_waits_for_it() {
    requires!(root);
    let flood = "while :; do echo 123456789; done";
    let Some(bundle) = bundled("ledger-output", "  output_max: 1000\n", flood) else { return };
    let (config, id) = (bundle.file("config.yaml"), bundle.name.as_str());
    let output = bundle.zviz(&["--config", &config, "run", "--bundle", bundle.path(), id]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(137), 1000));
    assert!(error(&output).contains("ended by a limit: output_max 1000 bytes (resources.output_max, "), "{output:?}");
    for form in [&["create"][..], &["run", "--detach"]] {
        let all: Vec<&str> =
            ["--config", &config].iter().chain(form).copied().chain(["--bundle", bundle.path(), id]).collect();
        bundle.refused(&all, "own.yaml:4: resources.output_max: 1000 bytes are counted by who waits for the container");
    }
    bundle.leaves_nothing();
}
