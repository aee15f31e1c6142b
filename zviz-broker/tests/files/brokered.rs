//! A process whose calls a broker answers.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use zviz_broker::eyes::Facts;
use zviz_broker::policy::Policy;
use zviz_broker::start::{Settings, start};
use zviz_sys::process::{self, Cloned};
use zviz_sys::seccomp::{Instruction, flag, load};
use zviz_sys::{fd, rights, wait};

/// CAP_SYS_PTRACE.
const SYS_PTRACE: u64 = 1 << 19;

/// Calls with these numbers are asked about, all others allowed.
pub fn filter(calls: &[i64]) -> Vec<Instruction> {
    let mut program = vec![Instruction { code: 0x20, jt: 0, jf: 0, k: 0 }];
    for number in calls {
        program.push(Instruction { code: 0x15, jt: 0, jf: 1, k: u32::try_from(*number).unwrap() });
        program.push(Instruction { code: 0x06, jt: 0, jf: 0, k: 0x7fc0_0000 });
    }
    program.push(Instruction { code: 0x06, jt: 0, jf: 0, k: 0x7fff_0000 });
    program
}

/// Those that a policy serves.
fn served(policy: &Policy) -> Vec<i64> {
    let number = |name: &&str| zviz_seccomp::number_of(name, zviz_seccomp::Arch::native()).map(i64::from);
    policy.calls().iter().filter_map(number).collect()
}

pub fn opens() -> Vec<i64> {
    vec![libc::SYS_open, libc::SYS_openat, libc::SYS_openat2, libc::SYS_creat]
}

/// Runs `victim` in a pid and a mount namespace of its own with a broker of `policy`: its exit code, none if it was killed. Where
/// all of it are one identity it has a user namespace too, so that a hand answers opens by itself.
pub fn run((policy, one_identity): (Policy, bool), victim: impl FnOnce()) -> Option<i32> {
    let calls = served(&policy);
    let settings = Settings {
        policy,
        facts: Facts::default(),
        capabilities: if one_identity { 0 } else { SYS_PTRACE },
        one_identity,
        container: "files".into(),
        patient: false,
        way: zviz_broker::start::Way::default(),
    };
    let starting = start(settings).unwrap();
    let mut broker = None;
    let serve = |listener: OwnedFd, pidfd: BorrowedFd<'_>| broker = starting.serve(listener, pidfd, pidfd).ok();
    let ended = held(&calls, one_identity, victim, serve, || {});
    let broker = broker.expect("a broker").pidfd;
    assert!(matches!(wait::wait(broker.as_fd()).unwrap(), wait::Exit::Code(0)), "the broker");
    ended
}

/// Runs it with another supervisor, in this process, which is given the listener and the victim.
pub fn supervised(victim: impl FnOnce(), supervise: impl FnOnce(OwnedFd, OwnedFd)) -> Option<i32> {
    let given = std::cell::Cell::new(None);
    let serve = |listener, victim: BorrowedFd<'_>| given.set(Some((listener, victim.try_clone_to_owned().unwrap())));
    held(&opens(), false, victim, serve, || given.take().map(|(listener, victim)| supervise(listener, victim)).unwrap())
}

/// Runs it with the filter; `serve` is given the listener before, and `meanwhile` is called when it runs.
fn held(
    calls: &[i64],
    users: bool,
    victim: impl FnOnce(),
    serve: impl FnOnce(OwnedFd, BorrowedFd<'_>),
    meanwhile: impl FnOnce(),
) -> Option<i32> {
    let (ours, theirs) = fd::packet_pair().unwrap();
    let namespaces = libc::CLONE_NEWPID | libc::CLONE_NEWNS | if users { libc::CLONE_NEWUSER } else { 0 };
    let pidfd = match process::clone(u64::from(namespaces.cast_unsigned()), None).unwrap() {
        Cloned::Parent { pid, pidfd } => {
            for map in ["uid_map", "gid_map"].iter().filter(|_| users) {
                std::fs::write(format!("/proc/{pid}/{map}"), "0 0 4294967295").unwrap();
            }
            rights::send_with(ours.as_fd(), &[1], &[]).unwrap();
            pidfd
        }
        Cloned::Child => {
            std::mem::forget((ours, serve, meanwhile));
            // Until its ids are known.
            rights::receive(theirs.as_fd(), &mut [0u8; 1]).unwrap();
            own_proc();
            zviz_sys::ids::set_no_new_privs().unwrap();
            let listener = load(&filter(calls), flag::NEW_LISTENER).unwrap().unwrap();
            rights::send(theirs.as_fd(), &[1], listener.as_fd()).unwrap();
            drop(listener);
            // Until it is served.
            let mut word = [0u8; 1];
            rights::receive(theirs.as_fd(), &mut word).unwrap();
            let passed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(victim)).is_ok();
            process::exit(if passed { 0 } else { 1 })
        }
    };
    drop(theirs);
    let mut word = [0u8; 1];
    let [listener, ..] = rights::receive(ours.as_fd(), &mut word).unwrap().fds;
    serve(listener.unwrap(), pidfd.as_fd());
    rights::send_with(ours.as_fd(), &[1], &[]).unwrap();
    meanwhile();
    match wait::wait(pidfd.as_fd()).unwrap() {
        wait::Exit::Code(code) => Some(code),
        wait::Exit::Signal(_) => None,
    }
}

/// Runs `victim` in such namespaces without any filter.
pub fn native(victim: impl FnOnce()) -> Option<i32> {
    let namespaces = libc::CLONE_NEWPID | libc::CLONE_NEWNS;
    match process::clone(u64::from(namespaces.cast_unsigned()), None).unwrap() {
        Cloned::Parent { pidfd, .. } => match wait::wait(pidfd.as_fd()).unwrap() {
            wait::Exit::Code(code) => Some(code),
            wait::Exit::Signal(_) => None,
        },
        Cloned::Child => {
            own_proc();
            let passed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(victim)).is_ok();
            process::exit(if passed { 0 } else { 1 })
        }
    }
}

fn own_proc() {
    use nix::mount::{MsFlags, mount};
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none).unwrap();
}
