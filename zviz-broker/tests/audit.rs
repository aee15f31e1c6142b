//! The audit log of a process that may make no other system calls than the log says it needs.
#![allow(clippy::unwrap_used)] // a test may

use std::fs::File;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use zviz_broker::audit::{
    ATTEMPTS, Argument, Audit, Decision, Event, FileSet, SYSCALLS, Sink, Totals, Verdict, journal,
};
use zviz_seccomp::{Action, Flags, Policy, Rule, compile};
use zviz_sys::seccomp::{Instruction, flag, load};

const SOON: Duration = Duration::from_secs(60);
/// Names the folder of the child that this test starts of itself.
const CHILD: &str = "ZVIZ_AUDIT_CHILD";

fn record(audit: &Audit, container: &str, times: usize) {
    let path = [0xff; 1000];
    let decision = Decision {
        container,
        pid: 1,
        syscall: "openat",
        arguments: &[("path", Argument::Path(&path))],
        verdict: Verdict::Allow,
        rule: None,
        latency: Duration::ZERO,
    };
    (0..times).for_each(|_| audit.record(&Event::Decision(decision)));
}

/// For every thread of the process: any other call ends it.
fn confine(but: &[&str]) {
    let policy = Policy {
        default: Action::KillProcess,
        foreign_arch: Action::KillProcess,
        x32: Action::KillProcess,
        architectures: vec![],
        rules: vec![
            Rule::new(SYSCALLS.iter().chain(but).copied(), Action::Allow),
            Rule::new(ATTEMPTS.iter().copied(), Action::Errno(nix::libc::EACCES as u16)),
        ],
        fallbacks: vec![],
        flags: Flags::default(),
        within: vec![],
    };
    let compiled = compile(&policy).unwrap();
    assert_eq!(compiled.skipped, [""; 0], "each has a number");
    let instructions = compiled.program.instructions().iter();
    let program: Vec<_> = instructions.map(|i| Instruction { code: i.code, jt: i.jt, jf: i.jf, k: i.k }).collect();
    zviz_sys::ids::set_no_new_privs().unwrap();
    load(&program, flag::TSYNC).unwrap();
}

/// Every kind of sink, readers that read, that do not and that are gone, a lock that is taken, a queue that is full.
fn child(folder: &Path) -> ! {
    let start = |sink| Audit::start(sink).unwrap();
    let files = |name: &str| FileSet::open(folder, name, 20_000, 3).unwrap();
    let journald = UnixDatagram::bind(folder.join("socket")).unwrap();
    let (gone, (stuck, stuck_pipe)) = (std::io::pipe().unwrap().1, std::io::pipe().unwrap());
    let (socket, stuck_socket) = UnixStream::pair().unwrap();
    let taken = File::create(folder.join("taken")).unwrap();
    let empty = start(Sink::Files(files("empty")));
    let rotated = start(Sink::Files(files("rotated")));
    let waiting = start(Sink::Files(files("taken")));
    let to_journal = start(Sink::Journal(journal::connect_to(&folder.join("socket")).unwrap()));
    let to_nobody = [gone.into(), stuck_pipe.into(), stuck_socket.into()].map(|fd| start(Sink::Descriptor(fd)));
    taken.lock().unwrap();
    // The standard library looks at a descriptor before it closes it, in a debug build.
    confine(if cfg!(debug_assertions) { &["exit_group", "fcntl"] } else { &["exit_group"] });

    assert_eq!(empty.finish(SOON), Totals::default());
    record(&rotated, "c", 100);
    assert_eq!(rotated.finish(SOON), Totals { recorded: 100, written: 100, dropped: 0 });
    record(&to_journal, "c", 5);
    assert_eq!(to_journal.finish(SOON), Totals { recorded: 5, written: 5, dropped: 0 });
    record(&waiting, "c", 5);
    assert_eq!(waiting.finish(Duration::from_millis(50)).dropped, 5);
    for audit in to_nobody {
        record(&audit, "c", 2000);
        let totals = audit.finish(Duration::from_millis(50));
        assert!(totals.dropped > 1000 && totals.recorded == totals.written + totals.dropped, "{totals:?}");
    }
    drop((stuck, socket, journald));
    std::process::exit(33)
}

#[test]
fn no_other_system_call_is_made() {
    if let Some(folder) = std::env::var_os(CHILD) {
        child(folder.as_ref());
    }
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "no_other_system_call_is_made", "--nocapture", "--test-threads=1"]);
    let output = command.env(CHILD, folder.path()).output().unwrap();
    assert_eq!((output.status.code(), output.status.signal()), (Some(33), None), "{output:?}");
    for name in ["rotated", "rotated.1", "rotated.2", "rotated.3"] {
        assert!(std::fs::metadata(folder.path().join(name)).unwrap().len() > 1000, "{name}");
    }
}

/// SIGPIPE ends a process that does not ignore it, as a broker that is no Rust program from its first instruction.
#[test]
fn the_writer_takes_no_signals() {
    let (_reader, writer) = std::io::pipe().unwrap();
    let audit = Audit::start(Sink::Descriptor(writer.into())).unwrap();
    record(&audit, "c", 1);
    let blocked = || {
        let mut threads = std::fs::read_dir("/proc/self/task").unwrap().map(|entry| entry.unwrap().path());
        let thread = threads.find(|t| std::fs::read_to_string(t.join("comm")).is_ok_and(|comm| comm == "audit\n"))?;
        let status = std::fs::read_to_string(thread.join("status")).ok()?;
        let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:"))?;
        u64::from_str_radix(mask.trim(), 16).ok()
    };
    let all = [nix::libc::SIGPIPE, nix::libc::SIGXFSZ, nix::libc::SIGTERM].iter().fold(0, |all, s| all | 1 << (s - 1));
    let begun = std::time::Instant::now();
    while blocked().is_none_or(|mask| mask & all != all) {
        assert!(begun.elapsed() < SOON);
        std::thread::yield_now();
    }
}

/// Names the folder of the child that writes until it is killed.
const ENDLESS: &str = "ZVIZ_AUDIT_ENDLESS";

fn numbered(folder: &Path, numbers: std::ops::Range<u32>) {
    let audit = Audit::start(Sink::Files(FileSet::open(folder, "log", 2000, 3).unwrap())).unwrap();
    numbers.clone().for_each(|broker| audit.record(&Event::BrokerStarted { container: "c", broker }));
    assert_eq!(audit.finish(SOON).written, numbers.len() as u64);
}

/// The numbers of all files, from the oldest line on. A line of an old file may be cut where its copy ended.
fn numbers(folder: &Path) -> Vec<u64> {
    let mut all = Vec::new();
    for name in ["log.3", "log.2", "log.1", "log"] {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let lines: Vec<_> = text.split_inclusive('\n').collect();
        for (i, line) in lines.iter().enumerate() {
            match serde_json::from_str::<serde_json::Value>(line) {
                Ok(line) => all.push(line["broker"].as_u64().unwrap()),
                Err(e) => assert!(name != "log" && i + 1 == lines.len() && !line.ends_with('\n'), "{name}: {e}"),
            }
        }
    }
    all
}

/// Almost all of its time goes into rotating, so that is where it is killed.
#[test]
fn a_writer_that_is_killed_leaves_no_gap() {
    if let Some(folder) = std::env::var_os(ENDLESS) {
        (0..).step_by(50).for_each(|from| numbered(folder.as_ref(), from..from + 50));
    }
    for delay in 0..40 {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "a_writer_that_is_killed_leaves_no_gap", "--nocapture"]);
        let mut child = command.env(ENDLESS, folder.path()).stdout(std::process::Stdio::null()).spawn().unwrap();
        let begun = std::time::Instant::now();
        while std::fs::metadata(folder.path().join("log.3")).map_or(0, |file| file.len()) == 0 {
            assert!(begun.elapsed() < SOON);
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_micros(delay * 397));
        child.kill().unwrap();
        child.wait().unwrap();
        let before = numbers(folder.path());
        let (oldest, youngest) = (*before.iter().min().unwrap(), *before.iter().max().unwrap());
        assert!((oldest..=youngest).all(|number| before.contains(&number)), "{before:?}");
        let next = u32::try_from(youngest).unwrap() + 1;
        numbered(folder.path(), next..next + 10);
        let after = numbers(folder.path());
        let first = youngest.saturating_sub(10).max(oldest);
        assert!((first..u64::from(next) + 10).all(|number| after.contains(&number)), "{after:?}");
    }
}
