//! Files that somebody is asked about.

use super::{callers::Caller, each, support};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

/// A folder that the sandbox has, with a secret in it.
fn folder(caller: &Caller) -> String {
    let folder = caller.work.join("shared");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(folder.join("secret"), "secret\n").unwrap();
    folder.to_str().unwrap().to_owned()
}

fn says(caller: &Caller, flags: &[&str], folder: &str, script: &str) -> (Option<i32>, String) {
    let share = format!("{folder}:/shared");
    let output = caller.run(&[flags, &["--rw", &share]].concat(), &["sh", "-c", script]);
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
    (output.status.code(), text.join("\n").trim().to_owned())
}

const WAYS: &str = "
    ln -s /shared /tmp/directory; ln -s /shared/secret /tmp/link; cd /shared
    for path in /shared/secret /tmp/link /tmp/directory/secret /tmp/../shared/./secret //shared//secret secret \
        ../shared/secret /proc/self/root/shared/secret /proc/self/cwd/secret /proc/$$/root/shared/secret; do
        cat $path 2>/dev/null || echo refused
    done";

#[test]
fn nothing_is_opened_that_nobody_allows() {
    each("nothing_is_opened_that_nobody_allows", &["python3"], |caller| {
        let folder = folder(caller);
        let (code, out) = says(caller, &["--profile", "ask"], &folder, WAYS);
        assert_eq!((code, out.as_str()), (Some(0), ["refused"; 10].join("\n").as_str()), "as {}", caller.name());
        let (code, out) = says(caller, &[], &folder, WAYS);
        let allowed = ["secret"; 10].join("\n");
        assert_eq!((code, out.as_str()), (Some(0), allowed.as_str()), "as {}: the control", caller.name());
        // Neither made nor truncated.
        let (_, out) = says(caller, &["--profile", "ask"], &folder, "echo x > /shared/new; echo x > /shared/secret");
        assert!(out.contains("Permission denied") || out.contains("cannot create"), "{out}");
        assert!(!fs::exists(caller.work.join("shared/new")).unwrap());
        assert_eq!(fs::read_to_string(caller.work.join("shared/secret")).unwrap(), "secret\n");
        // What every program does.
        let script = "(echo out > /dev/stdout) | cat; echo null > /dev/null; echo tmp > /tmp/a && cat /tmp/a; cat < /proc/self/comm; \
                      python3 -c 'import json, socket; print(json.dumps(1))'; cat /dev/fd/3 3</etc/passwd | head -c 5";
        let (code, out) = says(caller, &["--profile", "ask"], &folder, script);
        assert_eq!((code, out.as_str()), (Some(0), "out\ntmp\nsh\n1\nroot:"), "as {}", caller.name());
    });
}

/// Names are judged in one root, so that nobody inside may have another; under `nested`, where somebody may, no rules hold.
#[test]
fn nobody_has_another_root() {
    const TRIES: &str = "
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
NEWNS, NEWUSER = 0x20000, 0x10000000
# By number: pivot_root and clone have no function. x86-64 and the generic table.
PIVOT, CLONE = (155, 56) if os.uname().machine == 'x86_64' else (41, 220)
def tried(name, result):
    if result == 0 and name == 'clone': os._exit(0)
    print(name, 'done' if result >= 0 else 'refused')
tried('chroot', libc.chroot(b'/tmp'))
tried('unshare', libc.unshare(NEWNS))
tried('clone', libc.syscall(CLONE, NEWUSER | 17, 0, 0, 0, 0))
tried('setns', libc.setns(os.open('/proc/self/ns/mnt', os.O_RDONLY), 0))
tried('users', libc.unshare(NEWUSER))
tried('pivot_root', libc.syscall(PIVOT, b'/tmp', b'/tmp'))
tried('chroot', libc.chroot(b'/tmp'))
";
    each("nobody_has_another_root", &["python3"], |caller| {
        let folder = folder(caller);
        let script =
            format!("python3 -c '{}'; cat /shared/secret 2>/dev/null || echo refused", TRIES.replace('\'', "\""));
        let (_, out) = says(caller, &["--profile", "ask"], &folder, &script);
        let words: Vec<&str> = out.lines().filter_map(|line| line.split_whitespace().last()).collect();
        assert_eq!(words, ["refused"; 8], "as {}: {out}", caller.name());
        let (_, out) = says(caller, &["--profile", "nested"], &folder, &script);
        assert!(
            out.contains("users done\n") && out.contains("chroot done"),
            "as {}: the control: {out}",
            caller.name()
        );
    });
}

#[test]
fn a_client_at_a_socket_decides() {
    each("a_client_at_a_socket_decides", &[], |caller| {
        let folder = folder(caller);
        let path = caller.work.join("ask.socket");
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let client = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            for line in BufReader::new(stream.try_clone().unwrap()).lines() {
                let question: Value = serde_json::from_str(&line.unwrap()).unwrap();
                let allowed = question["arguments"]["name"] == "/shared/secret";
                let answer = if allowed {
                    json!({"id": question["id"], "verdict": "allow"})
                } else {
                    json!({"id": question["id"], "verdict": "deny", "errno": "EROFS"})
                };
                writeln!(stream, "{answer}").unwrap();
                asked.push(question);
            }
            asked
        });
        let audit = caller.work.join("asked.jsonl");
        let _ = fs::remove_file(&audit);
        let (path, log) = (path.to_str().unwrap(), audit.to_str().unwrap());
        let flags = ["--profile", "ask", "--id", "asks", "--ask", path, "--audit", log];
        let (_, out) = says(caller, &flags, &folder, "cd /shared; cat secret; LC_ALL=C sh -c 'echo > other'");
        let asked = client.join().unwrap();
        assert!(out.starts_with("secret\n") && out.contains("Read-only file system"), "as {}: {out}", caller.name());
        let first = &asked[0];
        assert_eq!((&first["container"], &first["syscall"]), (&json!("asks"), &json!("openat")));
        assert_eq!(&first["arguments"]["path"], &json!("secret"));
        assert_eq!(first["rule"], json!("built-in ask:14: filesystem.patterns.ask[0]"), "{first}");
        assert_eq!(asked.len(), 2, "{asked:?}");
        // And so it is recorded.
        let records: Vec<Value> =
            fs::read_to_string(&audit).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let told = |kind: &str, verdict: Option<&str>| {
            let of_kind = records.iter().filter(|record| record["type"] == kind);
            of_kind.filter(|record| verdict.is_none_or(|verdict| record["verdict"] == verdict)).count()
        };
        let answered = [told("answered", Some("allow")), told("answered", Some("errno EROFS"))];
        assert_eq!((told("asked", None), answered), (2, [1, 1]), "{records:?}");
        let opened = records.iter().find(|r| r["verdict"] == "value" && r["arguments"]["name"] == "/shared/secret");
        assert_eq!(opened.map(|record| &record["rule"]), Some(&first["rule"]), "{records:?}");
    });
}

#[test]
fn a_client_that_makes_no_sense_is_named() {
    each("a_client_that_makes_no_sense_is_named", &[], |caller| {
        let said = |flags: &[&str]| {
            let output = caller.run(flags, &["true"]);
            assert_eq!(output.status.code(), Some(125), "{output:?}");
            String::from_utf8_lossy(&output.stderr).into_owned()
        };
        assert!(said(&["--ask", "cat"]).contains("the profile default asks about nothing: take one that does"));
        assert!(said(&["--profile", "ask", "--ask", ""]).contains("names nobody"));
        let scratch = support::Scratch::new("ask");
        let path = scratch.join("socket");
        drop(UnixListener::bind(&path).unwrap());
        fs::set_permissions(path.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let refused = said(&["--profile", "ask", "--ask", path.to_str().unwrap()]);
        assert!(refused.contains("Connection refused"), "{refused}");
    });
}
