//! What the broker's own processes may do and need, as the kernel has it. `ZVIZ_BROKERS` says how many sandboxes there are at
//! once; 500 is the proof.

use super::callers::Caller;
use super::each;
use super::parts::{Broker, Process, until};
use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// What a container's broker may have for itself, in KiB: all of its parts, with one hand.
const PRIVATE: u64 = 2048;

/// A sandbox that has called once, and waits.
fn waiting(caller: &Caller, ready: &str) -> Child {
    let script = format!("mount -t tmpfs tmpfs /tmp && touch {ready} && exec sleep 1000");
    let command = ["unshare", "-Urm", "sh", "-c", &script];
    caller.sandbox(&["--profile", "nested"], &command).stdout(Stdio::null()).spawn().unwrap()
}

fn end(mut sandbox: Child) {
    // Its program ends with it.
    let pid = nix::unistd::Pid::from_raw(sandbox.id() as i32);
    let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
    let _ = sandbox.wait();
}

/// Sandboxes that end with the test, however it ends.
struct All(Vec<Child>);

impl Drop for All {
    fn drop(&mut self) {
        self.0.drain(..).for_each(end);
    }
}

fn parts(broker: &Broker) -> Vec<&Process> {
    [&broker.eyes, &broker.hands].into_iter().chain(&broker.crew).collect()
}

/// A sum of lines of smaps_rollup, in KiB.
fn memory(process: &Process, keys: &[&str]) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", process.pid)).unwrap_or_default();
    let of =
        |key: &&str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')?.split_whitespace().next());
    keys.iter().filter_map(of).map(|number| number.parse::<u64>().unwrap()).sum()
}

#[test]
fn a_broker_has_no_right_and_little_memory() {
    each("a_broker_has_no_right_and_little_memory", &["unshare"], |caller| {
        let sandbox = waiting(caller, "ready");
        until("the sandbox has called", Duration::from_secs(10), || caller.work.join("ready").exists().then_some(()));
        let broker = Broker::wait_for(&sandbox);
        let own = fs::metadata(format!("/proc/{}", sandbox.id())).unwrap();
        let host_users = fs::read_link("/proc/self/ns/user").unwrap();
        let (mut private, mut shared, mut resident) = (0, 0, 0);
        assert_eq!(broker.crew.len(), 1, "{broker:?}");
        for process in parts(&broker) {
            let status = |key: &str| process.status(key).unwrap();
            let users = fs::read_link(format!("/proc/{}/ns/user", process.pid)).unwrap();
            let dirty = memory(process, &["Private_Clean", "Private_Dirty"]);
            println!(
                "as {}: {}: effective {} permitted {} uid {} seccomp {} nnp {}: {dirty} KiB private, {} KiB resident",
                caller.name(),
                process.name,
                status("CapEff"),
                status("CapPrm"),
                status("Uid"),
                status("Seccomp"),
                status("NoNewPrivs"),
                memory(process, &["Rss"]),
            );
            assert_eq!((&status("Seccomp")[..], &status("NoNewPrivs")[..]), ("2", "1"), "{process:?}");
            // Nobody but the host's root may trace it or look at what it has open.
            let listed = fs::metadata(format!("/proc/{}/environ", process.pid)).unwrap();
            assert_eq!(std::os::unix::fs::MetadataExt::uid(&listed), 0, "{process:?} is dumpable");
            if process.pid == broker.eyes.pid {
                assert_eq!(status("CapEff"), "0000000000000000");
                assert_eq!(status("CapPrm"), "0000000000000000");
                assert_eq!(users, host_users);
            } else {
                // Every right that it has is one in a user namespace of the container's.
                assert_ne!(users, host_users, "{process:?}");
                let uid: u32 = status("Uid").split_whitespace().next().unwrap().parse().unwrap();
                let theirs = std::os::unix::fs::MetadataExt::uid(&own);
                assert!(if caller.root { uid != 0 } else { uid == theirs || uid >= 100_000 }, "{process:?}: {uid}");
            }
            private += dirty;
            shared += memory(process, &["Pss_Anon"]);
            resident += memory(process, &["Rss"]);
        }
        println!(
            "as {}: {private} KiB private, {shared} KiB with its part of what it shares, {resident} KiB resident, in {} processes",
            caller.name(),
            2 + broker.crew.len()
        );
        // A build without optimisation has larger pages of its own; it is held to the same.
        assert!(private.max(shared) < PRIVATE, "{private} KiB, {shared} KiB");
        end(sandbox);
        until("the broker has ended", Duration::from_secs(5), || {
            parts(&broker)
                .iter()
                .all(|process| !std::path::Path::new(&format!("/proc/{}", process.pid)).exists())
                .then_some(())
        });
    });
}

#[test]
fn many_brokers_at_once() {
    let count: usize = std::env::var("ZVIZ_BROKERS").map_or(20, |count| count.parse().unwrap());
    each("many_brokers_at_once", &["unshare"], |caller| {
        let started = Instant::now();
        let sandboxes = All((0..count).map(|i| waiting(caller, &format!("ready-{i}"))).collect());
        for i in 0..count {
            let ready = caller.work.join(format!("ready-{i}"));
            until("all have called", Duration::from_secs(120), || ready.exists().then_some(()));
        }
        let took = started.elapsed();
        let all = super::parts::processes();
        let pids: Vec<i32> = sandboxes.0.iter().map(|sandbox| sandbox.id() as i32).collect();
        let eyes: Vec<_> = all.iter().filter(|p| p.name == "zviz-eyes" && pids.contains(&p.parent)).collect();
        assert_eq!(eyes.len(), count);
        let below = |of: &[i32]| all.iter().filter(|p| of.contains(&p.parent) && p.state != 'Z').collect::<Vec<_>>();
        let numbers = |of: &[&Process]| of.iter().map(|p| p.pid).collect::<Vec<_>>();
        let hands = below(&numbers(&eyes));
        let crew = below(&numbers(&hands));
        let private: u64 =
            [eyes, hands, crew].concat().iter().map(|p| memory(p, &["Private_Clean", "Private_Dirty"])).sum();
        println!(
            "as {}: {count} sandboxes in {took:?}, {} KiB private for each broker",
            caller.name(),
            private / count as u64
        );
    });
}
