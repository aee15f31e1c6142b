//! A process in namespaces of its own whose calls on sockets go to a supervisor: the broker, or one that is unsafe on purpose.
//!
//! ```text
//! test ── fork ──► runtime ── fork ──► victim: namespaces, prepare, load the filter ──► act ──► exit
//!                  starts the broker, takes the listener out of the victim, gives it to the broker
//! ```

use super::needs;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use zviz_broker::eyes::Facts;
use zviz_broker::policy::{Policy, Trail};
use zviz_broker::start::{self, Settings};
use zviz_seccomp::{Action, Rule};
use zviz_sys::notify::{self, Notification};
use zviz_sys::process::{self, Cloned};
use zviz_sys::seccomp::{self, Instruction, flag};
use zviz_sys::wait::Exit;
use zviz_sys::{fd, ids, net, wait};

/// Who answers.
pub enum Supervisor<'a> {
    /// The broker, with these rules and this log; `one` says that the victim never changes who it is.
    Broker { rules: &'a str, log: Option<&'a Path>, one: bool },
    /// One that looks, and then lets the kernel look again, which no supervisor may.
    Unsafe(fn(&Notification) -> bool),
}

/// Whether this process can make namespaces; says why not.
pub fn possible(test: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        needs::skip(test, "needs root, for namespaces");
    }
    root
}

/// As `possible`, for what Landlock is needed for.
pub fn possible_with_landlock(test: &str) -> bool {
    let there = zviz_sys::landlock::abi() > 0;
    if !there {
        needs::skip(test, "the kernel has no Landlock, or it is off");
    }
    there && possible(test)
}

/// Runs `prepare`, then loads the filter, then runs `act`. A panic of either is one here.
#[track_caller]
pub fn play<T>(supervisor: &Supervisor<'_>, calls: &[&str], prepare: impl FnOnce() -> T, act: impl FnOnce(T)) {
    let (mut words, said) = std::io::pipe().unwrap();
    match process::fork().unwrap() {
        Cloned::Child => {
            drop(words);
            let said = std::cell::RefCell::new(said);
            let run = || runtime(supervisor, calls, prepare, act, &said);
            process::exit(told(&said, run))
        }
        Cloned::Parent { pidfd, .. } => {
            drop(said);
            let mut text = String::new();
            words.read_to_string(&mut text).unwrap();
            assert_eq!((wait::wait(pidfd.as_fd()).unwrap(), text.as_str()), (Exit::Code(0), ""));
        }
    }
}

type Said = std::cell::RefCell<std::io::PipeWriter>;

/// 0, or 1 after a panic, whose words are said.
fn told(said: &Said, run: impl FnOnce()) -> i32 {
    std::panic::set_hook(Box::new(|_| {}));
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(()) => 0,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let _ = writeln!(said.borrow_mut(), "{}", text.unwrap_or_default());
            1
        }
    }
}

fn runtime<T>(
    supervisor: &Supervisor<'_>,
    calls: &[&str],
    prepare: impl FnOnce() -> T,
    act: impl FnOnce(T),
    said: &Said,
) {
    let starting = match supervisor {
        Supervisor::Unsafe(_) => None,
        Supervisor::Broker { rules, log, one } => {
            let audit = log.map(|path| Trail::File { path: path.to_owned(), max_bytes: 1 << 20, keep: 1 });
            let policy = Policy { sockets: Some(serde_json::from_str(rules).unwrap()), audit, ..Policy::default() };
            let settings = Settings {
                policy,
                facts: Facts::default(),
                capabilities: 0,
                one_identity: *one,
                container: "test".into(),
                patient: false,
                way: start::Way::default(),
            };
            Some(start::start(settings).unwrap())
        }
    };
    let filter = filter(calls);
    let (mut from_victim, to_runtime) = std::io::pipe().unwrap();
    let (from_runtime, mut to_victim) = std::io::pipe().unwrap();
    let (pid, victim) = match process::fork().unwrap() {
        Cloned::Child => {
            drop((from_victim, to_victim));
            // The broker is not this process's to end.
            std::mem::forget(starting);
            let pipes = (from_runtime, to_runtime);
            process::exit(told(said, || be_victim(pipes, &filter, prepare, act)))
        }
        Cloned::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop((from_runtime, to_runtime));
    let mut number = [0u8; 4];
    from_victim.read_exact(&mut number).unwrap();
    for map in ["uid_map", "gid_map"] {
        std::fs::write(format!("/proc/{pid}/{map}"), "0 0 65536").unwrap();
    }
    to_victim.write_all(&[1]).unwrap();
    from_victim.read_exact(&mut number).unwrap();
    let listener = fd::pidfd_getfd(victim.as_fd(), i32::from_ne_bytes(number)).unwrap();
    let serving = match (starting, supervisor) {
        (Some(starting), _) => {
            let serving = starting.serve(listener, victim.as_fd(), victim.as_fd()).unwrap();
            to_victim.write_all(&[1]).unwrap();
            Some(serving)
        }
        (None, Supervisor::Unsafe(permits)) => {
            to_victim.write_all(&[1]).unwrap();
            look_then_let_run(&listener, &victim, *permits);
            None
        }
        (None, Supervisor::Broker { .. }) => unreachable!(),
    };
    let ended = wait::wait(victim.as_fd()).unwrap();
    if let Some(serving) = serving {
        assert_eq!(wait::wait(serving.pidfd.as_fd()), Ok(Exit::Code(0)), "the broker");
    }
    assert_eq!(ended, Exit::Code(0), "the victim");
}

fn look_then_let_run(listener: &OwnedFd, victim: &OwnedFd, permits: fn(&Notification) -> bool) {
    loop {
        // Older kernels (6.1) tell the end of the listener when the victim is reaped, which is done after this.
        let mut fds = [listener, victim].map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN));
        poll(&mut fds, PollTimeout::NONE).unwrap();
        if fds[0].revents() != Some(PollFlags::POLLIN) {
            return;
        }
        let Ok(call) = notify::receive(listener.as_fd()) else { continue };
        let _ = if permits(&call) {
            notify::let_run(listener.as_fd(), call.id)
        } else {
            notify::refuse(listener.as_fd(), call.id, Errno::EACCES)
        };
    }
}

fn be_victim<T>(
    (mut from, mut to): (std::io::PipeReader, std::io::PipeWriter),
    filter: &[Instruction],
    prepare: impl FnOnce() -> T,
    act: impl FnOnce(T),
) {
    let mut word = [0u8; 1];
    process::unshare((libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWNET).cast_unsigned().into()).unwrap();
    to.write_all(&[0; 4]).unwrap();
    from.read_exact(&mut word).unwrap();
    net::bring_loopback_up().unwrap();
    let prepared = prepare();
    ids::set_no_new_privs().unwrap();
    let listener = seccomp::load(filter, flag::NEW_LISTENER | flag::WAIT_KILLABLE_RECV).unwrap().unwrap();
    to.write_all(&listener.as_raw_fd().to_ne_bytes()).unwrap();
    from.read_exact(&mut word).unwrap();
    drop(listener);
    act(prepared);
}

fn filter(calls: &[&str]) -> Vec<Instruction> {
    let mut policy = zviz_seccomp::Policy::new(Action::Allow);
    policy.rules.push(Rule::new(calls.iter().copied(), Action::Notify));
    let program = zviz_seccomp::compile(&policy).unwrap().program;
    program.instructions().iter().map(|i| Instruction { code: i.code, jt: i.jt, jf: i.jf, k: i.k }).collect()
}
