//! A process that is root of namespaces of its own, and whose mounts a broker makes.

use nix::mount::{MsFlags, mount};
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use zviz_broker::eyes::Facts;
use zviz_broker::policy::Policy;
use zviz_broker::start::{Settings, Way, start};
use zviz_sys::process::{self, Cloned};
use zviz_sys::seccomp::{Instruction, flag, load};
use zviz_sys::{fd, rights, wait};

const NAMESPACES: i32 = libc::CLONE_NEWUSER | libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_NEWNET;

/// mount(2), umount2(2) and mknodat(2) are asked about, all others allowed.
fn filter() -> Vec<Instruction> {
    let mut program = vec![Instruction { code: 0x20, jt: 0, jf: 0, k: 0 }];
    for number in [libc::SYS_mount, libc::SYS_umount2, libc::SYS_mknodat] {
        program.push(Instruction { code: 0x15, jt: 0, jf: 1, k: u32::try_from(number).unwrap() });
        program.push(Instruction { code: 0x06, jt: 0, jf: 0, k: 0x7fc0_0000 });
    }
    program.push(Instruction { code: 0x06, jt: 0, jf: 0, k: 0x7fff_0000 });
    program
}

/// Runs `prepare` and then `act` in such a process, `act` with a broker if there is a policy: its exit code, which is 1
/// where it panics.
pub fn run(policy: Option<Policy>, prepare: impl FnOnce(), act: impl FnOnce()) -> Option<i32> {
    let starting = policy.map(|policy| {
        // The namespace's owner needs no capability over the host.
        let (facts, container) = (Facts::default(), "mounts".into());
        start(Settings {
            policy,
            facts,
            capabilities: 0,
            one_identity: false,
            container,
            patient: false,
            way: Way::default(),
        })
        .unwrap()
    });
    let brokered = starting.is_some();
    let (ours, theirs) = fd::packet_pair().unwrap();
    let namespaces = u64::from(NAMESPACES.cast_unsigned());
    let (pid, pidfd) = match process::clone(namespaces, None).unwrap() {
        Cloned::Parent { pid, pidfd } => (pid, pidfd),
        Cloned::Child => {
            // Not dropped: it would wait for the broker's end.
            std::mem::forget((starting, ours));
            let passed = catch_unwind(AssertUnwindSafe(|| live(theirs.as_fd(), brokered, prepare, act))).is_ok();
            process::exit(if passed { 0 } else { 1 })
        }
    };
    drop(theirs);
    for (file, text) in [("uid_map", "0 0 65536"), ("gid_map", "0 0 65536")] {
        fs::write(format!("/proc/{pid}/{file}"), text).unwrap();
    }
    rights::send_with(ours.as_fd(), &[1], &[]).unwrap();
    let serving = starting.map(|starting| {
        let mut word = [0u8; 1];
        let [listener, ..] = rights::receive(ours.as_fd(), &mut word).unwrap().fds;
        let listener: OwnedFd = listener.expect("a process that is ready");
        let serving = starting.serve(listener, pidfd.as_fd(), pidfd.as_fd()).unwrap();
        rights::send_with(ours.as_fd(), &[1], &[]).unwrap();
        serving
    });
    let ended = wait::wait(pidfd.as_fd()).unwrap();
    if let Some(serving) = serving {
        assert!(matches!(wait::wait(serving.pidfd.as_fd()).unwrap(), wait::Exit::Code(0)), "the broker");
    }
    match ended {
        wait::Exit::Code(code) => Some(code),
        wait::Exit::Signal(_) => None,
    }
}

fn live(test: BorrowedFd<'_>, brokered: bool, prepare: impl FnOnce(), act: impl FnOnce()) {
    let mut word = [0u8; 1];
    rights::receive(test, &mut word).unwrap();
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none).unwrap();
    prepare();
    if brokered {
        zviz_sys::ids::set_no_new_privs().unwrap();
        let listener = load(&filter(), flag::NEW_LISTENER).unwrap().unwrap();
        rights::send(test, &[1], listener.as_fd()).unwrap();
        drop(listener);
        rights::receive(test, &mut word).unwrap();
    }
    act();
}
