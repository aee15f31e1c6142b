//! What a command under plain `zviz run --` may and may not do, as root and as an ordinary user. Each refusal has a
//! control beside it that shows that the same thing works where it is allowed.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod callers;
mod support;

use callers::Caller;
use std::fs;
use std::net::TcpListener;
use std::os::linux::fs::MetadataExt;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::Command;
use std::time::{Duration, Instant};
use support::skip;

fn each(test: &str, check: impl Fn(&Caller)) {
    if !nix::unistd::geteuid().is_root() {
        return skip(test, "needs root, to make a user");
    }
    for caller in Caller::both() {
        check(&caller);
        assert_eq!(caller.left(), [""; 0], "as {}: something is left behind", caller.name());
    }
}

/// The command fails, and the same outside works.
fn refused_inside(caller: &Caller, script: &str) {
    let inside = caller.run(&[], &["sh", "-c", script]);
    assert!(!inside.status.success(), "as {}: {script} worked", caller.name());
}

#[test]
fn rights_are_gone() {
    each("rights_are_gone", |caller| {
        let status = caller.says(&[], "cat /proc/self/status");
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().to_owned()
        };
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(field(set), "0000000000000000", "as {}: {set}", caller.name());
        }
        assert_eq!(field("NoNewPrivs"), "1");
        assert_eq!(field("Seccomp"), "2");
        for script in [
            "unshare --user true",
            "unshare --net true",
            "mount -t tmpfs none /tmp",
            "umount /proc/interrupts",
            "mount -o remount,rw /usr",
            "chroot / true",
            "mknod /tmp/null c 1 3",
            "hostname other",
            "nsenter --target 1 --mount true",
            "echo 1 > /proc/sys/kernel/printk",
            "echo c > /proc/sysrq-trigger",
            "test -s /proc/interrupts",
            "test -r /dev/mem",
        ] {
            refused_inside(caller, script);
        }
    });
}

#[test]
fn only_the_current_folder_is_written() {
    each("only_the_current_folder_is_written", |caller| {
        caller.says(&[], "echo text > file; mkdir folder; chmod 700 folder");
        let file = fs::metadata(caller.work.join("file")).unwrap();
        assert_eq!((file.st_uid(), file.st_gid()), caller.ids(), "the owner on the host is the caller");
        let x = format!("zviz-test-{}", std::process::id());
        caller.says(&[], &format!("touch /tmp/{x} /var/tmp/{x} /dev/shm/{x} $HOME/{x}"));
        for folder in ["/", "/usr", "/etc", "/opt", "/usr/local/bin", "/var", "/proc/sys"] {
            refused_inside(caller, &format!("touch {folder}/zviz-test"));
        }
        caller.says(&[], "touch ../beside");
        assert!(!caller.place.path().join("beside").exists(), "the folder around is another one");
        assert!(!caller.home.join(&x).exists() && !fs::exists(format!("/tmp/{x}")).unwrap());
    });
}

#[test]
fn the_host_is_not_seen() {
    each("the_host_is_not_seen", |caller| {
        let secret = caller.place.path().join("secret");
        fs::write(&secret, "secret").unwrap();
        fs::write(caller.home.join("secret"), "secret").unwrap();
        assert_eq!(caller.program("cat").arg(&secret).output().unwrap().stdout, b"secret");
        refused_inside(caller, &format!("cat {}", secret.display()));
        refused_inside(caller, "cat $HOME/secret");
        refused_inside(caller, "cat /etc/shadow");
        refused_inside(caller, "cat /etc/gshadow");
        assert_eq!(caller.says(&[], "ls -A /run /tmp /dev/shm $HOME | grep -v : | xargs"), work_in_tmp(caller));
        assert_eq!(caller.says(&[], "ls -d /root /var/lib /sys /boot /srv 2>/dev/null || true"), "");
        // Alone: process 1, the shell, ps.
        assert!(caller.says(&[], "ls -d /proc/[0-9]* | wc -l").parse::<u32>().unwrap() <= 4);
        let host = std::process::id();
        refused_inside(caller, &format!("test -d /proc/{host}/root && kill -0 {host}"));
        refused_inside(caller, "cat /proc/1/environ");
        refused_inside(caller, "ls /proc/1/fd/0");
        assert_eq!(caller.says(&[], "hostname"), "localhost");
    });
}

/// The folder that the current one is in shows in /tmp, where the tests' folders are.
fn work_in_tmp(caller: &Caller) -> String {
    let name = caller.place.path().file_name().unwrap().to_str().unwrap();
    assert!(caller.place.path().starts_with("/tmp"));
    name.to_owned()
}

#[test]
fn the_environment_is_clean() {
    each("the_environment_is_clean", |caller| {
        let mut command = caller.sandbox(&["--env", "GIVEN=1", "--env", "KEPT"], &["env"]);
        command.env("SECRET", "s").env("KEPT", "2").env("LD_PRELOAD", "/nonexistent").env("LC_TIME", "C");
        let output = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let mut names: Vec<&str> = output.lines().map(|line| line.split('=').next().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(names, ["GIVEN", "HOME", "KEPT", "LANG", "LC_TIME", "PATH", "SHELL", "TERM", "USER"]);
    });
}

#[test]
fn the_network_is_its_own() {
    each("the_network_is_its_own", |caller| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let name = format!("zviz-test-{port}");
        let abstract_listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let tcp = format!("import socket; socket.create_connection(('127.0.0.1', {port}), 5)");
        let local = format!("import socket; socket.socket(socket.AF_UNIX).connect('\\0{name}')");
        assert_eq!(caller.says(&[], "ls /proc/sys/net/ipv4/conf | xargs"), "all default lo");
        if support::missing(&["python3"]).is_some() {
            return skip("the_network_is_its_own", "python3 is not installed");
        }
        for code in [&tcp, &local] {
            assert!(caller.program("python3").args(["-c", code]).status().unwrap().success(), "control");
            assert!(!caller.run(&[], &["python3", "-c", code]).status.success(), "{code}");
        }
        assert!(caller.run(&["--net", "host"], &["python3", "-c", &tcp]).status.success());
        // With the network shared, Landlock's scope keeps abstract names apart all the same.
        let shared = caller.run(&["--net", "host"], &["python3", "-c", &local]);
        if zviz_sys::landlock::abi() >= 6 {
            assert!(!shared.status.success(), "an abstract socket of the host was reached");
        }
        drop((listener, abstract_listener));
    });
}

#[test]
fn descriptors_stay_outside() {
    each("descriptors_stay_outside", |caller| {
        let zviz = caller.sandbox(&[], &["ls", "-l", "/proc/self/fd"]);
        let mut shell = caller.program("sh");
        shell.args(["-c", "exec 7</etc 9</etc/passwd; \"$@\"", "sh"]).arg(zviz.get_program()).args(zviz.get_args());
        let listed = String::from_utf8(shell.output().unwrap().stdout).unwrap();
        assert!(listed.contains("0 -> "), "{listed}");
        assert!(!listed.contains("/etc"), "{listed}");
    });
}

#[test]
fn files_of_the_system_are_not_cut() {
    each("files_of_the_system_are_not_cut", |caller| {
        // By its path, where the mount is read-only, and by a descriptor that leads around that mount.
        let file = tempfile::Builder::new().prefix("zviz-test-").tempfile_in("/usr/local").unwrap();
        fs::write(&file, "text").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let path = file.path().to_str().unwrap();
        let cut = format!(
            "import os, sys\nfor path in '/proc/self/fd/0', '{path}':\n  for cut in os.truncate, \
             lambda path, _: os.open(path, os.O_TRUNC):\n    try: cut(path, 0)\n    except OSError as e: print(e.errno)"
        );
        let mut inside = caller.sandbox(&[], &["python3", "-c", &cut]);
        let output = inside.stdin(fs::File::open(&file).unwrap()).output().unwrap();
        let (access, read_only) = (nix::libc::EACCES, nix::libc::EROFS);
        // Kernels differ in which they look at first where both keep it: the mount or the file's mode.
        let said = [access, read_only].map(|by_path| format!("{access}\n{access}\n{by_path}\n{read_only}\n"));
        let output = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains(&output), "as {}: {output}", caller.name());
        assert_eq!(fs::read(&file).unwrap(), b"text");
    });
}

#[test]
fn everything_ends_with_the_command() {
    each("everything_ends_with_the_command", |caller| {
        let marker = format!("9{}", std::process::id());
        let running =
            || !Command::new("pgrep").args(["-xf", &format!("sleep {marker}")]).output().unwrap().stdout.is_empty();
        caller.says(&[], &format!("setsid sleep {marker} & sleep 0.1"));
        assert!(!running(), "a process outlived the command");

        let mut zviz = caller.sandbox(&[], &["sh", "-c", &format!("sleep {marker} & wait")]).spawn().unwrap();
        wait_for("the sandbox", running);
        zviz.kill().unwrap();
        zviz.wait().unwrap();
        wait_for("its end", || !running());
        let left = caller.left();
        assert_eq!(left.len(), 1, "what a killed zviz leaves, delete removes");
        let mut delete = caller.program(caller.place.path().join("zviz"));
        assert!(
            delete.arg("--root").arg(caller.state()).args(["delete", "--force", &left[0]]).status().unwrap().success()
        );
    });
}

fn wait_for(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < end, "{what} was waited for in vain");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn doctor_agrees() {
    each("doctor_agrees", |caller| {
        let mut doctor = caller.program(caller.place.path().join("zviz"));
        let output = doctor.arg("--root").arg(caller.state()).args(["doctor", "--json"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["works"], true);
    });
}
