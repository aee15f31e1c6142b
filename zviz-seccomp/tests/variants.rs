//! Variants of the default policy: what a supervisor is asked about, and what sandboxes inside get.

#![allow(clippy::unwrap_used)]

mod boundaries;

use boundaries::{sets_of, variants};
use zviz_seccomp::{
    Action, Arch, CATEGORIES, ENOSYS, EPERM, Policy, Program, SAFE_NODES, SeccompData, Variant, compile,
    default_policy, may_finish_init, name_of, number_of, policy_with,
};

const AFNOSUPPORT: Action = Action::Errno(97);

struct Sandbox(Program);

impl Sandbox {
    fn new(notify: &[&str], nested: bool) -> Sandbox {
        let notify = notify.iter().map(|name| (*name).to_owned()).collect();
        Sandbox(compile(&policy_with(&Variant { notify, nested, ..Variant::default() }).unwrap()).unwrap().program)
    }

    fn call(&self, name: &str, args: &[u64]) -> Action {
        let mut all = [0; 6];
        all[..args.len()].copy_from_slice(args);
        self.0.eval(&SeccompData::new(Arch::native(), number_of(name, Arch::native()).unwrap(), all))
    }
}

#[test]
fn a_variant_changes_what_it_names_and_no_more() {
    assert_eq!(policy_with(&Variant::default()).unwrap(), default_policy());
    let before = Sandbox::new(&[], false);
    for name in
        CATEGORIES.iter().flat_map(|category| category.calls).filter(|name| number_of(name, Arch::native()).is_some())
    {
        let notify = vec![(*name).to_owned()];
        let Ok(policy) = policy_with(&Variant { notify, ..Variant::default() }) else { continue };
        assert!(policy.notifies() && policy.flags.wait_killable_recv, "{name}");
        let after = Sandbox(compile(&policy).unwrap().program);
        for nr in 0..500 {
            let call = name_of(nr, Arch::native()).unwrap_or_default();
            for args in sets_of(&policy, &call) {
                let data = SeccompData::new(Arch::native(), nr, args);
                let (was, is) = (before.0.eval(&data), after.0.eval(&data));
                // Whoever opens files for another does so without that one's own ruleset.
                let opens = ["creat", "open", "openat", "openat2"].contains(name);
                let no_ruleset = opens && call.starts_with("landlock_") && is == ENOSYS;
                // And knows them by their names in one root.
                let one_root = opens && call == "chroot" && is == EPERM;
                let asked = is == Action::Notify && call == *name;
                assert!(was == is || asked || no_ruleset || one_root, "{name}: {call} {args:x?} {was} {is}");
            }
        }
    }
}

#[test]
fn init_finishes_under_every_variant() {
    for (variant, policy) in variants() {
        let needed = ["write", "read", "execve", "exit_group", "capset"].map(|name| (name, [3, 1, 2, 0, 0, 0]));
        assert_eq!(may_finish_init(&compile(&policy).unwrap().program, &needed), Ok(()), "{variant}");
    }
}

#[test]
fn what_is_decided_whole_is_asked_about_whole() {
    let sandbox = Sandbox::new(&["openat", "mount", "bpf", "uname", "memfd_secret", "openat"], false);
    for call in ["openat", "mount", "bpf", "uname", "memfd_secret"] {
        assert_eq!(sandbox.call(call, &[]), Action::Notify, "{call}");
        assert_eq!(sandbox.call(call, &[u64::MAX; 6]), Action::Notify, "{call}");
    }
    assert_eq!(sandbox.call("umount2", &[]), EPERM);
    assert_eq!(sandbox.call("open", &[]), Action::Allow);
}

#[test]
fn who_has_files_opened_has_one_root() {
    assert_eq!(Sandbox::new(&[], false).call("chroot", &[]), Action::Allow, "the control");
    for call in ["creat", "open", "openat", "openat2"] {
        assert_eq!(Sandbox::new(&[call], false).call("chroot", &[]), EPERM, "{call}");
    }
}

#[test]
fn sending_on_a_connection_is_not_asked_about() {
    let sandbox = Sandbox::new(&["sendto", "sendmsg"], false);
    assert_eq!(sandbox.call("sendto", &[3, 1, 2, 0, 0, 16]), Action::Allow);
    for address in [1, 1 << 32, u64::MAX] {
        assert_eq!(sandbox.call("sendto", &[3, 1, 2, 0, address, 0]), Action::Notify);
    }
    assert_eq!(sandbox.call("sendmsg", &[]), Action::Notify);
}

#[test]
fn what_registers_refuse_stays_refused() {
    let sandbox = Sandbox::new(&["socket", "ioctl", "setsockopt", "personality", "unshare"], false);
    assert_eq!(sandbox.call("socket", &[2, 1, 0]), Action::Notify);
    assert_eq!(sandbox.call("socket", &[2, 1, 262]), Action::Errno(93));
    assert_eq!(sandbox.call("socket", &[17, 3, 0]), AFNOSUPPORT);
    assert_eq!(sandbox.call("socketpair", &[1, 1, 0]), Action::Allow);
    assert_eq!(sandbox.call("ioctl", &[0, 0x5412]), EPERM);
    assert_eq!(sandbox.call("ioctl", &[0, 0x5413]), Action::Notify);
    assert_eq!(sandbox.call("setsockopt", &[3, 1, 50]), EPERM);
    assert_eq!(sandbox.call("setsockopt", &[3, 1, 2]), Action::Notify);
    assert_eq!(sandbox.call("personality", &[8]), Action::Notify);
    assert_eq!(sandbox.call("personality", &[0x4_0000]), EPERM);
    assert_eq!(sandbox.call("unshare", &[0x1000_0000]), EPERM);
    assert_eq!(sandbox.call("unshare", &[0x600]), Action::Notify);
}

#[test]
fn safe_nodes_are_asked_about() {
    let sandbox = Sandbox::new(&["mknod", "mknodat", "mknod"], false);
    let both = |mode: u64, device: u64| {
        let (at, plain) = (sandbox.call("mknodat", &[0, 0, mode, device]), sandbox.call("mknod", &[0, mode, device]));
        assert_eq!(at, plain, "{mode:o} {device:#x}");
        at
    };
    for (name, major, minor) in SAFE_NODES {
        let device = u64::from(major << 8 | minor);
        assert_eq!(both(0o020666, device), Action::Notify, "{name}");
        assert_eq!(both(0o020666, device | 0xdead_beef << 32), Action::Notify, "the kernel ignores the upper half");
        assert_eq!(both(0o060666, device), EPERM, "block device with the numbers of {name}");
    }
    // mem, kmem, port, kmsg, ptmx, fuse, and minor numbers that begin above the major's bits.
    for device in [0x101, 0x102, 0x104, 0x10b, 0x502, 0xae5, 0x10_0103, 0x0100_0103] {
        assert_eq!(both(0o020666, device), EPERM, "{device:#x}");
    }
    for mode in [0o100644, 0o644, 0o010600, 0o140600, 0o020000] {
        assert_eq!(both(mode, 0), Action::Allow, "{mode:o}");
    }
}

#[test]
fn sandboxes_inside() {
    let sandbox = Sandbox::new(&[], true);
    for bit in [0x80u64, 0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000] {
        assert_eq!(sandbox.call("clone", &[bit | 0x11]), Action::Allow, "{bit:#x}");
        assert_eq!(sandbox.call("unshare", &[bit]), Action::Allow, "{bit:#x}");
        assert_eq!(sandbox.call("setns", &[3, bit]), Action::Allow, "{bit:#x}");
    }
    for call in ["setns", "sethostname", "setdomainname", "seccomp", "chroot", "statmount", "listmount"] {
        assert_eq!(sandbox.call(call, &[]), Action::Allow, "{call}");
    }
    assert_eq!(sandbox.call("prctl", &[22, 2]), Action::Allow, "PR_SET_SECCOMP");
    for call in ["mount", "umount2", "pivot_root"] {
        assert_eq!(sandbox.call(call, &[]), Action::Notify, "{call}");
    }
    for call in [
        "clone3",
        "fsopen",
        "fsconfig",
        "fsmount",
        "fspick",
        "move_mount",
        "open_tree",
        "open_tree_attr",
        "mount_setattr",
        "keyctl",
        "add_key",
        "request_key",
        "io_uring_setup",
    ] {
        assert_eq!(sandbox.call(call, &[]), ENOSYS, "{call}");
    }
    assert_eq!(sandbox.call("socket", &[16, 3, 0]), Action::Allow, "bubblewrap brings lo up by NETLINK_ROUTE");
    assert_eq!(sandbox.call("socket", &[16, 3, 12]), AFNOSUPPORT);
    for call in ["bpf", "userfaultfd", "open_by_handle_at", "perf_event_open", "init_module", "kexec_load", "swapon"] {
        assert_eq!(sandbox.call(call, &[]), EPERM, "{call}");
    }
    assert_eq!(sandbox.call("mknod", &[0, 0o020666, 0x103]), EPERM);
    assert_eq!(Sandbox::new(&["mknod"], true).call("mknod", &[0, 0o020666, 0x103]), Action::Notify);
    assert_eq!(Sandbox::new(&["setns"], true).call("setns", &[3, 0]), Action::Notify);
}

/// Laid over the default the answers would be the default's.
#[test]
fn an_engines_list_stays_within_a_variant() {
    let nested = policy_with(&Variant { nested: true, ..Variant::default() }).unwrap();
    let open = Sandbox(compile(&Policy::new(Action::Allow).within(nested.clone())).unwrap().program);
    assert_eq!(open.call("mount", &[]), Action::Notify);
    let lost = Sandbox(compile(&default_policy().within(nested)).unwrap().program);
    assert_eq!(lost.call("mount", &[]), EPERM);
}

#[test]
fn some_calls_are_never_asked_about() {
    let refused = |name: &str| {
        policy_with(&Variant { notify: vec![name.to_owned()], ..Variant::default() }).unwrap_err().to_string()
    };
    assert_eq!(
        refused("close"),
        "notify close: callers do not make it again after EINTR, which a signal before the supervisor has received it gives"
    );
    assert_eq!(
        refused("write"),
        "notify write: init makes it after the filter is loaded, and would wait for a supervisor that waits for init"
    );
    for name in [
        "dup",
        "dup2",
        "dup3",
        "fork",
        "vfork",
        "clone",
        "clone3",
        "execve",
        "execveat",
        "wait4",
        "waitid",
        "exit",
        "exit_group",
        "futex",
        "mmap",
        "munmap",
        "read",
        "rt_sigreturn",
        "restart_syscall",
        "seccomp",
        "io_uring_enter",
    ] {
        assert!(refused(name).starts_with(&format!("notify {name}: ")), "{name}");
    }
    assert_eq!(refused("conect"), "notify \"conect\": no such system call; the nearest is connect");
    assert_eq!(refused("@mount"), "notify \"@mount\": no such system call; the nearest is mount");
    assert_eq!(refused("frobnicate_the_bits"), "notify \"frobnicate_the_bits\": no such system call");
}
