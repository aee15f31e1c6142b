//! `zviz selftest`: no profile lets anything through that it does not say, and every attempt is one.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod callers;
mod support;

use callers::Caller;
use serde_json::Value;
use std::process::Output;
use support::requires;
use zviz_runtime::profile::BUILT_IN;

fn run(caller: &Caller, flags: &[&str]) -> Output {
    let mut zviz = caller.program(caller.place.path().join("zviz"));
    zviz.arg("--root").arg(caller.state()).args(["selftest", "--json"]).args(flags);
    zviz.output().unwrap()
}

fn report(caller: &Caller, flags: &[&str]) -> (i32, Value) {
    let output = run(caller, flags);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{flags:?}: {error}: {said}"));
    (output.status.code().unwrap(), report)
}

/// Why a caller cannot have a profile on this host, if it is that its limits cannot be kept.
fn unlimited(caller: &Caller, profile: &str) -> Option<String> {
    let output = caller.run(&["--profile", profile], &["true"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code() == Some(125) && said.contains("cannot be limited by this caller's cgroups")).then_some(said)
}

fn lines<'r>(report: &'r Value, verdicts: &[&str]) -> Vec<&'r Value> {
    let of = |line: &&Value| verdicts.contains(&line["verdict"].as_str().unwrap());
    report["lines"].as_array().unwrap().iter().filter(of).collect()
}

#[test]
fn no_profile_lets_through_what_it_does_not_say() {
    requires!(root, program "useradd");
    for caller in Caller::both() {
        for (profile, _) in BUILT_IN {
            if let Some(why) = unlimited(&caller, profile).filter(|_| !caller.root) {
                println!("{profile}, as {}: cannot be had here: {why}", caller.name());
                continue;
            }
            let (code, report) = report(&caller, &["--profile", profile]);
            let open = lines(&report, &["open", "unknown"]);
            assert!(code == 0 && open.is_empty(), "{profile}, as {}: {open:#?}", caller.name());
            let allowed = lines(&report, &["allowed"]);
            assert!(*profile != "hostile-tenant" || allowed.is_empty(), "as {}: {allowed:#?}", caller.name());
            for line in allowed {
                println!("{profile}, as {}: {} is allowed: {}", caller.name(), line["probe"], line["how"]);
            }
        }
        assert_eq!(caller.left(), [""; 0]);
    }
}

#[test]
fn attempts_succeed_where_nothing_is_in_their_way() {
    requires!(root);
    let caller = Caller::new(true);
    let (code, report) = report(&caller, &["--controls"]);
    assert_eq!(code, 0, "{:#?}", lines(&report, &["open", "unknown"]));
    for line in lines(&report, &["no-control"]) {
        println!("no control of {}: {}", line["probe"], line["how"]);
    }
    let work = report["as_expected"].as_u64().unwrap();
    // Kernels without modules, ports and older networks show this much.
    assert!(work >= 150, "only {work} attempts work anywhere");
}

#[test]
fn what_a_profile_gives_is_seen_and_told() {
    requires!(root);
    for caller in Caller::both() {
        // From the folder that it is called in, which the attempts are not made in.
        let file = caller.work.join("wide.yaml");
        std::fs::write(&file, "name: wide\nextends: default\nsyscalls: {allow: [io_uring_setup]}\n").unwrap();
        let (code, report) = report(&caller, &["--profile", "./wide.yaml", "--group", "calls"]);
        let allowed = lines(&report, &["allowed"]);
        assert_eq!((code, allowed.len()), (0, 1), "{report:#}");
        assert_eq!(allowed[0]["probe"], "io-uring-setup");
        assert!(allowed[0]["how"].as_str().unwrap().contains("syscalls.allow"));
    }
}

/// Wider ones let more through, so that what is counted is what the sandbox does and not what the attempts cannot do.
#[test]
fn others_are_beside_it() {
    requires!(root, program "runc", program "bwrap", program "useradd");
    for caller in Caller::both() {
        let (code, made) = report(&caller, &["--compare"]);
        assert_eq!(code, 0, "{made:#}");
        let succeeded = |name: &str| made["succeeded"][name].as_array().map(Vec::len);
        let ours = succeeded("zviz").unwrap();
        for name in ["runc", "bwrap", "docker", "firejail"] {
            match succeeded(name) {
                Some(theirs) => assert!(theirs > ours, "{name}: {theirs}, zviz: {ours}: {made:#}"),
                None => println!("{name}, as {}: {}", caller.name(), made["missing"][name]),
            }
        }
        // firejail shares the host's network and its names.
        let host = std::fs::read_to_string("/sys/class/net/lo/flags").unwrap();
        assert_eq!(host.trim().trim_start_matches("0x").chars().last(), Some('9'), "lo is not up any more");
        assert!(succeeded("bwrap").is_some() && (!caller.root || succeeded("runc").is_some()), "{made:#}");
        assert_eq!(caller.left(), [""; 0]);
    }
}
