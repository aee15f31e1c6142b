//! The flags of `zviz run -- COMMAND`, its exit codes, and what it says of flags that make no sense.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod callers;
mod support;

use callers::Caller;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};
use support::{missing, skip};

fn each(test: &str, check: impl Fn(&Caller)) {
    if !nix::unistd::geteuid().is_root() {
        return skip(test, "needs root, to make a user");
    }
    for caller in Caller::both() {
        check(&caller);
        assert_eq!(caller.left(), [""; 0], "as {}: something is left behind", caller.name());
    }
}

#[test]
fn exit_codes() {
    each("exit_codes", |caller| {
        for (command, code) in [
            (&["true"][..], 0),
            (&["sh", "-c", "exit 7"], 7),
            (&["sh", "-c", "kill -9 $$"], 137),
            (&["sh", "-c", "kill -TERM $$"], 143),
            (&["nonexistent"], 127),
            (&["/nonexistent"], 127),
            (&["/etc"], 126),
            (&["/etc/passwd"], 126),
        ] {
            let output = caller.run(&[], command);
            assert_eq!(output.status.code(), Some(code), "as {}: {command:?}: {output:?}", caller.name());
        }
        // No interpreter: found out by execve itself.
        fs::write(caller.work.join("script"), "#!/nonexistent\n").unwrap();
        fs::set_permissions(caller.work.join("script"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        assert_eq!(caller.run(&[], &["./script"]).status.code(), Some(127));
    });
}

#[test]
fn time_ends() {
    each("time_ends", |caller| {
        let start = Instant::now();
        let output = caller.run(&["--timeout", "500ms"], &["sh", "-c", "trap '' TERM; sleep 60 & sleep 60"]);
        assert_eq!(output.status.code(), Some(124));
        assert!(start.elapsed() < Duration::from_secs(30));
    });
}

#[test]
fn signals_are_passed_on() {
    each("signals_are_passed_on", |caller| {
        for (signal, code) in [(Signal::SIGTERM, 41), (Signal::SIGINT, 42), (Signal::SIGHUP, 43), (Signal::SIGUSR1, 44)]
        {
            let script = format!("trap 'exit {code}' {}; echo ready; while :; do sleep 0.05; done", signal as i32);
            let mut command = caller.sandbox(&[], &["sh", "-c", &script]);
            let mut zviz = command.stdout(Stdio::piped()).spawn().unwrap();
            let mut line = String::new();
            BufReader::new(zviz.stdout.take().unwrap()).read_line(&mut line).unwrap();
            assert_eq!(line, "ready\n");
            kill(Pid::from_raw(i32::try_from(zviz.id()).unwrap()), signal).unwrap();
            assert_eq!(zviz.wait().unwrap().code(), Some(code), "as {}: {signal}", caller.name());
        }
    });
}

#[test]
fn a_terminal_is_its_own() {
    if let Some(missing) = missing(&["script"]) {
        return skip("a_terminal_is_its_own", &format!("{missing} is not installed"));
    }
    each("a_terminal_is_its_own", |caller| {
        let zviz = caller.sandbox(&[], &["sh", "-c", "'tty; ls -l /dev/console; exit 6'"]);
        let words: Vec<_> = zviz.get_args().map(|word| word.to_str().unwrap()).collect();
        let line = format!("{} {}", zviz.get_program().to_str().unwrap(), words.join(" "));
        let output = caller.program("script").args(["-qec", &line, "/dev/null"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(6), "as {}: {said}", caller.name());
        // The first of the sandbox's own devpts; outside, script(1) has taken another.
        assert!(said.contains("/dev/pts/0") && said.contains("/dev/console"), "{said}");
    });
}

#[test]
fn shares() {
    each("shares", |caller| {
        let share = caller.work.parent().unwrap().join("a:b");
        fs::create_dir(&share).unwrap();
        fs::write(share.join("file"), "text").unwrap();
        let (uid, gid) = caller.ids();
        std::os::unix::fs::chown(&share, Some(uid), Some(gid)).unwrap();
        let escaped = share.to_str().unwrap().replace(':', "\\:");
        let inside = |flag: &str, script: &str| {
            caller.run(&[flag, &format!("{escaped}:/shared"), "--cwd", "/"], &["sh", "-euc", script])
        };
        assert!(inside("--ro", "cat /shared/file; ls /shared").status.success());
        assert!(!inside("--ro", "touch /shared/new").status.success());
        assert!(inside("--rw", "touch /shared/new").status.success());
        assert!(share.join("new").exists());
        // One file, at its own path; and nothing of the current folder, since --cwd is given.
        let file = format!("{escaped}/file");
        assert_eq!(caller.says(&["--ro", &file, "--cwd", "/"], &format!("cat '{}/file'", share.display())), "text");
        assert!(!caller.run(&["--cwd", "/"], &["ls", caller.work.to_str().unwrap()]).status.success());
    });
}

#[test]
fn folders_in_memory_have_a_size() {
    each("folders_in_memory_have_a_size", |caller| {
        let fill = "head -c 3M /dev/zero > /scratch/file";
        caller.says(&["--tmpfs", "/scratch:4M"], fill);
        assert!(!caller.run(&["--tmpfs", "/scratch:2M"], &["sh", "-c", fill]).status.success());
        caller.says(&["--tmpfs", "/tmp:1M"], "test $(df --output=size -k /tmp | tail -n 1) = 1024");
    });
}

#[test]
fn who_and_where() {
    each("who_and_where", |caller| {
        let (uid, gid) = caller.ids();
        assert_eq!(caller.says(&[], "id -u; id -g; pwd"), format!("{uid}\n{gid}\n{}", caller.work.display()));
        assert_eq!(caller.says(&["--user", "1234:1235"], "id -u; id -g"), "1234\n1235");
        assert_eq!(caller.says(&["--user", "nobody"], "id -un"), "nobody");
        assert_eq!(caller.says(&["--hostname", "box.example"], "hostname"), "box.example");
        assert_eq!(caller.says(&["--cwd", "/usr/bin"], "pwd"), "/usr/bin");
        let id = format!("mine-{}", std::process::id());
        assert_eq!(caller.says(&["--id", &id, "--json"], "true").lines().next(), Some("{"));
    });
}

#[test]
fn ids_without_a_range_of_their_own() {
    each("ids_without_a_range_of_their_own", |caller| {
        if caller.root {
            let map = caller.says(&["--userns", "identity"], "cat /proc/self/uid_map");
            assert_eq!(map.split_whitespace().collect::<Vec<_>>(), ["0", "0", "65536"]);
            // The owner of these files is root inside too, so that they are hidden.
            assert_eq!(caller.says(&["--userns", "identity"], "cat /etc/shadow"), "");
            // sysfs cannot be idmapped: read-only it is shared as it is, writable it is not.
            let output = caller.run(&["--rw", "/sys/kernel:/shared"], &["true"]);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.code() == Some(125) && said.contains("--userns identity"), "{said}");
            caller.says(&["--ro", "/sys/kernel:/shared"], "ls /shared");
            caller.says(&["--rw", "/sys/kernel:/shared", "--userns", "identity"], "ls /shared");
            let own = caller.says(&[], "cat /proc/self/uid_map");
            assert!(own.split_whitespace().nth(1).unwrap().parse::<u32>().unwrap() >= 0x7000_0000);
        }
    });
}

#[test]
fn processes_are_counted() {
    each("processes_are_counted", |caller| {
        let many = "for i in $(seq 40); do sleep 5 & done 2>/dev/null; true";
        assert!(caller.run(&["--pids", "100"], &["sh", "-c", many]).status.success());
        let few = caller.run(&["--pids", "20"], &["sh", "-c", "for i in $(seq 40); do sleep 5 & done; echo all"]);
        assert!(!String::from_utf8_lossy(&few.stdout).contains("all"), "as {}: {few:?}", caller.name());
    });
}

#[test]
fn memory_is_limited_or_the_flag_is_refused() {
    if let Some(missing) = missing(&["perl"]) {
        return skip("memory_is_limited_or_the_flag_is_refused", &format!("{missing} is not installed"));
    }
    each("memory_is_limited_or_the_flag_is_refused", |caller| {
        let eat = ["perl", "-e", "$x = 'x' x (200 << 20); print 'ate'"];
        let output = caller.run(&["--memory", "64M"], &eat);
        match output.status.code() {
            Some(137) => assert!(caller.run(&["--memory", "512M"], &eat).status.success(), "control"),
            Some(125) => {
                let words = String::from_utf8_lossy(&output.stderr);
                assert!(words.contains("--memory: memory cannot be limited"), "{words}");
            }
            other => panic!("as {}: {other:?} {output:?}", caller.name()),
        }
    });
}

#[test]
fn another_root() {
    if let Some(missing) = missing(&["busybox"]) {
        return skip("another_root", &format!("{missing} is not installed"));
    }
    each("another_root", |caller| {
        let image = caller.place.path().join("image");
        fs::create_dir_all(image.join("bin")).unwrap();
        fs::create_dir_all(image.join("etc")).unwrap();
        fs::write(image.join("etc/passwd"), "only:x:77:78::/:/bin/sh\n").unwrap();
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| fs::exists(path).unwrap()).unwrap();
        fs::copy(busybox, image.join("bin/busybox")).unwrap();
        std::os::unix::fs::symlink("busybox", image.join("bin/sh")).unwrap();
        let flags = ["--rootfs", image.to_str().unwrap(), "--user", "only"];
        let said = caller.says(&flags, "busybox ls -d /usr /etc/hostname 2>/dev/null || busybox id -u");
        assert_eq!(said, "77");
        assert!(!caller.run(&flags, &["sh", "-c", "echo x > /etc/new"]).status.success());
        assert_eq!(fs::read_dir(&image).unwrap().count(), 2, "nothing was made in the image");
    });
}

/// (flags, words of the one line)
const BAD: &[(&[&str], &str)] = &[
    (&["--rw", "/nonexistent"], "--rw /nonexistent: no such file or directory"),
    (&["--rw", ""], "--rw : names no path of the host"),
    (&["--ro", "/etc/passwd/x"], "--ro /etc/passwd/x: not a directory"),
    (&["--rw", "/usr:/proc/sys"], "/proc of the sandbox is its own"),
    (&["--rw", "/usr:/dev"], "/dev of the sandbox is its own"),
    (&["--rw", "/usr:/"], "the root itself cannot be replaced"),
    (&["--rw", "/usr:x"], "begins with a slash"),
    (&["--rw", "/usr:/a/../b"], "has no `..`"),
    (&["--rw", "/"], "is the whole host"),
    (&["--rw", "/dev/null:/x"], "is a device"),
    (&["--ro", "/proc/self"], "is in the host's /proc"),
    (&["--rw", "/usr:/x", "--ro", "/etc:/x"], "/x is shared twice"),
    (&["--rw", "a:b:c"], "more than one colon"),
    (&["--memory", "12Q"], "--memory 12Q: unknown unit \"Q\""),
    (&["--memory", "0"], "--memory 0: must be more than zero"),
    (&["--memory", "-1"], "-1"),
    (&["--pids", "0"], "--pids 0: must be more than zero"),
    (&["--pids", "many"], "--pids many: is not a number"),
    (&["--cpus", "two"], "--cpus two: is not a number"),
    (&["--timeout", "5 minutes"], "--timeout 5 minutes: unknown unit"),
    (&["--tmpfs", "tmp"], "--tmpfs tmp: a path inside the sandbox begins with a slash"),
    (&["--tmpfs", "/proc"], "/proc of the sandbox is its own"),
    (&["--env", "=x"], "is no name of a variable"),
    (&["--env", "ABSENT_HERE"], "--env ABSENT_HERE: is not set here"),
    (&["--user", "nobody-at-all"], "no such user"),
    (&["--user", "4294967295"], "is no id"),
    (&["--user", "1:2:3"], "is no id"),
    (&["--hostname", "a b"], "is no host name"),
    (&["--net", "lan"], "lan"),
    (&["--net", "none", "--publish", "80:80"], "-p 80:80/tcp: the sandbox has no network to be reached by"),
    (&["--userns", "none"], "none"),
    (&["--id", "../x"], "invalid container ID format"),
    (&["--rootfs", "/nonexistent"], "--rootfs /nonexistent: no such file or directory"),
    (&["--rootfs", "/etc/passwd"], "--rootfs /etc/passwd: is not a folder"),
    (&["--rootfs", "/"], "is the host's own root"),
    (&["--cwd", "x"], "--cwd x: a path inside the sandbox begins with a slash"),
    (&["--cwd", "/nonexistent"], "--cwd /nonexistent: there is no such folder inside"),
    (&["--cwd", "/usr/nonexistent"], "chdir to \"/usr/nonexistent\": No such file or directory"),
    (&["--nope"], "--nope"),
];

#[test]
fn bad_flags_are_named_and_leave_nothing() {
    each("bad_flags_are_named_and_leave_nothing", |caller| {
        for (flags, words) in BAD {
            let output = caller.run(flags, &["true"]);
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(125), "as {}: {flags:?}: {said}", caller.name());
            assert!(said.contains(words), "as {}: {flags:?}: {said}", caller.name());
            assert_eq!(said.trim_end().lines().count(), 1, "{flags:?}: {said}");
        }
    });
}
