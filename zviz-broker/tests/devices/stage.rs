//! A process in a cgroup and a user namespace of its own, whose bpf(2) a broker answers.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use zviz_broker::eyes::Facts;
use zviz_broker::policy::Policy;
use zviz_broker::start::{FOREIGN, Settings, start};
use zviz_seccomp::{Action, Rule};
use zviz_sys::bpf::{self, CGROUP_DEVICE, Insn};
use zviz_sys::process::{self, Cloned};
use zviz_sys::seccomp::{Instruction, flag, load};
use zviz_sys::{fd, ids, path, rights, wait};

/// Where cgroups of version 2 are.
pub fn hierarchy() -> Option<PathBuf> {
    ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .into_iter()
        .map(PathBuf::from)
        .find(|top| top.join("cgroup.procs").exists() && top.join("cgroup.controllers").exists())
}

/// What keeps these tests from running.
pub fn missing() -> Option<&'static str> {
    if !nix::unistd::geteuid().is_root() {
        return Some("needs root");
    }
    let Some(top) = hierarchy() else { return Some("there is no cgroup of version 2") };
    let probe = top.join(format!("zviz-devices-probe-{}", std::process::id()));
    if fs::create_dir(&probe).is_err() {
        return Some("no cgroup of version 2 can be made");
    }
    let attached =
        answer(1).and_then(|program| bpf::attach(CGROUP_DEVICE, open(&probe).as_fd(), program.as_fd(), None));
    let _ = fs::remove_dir(&probe);
    attached.is_err().then_some("the kernel takes no program about devices")
}

/// A program that always gives this answer.
fn answer(value: i32) -> Result<OwnedFd, nix::errno::Errno> {
    let set = Insn { code: 0xb7, registers: 0, offset: 0, immediate: value };
    let exit = Insn { code: 0x95, registers: 0, offset: 0, immediate: 0 };
    bpf::load(CGROUP_DEVICE, &[set, exit], c"")
}

pub fn open(path: &Path) -> OwnedFd {
    let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    path::open(&path, libc::O_RDONLY | libc::O_DIRECTORY).unwrap()
}

/// Cgroups for one container, which go with it.
pub struct Place {
    /// Outside of the container's.
    pub top: PathBuf,
    /// The container's own.
    pub own: PathBuf,
    /// Whose program is attached to it.
    pub program: OwnedFd,
}

impl Place {
    /// As a runtime makes it: with a program of the host's on the container's cgroup.
    pub fn new(name: &str) -> Place {
        let top = hierarchy().unwrap().join(format!("zviz-devices-{name}-{}", std::process::id()));
        let own = top.join("own");
        fs::create_dir_all(own.join("sub")).unwrap();
        let program = answer(1).unwrap();
        bpf::attach(CGROUP_DEVICE, open(&own).as_fd(), program.as_fd(), None).unwrap();
        Place { top, own, program }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut below = vec![self.top.clone()];
        let mut at = 0;
        while let Some(path) = below.get(at).cloned() {
            let children = fs::read_dir(path).into_iter().flatten().flatten();
            below.extend(children.filter(|entry| entry.path().is_dir()).map(|entry| entry.path()));
            at += 1;
        }
        below.iter().rev().for_each(|path| drop(fs::remove_dir(path)));
    }
}

/// CAP_SYS_PTRACE, linux/capability.h.
const SYS_PTRACE: u64 = 1 << 19;
/// How many ids the user namespace has, of the host's first ones: the host's root is root inside.
pub const IDS: u32 = 65536;

fn filter() -> Vec<Instruction> {
    let mut policy = zviz_seccomp::Policy::new(Action::Allow);
    policy.rules.push(Rule::new(["bpf"], Action::Notify));
    let program = zviz_seccomp::compile(&policy).unwrap().program;
    program.instructions().iter().map(|i| Instruction { code: i.code, jt: i.jt, jf: i.jf, k: i.k }).collect()
}

/// Runs `victim` in the container's cgroup, as root of a user namespace, with a broker of this policy.
#[track_caller]
pub fn brokered(place: &Place, policy: Policy, victim: impl FnOnce()) {
    let namespaces = libc::CLONE_NEWUSER | libc::CLONE_NEWNS;
    with(place, policy, namespaces, victim);
}

/// The same as root of the host, who sees its own cgroup as the root of all.
#[track_caller]
pub fn brokered_root(place: &Place, policy: Policy, victim: impl FnOnce()) {
    let below = place.own.join("sub");
    with(place, policy, libc::CLONE_NEWNS, || {
        use nix::mount::{MsFlags, mount};
        process::unshare(u64::from(libc::CLONE_NEWCGROUP.cast_unsigned())).unwrap();
        // A cgroup that gives controllers to others has no process itself.
        fs::write(below.join("cgroup.procs"), "0").unwrap();
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        // Not right above one of its kind, which the kernel refuses.
        for kind in ["tmpfs", "cgroup2"] {
            mount(Some("none"), "/sys/fs/cgroup", Some(kind), MsFlags::empty(), none).unwrap();
        }
        victim();
    });
}

#[track_caller]
fn with(place: &Place, policy: Policy, namespaces: i32, victim: impl FnOnce()) {
    let has_users = namespaces & libc::CLONE_NEWUSER != 0;
    let settings = Settings {
        policy,
        facts: Facts::default(),
        // The victim's memory is the host's, since it executes nothing in its user namespace.
        capabilities: if has_users { SYS_PTRACE } else { FOREIGN },
        one_identity: false,
        container: "devices".into(),
        patient: false,
        way: zviz_broker::start::Way::default(),
    };
    let mut starting = start(settings).unwrap();
    if starting.needs_cgroup() {
        starting.set_cgroup(open(&place.own));
    }
    let (ours, theirs) = fd::packet_pair().unwrap();
    let (pid, pidfd) =
        match process::clone(u64::from(namespaces.cast_unsigned()), Some(open(&place.own).as_fd())).unwrap() {
            Cloned::Parent { pid, pidfd } => (pid, pidfd),
            Cloned::Child => {
                std::mem::forget((ours, starting));
                let go = || drop(rights::receive(theirs.as_fd(), &mut [0u8; 1]).unwrap());
                go();
                ids::set_no_new_privs().unwrap();
                let listener = load(&filter(), flag::NEW_LISTENER | flag::WAIT_KILLABLE_RECV).unwrap().unwrap();
                rights::send(theirs.as_fd(), &[1], listener.as_fd()).unwrap();
                drop(listener);
                go();
                let passed = catch_unwind(AssertUnwindSafe(victim)).is_ok();
                process::exit(if passed { 0 } else { 1 })
            }
        };
    drop(theirs);
    for map in ["uid_map", "gid_map"].iter().filter(|_| has_users) {
        fs::write(format!("/proc/{pid}/{map}"), format!("0 0 {IDS}")).unwrap();
    }
    rights::send_with(ours.as_fd(), &[1], &[]).unwrap();
    let [listener, ..] = rights::receive(ours.as_fd(), &mut [0u8; 1]).unwrap().fds;
    let serving = starting.serve(listener.unwrap(), pidfd.as_fd(), pidfd.as_fd()).unwrap();
    rights::send_with(ours.as_fd(), &[1], &[]).unwrap();
    assert_eq!(wait::wait(pidfd.as_fd()).unwrap(), wait::Exit::Code(0), "the victim");
    assert_eq!(wait::wait(serving.pidfd.as_fd()).unwrap(), wait::Exit::Code(0), "the broker");
}
