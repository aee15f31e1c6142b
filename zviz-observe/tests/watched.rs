//! Programs under the observer: all their calls are seen, and they end as they do without it.

use std::fs;
use std::io::Write;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use zviz_observe::{Call, Intent, Observer, Report, Reporting, SocketAddress, Summary};

#[derive(Default)]
struct Seen(Vec<Call>);

impl Report for Seen {
    fn call(&mut self, call: &Call) {
        self.0.push(call.clone());
    }
}

type Case = (&'static str, fn(&Path));

struct Watched {
    calls: Vec<Call>,
    summary: Summary,
    status: ExitStatus,
}

impl Watched {
    fn named(&self, name: &str) -> Vec<&Call> {
        self.calls.iter().filter(|call| call.name().as_deref() == Some(name)).collect()
    }

    /// Whether a path was named for that by a call that ended so.
    fn saw(&self, path: &Path, intent: Intent, errno: Option<i32>) -> bool {
        let of = |call: &&Call| call.paths.iter().any(|named| named.path == path && named.intent == intent);
        self.calls.iter().filter(of).any(|call| call.errno() == errno)
    }
}

/// A shell that waits for a line and then becomes the program; it is watched from before that.
fn begin(dir: &Path, program: &[&str]) -> (Child, Reporting<Seen>) {
    begin_before(dir, program, || ())
}

/// As `begin`; nobody reads what is seen until `meanwhile` is over.
fn begin_before(dir: &Path, program: &[&str], meanwhile: impl FnOnce()) -> (Child, Reporting<Seen>) {
    let observer = Observer::start().expect("an observer");
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "read line; exec \"$@\"", "sh"]).args(program);
    let mut child = shell.current_dir(dir).stdin(Stdio::piped()).spawn().expect("a shell");
    observer.attach(i32::try_from(child.id()).expect("a number")).expect("to be let");
    child.stdin.take().expect("a pipe").write_all(b"\n").expect("a reader");
    meanwhile();
    let reporting = observer.report_to(Seen::default()).expect("a thread");
    (child, reporting)
}

fn watch(dir: &Path, program: &[&str]) -> Watched {
    let (mut child, reporting) = begin(dir, program);
    let status = child.wait().expect("an end");
    let (Seen(calls), summary) = reporting.finish().expect("a report");
    Watched { calls, summary, status }
}

fn sh(dir: &Path, script: &str) -> Watched {
    watch(dir, &["/bin/sh", "-c", script])
}

fn this(dir: &Path, part: &str) -> Watched {
    let exe = std::env::current_exe().expect("a path");
    watch(dir, &[exe.to_str().expect("text"), part])
}

fn paths_are_named(dir: &Path) {
    fs::create_dir(dir.join("a")).expect("a folder");
    // A moment for the link: see `resolve`.
    let script = "cd a && echo x >new && cat new >/dev/null && ln -s . loop && sleep 0.03 && cat loop/loop/new >/dev/null && \
                  mv new old && rm old && cat gone; mkdir -p deep/er; ls deep >/dev/null; chmod 700 deep; exit 7";
    let seen = sh(dir, script);
    assert_eq!(seen.status.code(), Some(7));
    let a = dir.join("a");
    let none = None;
    let shell = Path::new("/bin/sh").canonicalize().expect("a shell");
    assert!(seen.saw(&shell, Intent::Execute, none));
    assert!(seen.saw(&a, Intent::Enter, none));
    assert!(seen.saw(&a.join("new"), Intent::Create, none));
    assert!(seen.saw(&a.join("new"), Intent::Read, none));
    assert!(seen.saw(&a.join("loop"), Intent::Create, none));
    assert!(seen.saw(&a.join("new"), Intent::Remove, none) && seen.saw(&a.join("old"), Intent::Create, none));
    assert!(seen.saw(&a.join("old"), Intent::Remove, none));
    assert!(seen.saw(&a.join("gone"), Intent::Read, Some(libc::ENOENT)));
    assert!(seen.saw(&a.join("deep/er"), Intent::Create, none));
    assert!(seen.saw(&a.join("deep"), Intent::List, none) && seen.saw(&a.join("deep"), Intent::Change, none));
    let through = seen.calls.iter().flat_map(|call| &call.paths).find(|named| named.text == b"loop/loop/new");
    assert_eq!(through.map(|named| &named.path), Some(&a.join("new")));
    fs::write(dir.join("script"), "#!/bin/sh\nexit 0\n").expect("a file");
    fs::set_permissions(dir.join("script"), fs::Permissions::from_mode(0o700)).expect("a mode");
    let script = watch(dir, &["./script"]);
    assert!(script.saw(&dir.join("script"), Intent::Execute, none) && script.saw(&shell, Intent::Execute, none));
    let last = seen.named("exit_group");
    assert!(last.iter().any(|call| call.args[0] == 7 && call.result == Call::UNFINISHED), "{last:?}");
}

fn forks_and_programs_are_seen(dir: &Path) {
    let seen = sh(dir, "for i in 1 2 3 4 5 6 7 8 9 10; do /bin/cat /dev/null & done; wait");
    assert!(seen.status.success());
    let cat = Path::new("/bin/cat").canonicalize().expect("a program");
    let ran = |call: &&&Call| call.result == 0 && call.paths.iter().any(|named| named.path == cat);
    let executed = seen.named("execve");
    assert_eq!(executed.iter().filter(ran).count(), 10);
    let opened: Vec<_> = seen.calls.iter().filter(|call| call.program == cat).map(|call| call.pid).collect();
    assert!(executed.iter().filter(ran).all(|call| opened.contains(&call.pid)));
    assert!(seen.summary.most_tasks >= 2 && seen.summary.most_memory > 100 << 10, "{:?}", seen.summary);
}

fn threads_are_seen_and_their_exec(dir: &Path) {
    let seen = this(dir, "threads");
    assert!(seen.status.success(), "{}", seen.status);
    for n in 0..8 {
        assert!(seen.saw(&dir.join(format!("thread{n}")), Intent::Create, None), "{n}");
    }
    assert!(seen.saw(&dir.join("after"), Intent::Create, None));
    assert!(seen.saw(&dir.join("spawned"), Intent::Create, None));
    assert!(seen.summary.most_tasks >= 9, "{:?}", seen.summary);
}

/// What `threads_are_seen_and_their_exec` runs.
fn threads() {
    // By vfork.
    let spawned = Command::new("/bin/sh").args(["-c", ": >spawned"]).status().expect("a shell");
    assert!(spawned.success());
    let gate = Arc::new(std::sync::Barrier::new(8));
    let all = (0..8).map(|n| {
        let gate = Arc::clone(&gate);
        std::thread::spawn(move || {
            fs::write(format!("thread{n}"), "x").expect("a file");
            gate.wait();
            if n == 5 {
                // Not of the first thread: the others end, and the process keeps its number.
                panic!("{}", Command::new("/bin/sh").args(["-c", ": >after"]).exec());
            }
            std::thread::sleep(Duration::from_secs(60));
        })
    });
    all.collect::<Vec<_>>().into_iter().for_each(|thread| drop(thread.join()));
}

fn signals_arrive(dir: &Path) {
    let seen = sh(dir, "trap 'echo >got' USR1; kill -USR1 $$; exit 3");
    assert_eq!(seen.status.code(), Some(3));
    assert!(dir.join("got").exists());
    let seen = sh(dir, "kill -TERM $$; sleep 60");
    assert_eq!(seen.status.signal(), Some(libc::SIGTERM));
    let seen = sh(dir, "(sleep 0.2; kill -KILL $$) & sleep 60 & wait");
    assert_eq!(seen.status.signal(), Some(libc::SIGKILL));
}

fn stopping_and_going_on(dir: &Path) {
    let (mut child, reporting) = begin(dir, &["/bin/sh", "-c", "kill -STOP $$; : >awake; exit 5"]);
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a number"));
    let stopped = nix::sys::wait::waitpid(pid, Some(nix::sys::wait::WaitPidFlag::WUNTRACED)).expect("a stop");
    assert_eq!(stopped, nix::sys::wait::WaitStatus::Stopped(pid, nix::sys::signal::Signal::SIGSTOP));
    std::thread::sleep(Duration::from_millis(100));
    assert!(!dir.join("awake").exists(), "it does not stand still");
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGCONT).expect("a process");
    assert_eq!(child.wait().expect("an end").code(), Some(5));
    assert!(!reporting.finish().expect("a report").0.0.is_empty());
}

fn addresses_are_told(dir: &Path) {
    let seen = this(dir, "addresses");
    assert!(seen.status.success(), "{}", seen.status);
    let all: Vec<_> = seen.named("connect").into_iter().filter_map(|call| call.address.clone()).collect();
    assert!(all.contains(&SocketAddress::Inet("127.0.0.1:9".parse().expect("an address"))), "{all:?}");
    let bound: Vec<_> = seen.named("bind").into_iter().filter_map(|call| call.address.clone()).collect();
    assert_eq!(bound, [SocketAddress::Inet("127.0.0.1:0".parse().expect("an address"))]);
    assert!(all.contains(&SocketAddress::UnixPath(dir.join("socket"))), "{all:?}");
}

/// What `addresses_are_told` runs. Nobody has to answer.
fn addresses() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect("127.0.0.1:9").expect("an address");
    UnixStream::connect("socket").expect_err("nobody is there");
}

/// A start waits for a process that is traced too, and reads only then.
fn who_does_not_read_yet_holds_up_nobody(dir: &Path) {
    let script = "i=0; while [ $i -lt 2000 ]; do i=$((i + 1)); : <gone$i; done 2>/dev/null; echo >done";
    let done = dir.join("done");
    let begun = Instant::now();
    let (mut child, reporting) = begin_before(dir, &["/bin/bash", "-c", script], || {
        while !done.exists() {
            assert!(begun.elapsed() < Duration::from_secs(60), "it waits for who does not read");
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    assert!(child.wait().expect("an end").success());
    let (Seen(calls), _) = reporting.finish().expect("a report");
    let gone = calls.iter().filter(|call| call.paths.iter().any(|named| named.text.starts_with(b"gone"))).count();
    assert_eq!(gone, 2000);
}

fn whom_nobody_watches_any_more_ends(dir: &Path) {
    let (mut child, reporting) = begin(dir, &["/bin/sleep", "60"]);
    drop(reporting);
    let begun = Instant::now();
    assert_eq!(child.wait().expect("an end").signal(), Some(libc::SIGKILL));
    assert!(begun.elapsed() < Duration::from_secs(30));
}

fn what_cannot_be_traced_is_said(_: &Path) {
    let observer = Observer::start().expect("an observer");
    let error = observer.attach(i32::MAX).expect_err("no such process");
    assert_eq!(error.to_string(), "observe the program: ptrace: No such process");
    drop(observer);
    drop(Observer::start().expect("one that is not used"));
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("threads") => return threads(),
        Some("addresses") => return addresses(),
        _ => {}
    }
    let cases: &[Case] = &[
        ("paths_are_named", paths_are_named),
        ("forks_and_programs_are_seen", forks_and_programs_are_seen),
        ("threads_are_seen_and_their_exec", threads_are_seen_and_their_exec),
        ("signals_arrive", signals_arrive),
        ("stopping_and_going_on", stopping_and_going_on),
        ("addresses_are_told", addresses_are_told),
        ("who_does_not_read_yet_holds_up_nobody", who_does_not_read_yet_holds_up_nobody),
        ("whom_nobody_watches_any_more_ends", whom_nobody_watches_any_more_ends),
        ("what_cannot_be_traced_is_said", what_cannot_be_traced_is_said),
    ];
    println!("\nrunning {} tests", cases.len());
    for (name, case) in cases {
        let dir = tempfile::tempdir().expect("a folder");
        let path: PathBuf = dir.path().canonicalize().expect("a path");
        case(&path);
        assert!(!zviz_sys::wait::has_children(), "{name} leaves a process");
        println!("test {name} ... ok");
    }
    println!("\ntest result: ok. {} passed; 0 failed; 0 ignored", cases.len());
}
