//! What a profile says to the broker holds: each key beside the same profile without it, or with another value.

use super::callers::Caller;
use super::parts::{Broker, processes, until};
use super::{each, said, works};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A profile in a file, by its path.
fn profile(caller: &Caller, base: &str, text: &str) -> String {
    let path = caller.place.path().join("own.yaml");
    fs::write(&path, format!("name: own\nextends: {base}\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// What a shell script prints under a profile.
fn prints(caller: &Caller, base: &str, text: &str, script: &str) -> String {
    works(caller, &profile(caller, base, text), &["sh", "-c", script])
}

/// A file of the working folder that everybody may read.
fn put(caller: &Caller, name: &str) -> PathBuf {
    let path = caller.work.join(name);
    fs::write(&path, format!("{name}\n")).unwrap();
    path
}

#[test]
fn mounts_are_of_the_listed_types_and_no_larger_than_said() {
    each("mounts_are_of_the_listed_types", &["unshare"], |caller| {
        let nested = "nested: true\nsyscalls: {broker: [mount, umount2, pivot_root]}\n\
                      capabilities: {keep: [CAP_SETUID, CAP_SETGID, CAP_SETFCAP]}\n";
        let inside = |text: &str, script: &str| {
            let profile = profile(caller, "default", &format!("{nested}{text}"));
            works(caller, &profile, &["unshare", "-Urm", "sh", "-c", script]).trim().to_owned()
        };
        let mount = "mount -t tmpfs tmpfs /tmp 2>/dev/null && echo mounted || echo refused";
        assert_eq!(inside("broker: {mount_types: [proc, tmpfs]}", mount), "mounted", "the control");
        assert_eq!(inside("broker: {mount_types: [proc]}", mount), "refused");
        let size = "mount -t tmpfs -o size=100g tmpfs /tmp && df -k --output=size /tmp | tail -n1";
        assert_eq!(inside("broker: {tmpfs_max: 2M}", size), "2048");
        assert_eq!(inside("broker: {tmpfs_max: 1M}", size), "1024");
    });
}

/// Sixty calls, and how long they took in milliseconds.
const CALLS: &str = "
import ctypes, time
libc, name = ctypes.CDLL(None), ctypes.create_string_buffer(512)
began = time.monotonic()
for i in range(60): assert libc.uname(name) == 0
print(round((time.monotonic() - began) * 1000))
";

#[test]
fn calls_come_at_their_rate_after_those_that_may_come_at_once() {
    each("calls_come_at_their_rate", &["python3"], |caller| {
        let took = |text: &str| -> u64 {
            let profile = profile(caller, "virtualised", text);
            works(caller, &profile, &["python3", "-c", CALLS]).parse().unwrap()
        };
        let (rate, burst) = ("broker: {rate: 20, max_inflight: 1}", "broker: {rate: 20, max_inflight: 200}");
        let slow = took(rate);
        assert!(slow > 2500, "as {}: {slow} ms", caller.name());
        for other in ["", burst, "broker: {rate: 100000, max_inflight: 1}"] {
            let fast = took(other);
            assert!(fast < 2000, "as {}: {other:?}: {fast} ms", caller.name());
        }
    });
}

#[test]
fn the_death_of_a_broker_is_what_the_profile_says() {
    each("the_death_of_a_broker", &[], |caller| {
        let script = "echo > runs; while [ ! -e go ]; do sleep 0.05; done; uname -r && exit 6; exit 7";
        for (death, code) in [("kill", 128 + libc::SIGKILL), ("degrade", 7)] {
            let (runs, go) = (caller.work.join("runs"), caller.work.join("go"));
            let profile = profile(caller, "virtualised", &format!("broker: {{death: {death}}}"));
            let mut sandbox = caller.sandbox(&["--profile", &profile], &["sh", "-c", script]);
            let mut sandbox = sandbox.stderr(std::process::Stdio::null()).spawn().unwrap();
            let broker = Broker::wait_for(&sandbox);
            until("the script runs", Duration::from_secs(10), || runs.exists().then_some(()));
            broker.eyes.kill(libc::SIGKILL);
            let gone = || processes().iter().all(|p| p.pid != broker.eyes.pid || p.state == 'Z');
            until("the eyes are gone", Duration::from_secs(10), || gone().then_some(()));
            // Whoever ends with its broker does so whether it may go on or not.
            std::thread::sleep(Duration::from_millis(300));
            fs::write(&go, "").unwrap();
            let status = until("it ends", Duration::from_secs(10), || sandbox.try_wait().unwrap());
            assert_eq!(status.code(), Some(code), "as {}: {death}: {status}", caller.name());
            let _ = (fs::remove_file(&runs), fs::remove_file(&go));
        }
    });
}

/// Somebody who allows everything, a second later.
fn slow_client(path: &Path) {
    let _ = fs::remove_file(path);
    let listener = UnixListener::bind(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        for line in BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok) {
            let question: Value = serde_json::from_str(&line).unwrap();
            std::thread::sleep(Duration::from_secs(1));
            let _ = writeln!(stream, "{}", json!({"id": question["id"], "verdict": "allow"}));
        }
    });
}

#[test]
fn an_answer_is_waited_for_as_long_as_is_said() {
    each("an_answer_is_waited_for", &[], |caller| {
        put(caller, "it.secret");
        let socket = caller.work.join("ask.socket");
        let read = |time: &str| {
            slow_client(&socket);
            let text = format!("filesystem: {{patterns: {{ask: ['*.secret']}}}}\nbroker: {{ask_timeout: {time}}}");
            let profile = profile(caller, "default", &text);
            let flags = ["--profile", &profile, "--ask", socket.to_str().unwrap()];
            caller.says(&flags, "cat it.secret 2>/dev/null || echo refused")
        };
        assert_eq!(read("20s"), "it.secret", "as {}: the control", caller.name());
        assert_eq!(read("200ms"), "refused", "as {}", caller.name());
    });
}

#[test]
fn sockets_of_engines_are_reached_where_they_are_named() {
    each("sockets_of_engines", &["python3"], |caller| {
        let socket = caller.work.join("docker.sock");
        let _ = fs::remove_file(&socket);
        let _listener = UnixListener::bind(&socket).unwrap();
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
        let connect = "import socket; socket.socket(socket.AF_UNIX).connect('docker.sock')";
        let connects = |text: &str| {
            let profile = profile(caller, "default", text);
            said(caller, &profile, &["python3", "-c", connect]).0 == Some(0)
        };
        let brokered = "syscalls: {broker: [connect]}";
        let named = format!("{brokered}\nbroker: {{unix_sockets: [{}]}}", socket.display());
        let told = (connects(""), connects(brokered), connects(&named));
        assert_eq!(told, (true, false, true), "as {}", caller.name());
    });
}

#[test]
fn what_a_pattern_allows_is_opened_whatever_the_next_one_says() {
    each("what_a_pattern_allows", &[], |caller| {
        put(caller, "it.secret");
        put(caller, "own.secret");
        let says = |patterns: &str, script: &str| {
            prints(caller, "default", &format!("filesystem: {{patterns: {{{patterns}}}}}"), script)
        };
        let read = "for f in it own; do cat $f.secret 2>/dev/null || echo refused; done";
        assert_eq!(says("deny_read: ['*.secret']", read), "refused\nrefused", "the control");
        assert_eq!(says("allow_read: ['it.secret'], deny_read: ['*.secret']", read), "it.secret\nrefused");
        let write =
            "for f in it own; do { echo > $f.conf; } 2>/dev/null && echo made || echo refused; done; rm -f it.conf";
        assert_eq!(says("deny_write: ['*.conf']", write), "refused\nrefused", "the control");
        assert_eq!(says("allow_write: ['it.conf'], deny_write: ['*.conf']", write), "made\nrefused");
    });
}

#[test]
fn what_is_opened_is_recorded_where_a_pattern_says_so() {
    each("what_is_opened_is_recorded", &[], |caller| {
        put(caller, "it.text");
        put(caller, "it.other");
        let log = caller.work.join("opened.jsonl");
        let recorded = |patterns: &str| {
            let _ = fs::remove_file(&log);
            let profile = profile(caller, "default", &format!("filesystem: {{patterns: {{{patterns}}}}}"));
            caller.says(&["--profile", &profile, "--audit", log.to_str().unwrap()], "cat it.text it.other");
            let text = fs::read_to_string(&log).unwrap();
            (text.contains("/it.text"), text.contains("/it.other"))
        };
        assert_eq!(recorded("audit: ['*.text']"), (true, false), "as {}", caller.name());
        assert_eq!(recorded("audit: ['*.none']"), (false, false), "as {}: the control", caller.name());
    });
}

#[test]
fn the_kernel_is_called_what_the_profile_says() {
    each("the_kernel_is_called", &[], |caller| {
        let brokered = "syscalls: {broker: [uname]}\n";
        let own = format!("{brokered}broker: {{uname: {{release: 9.9.9, version: own}}}}");
        assert_eq!(prints(caller, "default", &own, "uname -r; uname -v"), "9.9.9\nown");
        let plain = prints(caller, "default", brokered, "uname -r; uname -v");
        let kernel = prints(caller, "default", "", "uname -r; uname -v");
        assert!(plain != kernel && !plain.contains("9.9.9") && !plain.contains("own"), "{plain} {kernel}");
    });
}
