//! Whose cgroup the broker's processes are in.

use super::callers::Caller;
use super::parts::{Broker, Process, processes, until};
use super::{as_root, each, support::skip};
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A sandbox that has called, and waits.
fn waiting(caller: &Caller, id: &str) -> Sandbox {
    let _ = fs::remove_file(caller.work.join("ready"));
    let script = "mount -t tmpfs tmpfs /tmp && cat /proc/[0-9]*/comm > seen
                  find /sys/fs/cgroup -name broker >> seen; touch ready && exec sleep 1000";
    let command = ["unshare", "-Urm", "sh", "-c", script];
    let mut sandbox = caller.sandbox(&["--profile", "nested", "--id", id], &command);
    let sandbox = Sandbox(sandbox.stdout(Stdio::null()).spawn().unwrap());
    until("the sandbox has called", Duration::from_secs(60), || caller.work.join("ready").exists().then_some(()));
    sandbox
}

/// One that ends with its test.
struct Sandbox(Child);

impl Drop for Sandbox {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.0.id() as i32);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

/// Where a process is, by controllers; version 2 has none.
fn places(process: &Process) -> Vec<(String, String)> {
    let text = fs::read_to_string(format!("/proc/{}/cgroup", process.pid)).unwrap();
    let line = |line: &str| {
        let mut fields = line.splitn(3, ':').skip(1);
        (fields.next().unwrap().to_owned(), fields.next().unwrap().to_owned())
    };
    text.lines().map(line).collect()
}

fn zviz(caller: &Caller, arguments: &[&str]) -> String {
    let mut zviz: Command = caller.program(caller.place.path().join("zviz"));
    let output = zviz.arg("--root").arg(caller.state()).args(arguments).output().unwrap();
    assert!(output.status.success(), "as {}: {arguments:?}: {output:?}", caller.name());
    String::from_utf8(output.stdout).unwrap()
}

/// Directories of cgroups that are named after a container.
fn left(id: &str) -> Vec<std::path::PathBuf> {
    super::support::cgroups(std::path::Path::new("/sys/fs/cgroup"), id)
}

#[test]
fn a_broker_is_charged_to_its_container() {
    const TEST: &str = "a_broker_is_charged_to_its_container";
    each(TEST, &["unshare", "ps"], |caller| {
        let id = format!("charged-{}", std::process::id());
        let sandbox = waiting(caller, &id);
        let broker = Broker::wait_for(&sandbox.0);
        let init = until("there is an init", Duration::from_secs(3), || {
            let own = |p: &Process| p.parent == sandbox.0.id() as i32 && !p.name.starts_with("zviz-");
            processes().into_iter().find(own)
        });
        let (mut charged, mut apart) = (0, 0);
        assert_eq!(broker.crew.len(), 1, "{broker:?}");
        for process in [&broker.eyes, &broker.hands].into_iter().chain(&broker.crew) {
            for ((controllers, theirs), (_, own)) in places(process).into_iter().zip(places(&init)) {
                let Some(whole) = own.strip_suffix("/payload").filter(|_| controllers.is_empty()) else {
                    // Version 1: where the container is, or, where it is told by that which processes it has, not.
                    if own.ends_with(&id) && controllers != "pids" && controllers != "freezer" {
                        assert_eq!(theirs, own, "as {}: {} in {controllers}", caller.name(), process.name);
                        charged += 1;
                    } else {
                        assert!(
                            !theirs.contains(&id),
                            "as {}: {} in {controllers}: {theirs}",
                            caller.name(),
                            process.name
                        );
                        apart += 1;
                    }
                    continue;
                };
                assert_eq!(theirs, format!("{whole}/broker"), "as {}: {}", caller.name(), process.name);
                let (whole, part) = (format!("/sys/fs/cgroup{whole}"), format!("/sys/fs/cgroup{whole}/broker"));
                let number = |path: String| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
                // No controller of memory, no count.
                if let Some(used) = number(format!("{part}/memory.current")) {
                    assert!(used > 0 && number(format!("{whole}/memory.current")) >= Some(used), "{used}");
                    assert_eq!(number(format!("{part}/memory.max")), Some(1 << 30));
                }
                charged += 1;
            }
        }
        // The ids of its processes, for whoever asks who is in the container; of any other count an exec is added to.
        let told = zviz(caller, &["ps", "--format", "json", &id]);
        let told: Vec<i32> = serde_json::from_str(&told).unwrap();
        assert!(told.contains(&init.pid), "as {}: {told:?}", caller.name());
        for process in [&broker.eyes, &broker.hands].into_iter().chain(&broker.crew) {
            assert!(!told.contains(&process.pid), "as {}: {told:?}: {process:?}", caller.name());
        }
        // Nor does the container see them.
        let seen = fs::read_to_string(caller.work.join("seen")).unwrap();
        assert!(seen.contains("find") || seen.contains("sh\n"), "as {}: the control: {seen}", caller.name());
        assert!(!seen.contains("zviz-") && !seen.contains("broker"), "as {}: {seen}", caller.name());
        drop(sandbox);
        assert!(left(&id).is_empty(), "as {}", caller.name());
        println!("{TEST}: as {}: charged {charged} times, {apart} times not", caller.name());
        if charged == 0 {
            skip(TEST, &format!("as {} there is no cgroup that may be made here", caller.name()));
        }
    });
}

/// Who makes a file is charged for what the kernel keeps of it, a KiB on a tmpfs, as long as it is there.
#[test]
fn it_makes_as_many_files_as_its_container_has_room_for() {
    as_root("it_makes_as_many_files_as_its_container_has_room_for", &["python3"], |caller| {
        let profile = caller.work.join("patterns.yaml");
        fs::write(&profile, "name: patterns\nextends: default\nfilesystem: {patterns: {deny_write: [\"**/.git\"]}}\n")
            .unwrap();
        let make = "import os\nos.mkdir('/tmp/m')\nfor i in range(75000): os.close(os.open(f'/tmp/m/{i}', os.O_CREAT | os.O_WRONLY))\n\
                    try: os.open('/tmp/.git', os.O_CREAT | os.O_WRONLY)\nexcept PermissionError: print(len(os.listdir('/tmp/m')))";
        let mut many = caller.sandbox(&["--profile", profile.to_str().unwrap()], &["python3", "-c", make]);
        let output = many.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "75000\n", "as {}: {output:?}", caller.name());
    });
}

/// All parts and the runtime are killed: nothing is left after `delete`, cgroups included.
#[test]
fn nothing_is_left_of_one_whose_runtime_was_killed() {
    each("nothing_is_left_of_one_whose_runtime_was_killed", &["unshare"], |caller| {
        let id = format!("orphan-{}", std::process::id());
        let mut sandbox = waiting(caller, &id);
        let broker = Broker::wait_for(&sandbox.0);
        sandbox.0.kill().unwrap();
        sandbox.0.wait().unwrap();
        zviz(caller, &["delete", "--force", &id]);
        let parts = [broker.eyes.pid, broker.hands.pid, broker.crew[0].pid];
        let living = || processes().into_iter().any(|p| parts.contains(&p.pid) && p.state != 'Z');
        until("its broker is gone", Duration::from_secs(3), || (!living()).then_some(()));
        assert!(left(&id).is_empty(), "as {}", caller.name());
    });
}
