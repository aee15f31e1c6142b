//! Commands on a container of whose system calls one fails: the container is as it was, or can be deleted.

use crate::calls::{says_why, strace_is_there, with_fault};
use crate::support::bundle;

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
        ("setns", 5, &["EPERM", "EINVAL"]),
        ("read", 16, &["EIO"]),
        ("write", 2, &["ENOSPC"]),
        ("waitid", 2, &["ECHILD"]),
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

/// What cannot be read or taken away is told, and can be tried again: nothing is forgotten that may still be there.
#[test]
fn calls_of_delete_that_fail_can_be_tried_again() {
    if !strace_is_there("calls_of_delete_that_fail_can_be_tried_again") {
        return;
    }
    let Some(bundle) = bundle("delfault", &["sleep", "1000"]) else { return };
    let calls: &[(&str, usize, &str)] = &[
        ("unlinkat", 12, "EPERM"),
        ("openat", 5, "EMFILE"),
        ("read", 6, "EIO"),
        ("flock", 1, "ENOLCK"),
        ("pidfd_open", 1, "ENOSYS"),
        ("pidfd_send_signal", 1, "EPERM"),
        ("poll", 2, "ENOMEM"),
        ("rmdir", 4, "EBUSY"),
    ];
    let mut failed = 0;
    for (call, when, errno) in calls.iter().flat_map(|(call, times, errno)| (1..=*times).map(move |n| (call, n, errno)))
    {
        bundle.create();
        let output = with_fault(&bundle, &["delete", "--force", &bundle.name], call, errno, when);
        if !output.status.success() {
            failed += 1;
            says_why(&format!("{call} {when} {errno}"), &output);
            bundle.ok(&["delete", "--force", &bundle.name]);
        }
        bundle.leaves_nothing();
    }
    assert!(failed > calls.len(), "only {failed} failed");
}

/// It may be tried again, or deleted.
#[test]
fn calls_of_start_that_fail_leave_a_container_to_delete() {
    if !strace_is_there("calls_of_start_that_fail_leave_a_container_to_delete") {
        return;
    }
    let Some(bundle) = bundle("startfault", &["sleep", "1000"]) else { return };
    let calls: &[(&str, usize, &str)] = &[
        ("openat", 17, "EMFILE"),
        ("read", 13, "EIO"),
        ("flock", 1, "ENOLCK"),
        ("uname", 1, "EPERM"),
        ("capget", 1, "EPERM"),
        ("pidfd_open", 1, "ENOSYS"),
        ("unlinkat", 1, "EPERM"),
        ("write", 1, "ENOSPC"),
    ];
    let mut failed = 0;
    for (call, when, errno) in calls.iter().flat_map(|(call, times, errno)| (1..=*times).map(move |n| (call, n, errno)))
    {
        bundle.create();
        let output = with_fault(&bundle, &["start", &bundle.name], call, errno, when);
        let what = format!("{call} {when} {errno}");
        if !output.status.success() {
            failed += 1;
            says_why(&what, &output);
            // What init was told, or its end, cannot be taken back.
            if bundle.state()["status"] == "created" {
                bundle.ok(&["start", &bundle.name]);
            }
        }
        bundle.ok(&["delete", "--force", &bundle.name]);
        bundle.leaves_nothing();
    }
    assert!(failed > calls.len(), "only {failed} failed");
}

#[test]
fn interrupted_calls_of_commands_are_made_again() {
    if !strace_is_there("interrupted_calls_of_commands_are_made_again") {
        return;
    }
    let Some(bundle) = bundle("eintrcmd", &["sleep", "1000"]) else { return };
    let calls = [("flock", 1), ("read", 20), ("recvmsg", 3), ("waitid", 2), ("poll", 2), ("write", 4)];
    for (call, when) in calls.iter().flat_map(|(call, times)| (1..=*times).map(move |n| (call, n))) {
        bundle.create();
        for arguments in
            [&["start", &bundle.name][..], &["exec", &bundle.name, "true"], &["delete", "--force", &bundle.name]]
        {
            let output = with_fault(&bundle, arguments, call, "EINTR", when);
            assert!(output.status.success(), "{call} {when} of {arguments:?}: {output:?}");
        }
        bundle.leaves_nothing();
    }
}
