//! CVE-2024-21626, CVE-2016-9962: descriptors of the runtime, or of its caller, as a way to the host's files.

use crate::support::{Bundle, bundle};
use serde_json::json;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

/// Runs a command with the host's root directory open as descriptor 3.
fn with_host_root(command: &Command) -> (bool, String) {
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec 3</; exec \"$@\" 2>&1", "sh"]).arg(command.get_program()).args(command.get_args());
    let output = shell.stdin(Stdio::null()).output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

fn run(bundle: &Bundle, more: &[&str]) -> Command {
    bundle.command(&[&["run", "--bundle", bundle.path()], more, &[&bundle.name]].concat())
}

/// A file that is on the host only, as seen from its root.
fn host_file(bundle: &Bundle) -> String {
    std::fs::write(bundle.file("marker"), "of the host").unwrap();
    bundle.file("marker").trim_start_matches('/').to_owned()
}

#[test]
fn cve_2024_21626_create() {
    let Some(bundle) = bundle("21626", &["true"]) else { return };
    let marker = host_file(&bundle);
    bundle.edit(|spec| spec["process"]["args"] = json!(["sh", "-c", format!("cat /proc/self/fd/3/{marker}")]));
    // Passed on because it was asked for, the descriptor is a way out: that is what the rest is about.
    assert_eq!(with_host_root(&run(&bundle, &["--preserve-fds", "1"])).1, "of the host", "control");
    let (worked, said) = with_host_root(&run(&bundle, &[]));
    assert!(!worked && said.contains("No such file"), "{said}");

    std::fs::create_dir_all(bundle.rootfs("proc")).unwrap();
    let by_path = "exec 3<..; mount -t proc proc proc
        exec chroot . /bin/busybox sh -c 'cd /proc/self/fd/3 && busybox cat marker'";
    assert_eq!(bundle.naive(by_path), "of the host", "control: one who has it open can stay in it");
    bundle.edit(|spec| spec["process"]["args"] = json!(["sh", "-c", "pwd; ls -d ."]));
    for fd in 3..24 {
        bundle.edit(|spec| spec["process"]["cwd"] = json!(format!("/proc/self/fd/{fd}")));
        let (worked, said) = with_host_root(&run(&bundle, &[]));
        assert!(!worked && said.contains("process.cwd: chdir to"), "{fd}: {said}");
    }
    // Nor where it is open inside because it was asked for, by its own name or by a link of the image's.
    std::os::unix::fs::symlink("/proc/self/fd/3", bundle.rootfs("work")).unwrap();
    for cwd in ["/proc/self/fd/3", "/proc/self/fd/3/..", "/proc/self/fd/3/tmp", "/work"] {
        bundle.edit(|spec| spec["process"]["cwd"] = json!(cwd));
        let (worked, said) = with_host_root(&run(&bundle, &["--preserve-fds", "1"]));
        assert!(!worked && said.contains("process.cwd"), "{cwd}: {said}");
    }
    bundle.leaves_nothing();
}

#[test]
fn cve_2024_21626_exec() {
    let Some(bundle) = bundle("21626x", &["sleep", "1000"]) else { return };
    let marker = host_file(&bundle);
    let id = bundle.name.as_str();
    bundle.create();
    bundle.ok(&["start", id]);
    let cat = format!("/proc/self/fd/3/{marker}");
    let preserved = bundle.command(&["exec", "--preserve-fds", "1", id, "cat", &cat]);
    assert_eq!(with_host_root(&preserved).1, "of the host", "control");
    let (worked, said) = with_host_root(&bundle.command(&["exec", id, "cat", &cat]));
    assert!(!worked && said.contains("No such file"), "{said}");
    for fd in 3..24 {
        let cwd = format!("/proc/self/fd/{fd}");
        let (worked, said) = with_host_root(&bundle.command(&["exec", "--cwd", &cwd, id, "true"]));
        assert!(!worked && said.contains("process.cwd: chdir to"), "{fd}: {said}");
    }
    // Where it is open inside because it was asked for, it can be entered, and is seen to lead out.
    for cwd in ["/proc/self/fd/3", "/proc/self/fd/3/tmp"] {
        let exec = bundle.command(&["exec", "--preserve-fds", "1", "--cwd", cwd, id, "true"]);
        let (worked, said) = with_host_root(&exec);
        assert!(!worked && said.contains("leads out of the container's root"), "{cwd}: {said}");
    }
    bundle.ok(&["delete", "--force", id]);
    bundle.leaves_nothing();
}

/// What the payload finds open, at create and exec.
#[test]
fn nothing_but_the_standard_streams_is_open() {
    let Some(bundle) = bundle("open", &["true"]) else { return };
    // The shell's own list has one more, which it reads the folder by.
    let list = "cd /proc/self/fd; echo *";
    bundle.edit(|spec| spec["process"]["args"] = json!(["sh", "-c", list]));
    let (_, said) = with_host_root(&run(&bundle, &[]));
    assert_eq!(said, "0 1 2 3\n");
    assert_eq!(with_host_root(&run(&bundle, &["--preserve-fds", "1"])).1, "0 1 2 3 4\n", "control");
    bundle.edit(|spec| spec["process"]["args"] = json!(["sleep", "1000"]));
    bundle.create();
    bundle.ok(&["start", &bundle.name]);
    let (_, said) = with_host_root(&bundle.command(&["exec", &bundle.name, "sh", "-c", list]));
    assert_eq!(said, "0 1 2 3\n");
    bundle.ok(&["delete", "--force", &bundle.name]);
    bundle.leaves_nothing();
}

/// CVE-2016-9962: init, while it waits for `start` with the payload's ids, next to a process that may trace those.
#[test]
fn a_waiting_init_is_out_of_reach() {
    let Some(bundle) = bundle("9962", &["sleep", "1000"]) else { return };
    let id = bundle.name.as_str();
    bundle.create();
    let look = "ls -l /proc/1/fd/ && cat /proc/1/environ >/dev/null && echo seen";
    std::os::unix::fs::symlink("busybox", bundle.rootfs("bin/ls")).unwrap();
    let said = bundle.zviz(&["exec", id, "sh", "-c", look]);
    assert!(!String::from_utf8(said.stdout).unwrap().contains("seen"));
    // And if somebody could: nothing there leads to the host.
    let pid = bundle.state()["pid"].to_string();
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let mut targets: Vec<String> =
        open.map(|fd| std::fs::read_link(fd.unwrap().path()).unwrap().to_string_lossy().into_owned()).collect();
    targets.retain(|target| target != "/dev/null" && !target.ends_with("/exec.fifo") && !target.starts_with("socket:"));
    assert!(targets.is_empty(), "{targets:?}");

    bundle.ok(&["start", id]);
    bundle.wait_for("running");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !String::from_utf8(bundle.zviz(&["exec", id, "sh", "-c", look]).stdout).unwrap().contains("seen") {
        assert!(std::time::Instant::now() < deadline, "control: the payload itself can be looked at");
    }
    bundle.ok(&["delete", "--force", id]);
    bundle.leaves_nothing();
}

/// A directory as standard input is a way out as good as any.
#[test]
fn a_directory_is_no_stream() {
    let Some(bundle) = bundle("dir", &["cat"]) else { return };
    std::fs::write(bundle.file("input"), "text").unwrap();
    let with = |input: &str| run(&bundle, &[]).stdin(File::open(input).unwrap()).output().unwrap();
    assert_eq!(with(&bundle.file("input")).stdout, b"text", "control");
    let output = with("/");
    assert!(!output.status.success());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("directory"), "{error}");
    bundle.leaves_nothing();
}

/// The state directory holds what `exec` and `delete` act on.
#[test]
fn others_may_not_enter_the_state() {
    let Some(bundle) = bundle("mode", &["sleep", "1000"]) else { return };
    bundle.create();
    let mode = |path: &str| std::fs::metadata(bundle.file(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&format!("root/{}", bundle.name)), 0o700);
    assert_eq!(mode(&format!("root/{}/state.json", bundle.name)), 0o600);
    bundle.ok(&["delete", "--force", &bundle.name]);
    bundle.leaves_nothing();
}
