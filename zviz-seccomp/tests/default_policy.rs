//! The default policy, call by call, through the interpreter.

#![allow(clippy::unwrap_used)]

use zviz_seccomp::{
    Action, Arch, ENOSYS, EPERM, Op, Policy, Program, Rule, SeccompData, X32_BIT, compile, default_policy, name_of,
    number_of,
};

struct Sandbox(Program);

impl Sandbox {
    fn new() -> Sandbox {
        Sandbox(compile(&default_policy()).unwrap().program)
    }

    fn call(&self, name: &str, args: &[u64]) -> Action {
        let mut all = [0; 6];
        all[..args.len()].copy_from_slice(args);
        let nr = number_of(name, Arch::native()).unwrap_or_else(|| panic!("{name} has no number here"));
        self.0.eval(&SeccompData::new(Arch::native(), nr, all))
    }
}

const AFNOSUPPORT: Action = Action::Errno(97);
const HIGH: u64 = 0xdead_beef << 32;

#[test]
fn names_nothing_that_does_not_exist() {
    let compiled = compile(&default_policy()).unwrap();
    assert!(compiled.skipped.is_empty(), "{:?}", compiled.skipped);
    assert!(compiled.shadowed.is_empty(), "{:?}", compiled.shadowed);
    assert!(compiled.program.instructions().len() < 1200, "{}", compiled.program.instructions().len());
}

#[test]
fn ordinary_programs_run() {
    let sandbox = Sandbox::new();
    let calls = [
        "read",
        "write",
        "openat",
        "close",
        "execve",
        "exit_group",
        "wait4",
        "pipe2",
        "futex",
        "mmap",
        "mprotect",
        "epoll_pwait",
        "rt_sigreturn",
        "getrandom",
        "statx",
        "rseq",
        "set_robust_list",
        "prlimit64",
        "clock_nanosleep",
        "io_setup",
        "shmget",
        "ptrace",
        "seccomp",
        "landlock_restrict_self",
        "accept4",
        "sendmmsg",
        "memfd_create",
        "copy_file_range",
        "chroot",
        "process_vm_readv",
        "mseal",
        "fchmodat2",
        "setxattrat",
        "futex_wait",
        "statmount",
        "setuid",
        "sched_setaffinity",
    ];
    for call in calls {
        assert_eq!(sandbox.call(call, &[]), Action::Allow, "{call}");
    }
}

#[test]
fn doors_are_shut() {
    let sandbox = Sandbox::new();
    let eperm = [
        "mount",
        "umount2",
        "pivot_root",
        "fsopen",
        "fsmount",
        "move_mount",
        "open_tree",
        "mount_setattr",
        "open_tree_attr",
        "setns",
        "bpf",
        "perf_event_open",
        "userfaultfd",
        "keyctl",
        "add_key",
        "request_key",
        "init_module",
        "kexec_load",
        "open_by_handle_at",
        "reboot",
        "swapon",
        "syslog",
        "acct",
        "clock_settime",
        "fanotify_init",
        "sethostname",
        "lsm_set_self_attr",
    ];
    for call in eperm {
        assert_eq!(sandbox.call(call, &[]), EPERM, "{call}");
    }
    for call in
        ["io_uring_setup", "io_uring_enter", "io_uring_register", "clone3", "mbind", "memfd_secret", "sched_setattr"]
    {
        assert_eq!(sandbox.call(call, &[]), ENOSYS, "{call}");
    }
}

#[test]
fn what_is_unknown_does_not_exist() {
    let Sandbox(program) = Sandbox::new();
    let answer = |arch, nr| program.eval(&SeccompData::new(arch, nr, [0; 6]));
    for nr in [500, 1000, 0x3fff_ffff, u32::MAX] {
        assert_eq!(answer(Arch::native(), nr), ENOSYS, "{nr}");
    }
    assert_eq!(answer(Arch::Arm, 1), Action::KillProcess);
    assert_eq!(answer(Arch::X86, 1), Action::KillProcess);
    if Arch::native() == Arch::X86_64 {
        assert_eq!(answer(Arch::X86_64, X32_BIT), ENOSYS);
        assert_eq!(answer(Arch::X86_64, X32_BIT + 520), ENOSYS);
        assert_eq!(answer(Arch::X86_64, 0xffff_fffe), ENOSYS);
    }
}

#[test]
fn no_new_namespaces() {
    let sandbox = Sandbox::new();
    // fork, vfork, pthread_create.
    for flags in [0x0120_0011, 0x4111, 0x003d_0f00, 0x11 | HIGH] {
        assert_eq!(sandbox.call("clone", &[flags]), Action::Allow, "{flags:#x}");
    }
    for bit in [0x2_0000u64, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000] {
        assert_eq!(sandbox.call("clone", &[bit | 0x11]), EPERM, "{bit:#x}");
        assert_eq!(sandbox.call("unshare", &[bit | 0x400]), EPERM, "{bit:#x}");
    }
    assert_eq!(sandbox.call("unshare", &[0x80]), EPERM);
    assert_eq!(sandbox.call("unshare", &[0x600]), Action::Allow);
}

#[test]
fn sockets_of_three_families() {
    let sandbox = Sandbox::new();
    let socket = |family: u64, kind: u64, protocol: u64| sandbox.call("socket", &[family, kind, protocol]);
    let (cloexec, nonblock) = (0o2000000, 0o4000);
    for (family, kind, protocol) in [
        (1, 1, 0),
        (1, 2, 0),
        (1, 5, 0),
        (2, 1, 0),
        (2, 1, 6),
        (2, 2, 17),
        (10, 1, 0),
        (10, 2, 0),
        (16, 3, 0),
        (16, 2, 0),
    ] {
        assert_eq!(socket(family, kind | cloexec | nonblock, protocol), Action::Allow, "{family} {kind} {protocol}");
        assert_eq!(socket(family | HIGH, kind | HIGH, protocol), Action::Allow, "the kernel ignores the upper half");
    }
    assert_eq!(socket(2, 1, 262), Action::Errno(93));
    for (family, kind, protocol) in [
        (2, 3, 1),
        (2, 3, 255),
        (2, 2, 1),
        (2, 1, 132),
        (2, 6, 33),
        (10, 3, 58),
        (16, 3, 12),
        (16, 3, 9),
        (17, 3, 0),
        (38, 5, 0),
        (33, 2, 0),
        (40, 1, 0),
        (44, 3, 0),
        (30, 1, 0),
        (21, 5, 0),
        (29, 3, 1),
        (41, 1, 0),
        (43, 1, 0),
        (15, 3, 2),
        (3, 2, 0),
        (0, 1, 0),
        (6, 2, 0),
        (8, 1, 0),
        (1, 3, 0),
    ] {
        assert_eq!(socket(family, kind, protocol), AFNOSUPPORT, "{family} {kind} {protocol}");
    }
    assert_eq!(sandbox.call("socketpair", &[1, 1 | cloexec, 0]), Action::Allow);
    assert_eq!(sandbox.call("socketpair", &[30, 5, 0]), AFNOSUPPORT);
}

#[test]
fn commands_and_operations() {
    let sandbox = Sandbox::new();
    for command in [0x5412u64, 0x541c, 0x5423, 0x4b49] {
        assert_eq!(sandbox.call("ioctl", &[0, command]), EPERM);
        assert_eq!(
            sandbox.call("ioctl", &[0, command | HIGH]),
            EPERM,
            "the kernel ignores the upper half (CVE-2019-7303)"
        );
    }
    for command in [0x5401, 0x5413, 0x540e, 0x4020_940d, 0x8912] {
        assert_eq!(sandbox.call("ioctl", &[0, command]), Action::Allow, "{command:#x}");
    }
    assert_eq!(sandbox.call("prctl", &[35]), EPERM);
    assert_eq!(sandbox.call("prctl", &[15]), Action::Allow);
    for persona in [0, 8, 0x2_0000, 0xffff_ffff, u64::MAX] {
        assert_eq!(sandbox.call("personality", &[persona]), Action::Allow, "{persona:#x}");
    }
    for persona in [0x4_0000, 0x40_0000, 0x10_0000, 1] {
        assert_eq!(sandbox.call("personality", &[persona]), EPERM, "{persona:#x}");
    }
    for (level, option) in
        [(1, 50), (1, 26), (1, 36), (0, 64), (0, 0x480), (41, 64), (6, 31), (263, 1), (1 | HIGH, 50 | HIGH)]
    {
        assert_eq!(sandbox.call("setsockopt", &[3, level, option]), EPERM, "{level} {option}");
    }
    for (level, option) in [(1, 2), (1, 15), (0, 1), (6, 1), (41, 26), (41, 67), (270, 1)] {
        assert_eq!(sandbox.call("setsockopt", &[3, level, option]), Action::Allow, "{level} {option}");
    }
}

#[test]
fn nodes_and_scheduling() {
    let sandbox = Sandbox::new();
    for (mode, device, answer) in [
        (0o100644, 0, Action::Allow),
        (0o644, 0, Action::Allow),
        (0o010600, 0, Action::Allow),
        (0o140600, 0, Action::Allow),
        (0o020000, 0, Action::Allow),
        (0o020600, 0x103, EPERM),
        (0o060600, 0x801, EPERM),
        (0o060600, 0, EPERM),
    ] {
        assert_eq!(sandbox.call("mknodat", &[0, 0, mode, device]), answer, "{mode:o} {device:#x}");
    }
    for (class, answer) in
        [(0, Action::Allow), (3, Action::Allow), (0x4000_0005, Action::Allow), (1, EPERM), (2, EPERM), (6, EPERM)]
    {
        assert_eq!(sandbox.call("sched_setscheduler", &[0, class]), answer, "{class:#x}");
    }
    assert_eq!(sandbox.call("ioprio_set", &[1, 0, 0x2004]), EPERM);
    assert_eq!(sandbox.call("ioprio_set", &[1, 0, 0x4004]), Action::Allow);
}

#[test]
fn another_policy_stays_within_it() {
    // An engine's list, in shape: one permissive, one that refuses, with conditions on the same calls.
    let mut engine = Policy::new(EPERM);
    let names = (0..436).filter_map(|number| name_of(number, Arch::native()));
    engine.rules = vec![
        Rule::new(names.filter(|name| !matches!(name.as_str(), "socket" | "clone" | "splice")), Action::Allow),
        Rule::new(["socket"], Action::Allow).when(0, Op::Ne, 1),
        Rule::new(["clone"], Action::Allow).when(0, Op::MaskedEq(0x7e02_0000), 0),
        Rule::new(["ioctl"], Action::Errno(25)).when(1, Op::Eq, 0x5413),
    ];
    let open = compile(&Policy::new(Action::Allow).within(default_policy())).unwrap();
    let (alone, both) = (Sandbox::new(), Sandbox(compile(&engine.clone().within(default_policy())).unwrap().program));
    for nr in 0..500 {
        let data = SeccompData::new(Arch::native(), nr, [0; 6]);
        assert_eq!(open.program.eval(&data), alone.0.eval(&data), "{nr}");
    }
    assert_eq!(both.call("socket", &[2, 1, 0]), Action::Allow);
    assert_eq!(both.call("socket", &[1, 1, 0]), EPERM, "the engine refuses unix sockets");
    assert_eq!(both.call("socket", &[38, 5, 0]), AFNOSUPPORT, "the default refuses AF_ALG");
    assert_eq!(both.call("clone", &[0x1000_0011]), EPERM);
    assert_eq!(both.call("clone", &[0x0120_0011]), Action::Allow);
    assert_eq!(both.call("splice", &[]), EPERM);
    assert_eq!(both.call("mount", &[]), EPERM);
    assert_eq!(both.call("io_uring_setup", &[]), ENOSYS);
    assert_eq!(both.call("openat2", &[]), ENOSYS, "newer than the engine's list");
    // A rule without conditions is the engine's word on ioctl; the one with is shadowed, as in runc.
    assert_eq!(both.call("ioctl", &[0, 0x5413]), Action::Allow);
    assert_eq!(both.call("ioctl", &[0, 0x5412]), EPERM);
    assert_eq!(compile(&engine).unwrap().shadowed, ["ioctl"]);
}
