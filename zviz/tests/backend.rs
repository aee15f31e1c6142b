//! `zviz run --backend landlock`: what is kept without namespaces, as root and as an ordinary user. Each attack works outside, which
//! is shown beside it.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod callers;
mod support;

use callers::Caller;
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{program, skip};

const FLAG: [&str; 2] = ["--backend", "landlock"];

fn each(test: &str, check: impl Fn(&Caller)) {
    if !nix::unistd::geteuid().is_root() {
        return skip(test, "needs root, to make a user");
    }
    if abi() == 0 {
        return skip(test, "this kernel has no Landlock");
    }
    for caller in Caller::both() {
        check(&caller);
        assert_eq!(caller.left(), [""; 0], "as {}: something is left behind", caller.name());
        assert_eq!(folders(&caller), [""; 0], "as {}: a temporary folder is left behind", caller.name());
    }
}

fn abi() -> u32 {
    zviz_runtime::Host::probe().unwrap().landlock_abi
}

/// What is in the folder that private ones are made in. `TMPDIR` of the callers is not set: those of others are there too.
fn folders(caller: &Caller) -> Vec<String> {
    let records = caller.state().join(".temporary");
    let entries = fs::read_dir(records).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

fn inside(caller: &Caller, flags: &[&str], script: &str) -> (i32, String) {
    let output = caller.run(&[&FLAG, flags].concat(), &["sh", "-c", script]);
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).trim().to_owned())
}

/// It works outside, as the same caller, and not inside.
fn kept(caller: &Caller, script: &str) {
    let outside = caller.program("sh").args(["-c", script]).output().unwrap();
    assert!(outside.status.success(), "as {}: the control: {script}: {outside:?}", caller.name());
    let (code, said) = inside(caller, &[], script);
    assert!(!said.contains("zviz: error") && code != 0 && code != 125, "as {}: {script} worked: {said}", caller.name());
}

fn wait_for(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < end, "{what} was waited for in vain");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn runs(marker: &str) -> bool {
    !Command::new("pgrep").args(["-xf", &format!("sleep {marker}")]).output().unwrap().stdout.is_empty()
}

/// A process of the caller's, outside.
struct Outside(Child);

impl Outside {
    fn new(caller: &Caller) -> Outside {
        let mut sleep = caller.program("sleep");
        Outside(sleep.arg("600").env("ZVIZ_TEST", "word").stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn work_is_done() {
    each("work_is_done", |caller| {
        let script = "set -eu; echo text > file; mkdir folder; mv file folder; cat folder/file; cp /bin/true here; ./here; \
                      echo x > $TMPDIR/x; cat $HOME/x; umask; sh -c 'exit 3' || echo $?; test -z \"${SECRET-}\"";
        let mut command = caller.sandbox(&FLAG, &["sh", "-c", script]);
        let output = command.env("SECRET", "s").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said, "text\nx\n0022\n3\n", "as {}: {output:?}", caller.name());
        assert_eq!(fs::read_to_string(caller.work.join("folder/file")).unwrap(), "text\n");
        assert_eq!(inside(caller, &[], "exit 5").0, 5);
        assert_eq!(inside(caller, &[], "kill -TERM $$").0, 143);
        assert_eq!(caller.run(&FLAG, &["nothing-here"]).status.code(), Some(127));
        let (_, status) = inside(caller, &[], "cat /proc/self/status");
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(field(set), "0000000000000000", "as {}: {set}", caller.name());
        }
        assert_eq!([field("NoNewPrivs:"), field("Seccomp:")], ["1", "2"]);
    });
}

#[test]
fn files_are_kept() {
    each("files_are_kept", |caller| {
        let beside = caller.place.path().join("beside");
        fs::create_dir(&beside).unwrap();
        let (uid, gid) = caller.ids();
        std::os::unix::fs::chown(&beside, Some(uid), Some(gid)).unwrap();
        let beside = beside.display();
        kept(caller, &format!("echo secret > {beside}/secret"));
        fs::write(caller.home.join("secret"), "secret").unwrap();
        kept(caller, &format!("cat {}/secret", caller.home.display()));
        for script in [
            format!("cat {beside}/secret"),
            format!("ls {beside}"),
            format!("cat < {beside}/../beside/secret"),
            format!("ln -s {beside}/secret link; cat link && rm link"),
            format!("ln {beside}/secret hard && rm hard"),
            format!("mv {beside}/secret . && mv secret {beside}"),
            format!("echo more >> {beside}/secret"),
            format!("truncate -s 1 {beside}/secret && echo secret > {beside}/secret"),
            format!("mkdir {beside}/folder && rmdir {beside}/folder"),
            format!("cp /bin/true {beside}/program && {beside}/program"),
            "ls /".to_owned(),
            "ls /tmp".to_owned(),
            "touch /dev/shm/zviz-test && rm /dev/shm/zviz-test".to_owned(),
            "echo x | tee /proc/self/comm > /dev/null".to_owned(),
            "exec 3<>/dev/ptmx".to_owned(),
        ] {
            kept(caller, &script);
        }
        if caller.root {
            for script in [
                "cat /etc/shadow",
                "ls /root",
                "head -c1 /proc/sysrq-trigger; test -w /proc/sys/kernel/printk && \
                cat /proc/sys/kernel/printk > /proc/sys/kernel/printk",
                "touch /etc/zviz-test && rm /etc/zviz-test",
            ] {
                kept(caller, script);
            }
        }
        let shared = format!("--ro={beside}");
        assert_eq!(inside(caller, &[&shared], &format!("cat {beside}/secret")), (0, "secret".into()));
        assert_ne!(inside(caller, &[&shared], &format!("touch {beside}/x")).0, 0);
        assert_eq!(inside(caller, &[&format!("--rw={beside}")], &format!("touch {beside}/x")).0, 0);
    });
}

#[test]
fn the_network_is_kept() {
    if program("python3").is_none() {
        return skip("the_network_is_kept", "python3 is not installed");
    }
    each("the_network_is_kept", |caller| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let packets = UdpSocket::bind("127.0.0.1:0").unwrap();
        let packet_port = packets.local_addr().unwrap().port();
        let name = format!("zviz-test-{}", std::process::id());
        let _abstract = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let path = caller.work.join("socket");
        let _bound = UnixListener::bind(&path).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let python = |text: &str| format!("python3 -c 'from socket import *; {text}'");
        let tcp = python(&format!("create_connection((\"127.0.0.1\", {port}), 30)"));
        for script in [
            tcp.clone(),
            python(&format!("socket(AF_INET, SOCK_DGRAM).sendto(b\"x\", (\"127.0.0.1\", {packet_port}))")),
            python("socket(AF_INET6, SOCK_STREAM)"),
            python(&format!("socket(AF_UNIX).connect(\"\\0{name}\")")),
            python("socket(AF_UNIX).connect(\"socket\")"),
            python("socket(AF_NETLINK, SOCK_RAW, 0)"),
        ] {
            kept(caller, &script);
        }
        assert_eq!(inside(caller, &[], &python("a, b = socketpair(); a.send(b\"x\")")).0, 0);
        let host = |script: &str| inside(caller, &["--net", "host"], script);
        assert_eq!(host(&tcp).0, 0, "{:?}", host(&tcp));
        assert_ne!(host(&python(&format!("socket(AF_UNIX).connect(\"\\0{name}\")"))).0, 0);
        fs::remove_file(path).unwrap();
    });
}

#[test]
fn other_processes_are_kept() {
    if program("python3").is_none() {
        return skip("other_processes_are_kept", "python3 is not installed");
    }
    each("other_processes_are_kept", |caller| {
        let outside = Outside::new(caller);
        let pid = outside.0.id();
        let python = |text: &str| {
            format!("python3 -c 'import ctypes, os, resource; c = ctypes.CDLL(None, use_errno=True); {text}'")
        };
        let call = |text: &str| python(&format!("assert {text} >= 0"));
        for script in [
            format!("cat /proc/{pid}/environ | grep -q word"),
            format!("ls -l /proc/{pid}/fd/1 && readlink /proc/{pid}/fd/1"),
            call(&format!("c.ptrace(16, {pid}, 0, 0)")),
            call(&format!("c.syscall(434, {pid}, 0) + 1 and c.syscall(438, c.syscall(434, {pid}, 0), 1, 0)")),
            python(&format!("resource.prlimit({pid}, resource.RLIMIT_CORE)")),
            call("c.shmget(0, 4096, 0o1600)"),
            call("c.msgget(0, 0o1600)"),
        ] {
            kept(caller, &script);
        }
        if abi() >= 6 {
            kept(caller, &format!("kill -0 {pid}"));
            kept(caller, &format!("kill -CONT {pid}"));
            assert!(inside(caller, &[], "kill -9 $PPID; echo here").1.contains("here"));
        } else {
            println!("signals are not kept by Landlock's ABI {}", abi());
        }
        // Below: the same within.
        assert_eq!(inside(caller, &[], "sleep 600 & kill $!; wait; echo ended").1, "ended");
    });
}

#[test]
fn rights_are_kept() {
    each("rights_are_kept", |caller| {
        kept(caller, "touch f && chmod 4755 f && rm f");
        kept(caller, "touch g && chmod g+s g && rm g");
        assert_eq!(inside(caller, &[], "rm -f f g; touch h; chmod 755 h; install -m 700 /bin/true i && ./i").0, 0);
        if program("unshare").is_some() && caller.root {
            kept(caller, "unshare --mount true");
            kept(caller, "unshare --user true");
        }
        if program("su").is_some() && caller.root {
            assert_ne!(inside(caller, &[], &format!("su {} -c true", caller.user())).0, 0);
        }
        // Set-user-ID programs gain nothing.
        let effective = inside(caller, &[], "cp /bin/id . ; ./id -u");
        assert_eq!(effective, (0, caller.ids().0.to_string()));
        // What the caller has open besides is not handed on.
        let script = "exec 9< /etc/hostname; exec \"$@\"";
        let mut shell = caller.program("sh");
        shell.args(["-c", script, "sh"]).arg(caller.place.path().join("zviz")).arg("--root").arg(caller.state());
        let listed = shell.args(["run", "--backend", "landlock", "--", "ls", "/proc/self/fd"]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&listed.stdout), "0\n1\n2\n3\n", "{listed:?}");
    });
}

#[test]
fn everything_ends() {
    each("everything_ends", |caller| {
        let marker = format!("8{}", std::process::id());
        let script = format!("setsid sleep {marker} & (sleep {marker} &); sleep 0.1");
        assert_eq!(inside(caller, &[], &script).0, 0);
        assert!(!runs(&marker), "as {}: a process outlived the command", caller.name());
        let (code, _) = inside(caller, &["--timeout", "500ms"], &format!("setsid sleep {marker} & sleep {marker}"));
        assert!(code == 124 && !runs(&marker), "as {}: {code}", caller.name());

        let command = ["sh", "-c", &format!("echo > $TMPDIR/x; mkdir -m 0 $TMPDIR/y; setsid sleep {marker} & wait")];
        let mut zviz = caller.sandbox(&[&FLAG[..], &["--id", "killed"]].concat(), &command).spawn().unwrap();
        wait_for("the sandbox", || runs(&marker));
        let record = folders(caller).pop().unwrap();
        let folder = fs::read_to_string(caller.state().join(".temporary").join(record)).unwrap();
        assert!(fs::exists(&folder).unwrap());
        zviz.kill().unwrap();
        zviz.wait().unwrap();
        wait_for("its end", || !runs(&marker));
        let zviz = |arguments: &[&str]| {
            let mut zviz = caller.program(caller.place.path().join("zviz"));
            zviz.arg("--root").arg(caller.state()).args(arguments).output().unwrap()
        };
        assert!(zviz(&["delete", "--force", "killed"]).status.success());
        assert_eq!(inside(caller, &[], "true").0, 0);
        assert!(!fs::exists(&folder).unwrap(), "the next one removes what a killed one has left");

        let mut one = caller.sandbox(&[&FLAG[..], &["--id", "one"]].concat(), &command).spawn().unwrap();
        wait_for("the sandbox", || runs(&marker));
        let refused = zviz(&["exec", "one", "true"]);
        assert!(String::from_utf8_lossy(&refused.stderr).contains("no namespaces"), "{refused:?}");
        assert!(zviz(&["kill", "one", "KILL"]).status.success());
        assert_eq!(one.wait().unwrap().code(), Some(137));
        assert!(!runs(&marker));
    });
}

#[test]
fn what_cannot_be_had_is_refused() {
    each("what_cannot_be_had_is_refused", |caller| {
        let refused = |flags: &[&str], words: &str| {
            let (code, said) = inside(caller, flags, "true");
            assert!(code == 125 && said.contains(words), "as {}: {flags:?}: {code}: {said}", caller.name());
        };
        refused(&["--memory", "1G"], "--memory: needs a cgroup");
        refused(&["--pids", "9"], "--pids: needs a cgroup");
        refused(&["--tmpfs", "/x"], "--tmpfs /x: needs a mount");
        refused(&["--hostname", "a"], "--hostname: needs a uts namespace");
        refused(&["--rootfs", "/usr"], "--rootfs: needs mounts");
        refused(&["--stage"], "--stage: needs mounts");
        refused(&["--ro", "/usr:/other"], "another place inside");
        refused(&["--profile", "nested"], "nested: sandboxes inside need namespaces");
        refused(&["--profile", "agent"], "broker: works through");
        refused(&["--profile", "hostile-tenant"], "resources.memory_max: there is no cgroup");
        fs::create_dir(caller.work.join("kept")).unwrap();
        refused(&["--ro", "kept"], "without mounts it cannot be less");
        let home = caller.sandbox(&FLAG, &["true"]).current_dir(&caller.home).output().unwrap();
        assert!(String::from_utf8_lossy(&home.stderr).contains("holds the home folder"), "{home:?}");
        let profile = |text: &str| {
            let file = caller.work.join("profile.yaml");
            fs::write(&file, format!("name: a\nextends: default\n{text}\n")).unwrap();
            file.to_str().unwrap().to_owned()
        };
        let hidden = profile(&format!("filesystem: {{hidden: [{}/kept]}}", caller.work.display()));
        refused(&["--profile", &hidden], "cannot be hidden without mounts");
        refused(&["--profile", &profile("requirements: {backend: namespaces}")], "requirements.backend");
        let hides = profile("filesystem: {hidden: [/etc/passwd]}");
        assert_ne!(inside(caller, &["--profile", &hides], "cat /etc/passwd").0, 0);
        assert_eq!(inside(caller, &["--profile", &hides], "cat /etc/group > /dev/null").0, 0);
        // Where namespaces can be had, a profile that could do without has them.
        let agrees = profile("requirements: {backend: landlock}");
        let plan = caller.run(&["--profile", &agrees, "--json"], &["true"]).stdout;
        let plan: serde_json::Value = serde_json::from_slice(&plan).unwrap();
        assert_eq!(plan["backend"], "namespaces");
    });
}

#[test]
fn it_is_told() {
    each("it_is_told", |caller| {
        let receipt = caller.work.join("receipt");
        assert_eq!(inside(caller, &["--receipt", receipt.to_str().unwrap()], "true").0, 0);
        let receipt: serde_json::Value = serde_json::from_slice(&fs::read(receipt).unwrap()).unwrap();
        assert_eq!(receipt["containment"]["backend"], "landlock");
        assert_eq!(receipt["network"]["mode"], "refused");
        let notes = receipt["notes"].to_string();
        for word in ["mount", "pid", "ipc", "uts", "cgroup", "network", "user"] {
            assert!(notes.contains(&format!("no {word}")), "{word}: {notes}");
        }
        assert!(receipt["asked"].to_string().contains("--backend landlock"));
    });
}

#[test]
fn every_attempt_fails_or_is_explained() {
    each("every_attempt_fails_or_is_explained", |caller| {
        let mut zviz = caller.program(caller.place.path().join("zviz"));
        zviz.arg("--root").arg(caller.state()).args(["selftest", "--json", "--backend", "landlock"]);
        let output = zviz.output().unwrap();
        let report: serde_json::Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"));
        let wrong = |line: &&serde_json::Value| matches!(line["verdict"].as_str(), Some("open" | "unknown"));
        let open: Vec<_> = report["lines"].as_array().unwrap().iter().filter(wrong).collect();
        assert!(open.is_empty() && output.status.success(), "as {}: {open:#?}", caller.name());
    });
}

#[test]
fn the_document_explains_the_same() {
    let document = include_str!("../../docs/landlock.md");
    for (probes, why) in zviz_selftest::allowed::WITHOUT_NAMESPACES {
        let names: Vec<String> = probes.iter().map(|name| format!("`{name}`")).collect();
        let row = format!("| {} | {why} |\n", names.join(", "));
        assert!(document.contains(&row), "docs/landlock.md needs this row:\n{row}");
    }
}

/// `zviz ARGUMENTS` in a user namespace in which nobody may make another.
fn forbidden(caller: &Caller, arguments: &[&str]) -> (i32, String) {
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";
    let mut unshare = caller.program("unshare");
    unshare.args(["--user", "--map-root-user", "sh", "-c", script, "sh"]).arg(caller.place.path().join("zviz"));
    let output = unshare.arg("--root").arg(caller.state()).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).trim().to_owned())
}

#[test]
fn a_host_that_gives_no_namespaces_is_told_of() {
    if program("unshare").is_none() {
        return skip("a_host_that_gives_no_namespaces_is_told_of", "unshare is not installed");
    }
    each("a_host_that_gives_no_namespaces_is_told_of", |caller| {
        let (code, said) = forbidden(caller, &["run", "--", "true"]);
        let named = said.contains("user.max_user_namespaces is 0") && said.contains("zviz run --backend landlock");
        assert!(code == 125 && named, "as {}: {code}: {said}", caller.name());
        if caller.root {
            // It looks where root's containers are.
            let (code, said) = forbidden(caller, &["doctor"]);
            let named = said.contains("sysctl -w user.max_user_namespaces")
                && said.contains("zviz run --backend landlock works");
            assert!(code == 1 && named, "as {}: {code}: {said}", caller.name());
        }
        let works = forbidden(caller, &["run", "--backend", "landlock", "--", "echo", "text"]);
        assert_eq!(works, (0, "text".into()), "as {}", caller.name());
        let file = caller.work.join("agrees.yaml");
        fs::write(&file, "name: a\nextends: default\nrequirements: {backend: landlock}\n").unwrap();
        let (uid, gid) = caller.ids();
        std::os::unix::fs::chown(&file, Some(uid), Some(gid)).unwrap();
        let file = file.to_str().unwrap();
        let (code, said) = forbidden(caller, &["run", "--profile", file, "--", "echo", "text"]);
        let told = said.contains("text") && said.contains("user.max_user_namespaces is 0; the profile agrees");
        assert!(code == 0 && told, "as {}: {code}: {said}", caller.name());
        let refused = forbidden(caller, &["run", "--profile", file, "--backend", "namespaces", "--", "true"]);
        assert_eq!(refused.0, 125, "as {}: {refused:?}", caller.name());
    });
}
