//! `run --explain` and `why`: each layer's denials are told with their layer and line, and each change that is told makes the
//! program work; what fails without a sandbox as well is nobody's fault.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod callers;
mod support;

use callers::Caller;
use serde_json::Value;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::sync::LazyLock;
use support::requires;

/// What is written on top of the default profile, from its second line on; flags; a script that ends well where the thing can be
/// done; and what is told: layer and cause, what the object ends with, and the place and key of the rule.
struct Case {
    yaml: &'static str,
    flags: &'static [&'static str],
    script: &'static str,
    told: (&'static str, &'static str, &'static str, &'static str),
    /// How many changes.
    changes: usize,
    root: bool,
}

const fn case(
    yaml: &'static str,
    flags: &'static [&'static str],
    script: &'static str,
    told: (&'static str, &'static str, &'static str, &'static str),
    changes: usize,
) -> Case {
    Case { yaml, flags, script, told, changes, root: false }
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    case("syscalls:\n  deny:\n  - fchmodat\n", &[], "touch /tmp/a && chmod 600 /tmp/a", ("seccomp", "deny", "/tmp/a", "own.yaml:5: syscalls.deny[0]"), 1),
    case("syscalls:\n  deny:\n  - \"@nodes\"\n", &[], "mkfifo /tmp/p", ("seccomp", "deny", "/tmp/p", "own.yaml:5: syscalls.deny[0]"), 1),
    case("ioctl: {allowlists: [{subsystem: fs, commands: [FIONBIO]}]}\n", &[], "python3 -c 'import fcntl,os; r,w=os.pipe(); fcntl.ioctl(r, 0x541b, bytes(4))'", ("seccomp", "unlisted", "FIONREAD", "own.yaml:3: ioctl.allowlists"), 1),
    case("network: {sockets: {allow: [unix]}}\n", &[], "python3 -c 'import socket; socket.socket()'", ("seccomp", "unlisted", "AF_INET, stream, protocol 0", "own.yaml:3: network.sockets.allow"), 1),
    case("", &[], "unshare -Ur true", ("seccomp", "namespaces", "flags 0x10000000", ""), 1),
    case("filesystem: {writable: [/tmp]}\n", &[], "echo > /var/tmp/a", ("landlock", "write", "/var/tmp/a", "own.yaml:3: filesystem.writable"), 1),
    case("filesystem: {base: none, readonly: [/usr, /bin, /lib, /lib64]}\n", &[], "ls /", ("landlock", "read", "/", "own.yaml:3: filesystem.base"), 1),
    case("filesystem: {executable: [/usr, /bin, /lib, /lib64]}\n", &[], "cp /bin/true /tmp/t && /tmp/t", ("mounts", "noexec", "/tmp/t", "own.yaml:3: filesystem.executable"), 1),
    case("", &[], "cp /bin/true /run/t && /run/t", ("mounts", "noexec", "/run/t", ""), 1),
    case("", &["--ro", "{home}/data"], "echo x > {home}/data/f", ("mounts", "read-only", "/data/f", ""), 1),
    case("filesystem: {workspace: readonly}\n", &[], "echo x > made", ("mounts", "read-only", "/made", "own.yaml:3: filesystem.workspace"), 1),
    case("filesystem:\n  hidden:\n  - {work}/secret\n", &[], "cat secret/key", ("mounts", "hidden", "/secret/key", "own.yaml:5: filesystem.hidden[0]"), 1),
    case("", &[], "cat {home}/.settings", ("mounts", "not-shared", "/.settings", ""), 1),
    case("", &[], "echo x > {home}/data/new", ("mounts", "not-shared", "/data/new", ""), 2),
    case("filesystem: {patterns: {deny_read: [\"*.key\"]}}\n", &[], "cat it.key", ("broker", "pattern", "/it.key", "own.yaml:3: filesystem.patterns.deny_read[0]"), 2),
    case("network: {ports: {allow_connect: [8001]}}\n", &[], CONNECT, ("landlock", "port", "127.0.0.1:8017", "own.yaml:3: network.ports.allow_connect"), 1),
    case("network: {mode: none}\n", &[], REACH, ("network", "none", "127.0.0.1:{port}", "own.yaml:3: network.mode"), 1),
    case("", &[], REACH, ("network", "none", "127.0.0.1:{port}", ""), 1),
    case("", &[], "chroot / true", ("capabilities", "CAP_SYS_CHROOT", "/", "built-in default: capabilities.drop_all"), 1),
    case("", &[], "python3 -c 'import socket; socket.socket().bind((\"127.0.0.1\", 80))'", ("capabilities", "CAP_NET_BIND_SERVICE", "127.0.0.1:80", "built-in default: capabilities.drop_all"), 1),
    Case { root: true, ..case("", &[], "touch /tmp/a && chown 5 /tmp/a", ("capabilities", "CAP_CHOWN", "/tmp/a", "built-in default: capabilities.drop_all"), 1) },
    case("", &["--pids", "9"], "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 1 & done; wait", ("limits", "pids", "", ""), 1),
    case("resources: {tmpfs_max: 1M}\n", &[], "head -c 1500000 /dev/zero > /tmp/a", ("limits", "tmpfs", "/tmp/a", "own.yaml:3: resources.tmpfs_max"), 1),
    case("resources: {file_size: 1M}\n", &[], "python3 -c 'open(\"/tmp/a\", \"wb\").write(bytes(1500000))'", ("limits", "file-size", "/tmp/a", "own.yaml:3: resources.file_size"), 1),
    case("resources: {open_files: 64}\n", &[], "python3 -c 'import os; [os.dup(0) for i in range(80)]'", ("limits", "open-files", "", "own.yaml:3: resources.open_files"), 1),
    case("", &["--backend", "landlock"], "cat {home}/.settings", ("landlock", "read", "/.settings", ""), 1),
    case("", &["--backend", "landlock"], "echo x > {home}/data/f", ("landlock", "write", "/data/f", ""), 1),
    case("", &["--backend", "landlock"], "echo x > {home}/data/new", ("landlock", "write", "/data/new", ""), 1),
    case("", &["--backend", "landlock"], REACH, ("seccomp", "unlisted", "AF_INET, stream, protocol 6", ""), 1),
    case("", &["--backend", "landlock"], "unshare -Ur true", ("seccomp", "namespaces", "flags 0x10000000", ""), 0),
    case("resources: {wall_time: 2s}\n", &[], "sleep 3", ("limits", "wall-time", "", "own.yaml:3: resources.wall_time"), 1),
];

const CONNECT: &str = "python3 -c '
import socket
server = socket.create_server((\"127.0.0.1\", 8017))
socket.create_connection((\"127.0.0.1\", 8017))'";
/// Somebody listens there on the host.
const REACH: &str = "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}))'";

fn filled(caller: &Caller, text: &str) -> String {
    static LISTENER: LazyLock<TcpListener> = LazyLock::new(|| TcpListener::bind("127.0.0.1:0").unwrap());
    let port = LISTENER.local_addr().unwrap().port().to_string();
    let text = text.replace("{home}", caller.home.to_str().unwrap()).replace("{work}", caller.work.to_str().unwrap());
    text.replace("{port}", &port)
}

fn own(caller: &Caller, path: &PathBuf) {
    let (uid, gid) = caller.ids();
    chown(path, Some(uid), Some(gid)).unwrap();
}

fn profile(caller: &Caller, name: &str, text: &str) {
    let folder = caller.home.join(".config/zviz/profiles");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(format!("{name}.yaml")), text).unwrap();
}

/// What a caller has: a workspace with secrets, a home with settings and data.
fn furnish(caller: &Caller) {
    for folder in [caller.work.join("secret"), caller.home.join("data")] {
        fs::create_dir(&folder).unwrap();
        own(caller, &folder);
    }
    for (file, mode) in [
        (caller.work.join("secret/key"), 0o600),
        (caller.work.join("it.key"), 0o600),
        (caller.work.join("closed"), 0o000),
        (caller.home.join(".settings"), 0o600),
        (caller.home.join("data/f"), 0o600),
    ] {
        fs::write(&file, "x\n").unwrap();
        own(caller, &file);
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// The denials of a run that was explained into a file.
fn explained(caller: &Caller, flags: &[&str], script: &str) -> Vec<Value> {
    let file = caller.home.join("explained");
    let _ = fs::remove_file(&file);
    let explain = format!("--explain=json:{}", file.display());
    let flags = [flags, &[explain.as_str()]].concat();
    let output = caller.run(&flags, &["sh", "-euc", script]);
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{script}: {error}: {output:?}"));
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.last().map(|line| &line["type"]), Some(&"end".into()), "{}: {script}: {output:?}", caller.name());
    lines.into_iter().filter(|line| line["type"] == "denial").collect()
}

/// Runs with a change; the arguments that say so.
fn with_change(caller: &Caller, case: &Case, change: &Value) -> Vec<String> {
    let mut flags: Vec<String> = case.flags.iter().map(|flag| filled(caller, flag)).collect();
    let mut name = "own";
    if let Some(flag) = change["flag"].as_array() {
        let [flag, value] = [&flag[0], &flag[1]].map(|word| word.as_str().unwrap().to_owned());
        if let Some(at) = flags.iter().position(|known| *known == flag).filter(|_| flag == "--pids") {
            flags.drain(at..at + 2);
        }
        if flag == "--profile" {
            return [flags, vec![flag, value]].concat();
        }
        flags.extend([flag, value]);
    } else if let Some(yaml) = change["yaml"].as_str() {
        profile(caller, "changed", &format!("name: changed\nextends: own\n{yaml}\n"));
        name = "changed";
    } else {
        let (rule, with) = (&change["instead"]["rule"], change["instead"]["with"].as_array().unwrap());
        let number: usize = rule["place"].as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap();
        let text = text(caller, case);
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let value = rule["value"].as_str().unwrap();
        let line = &mut lines[number - 1];
        if line.trim_start().starts_with("- ") {
            let instead = with.iter().map(|name| format!("  - {}", name.as_str().unwrap())).collect::<Vec<_>>();
            *line = instead.join("\n");
        } else {
            *line = line.replace(&format!("\"{value}\""), "");
        }
        profile(caller, "changed", &lines.join("\n").replace("name: own", "name: changed"));
        name = "changed";
    }
    flags.extend(["--profile".to_owned(), name.to_owned()]);
    flags
}

fn text(caller: &Caller, case: &Case) -> String {
    format!("name: own\nextends: default\n{}", filled(caller, case.yaml))
}

#[test]
fn every_denial_is_told_and_every_change_helps() {
    requires!(root, program "python3", program "perl");
    for caller in Caller::both() {
        furnish(&caller);
        let mine = CASES.iter().filter(|case| caller.root || !case.root);
        // All of them are looked at, whatever is wrong with one.
        let judge =
            |case: &&Case| std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| judge(&caller, case))).is_err();
        assert_eq!(mine.filter(judge).count(), 0, "cases went wrong");
    }
}

fn judge(caller: &Caller, case: &Case) {
    let (layer, cause, object, rule) = case.told;
    let at = format!("{}: {} {}", caller.name(), case.yaml, case.script);
    let object = filled(caller, object);
    profile(caller, "own", &text(caller, case));
    let script = filled(caller, case.script);
    let flags: Vec<String> = case.flags.iter().map(|flag| filled(caller, flag)).collect();
    // The flag changes the profile where there is no other one.
    let plain = case.yaml.is_empty();
    let mut flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    if !plain {
        flags.extend(["--profile", "own"]);
    }
    let denials = explained(caller, &flags, &script);
    let is_it = |denial: &&Value| {
        denial["layer"] == layer && denial["cause"] == cause && denial["object"].as_str().unwrap().ends_with(&object)
    };
    let denial = denials.iter().find(is_it).unwrap_or_else(|| panic!("{at}: {denials:#?}"));
    let place = denial["rule"]["place"].as_str().map(|place| place.rsplit('/').next().unwrap());
    // What comes along may have more lines one day.
    let place =
        place.map(|place| if place.starts_with("built-in ") { place.split(':').next().unwrap() } else { place });
    let told = place.map_or(String::new(), |place| format!("{place}: {}", denial["rule"]["key"].as_str().unwrap()));
    assert_eq!(told, rule, "{at}: {denial:#}");
    let changes = denial["changes"].as_array().unwrap();
    assert_eq!(changes.len(), case.changes, "{at}: {denial:#}");
    for change in changes {
        let flags = with_change(caller, case, change);
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let output = caller.run(&flags, &["sh", "-euc", &script]);
        assert!(output.status.success(), "{at}: with {change:#}: {flags:?}: {output:?}");
    }
}

#[test]
fn ordinary_failures_are_nobodys_fault() {
    requires!(root, program "python3");
    for caller in Caller::both() {
        furnish(&caller);
        let script = "cat /nowhere nothing closed secret || true
            kill -0 4000000 || true
            ls -d /tmp/none || true
            mkdir /tmp/a && ! mkdir /tmp/a
            ! /usr/bin/nothing
            ! ./it.key
            rmdir /tmp || true
            python3 - <<'EOF'
import os, socket
def tries(do):
    try: do()
    except OSError: pass
tries(lambda: socket.create_connection(('127.0.0.1', 1)))
tries(lambda: os.read(99, 1))
tries(lambda: os.setuid(os.getuid()))
tries(lambda: os.rename('/tmp/x', '/tmp/y'))
tries(lambda: os.kill(1 << 22, 9))
EOF";
        let denials = explained(&caller, &[], script);
        let wrong: Vec<&Value> = denials.iter().filter(|denial| denial["expected"] != true).collect();
        // Programs look for their own settings in the host's folders, which is told.
        let wrong: Vec<&&Value> = wrong.iter().filter(|denial| denial["cause"] != "not-shared").collect();
        assert!(wrong.is_empty(), "{}: {wrong:#?}", caller.name());
    }
}

#[test]
fn what_was_explained_is_kept_for_why() {
    requires!(root);
    for caller in Caller::both() {
        furnish(&caller);
        let why = |args: &[&str]| {
            let mut zviz = caller.program(caller.place.path().join("zviz"));
            let output = zviz.arg("--root").arg(caller.state()).arg("why").args(args).output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
            (output.status.success(), text)
        };
        if !caller.root {
            own(&caller, &caller.state());
        }
        let (found, text) = why(&[]);
        assert!(!found && text.contains("zviz run --explain -- COMMAND"), "{text}");
        let settings = caller.home.join(".settings");
        let script = format!(
            "cat {0}; cat {0}; {{ printf '' > \"$(printf '/etc/\\033[2Jx')\"; }} 2>/dev/null; true",
            settings.display()
        );
        let output = caller.run(&["--id", "one", "--explain"], &["sh", "-c", &script]);
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("zviz: denied by mounts: cat: openat ") && said.contains("run it with: --ro "), "{said}");
        assert_eq!(said.matches("zviz: denied by mounts: cat:").count(), 1, "{said}");
        assert!(said.contains("zviz: 2 times: mounts: openat "), "{said}");
        assert!(!said.contains('\u{1b}') && said.contains("\\u{1b}[2Jx"), "{said}");
        for args in [&[][..], &["--last"], &["one"]] {
            let (found, text) = why(args);
            assert!(found && text.starts_with("one (sh, profile default) ended at 2"), "{text}");
            assert!(text.contains(".settings: ENOENT") && text.contains("run it with: --ro "), "{text}");
        }
        let (found, text) = why(&["--json"]);
        let record: Value = serde_json::from_str(&text).unwrap();
        assert!(found && record["denials"][0]["times"] == 2, "{text}");
        let (found, text) = why(&["two"]);
        assert!(!found && text.contains("zviz run --explain -- COMMAND"), "{text}");
        let kept = fs::metadata(caller.state().join(".explained/one")).unwrap();
        assert_eq!(kept.permissions().mode() & 0o777, 0o600);
        assert_eq!(caller.left(), [""; 0]);
    }
}

#[test]
fn an_endless_list_of_denials_has_an_end() {
    requires!(root, program "python3");
    let caller = Caller::new(true);
    let script = "exec python3 -c '
import os
for i in range(2000):
    try: os.open(\"/usr/none%d\" % i, os.O_CREAT | os.O_WRONLY)
    except OSError: pass'";
    let output = caller.run(&["--explain"], &["sh", "-c", script]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.len() < 200_000, "{}", said.len());
    assert!(said.contains("more calls were denied, which are not told"), "{said}");
    assert!(fs::metadata(caller.state().join(".explained").join(kept_id(&caller))).unwrap().len() < 1 << 20);
}

fn kept_id(caller: &Caller) -> String {
    let mut kept = fs::read_dir(caller.state().join(".explained")).unwrap();
    kept.next().unwrap().unwrap().file_name().into_string().unwrap()
}

#[test]
fn memory_that_is_short_is_told() {
    requires!(root, program "python3", v1 "memory");
    let caller = Caller::new(true);
    let case = case(
        "resources: {memory_max: 64M}\n",
        &[],
        "python3 -c 'bytearray(90 << 20)'",
        ("limits", "memory", "", "own.yaml:3: resources.memory_max"),
        1,
    );
    judge(&caller, &case);
}

#[test]
fn that_it_was_traced_is_in_the_plan() {
    requires!(root);
    let caller = Caller::new(true);
    let plan = caller.run(&["--explain", "--json"], &["true"]);
    assert!(String::from_utf8_lossy(&plan.stdout).contains("every system call is traced (--explain)"));
    for wrong in ["--explain=yaml", "--explain=json:", "--explain=text:x"] {
        let output = caller.run(&[wrong], &["true"]);
        assert_eq!(output.status.code(), Some(125), "{output:?}");
    }
    // What was there before is not written through a link.
    std::os::unix::fs::symlink("/etc/passwd", caller.home.join("link")).unwrap();
    let output = caller.run(&[&format!("--explain=json:{}/link", caller.home.display())], &["true"]);
    assert_eq!(output.status.code(), Some(125), "{output:?}");
}
