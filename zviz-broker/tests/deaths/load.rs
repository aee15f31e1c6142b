//! Calls that are held: by a freezer, by a hand that does not answer, by the rate that a policy sets.

use super::runner::needs;
use super::stage::{Calls, Stage, Word, children, files, policy, until};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use zviz_broker::policy::ask::{Asking, Client};
use zviz_broker::policy::{Death, Pace, Policy};

/// A cgroup of the second version, as long as it lives.
struct Group(PathBuf);

impl Group {
    fn new() -> Option<Group> {
        let roots = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(Path::new);
        let root = roots.into_iter().find(|root| root.join("cgroup.procs").exists())?;
        let path = root.join(format!("zviz-test-deaths-{}", std::process::id()));
        fs::create_dir(&path).ok()?;
        Some(Group(path))
    }

    fn write(&self, file: &str, value: &str) {
        fs::write(self.0.join(file), value).unwrap();
    }

    fn is_frozen(&self) -> bool {
        fs::read_to_string(self.0.join("cgroup.events")).unwrap().contains("frozen 1")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// A call that waits for the broker is no obstacle to a freezer, and is answered all the same.
pub fn a_frozen_container_has_no_held_calls(test: &str) {
    let Some(group) = Group::new() else {
        return needs::skip(test, "there is no cgroup of the second version to make");
    };
    let stage = Stage::new(policy(Death::Kill, Pace::default()), Calls::All);
    group.write("cgroup.procs", &stage.pid.to_string());
    for _ in 0..50 {
        let before = stage.board.get(Word::Done);
        until("it calls", || stage.board.get(Word::Done) > before);
        group.write("cgroup.freeze", "1");
        until("it is frozen", || group.is_frozen());
        let frozen = stage.board.get(Word::Done);
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(stage.board.get(Word::Done), frozen, "the control: it calls while it is frozen");
        group.write("cgroup.freeze", "0");
    }
    let before = stage.board.get(Word::Done);
    until("it calls again", || stage.board.get(Word::Done) > before);
    assert_eq!((stage.board.get(Word::Late), stage.board.get(Word::Forbidden)), (0, 0));
    stage.finish();
}

/// A call that waits for somebody who may take his time is taken back where the container is stopped, and made again.
pub fn a_call_that_waits_for_an_answer_is_no_obstacle(test: &str) {
    for knows in [true, false] {
        let Some(group) = Group::new() else {
            return println!("SKIP {test}: there is no cgroup of the second version to make");
        };
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("ask");
        let listener = UnixListener::bind(&socket).unwrap();
        let client = Some(Client::Socket(socket));
        let ask = Some(Asking { client, calls: vec!["uname".into()], ..Asking::default() });
        let freezer = knows.then(|| fs::File::open(group.0.join("cgroup.freeze")).unwrap());
        let policy = Policy { ask, ..policy(Death::Kill, Pace::default()) };
        let stage = Stage::stopped_by(freezer, policy, Calls::Names);
        group.write("cgroup.procs", &stage.pid.to_string());
        let (mut client, _) = listener.accept().unwrap();
        let mut questions = BufReader::new(client.try_clone().unwrap()).lines();
        let mut asked = || {
            let question: serde_json::Value = serde_json::from_str(&questions.next().unwrap().unwrap()).unwrap();
            question["id"].as_u64().unwrap()
        };
        let first = asked();
        stage.board.set(Word::Dead, 1);
        writeln!(client, "{{\"id\":{first},\"verdict\":\"allow\"}}").unwrap();
        let held = asked();
        group.write("cgroup.freeze", "1");
        if knows {
            until("it is frozen", || group.is_frozen());
        } else {
            std::thread::sleep(Duration::from_secs(1));
            assert!(!group.is_frozen(), "the control");
        }
        group.write("cgroup.freeze", "0");
        let again = if knows { asked() } else { held };
        assert_eq!(knows, again != held);
        writeln!(client, "{{\"id\":{again},\"verdict\":\"allow\"}}").unwrap();
        until("the call is done", || stage.board.get(Word::Served) == 1);
        assert_eq!(stage.board.get(Word::Other), 0, "the caller has seen that it was taken back");
        stage.finish();
    }
}

/// Nor is an open of a FIFO, where a hand answers by itself and leaves that to others.
pub fn a_call_that_waits_for_a_fifo_is_no_obstacle(test: &str) {
    for knows in [true, false] {
        let Some(group) = Group::new() else {
            return println!("SKIP {test}: there is no cgroup of the second version to make");
        };
        let freezer = knows.then(|| fs::File::open(group.0.join("cgroup.freeze")).unwrap());
        let stage = Stage::stopped_by(freezer, files(Death::Kill, Pace::default()), Calls::Opens);
        group.write("cgroup.procs", &stage.pid.to_string());
        let [hands] = children(stage.eyes())[..] else { panic!("{:?}", children(stage.eyes())) };
        let threads = |pid: &i32| fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
        // One that answers by itself, with its watch, and one that waits.
        let both = || [1, 2].iter().all(|count| children(hands).iter().map(threads).any(|threads| threads == *count));
        until("there are both", both);
        for _ in 0..3 {
            let before = stage.board.get(Word::Done);
            until("it calls", || stage.board.get(Word::Done) > before);
            group.write("cgroup.freeze", "1");
            if knows {
                until("it is frozen", || group.is_frozen());
                let frozen = stage.board.get(Word::Done);
                std::thread::sleep(Duration::from_millis(2));
                assert_eq!(stage.board.get(Word::Done), frozen, "the control: it calls while it is frozen");
            } else {
                std::thread::sleep(Duration::from_millis(500));
                assert!(!group.is_frozen(), "the control");
            }
            group.write("cgroup.freeze", "0");
        }
        let before = stage.board.get(Word::Done);
        until("it calls again", || stage.board.get(Word::Done) > before);
        until("it waits again", both);
        let seen = [Word::Released, Word::Late, Word::Half, Word::Other].map(|word| stage.board.get(word));
        assert_eq!(seen, [0; 4], "the caller has seen that it was taken back");
        stage.finish();
    }
}

/// A hand that does not answer is ended; its call fails when its time is up, and the next one is served.
pub fn a_hand_that_hangs_is_ended(_: &str) {
    let pace = Pace { deadline_ms: 300, ..Pace::default() };
    let stage = Stage::new(policy(Death::Kill, pace), Calls::Names);
    let [hands] = children(stage.eyes())[..] else { panic!("{:?}", children(stage.eyes())) };
    // Not one that is still becoming somebody, for which the hands themselves wait.
    until("a hand serves", || stage.board.get(Word::Done) > 10);
    for _ in 0..3 {
        let (crew, late) = (children(hands), stage.board.get(Word::Late));
        crew.iter().for_each(|hand| kill(Pid::from_raw(*hand), Signal::SIGSTOP).unwrap());
        until("the call fails", || stage.board.get(Word::Late) > late);
        let before = stage.board.get(Word::Done);
        until("another hand serves", || stage.board.get(Word::Done) > before + 10);
        until("the one that hung is gone", || crew.iter().all(|hand| !children(hands).contains(hand)));
    }
    let longest = Duration::from_micros(stage.board.get(Word::Longest));
    assert!((Duration::from_millis(300)..Duration::from_millis(1500)).contains(&longest), "{longest:?}");
    stage.finish();
}

/// No zombie waits for the next question.
pub fn a_hand_that_ends_is_reaped_though_nobody_calls(_: &str) {
    let stage = Stage::new(policy(Death::Kill, Pace::default()), Calls::Names);
    let [hands] = children(stage.eyes())[..] else { panic!("{:?}", children(stage.eyes())) };
    until("there is a hand that serves", || stage.board.get(Word::Done) > 3);
    stage.board.set(Word::Enough, 1);
    std::thread::sleep(Duration::from_millis(20));
    let crew = children(hands);
    assert!(!crew.is_empty());
    let asked = stage.board.get(Word::Done);
    crew.iter().for_each(|hand| kill(Pid::from_raw(*hand), Signal::SIGKILL).unwrap());
    until("none is left, dead or alive", || children(hands).is_empty());
    assert_eq!(stage.board.get(Word::Done), asked, "the control: nobody has called");
    stage.board.set(Word::Enough, 0);
    until("another serves", || stage.board.get(Word::Done) > asked + 3);
    stage.finish();
}

/// Too many calls are delayed and none is refused; a container beside it does not notice.
pub fn a_flood_is_delayed(test: &str) {
    let rate = |stage: &Stage| {
        let (before, started) = (stage.board.get(Word::Done), Instant::now());
        std::thread::sleep(Duration::from_millis(500));
        (stage.board.get(Word::Done) - before) as f64 / started.elapsed().as_secs_f64()
    };
    let free = Stage::new(policy(Death::Kill, Pace::default()), Calls::Names);
    let alone = rate(&free);
    let pace = Pace { calls_per_second: 200, burst: 20, ..Pace::default() };
    let slow = Stage::new(policy(Death::Kill, pace), Calls::Names);
    until("the burst has passed", || slow.board.get(Word::Done) > 20);
    let (beside, held) = (rate(&free), rate(&slow));
    println!("{test}: {alone:.0} calls/s alone, {beside:.0} beside one that is held to 200, which has {held:.0}");
    assert!((150.0..=220.0).contains(&held), "{held}");
    // The rest is how busy this machine is.
    assert!(beside > alone / 4.0 && beside > 2.0 * held, "{alone} {beside}");
    for stage in [free, slow] {
        assert_eq!((stage.board.get(Word::Late), stage.board.get(Word::Refused)), (0, 0));
        stage.finish();
    }
}

/// While the first hand is made, which takes the calls from then on, another call comes, at any moment. The eyes are slow: what
/// they have seen in the listener, the hand may have taken.
pub fn a_call_that_comes_while_the_first_hand_is_made_is_no_obstacle(test: &str) {
    let mut slowest = Duration::ZERO;
    for i in 0..30 {
        let later = i * Duration::from_millis(2);
        let stage = Stage::new(files(Death::Kill, Pace::default()), Calls::Two(later));
        let (started, enough) = (Instant::now(), Duration::from_secs(10));
        slowly(Pid::from_raw(stage.eyes()), || stage.board.get(Word::Done) > 0 || started.elapsed() > enough);
        assert!(stage.board.get(Word::Done) > 0, "the first call has no answer; another came after {later:?}");
        slowest = slowest.max(started.elapsed());
        stage.finish();
    }
    println!("{test}: the longest call took {slowest:?}");
}

/// Has a process wait before and after each system call, until something is done.
fn slowly(process: Pid, done: impl Fn() -> bool) {
    ptrace::seize(process, ptrace::Options::empty()).unwrap();
    ptrace::interrupt(process).unwrap();
    let stopped = || waitpid(process, Some(WaitPidFlag::WNOHANG)).unwrap() != WaitStatus::StillAlive;
    while !done() {
        if stopped() {
            std::thread::sleep(Duration::from_millis(2));
            ptrace::syscall(process, None).unwrap();
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    ptrace::interrupt(process).unwrap();
    until("it is stopped", stopped);
    ptrace::detach(process, None).unwrap();
}
