//! Many containers, one after another and at once: nothing of them is left. ZVIZ_CYCLES says how many.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod support;

use std::process::Stdio;
use std::time::{Duration, Instant};
use support::{Bundle, bundle};

fn cycles() -> usize {
    std::env::var("ZVIZ_CYCLES").ok().and_then(|n| n.parse().ok()).unwrap_or(100)
}

/// Everything of the machine that a container could leave behind, as counts.
fn counts() -> [(&'static str, usize); 4] {
    let lines = |path: &str| std::fs::read_to_string(path).unwrap().lines().count();
    let directories = |path: &str| {
        let mut count = 0;
        let mut todo = vec![std::path::PathBuf::from(path)];
        while let Some(folder) = todo.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    count += usize::from(entry.file_name().to_string_lossy().starts_with("zviz-test-cycle"));
                    todo.push(entry.path());
                }
            }
        }
        count
    };
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let sleepers = processes.filter(|entry| {
        std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| line.starts_with(b"sleep\098765\0"))
    });
    [
        ("processes", sleepers.count()),
        ("mounts", lines("/proc/self/mountinfo")),
        ("cgroups", directories("/sys/fs/cgroup")),
        ("own descriptors", std::fs::read_dir("/proc/self/fd").unwrap().count()),
    ]
}

fn create(bundle: &Bundle, id: &str) {
    let mut command = bundle.command(&["create", "--bundle", bundle.path(), id]);
    assert!(command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success(), "create {id}");
}

fn life(bundle: &Bundle, id: &str) {
    create(bundle, id);
    bundle.ok(&["start", id]);
    bundle.ok(&["kill", id, "KILL"]);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !bundle.zviz(&["delete", id]).status.success() {
        assert!(Instant::now() < deadline, "{id} does not end");
    }
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

#[test]
fn nothing_is_left_after_many() {
    let Some(bundle) = bundle("cycle", &["sleep", "98765"]) else { return };
    life(&bundle, &bundle.name);
    let before = counts();
    let mut times = Vec::new();
    for number in 0..cycles() {
        let begin = Instant::now();
        life(&bundle, &format!("zviz-test-cycle-{number}-{}", std::process::id()));
        times.push(begin.elapsed());
    }
    let quarter = times.len().div_ceil(4);
    let (first, last) = (times.get(..quarter).unwrap(), times.get(times.len() - quarter..).unwrap());
    println!("{} cycles; median of the first quarter {:?}, of the last {:?}", times.len(), median(first), median(last));
    assert_eq!(counts(), before);

    let ids: Vec<String> = (0..100).map(|n| format!("zviz-test-cycle-at-once-{n}-{}", std::process::id())).collect();
    std::thread::scope(|scope| {
        for some in ids.chunks(13) {
            let bundle = &bundle;
            scope.spawn(move || some.iter().for_each(|id| create(bundle, id)));
        }
    });
    assert_eq!(bundle.ok(&["list", "-q"]).lines().count(), 100);
    std::thread::scope(|scope| {
        for some in ids.chunks(13) {
            let bundle = &bundle;
            scope.spawn(move || {
                for id in some {
                    bundle.ok(&["start", id]);
                    bundle.ok(&["delete", "--force", id]);
                }
            });
        }
    });
    assert_eq!(counts(), before);
    bundle.leaves_nothing();
}
