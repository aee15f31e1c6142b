//! System calls that fail with what a host really answers: rights, limits, a full disk, an old kernel, a signal.

use crate::support::{Bundle, bundle, missing, skip};
use std::process::{Command, Output, Stdio};

/// A call of a start, how often each is made to fail in turn, and with what.
const CALLS: &[(&str, usize, &[&str])] = &[
    ("clone3", 1, &["EPERM", "EAGAIN", "ENOSPC", "ENOMEM", "ENOSYS"]),
    ("socketpair", 1, &["EPERM", "EMFILE"]),
    ("mkdir", 3, &["ENOSPC", "EROFS"]),
    ("mkdirat", 3, &["ENOSPC"]),
    ("open_tree", 2, &["EPERM", "ENOSYS", "EMFILE"]),
    ("move_mount", 4, &["EPERM", "ENOSPC"]),
    ("fsopen", 3, &["EPERM", "ENODEV", "ENOSYS"]),
    ("fsconfig", 3, &["EPERM", "EINVAL"]),
    ("fsmount", 3, &["EPERM", "ENOMEM"]),
    ("mount_setattr", 3, &["EPERM", "ENOSYS"]),
    ("openat2", 6, &["EPERM", "EMFILE", "ENOSYS"]),
    ("openat", 20, &["EMFILE"]),
    ("write", 4, &["ENOSPC", "EIO"]),
    ("renameat", 2, &["ENOSPC"]),
    ("mknodat", 2, &["EPERM", "ENOSPC"]),
    ("symlinkat", 2, &["EPERM", "ENOSPC"]),
    ("pivot_root", 1, &["EPERM", "EINVAL"]),
    ("umount2", 1, &["EPERM", "EBUSY"]),
    ("setsid", 1, &["EPERM"]),
    ("sethostname", 1, &["EPERM"]),
    ("setresuid", 1, &["EPERM", "EAGAIN"]),
    ("setresgid", 1, &["EPERM"]),
    ("setgroups", 1, &["EPERM"]),
    ("capset", 1, &["EPERM"]),
    ("prctl", 8, &["EINVAL"]),
    ("seccomp", 1, &["ENOMEM"]),
    ("close_range", 1, &["EPERM", "ENOSYS"]),
    ("recvmsg", 2, &["EPERM", "ECONNRESET"]),
    ("flock", 1, &["ENOLCK"]),
    ("execve", 1, &["ENOMEM"]),
];

/// Calls that a signal may interrupt, and that are made again then.
const INTERRUPTED: &[(&str, usize)] =
    &[("recvmsg", 2), ("read", 12), ("poll", 1), ("waitid", 1), ("write", 6), ("openat2", 2)];

/// zviz with these arguments, of whose calls the one that is meant does not get through.
fn with_fault(bundle: &Bundle, arguments: &[&str], call: &str, errno: &str, when: usize) -> Output {
    let zviz = bundle.command(arguments);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e"]);
    strace.arg(format!("inject={call}:error={errno}:when={when}")).arg(zviz.get_program()).args(zviz.get_args());
    strace.stdin(Stdio::null()).output().unwrap()
}

/// What it says in one line names more than the kernel's answer.
fn says_why(what: &str, output: &Output) {
    let error = String::from_utf8_lossy(&output.stderr);
    let words = error.strip_prefix("zviz: error: ").or(error.strip_prefix("zviz: ")).unwrap_or("");
    assert!(error.lines().count() == 1 && words.contains(": "), "{what}: {error:?}");
}

fn strace_is_there(test: &str) -> bool {
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
        for (errno, when) in errnos.iter().flat_map(|errno| (1..=*times).map(move |when| (errno, when))) {
            let output = run(call, errno, when);
            all += 1;
            if !output.status.success() {
                failed += 1;
                says_why(&format!("{call} {when} {errno}"), &output);
                bundle.zviz(&["delete", "--force", &bundle.name]);
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

/// What joins a container may fail as often as it likes: the container lives on.
#[test]
fn calls_of_exec_that_fail_leave_the_container() {
    if !strace_is_there("calls_of_exec_that_fail_leave_the_container") {
        return;
    }
    let Some(bundle) = bundle("execfault", &["sleep", "1000"]) else { return };
    bundle.create();
    bundle.ok(&["start", &bundle.name]);
    let calls: &[(&str, usize, &[&str])] = &[
        ("clone3", 2, &["EAGAIN", "ENOMEM"]),
        ("setns", 1, &["EPERM", "EINVAL"]),
        ("socketpair", 1, &["EMFILE"]),
        ("openat", 6, &["EMFILE"]),
        ("capset", 1, &["EPERM"]),
        ("setresuid", 1, &["EPERM"]),
        ("close_range", 1, &["ENOSYS"]),
        ("recvmsg", 2, &["ECONNRESET"]),
        ("execve", 2, &["ENOMEM"]),
    ];
    let mut failed = 0;
    for (call, times, errnos) in calls {
        for (errno, when) in errnos.iter().flat_map(|errno| (1..=*times).map(move |when| (errno, when))) {
            let output = with_fault(&bundle, &["exec", &bundle.name, "sleep", "0"], call, errno, when);
            if !output.status.success() {
                failed += 1;
                says_why(&format!("{call} {when} {errno}"), &output);
            }
        }
    }
    assert!(failed > calls.len(), "only {failed} failed");
    let wrong: &[(&[&str], &str)] = &[
        (&["exec", &bundle.name, "/nonexistent"], "/nonexistent"),
        (&["exec", "--cwd", "/bin/busybox", &bundle.name, "true"], "cwd"),
        (&["exec", "--user", "nobody-of-here", &bundle.name, "true"], "nobody-of-here"),
    ];
    for (arguments, words) in wrong {
        bundle.refused(arguments, words);
    }
    assert_eq!(
        bundle.ok(&["ps", "--format", "json", &bundle.name]).matches(',').count(),
        0,
        "only the payload is left"
    );
    assert_eq!(bundle.ok(&["exec", &bundle.name, "echo", "alive"]), "alive\n");
    bundle.ok(&["delete", "--force", &bundle.name]);
    bundle.leaves_nothing();
}

/// What cannot be taken away is told, and can be tried again.
#[test]
fn calls_of_delete_that_fail_can_be_tried_again() {
    if !strace_is_there("calls_of_delete_that_fail_can_be_tried_again") {
        return;
    }
    let Some(bundle) = bundle("delfault", &["sleep", "1000"]) else { return };
    for when in 1..=8 {
        bundle.create();
        let output = with_fault(&bundle, &["delete", "--force", &bundle.name], "unlinkat", "EPERM", when);
        if !output.status.success() {
            says_why(&format!("unlinkat {when}"), &output);
            bundle.ok(&["delete", "--force", &bundle.name]);
        }
        bundle.leaves_nothing();
    }
}
