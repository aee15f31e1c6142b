//! Real hooks: what they get, and what is said when they fail.
#![allow(clippy::unwrap_used)] // a test may

use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use zviz_runtime::apply::hooks::{Fault, HookError, Inside, Kind, Within, run};
use zviz_runtime::plan::Hook;
use zviz_sys::Errno;
use zviz_sys::wait::Exit;

fn sh(script: &str) -> Hook {
    Hook { path: "/bin/sh".into(), args: vec!["named".into(), "-c".into(), script.into()], env: vec![], timeout: None }
}

/// A process that ends with the test, whatever its outcome.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run_here(hooks: &[Hook], state: &[u8]) -> Result<(), HookError> {
    run(Kind::CreateRuntime, hooks, state, &Within::Runtime { cwd: Some(Path::new("/usr")) })
}

#[test]
fn a_hook_gets_the_state_its_arguments_and_nothing_else() {
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    let script = "{ cat; pwd; tr '\\0' ' ' </proc/$$/cmdline | cut -c1-8; /usr/bin/env; } >";
    let mut hook = sh(&format!("{script}{}", out.display()));
    hook.env = vec!["KEY=value".into(), "PATH=/usr/bin:/bin".into()];
    run_here(&[hook], b"{\"id\":\"c\"}\n").unwrap();
    let text = std::fs::read_to_string(out).unwrap();
    let mut lines: Vec<_> = text.lines().filter(|line| !line.starts_with("_=")).collect();
    lines[3..].sort_unstable();
    assert_eq!(lines, ["{\"id\":\"c\"}", "/usr", "named -c", "KEY=value", "PATH=/usr/bin:/bin", "PWD=/usr"]);
}

#[test]
fn an_empty_argv_is_the_path() {
    run_here(&[Hook { path: "/bin/true".into(), args: vec![], env: vec![], timeout: None }], b"{}").unwrap();
}

#[test]
fn a_hook_that_does_not_read_a_large_state_is_no_trouble() {
    let state = vec![b'x'; 4 << 20];
    let whole = sh("cat /dev/stdin | wc -c | grep -qx 4194304");
    run_here(&[sh("exec <&-; exit 0"), sh("exit 0"), sh("head -c 1 >/dev/null"), whole], &state).unwrap();
}

#[test]
fn a_hook_cannot_change_the_state() {
    run_here(&[sh("echo other >/proc/self/fd/0 2>/dev/null && exit 1; exit 0")], b"{}").unwrap();
}

#[test]
fn the_first_failure_is_named_and_ends_the_list() {
    let scratch = tempfile::tempdir().unwrap();
    let never = scratch.path().join("never");
    let third = sh(&format!("touch {}", never.display()));
    let hooks = [sh("exit 0"), sh("echo unheard; printf 'no \\033[31mroute\\n' >&2; exit 3"), third];
    let error = run_here(&hooks, b"{}").unwrap_err();
    assert_eq!((error.kind, error.index, error.fault), (Kind::CreateRuntime, 1, Fault::Ended(Exit::Code(3))));
    assert_eq!(error.to_string(), "hooks.createRuntime[1]: /bin/sh: exit status 3: no \\u{1b}[31mroute");
    assert!(!never.exists());
}

#[test]
fn signals_and_missing_files_are_told_apart() {
    let error = run_here(&[sh("echo from-output; kill -9 $$")], b"{}").unwrap_err();
    assert_eq!(error.to_string(), "hooks.createRuntime[0]: /bin/sh: killed by SIGKILL: from-output");
    let missing = Hook { path: "/nonexistent/hook".into(), args: vec![], env: vec![], timeout: None };
    let error = run_here(std::slice::from_ref(&missing), b"{}").unwrap_err();
    assert_eq!(error.to_string(), "hooks.createRuntime[0]: /nonexistent/hook: execute: No such file or directory");
    let within = Within::Container(Inside::default());
    let error = run(Kind::CreateContainer, &[missing], b"{}", &within).unwrap_err();
    assert_eq!(error.fault, Fault::Open(Errno::ENOENT));
    let nul = Hook { path: "/bin/true".into(), args: vec!["a\0b".into()], env: vec![], timeout: None };
    assert_eq!(run_here(&[nul], b"{}").unwrap_err().fault, Fault::Nul);
}

#[test]
fn only_the_end_of_much_output_is_kept() {
    let error =
        run_here(&[sh("head -c 3000000 /dev/zero | tr '\\0' 'a' >&2; echo end >&2; exit 1")], b"{}").unwrap_err();
    assert!(error.said.len() <= 4096 && error.said.ends_with("aaaend"), "{} bytes", error.said.len());
}

#[test]
fn a_hanging_hook_is_killed_with_its_children() {
    let scratch = tempfile::tempdir().unwrap();
    let pid = scratch.path().join("pid");
    let mut hook = sh(&format!("sleep 300 & echo $! >{}; echo waiting >&2; wait", pid.display()));
    hook.timeout = Some(1);
    let start = Instant::now();
    let error = run_here(&[hook], b"{}").unwrap_err();
    assert!(start.elapsed() >= Duration::from_secs(1) && start.elapsed() < Duration::from_secs(20));
    assert_eq!(error.to_string(), "hooks.createRuntime[0]: /bin/sh: killed after its timeout of 1 s: waiting");
    let pid = std::fs::read_to_string(pid).unwrap();
    let gone = || match std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())) {
        Ok(stat) => stat.contains(") Z"),
        Err(_) => true,
    };
    while !gone() {
        assert!(start.elapsed() < Duration::from_secs(20), "its child goes on");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_child_left_behind_holds_nothing_up() {
    let start = Instant::now();
    run_here(&[sh("sleep 20 & exit 0")], b"{}").unwrap();
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn container_hooks_run_in_its_namespaces() {
    let scratch = tempfile::tempdir().unwrap();
    // Inside, the scratch directory is another file system: a path below it leads elsewhere than outside.
    let holder = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "--uts", "--pid", "--fork", "--kill-child"])
        .args(["sh", "-c", "mount -t tmpfs t \"$1\" && echo ready && exec sleep 60", "sh"])
        .arg(scratch.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut holder = Ended(holder);
    let out = scratch.path().join("out");
    let copied = scratch.path().join("true");
    assert!(Command::new("cp").args(["/bin/true", copied.to_str().unwrap()]).status().unwrap().success());
    let mut line = String::new();
    BufReader::new(holder.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    if line.is_empty() {
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            b"SKIP hooks: unshare(1) cannot make a user namespace here\n",
        );
        return;
    }
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", holder.0.id())).unwrap();
    let inside = zviz_sys::process::pidfd_open(children.trim().parse().unwrap()).unwrap();
    let which = libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWUTS | libc::CLONE_NEWPID;
    let join = [(inside.as_fd(), which as u64)];
    let within = || Within::Container(Inside { join: &join, cwd: Some(scratch.path()), ..Inside::default() });

    let hook = sh("cat >out && test $$ -lt 100 && pwd >>out");
    run(Kind::CreateContainer, &[hook], b"{}", &within()).unwrap();
    assert!(!out.exists(), "written outside");
    run(Kind::StartContainer, &[sh("test -s out")], b"{}", &within()).unwrap();

    // A path of the runtime is not there inside: createContainer finds it, startContainer does not.
    let hook = Hook { path: copied.to_str().unwrap().into(), args: vec![], env: vec![], timeout: None };
    run(Kind::CreateContainer, std::slice::from_ref(&hook), b"{}", &within()).unwrap();
    let error = run(Kind::StartContainer, &[hook], b"{}", &within()).unwrap_err();
    assert!(matches!(error.fault, Fault::Start(failure) if failure.errno == Errno::ENOENT), "{error}");
}
