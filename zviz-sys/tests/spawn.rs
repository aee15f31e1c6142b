//! Programs started in namespaces of a process that the test made with unshare(1).
#![allow(clippy::unwrap_used)] // a test may

use std::ffi::{CString, OsStr};
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};
use zviz_sys::exec::CStrArray;
use zviz_sys::spawn::{Failure, Image, Program, Step, spawn};
use zviz_sys::wait::Exit;
use zviz_sys::{Errno, path, process};

fn array(strings: &[&str]) -> CStrArray {
    CStrArray::new(strings.iter().map(|s| CString::new(*s).unwrap()).collect())
}

/// Runs `sh -c script`, and gives its output and end.
fn sh(script: &str, join: &[(BorrowedFd<'_>, u64)]) -> (String, Exit) {
    let null = std::fs::File::open("/dev/null").unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let child = spawn(&Program {
        image: Image::Path(c"/bin/sh"),
        argv: &array(&["sh", "-c", script]),
        env: &array(&["PATH=/usr/bin:/bin", "ONLY=this"]),
        stdio: [null.as_fd(), writer.as_fd(), writer.as_fd()],
        join,
        root: None,
        cwd: Some(c"/usr"),
        cgroup: None,
        tasks: &[],
        stays: false,
        confine: None,
    })
    .unwrap();
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    (text, child.wait().unwrap())
}

#[test]
fn a_program_gets_exactly_what_it_was_given() {
    let held = std::fs::File::open("/").unwrap();
    nix::fcntl::fcntl(&held, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
    let (text, exit) =
        sh("pwd; /usr/bin/env; for fd in /proc/$$/fd/*; do [ -e $fd ] && echo ${fd##*/}; done; exit 7", &[]);
    drop(held);
    assert_eq!(exit, Exit::Code(7));
    // The shell's own descriptor of the listing is closed when the loop asks for it.
    let lines: Vec<_> = text.lines().filter(|l| !l.starts_with("_=")).collect();
    assert_eq!(lines, ["/usr", "PATH=/usr/bin:/bin", "ONLY=this", "PWD=/usr", "0", "1", "2"]);
}

#[test]
fn a_failure_has_its_step() {
    let null = std::fs::File::open("/dev/null").unwrap();
    let mut program = Program {
        image: Image::Path(c"/nonexistent"),
        argv: &array(&["x"]),
        env: &array(&[]),
        stdio: [null.as_fd(); 3],
        join: &[],
        root: None,
        cwd: None,
        cgroup: None,
        tasks: &[],
        stays: false,
        confine: None,
    };
    let failure = spawn(&program).unwrap_err();
    assert_eq!(failure, Failure { step: Step::Exec, errno: Errno::ENOENT });
    assert_eq!(failure.to_string(), "execute: No such file or directory");
    program.cwd = Some(c"/nonexistent");
    assert_eq!(spawn(&program).unwrap_err().step, Step::WorkingDirectory);
    program.cwd = None;
    program.confine = Some(&|| Err(Errno::EPERM));
    assert_eq!(spawn(&program).unwrap_err(), Failure { step: Step::Confine, errno: Errno::EPERM });
    program.join = &[];
    let joins = [(null.as_fd(), libc::CLONE_NEWPID as u64)];
    program.join = &joins;
    assert_eq!(spawn(&program).unwrap_err(), Failure { step: Step::Join, errno: Errno::EINVAL });
}

#[test]
fn a_script_opened_beforehand_keeps_its_name() {
    let script = std::env::temp_dir().join(format!("zviz-script-{}", std::process::id()));
    // Written by another process: a descriptor open for writing in a fork of this one would make exec say ETXTBSY.
    let written = Command::new("sh")
        .args(["-c", r#"printf '#!/bin/sh\necho "$0 $1"\n' > "$1" && chmod 755 "$1""#, "sh"])
        .arg(&script)
        .status()
        .unwrap();
    assert!(written.success());
    let name = CString::new(script.as_os_str().as_bytes()).unwrap();
    let file = path::open_path(&name, 0).unwrap();
    let run = |path: &std::ffi::CStr, file: &OwnedFd| {
        let null = std::fs::File::open("/dev/null").unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        let child = spawn(&Program {
            image: Image::Opened { file: file.as_fd(), path },
            argv: &array(&["anything", "argument"]),
            env: &array(&[]),
            stdio: [null.as_fd(), writer.as_fd(), writer.as_fd()],
            join: &[],
            root: None,
            cwd: None,
            cgroup: None,
            tasks: &[],
            stays: false,
            confine: None,
        })
        .unwrap();
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(child.wait().unwrap(), Exit::Code(0));
        text
    };
    assert_eq!(run(&name, &file), format!("{} argument\n", script.display()));
    // Where the path leads elsewhere, the opened file runs, not the other.
    let text = run(c"/bin/false", &file);
    assert!(text.starts_with("/dev/fd/") && text.ends_with(" argument\n"), "{text}");
    std::fs::remove_file(OsStr::from_bytes(name.as_bytes())).unwrap();
}

#[test]
fn namespaces_of_a_container_are_entered() {
    let mut holder = Command::new("unshare")
        .args(["--user", "--map-root-user", "--pid", "--mount", "--uts", "--fork", "--kill-child", "--mount-proc"])
        .args(["sh", "-c", "hostname inside-it 2>/dev/null; echo $$; exec sleep 60"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
    if line.is_empty() {
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            b"SKIP namespaces_of_a_container_are_entered: unshare(1) cannot make a user namespace here\n",
        );
        holder.wait().unwrap();
        return;
    }
    // unshare forks: the namespaces are those of its child.
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", holder.id())).unwrap();
    let inside = process::pidfd_open(children.trim().parse().unwrap()).unwrap();
    let which = libc::CLONE_NEWUSER | libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_NEWUTS;
    let before = std::fs::read_link("/proc/self/ns/pid_for_children").unwrap();
    let join = [(inside.as_fd(), which as u64)];
    let (text, exit) = sh("echo $$; id -u; readlink /proc/self/ns/pid; kill -0 1 && echo sees-init", &join);
    let theirs = std::fs::read_link(format!("/proc/{}/ns/pid", children.trim())).unwrap();
    assert_eq!(exit, Exit::Code(0));
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].parse::<i32>().unwrap() < 20, "a pid of the new namespace: {text}");
    assert_eq!(lines[1..], ["0", theirs.to_str().unwrap(), "sees-init"]);
    assert_eq!(std::fs::read_link("/proc/self/ns/pid_for_children").unwrap(), before);

    // A failure after the second clone is told as well, and nothing is left.
    let null = std::fs::File::open("/dev/null").unwrap();
    let failure = spawn(&Program {
        image: Image::Path(c"/nonexistent"),
        argv: &array(&["x"]),
        env: &array(&[]),
        stdio: [null.as_fd(); 3],
        join: &join,
        root: None,
        cwd: None,
        cgroup: None,
        tasks: &[],
        stays: false,
        confine: None,
    });
    assert_eq!(failure.unwrap_err().step, Step::Exec);
    holder.kill().unwrap();
    holder.wait().unwrap();
}
