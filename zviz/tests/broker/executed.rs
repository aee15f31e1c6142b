//! What is executed in a sandbox that has a broker has one too: its filter is another, and so is its listener. As root: the
//! listener of what an ordinary user executes cannot be taken yet.

use crate::callers::Caller;
use crate::support::{Done, processes, requires, run};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// A sandbox that stays. Its name is its cgroup's too, so that no other test's may be the same.
struct Stays<'c> {
    caller: &'c Caller,
    id: String,
    run: Child,
}

impl<'c> Stays<'c> {
    fn new(caller: &'c Caller, profile: &str) -> Self {
        let id = caller.place.path().file_name().unwrap().to_string_lossy().replace('.', "");
        let mut sandbox = caller.sandbox(&["--profile", profile, "--id", &id], &["sleep", "1000"]);
        let stays = Stays { caller, id, run: sandbox.stdout(Stdio::null()).spawn().unwrap() };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !stays.zviz(&["state", &stays.id]).out.contains("\"running\"") {
            assert!(Instant::now() < deadline, "it does not run");
            std::thread::sleep(Duration::from_millis(10));
        }
        stays
    }

    fn zviz(&self, arguments: &[&str]) -> Done {
        let zviz = self.caller.place.path().join("zviz");
        run(self.caller.program(zviz).arg("--root").arg(self.caller.state()).args(arguments))
    }

    /// Of the command line that `exec` and its broker have.
    fn executing(&self) -> String {
        let zviz = self.caller.place.path().join("zviz");
        format!("{}\0--root\0{}\0exec", zviz.display(), self.caller.state().display())
    }
}

impl Drop for Stays<'_> {
    fn drop(&mut self) {
        self.zviz(&["kill", &self.id, "KILL"]);
        let _ = self.run.wait();
    }
}

#[test]
fn what_is_executed_is_served_and_leaves_nothing() {
    requires!(root, program "unshare");
    let caller = &Caller::new(true);
    let stays = Stays::new(caller, "nested");
    let mount = "mount -t tmpfs -o size=100g tmpfs /tmp && df -k --output=size /tmp | tail -n1 || echo refused";
    for _ in 0..3 {
        let said = stays.zviz(&["exec", &stays.id, "unshare", "-Urm", "sh", "-c", mount]).ok();
        assert_eq!(said, "524288");
        assert_eq!(stays.zviz(&["exec", &stays.id, "sh", "-c", mount]).ok(), "refused");
    }
    // Gone with what was executed, while the sandbox and its own broker stay.
    assert_eq!(processes(&[&stays.executing()]), [""; 0]);
    let own = caller.place.path().to_string_lossy().into_owned();
    drop(stays);
    assert_eq!(processes(&[&own]), [""; 0]);
    assert_eq!(caller.left(), [""; 0]);
}

/// Process 1 of a sandbox never executes a program, so that an ordinary user may not look into it: the way in is another.
#[test]
fn anybody_executes_in_a_sandbox_of_their_own() {
    requires!(root);
    for caller in Caller::both() {
        let stays = Stays::new(&caller, "default");
        let said =
            stays.zviz(&["exec", &stays.id, "sh", "-c", "cat /proc/1/comm; grep -c . /proc/net/dev; id -u"]).ok();
        let own = if caller.name() == "root" { 0 } else { caller.ids().0 };
        let words: Vec<&str> = said.lines().collect();
        assert_eq!((words[0], words[1], words[2]), ("zviz", "3", own.to_string().as_str()), "{said}");
        drop(stays);
        assert_eq!(caller.left(), [""; 0]);
    }
}

/// What was executed may leave processes behind, which are served as long as they live.
#[test]
fn what_outlives_its_exec_is_served() {
    requires!(root);
    let caller = &Caller::new(true);
    let stays = Stays::new(caller, "virtualised");
    let later = "(sleep 0.7; uname -r > /tmp/release) < /dev/null > /dev/null 2>&1 &";
    assert_eq!(stays.zviz(&["exec", &stays.id, "sh", "-c", later]).ok(), "");
    let deadline = Instant::now() + Duration::from_secs(20);
    let said = loop {
        let said = stays.zviz(&["exec", &stays.id, "cat", "/tmp/release"]).out;
        if !said.is_empty() || Instant::now() > deadline {
            break said;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(said, "6.1.0");
}
