//! `zviz broker`: the containers of other runtimes, and zviz's own, served over a listenerPath.

mod abuse;
mod rights;
mod rootless;
mod served;

use crate::support::{Done, ZVIZ, requires, run};
use nix::sys::signal::Signal;
use serde_json::json;
use served::{Place, Runtime, with_users};
use std::fs;
use std::process::Command;

/// What the profile `virtualised` mediates.
const SYSTEM: &[&str] = &["sysinfo", "uname"];

#[test]
fn each_runtimes_containers_are_served() {
    requires!(root, program "busybox", program "runc", program "crun");
    let mut place = Place::new("virtualised", &[]);
    for runtime in Runtime::all() {
        for users in [false, true] {
            let change = |spec: &mut serde_json::Value| {
                if users {
                    with_users(spec)
                }
            };
            let script = "uname -r; uptime";
            let served = place.run(runtime, &place.bundle("served", SYSTEM, script, change)).ok();
            assert!(served.starts_with("6.1.0\n") && served.contains("up 0 min"), "{runtime:?}, {users}: {served}");
            let plain = place.run(runtime, &place.bundle("plain", &[], script, change)).ok();
            assert!(!plain.contains("6.1.0") && !plain.contains("up 0 min"), "the control: {runtime:?}: {plain}");
        }
    }
    let pid = place.pid();
    place.wait_until("the brokers end", || served::children(pid).is_empty());
    let log = place.log();
    assert!(!log.contains("warning") && log.matches("are served by").count() == 6, "{log}");
}

/// What enters a container has a filter of its own, and so a broker of its own.
#[test]
fn what_enters_a_container_is_served_too() {
    requires!(root, program "busybox", program "runc");
    let mut place = Place::new("virtualised", &[]);
    for runtime in [Runtime::Zviz, Runtime::Runc] {
        let bundle = place.bundle("entered", SYSTEM, "sleep 1000", |_| {});
        let id = format!("{}-{runtime:?}", place.path("").parent().unwrap().file_name().unwrap().to_string_lossy());
        let verb = |arguments: &[&str]| run(&mut place.command(runtime, arguments));
        let bundle = bundle.to_str().unwrap();
        // What stays in the background keeps standard output.
        let mut detached = place.command(runtime, &["run", "--detach", "--bundle", bundle, &id]);
        assert!(
            detached
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .status()
                .unwrap()
                .success()
        );
        assert_eq!(verb(&["exec", &id, "uname", "-r"]).ok(), "6.1.0", "{runtime:?}");
        verb(&["kill", &id, "KILL"]).ok();
        let pid = place.pid();
        place.wait_until("the brokers end", || served::children(pid).is_empty());
        let _ = run(&mut place.command(runtime, &["delete", "--force", &id]));
    }
}

#[test]
fn fifty_containers_at_once() {
    requires!(root, program "busybox", program "runc");
    let mut place = Place::new("virtualised", &[]);
    let script = "uname -r; i=0; until [ -e /tmp/go ] || [ $((i += 1)) -gt 800 ]; do sleep 0.05; done; uname -r";
    let bundles: Vec<_> = (0..50).map(|i| place.bundle(&format!("c{i}"), SYSTEM, script, |_| {})).collect();
    let said: Vec<Done> = std::thread::scope(|scope| {
        let runs: Vec<_> = bundles.iter().map(|bundle| scope.spawn(|| place.run(Runtime::Runc, bundle))).collect();
        for eyes in place.brokers(50) {
            let own = [&[eyes][..], &served::children(eyes)].concat().into_iter().map(served::own_memory).sum::<u64>();
            assert!((1..2 << 20).contains(&own), "{own} bytes of a broker's own");
        }
        fs::write(place.path("rootfs/tmp/go"), "").unwrap();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    for done in said {
        assert_eq!(done.ok(), "6.1.0\n6.1.0");
    }
    let pid = place.pid();
    place.wait_until("the brokers end, and are reaped", || served::children(pid).is_empty());
}

#[test]
fn the_agents_death_ends_no_broker() {
    requires!(root, program "busybox", program "runc");
    let mut place = Place::new("virtualised", &[]);
    let script = "uname -r; i=0; until [ -e /tmp/go ] || [ $((i += 1)) -gt 800 ]; do sleep 0.05; done; uname -r";
    let bundle = place.bundle("lives", SYSTEM, script, |_| {});
    let brokers = std::thread::scope(|scope| {
        let container = scope.spawn(|| place.run(Runtime::Runc, &bundle));
        let brokers = place.brokers(1);
        place.signal(Signal::SIGKILL);
        fs::write(place.path("rootfs/tmp/go"), "").unwrap();
        assert_eq!(container.join().unwrap().ok(), "6.1.0\n6.1.0");
        brokers
    });
    // Its socket is dead; the next one takes its place.
    assert!(place.socket().exists());
    place.start("virtualised", &[]);
    let next = place.bundle("next", SYSTEM, "uname -r", |_| {});
    assert_eq!(place.run(Runtime::Runc, &next).ok(), "6.1.0");
    place.wait_until("the first broker ends", || {
        brokers.iter().all(|pid| ["", "Z (zombie)"].contains(&served::status(*pid, "State").as_str()))
    });
}

#[test]
fn one_container_and_no_more() {
    requires!(root, program "busybox", program "runc");
    let place = Place::new("virtualised", &["--once"]);
    let bundle = place.bundle("once", SYSTEM, "uname -r", |_| {});
    assert_eq!(place.run(Runtime::Runc, &bundle).ok(), "6.1.0");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while place.socket().exists() || place.path("pid").exists() {
        assert!(std::time::Instant::now() < deadline, "{}", place.log());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(!place.run(Runtime::Runc, &bundle).err.is_empty(), "nobody is there any more");
}

#[test]
fn a_socket_in_use_and_bad_flags_are_refused() {
    requires!(root, program "busybox");
    let place = Place::new("virtualised", &[]);
    let socket = place.socket().to_str().unwrap().to_owned();
    let refused = |arguments: &[&str], words: &str| {
        let done = run(Command::new(ZVIZ).arg("broker").args(arguments)).exits(1);
        assert!(done.err.contains(words) && done.err.lines().count() == 1, "{done}");
    };
    refused(&["--listen", &socket, "--profile", "nested"], "another process listens there");
    let file = place.path("file").to_str().unwrap().to_owned();
    fs::write(&file, "kept").unwrap();
    refused(&["--listen", &file, "--profile", "nested"], "is there, and is no socket");
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
    refused(&["--listen", "/nonexistent/socket", "--profile", "nested"], "No such file");
    refused(
        &["--listen", &file, "--profile", "default"],
        "profile \"default\" sends no calls to a broker; these serve other runtimes: ",
    );
    refused(&["--listen", &file, "--profile", "x"], "there is no profile \"x\"");
    refused(&["--listen", &file], "--profile");
    use std::os::unix::fs::MetadataExt;
    assert_eq!(fs::metadata(&socket).unwrap().mode() & 0o777, 0o600);
    place.signal(Signal::SIGTERM);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while place.socket().exists() || place.path("pid").exists() {
        assert!(std::time::Instant::now() < deadline, "{}", place.log());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// A container's own limit is what it sees as the machine.
#[test]
fn a_containers_limit_is_its_memory() {
    requires!(root, program "busybox", program "runc", v1 "memory");
    let place = Place::new("virtualised", &[]);
    let sees_it = |runtime: Runtime, calls: &[&str]| {
        let bundle = place.bundle("limited", calls, "free -b", |spec| {
            spec["linux"]["resources"] = json!({ "memory": { "limit": 64 << 20 } });
        });
        let said = place.run(runtime, &bundle).ok();
        let line = said.lines().find_map(|line| line.strip_prefix("Mem:")).unwrap().trim_start().to_owned();
        // What follows is computed with the cache of proc, which is the host's, and may be anything.
        line.starts_with("67108864")
    };
    for runtime in [Runtime::Zviz, Runtime::Runc] {
        assert!(sees_it(runtime, SYSTEM), "{runtime:?}");
        assert!(!sees_it(runtime, &[]), "the control");
    }
}

/// The containers of one agent share one log, and each record says whose it is.
#[test]
fn decisions_are_recorded() {
    requires!(root, program "busybox", program "runc");
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("audit");
    let mut place = Place::new("virtualised", &["--audit", log.to_str().unwrap()]);
    for name in ["one", "two"] {
        assert_eq!(place.run(Runtime::Runc, &place.bundle(name, SYSTEM, "uname -r", |_| {})).ok(), "6.1.0");
    }
    let pid = place.pid();
    place.wait_until("the brokers end", || served::children(pid).is_empty());
    let text = fs::read_to_string(&log).unwrap();
    let records = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let calls: Vec<_> = records.filter(|record| record["syscall"] == "uname").collect();
    for name in ["one", "two"] {
        let of = |record: &&serde_json::Value| record["container"].as_str().unwrap().ends_with(name);
        assert!(calls.iter().any(|record| of(&record)), "{text}");
    }
    let refused = Command::new(ZVIZ)
        .args(["broker", "--profile", "virtualised", "--audit", "/nonexistent/audit", "--listen"])
        .arg(place.path("other"))
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("audit"), "{refused:?}");
}
