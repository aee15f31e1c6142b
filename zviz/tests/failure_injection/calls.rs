//! System calls that fail with what a host really answers: rights, limits, a full disk, an old kernel, a signal.

use crate::support::{Bundle, bundle, missing, skip};
use std::ops::RangeInclusive;
use std::process::{Command, Output, Stdio};

/// A call of a start, how often each is made to fail in turn, and with what.
const CALLS: &[(&str, RangeInclusive<usize>, &[&str])] = &[
    ("clone3", 1..=1, &["EPERM", "EAGAIN", "ENOSPC", "ENOMEM", "ENOSYS"]),
    ("socketpair", 1..=1, &["EPERM", "EMFILE"]),
    ("mkdir", 1..=3, &["ENOSPC", "EROFS"]),
    ("mkdirat", 1..=3, &["ENOSPC"]),
    ("open_tree", 1..=2, &["EPERM", "ENOSYS", "EMFILE"]),
    ("move_mount", 1..=4, &["EPERM", "ENOSPC"]),
    ("fsopen", 1..=3, &["EPERM", "ENODEV", "ENOSYS"]),
    ("fsconfig", 1..=3, &["EPERM", "EINVAL"]),
    ("fsmount", 1..=3, &["EPERM", "ENOMEM"]),
    ("mount_setattr", 1..=3, &["EPERM", "ENOSYS"]),
    ("openat2", 1..=6, &["EPERM", "EMFILE", "ENOSYS"]),
    ("openat", 1..=47, &["EMFILE"]),
    ("write", 1..=4, &["ENOSPC", "EIO"]),
    ("renameat", 1..=2, &["ENOSPC"]),
    ("mknodat", 1..=2, &["EPERM", "ENOSPC"]),
    ("symlinkat", 1..=2, &["EPERM", "ENOSPC"]),
    ("pivot_root", 1..=1, &["EPERM", "EINVAL"]),
    ("umount2", 1..=1, &["EPERM", "EBUSY"]),
    ("setsid", 1..=1, &["EPERM"]),
    ("sethostname", 1..=1, &["EPERM"]),
    ("setresuid", 1..=1, &["EPERM", "EAGAIN"]),
    ("setresgid", 1..=1, &["EPERM"]),
    ("setgroups", 1..=1, &["EPERM"]),
    ("capset", 1..=1, &["EPERM"]),
    ("prctl", 1..=8, &["EINVAL"]),
    ("close_range", 1..=1, &["EPERM", "ENOSYS"]),
    ("recvmsg", 1..=2, &["EPERM", "ECONNRESET"]),
    ("flock", 1..=1, &["ENOLCK", "EINTR"]),
    // The second and third of init are after it was heard for the last time.
    ("read", 4..=26, &["EIO"]),
    ("pidfd_open", 1..=1, &["ENOSYS", "EMFILE"]),
    ("fstatfs", 1..=2, &["EACCES"]),
    ("socket", 1..=1, &["EMFILE"]),
    ("signalfd4", 1..=1, &["EMFILE"]),
    ("execve", 1..=1, &["ENOMEM"]),
];

/// Calls that a signal may interrupt, and that are made again then.
const INTERRUPTED: &[(&str, usize)] =
    &[("recvmsg", 4), ("read", 28), ("poll", 3), ("waitid", 2), ("write", 20), ("openat2", 2), ("flock", 2)];

/// zviz with these arguments, of whose calls the one that is meant does not get through.
pub fn with_fault(bundle: &Bundle, arguments: &[&str], call: &str, errno: &str, when: usize) -> Output {
    let zviz = bundle.command(arguments);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e"]);
    strace.arg(format!("inject={call}:error={errno}:when={when}")).arg(zviz.get_program()).args(zviz.get_args());
    strace.stdin(Stdio::null()).output().unwrap()
}

/// What it says in one line names more than the kernel's answer.
pub fn says_why(what: &str, output: &Output) {
    let error = String::from_utf8_lossy(&output.stderr);
    let words = error.strip_prefix("zviz: error: ").or(error.strip_prefix("zviz: ")).unwrap_or("");
    assert!(error.lines().count() == 1 && words.contains(": "), "{what}: {error:?}");
}

pub fn strace_is_there(test: &str) -> bool {
    let missing = missing(&["strace"]);
    if let Some(program) = missing {
        skip(test, &format!("{program} is not installed"));
    }
    missing.is_none()
}

#[test]
fn calls_of_a_start_that_fail_leave_nothing() {
    if !strace_is_there("calls_of_a_start_that_fail_leave_nothing") {
        return;
    }
    let Some(bundle) = bundle("inject", &["true"]) else { return };
    let arguments = ["run", "--bundle", bundle.path(), &bundle.name];
    let run = |call: &str, errno: &str, when: usize| with_fault(&bundle, &arguments, call, errno, when);
    // The control: strace alone changes nothing.
    let control = run("clone3", "EPERM", 10_000);
    assert!(control.status.success(), "{control:?}");
    let (mut all, mut failed) = (0, 0);
    for (call, times, errnos) in CALLS {
        for (errno, when) in errnos.iter().flat_map(|errno| times.clone().map(move |when| (errno, when))) {
            let output = run(call, errno, when);
            all += 1;
            if !output.status.success() {
                failed += 1;
                says_why(&format!("{call} {when} {errno}"), &output);
            }
            bundle.leaves_nothing();
        }
    }
    println!("{failed} of {all} starts failed");
    assert!(failed > 2 * CALLS.len(), "only {failed} of {all} starts failed");
}

#[test]
fn interrupted_calls_are_made_again() {
    if !strace_is_there("interrupted_calls_are_made_again") {
        return;
    }
    let Some(bundle) = bundle("eintr", &["echo", "done"]) else { return };
    for (call, times) in INTERRUPTED {
        for when in 1..=*times {
            let output = with_fault(&bundle, &["run", "--bundle", bundle.path(), &bundle.name], call, "EINTR", when);
            assert_eq!(String::from_utf8_lossy(&output.stdout), "done\n", "{call} {when}: {output:?}");
            bundle.leaves_nothing();
        }
    }
}

/// Init may be killed at any time: by the kernel for want of memory, by anybody with the right to.
#[test]
fn an_init_that_is_killed_on_the_way_is_told() {
    if !strace_is_there("an_init_that_is_killed_on_the_way_is_told") {
        return;
    }
    let Some(bundle) = bundle("initkill", &["true"]) else { return };
    for call in ["setsid", "sethostname", "move_mount", "pivot_root", "setgroups"] {
        let zviz = bundle.command(&["run", "--bundle", bundle.path(), &bundle.name]);
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e"]);
        // At its first call of this name in each process: none of these is the runtime's.
        strace.arg(format!("inject={call}:signal=KILL:when=1")).arg(zviz.get_program()).args(zviz.get_args());
        let output = strace.stdin(Stdio::null()).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains("init ended before it was ready: killed by SIGKILL"), "{call}: {error}");
        says_why(call, &output);
        bundle.leaves_nothing();
    }
}

/// `run -- COMMAND` has steps of its own: a range of user ids, a root made from nothing, Landlock, a reaper.
#[test]
fn calls_of_a_sandbox_that_fail_leave_nothing() {
    if !strace_is_there("calls_of_a_sandbox_that_fail_leave_nothing") {
        return;
    }
    let Some(bundle) = bundle("sandbox", &["true"]) else { return };
    let arguments = ["run", "--id", &bundle.name, "--", "true"];
    let run = |call: &str, errno: &str, when: usize| {
        let output = with_fault(&bundle, &arguments, call, errno, when);
        let ids = std::fs::read_dir(bundle.file("root/.subids")).into_iter().flatten().count();
        assert!(ids == 0 || errno == "ENOLCK", "{call} {when}: a range of ids is taken still");
        bundle.leaves_nothing();
        output
    };
    assert!(run("clone3", "EPERM", 10_000).status.success(), "the control: strace alone changes nothing");
    let calls: &[(&str, usize, &str)] = &[
        ("fsopen", 2, "ENOSYS"),
        ("fsmount", 1, "ENOSPC"),
        ("open_tree", 3, "ENOSYS"),
        ("openat2", 6, "EMFILE"),
        ("landlock_create_ruleset", 2, "EINVAL"),
        ("landlock_add_rule", 2, "ENOMEM"),
        ("landlock_restrict_self", 1, "E2BIG"),
        ("seccomp", 1, "ENOMEM"),
        ("clone3", 2, "EAGAIN"),
        ("close_range", 4, "ENOSYS"),
        ("prctl", 2, "EPERM"),
        ("setresuid", 2, "EAGAIN"),
        ("unshare", 1, "ENOSPC"),
        ("write", 22, "ENOSPC"),
        // Last, since the file of a range that could not be locked may be another's, and stays.
        ("flock", 1, "ENOLCK"),
    ];
    for (call, when) in [("flock", 5), ("recvmsg", 3), ("waitid", 2), ("poll", 2)] {
        for when in 1..=when {
            let output = run(call, "EINTR", when);
            assert!(output.status.success(), "{call} {when}: {output:?}");
        }
    }
    let mut failed = 0;
    for (call, when, errno) in calls.iter().flat_map(|(call, times, errno)| (1..=*times).map(move |n| (call, n, errno)))
    {
        let output = run(call, errno, when);
        if !output.status.success() {
            failed += 1;
            says_why(&format!("{call} {when} {errno}"), &output);
        }
    }
    assert!(failed > 2 * calls.len(), "only {failed} failed");
}
