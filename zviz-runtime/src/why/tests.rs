//! Each denial by its layer, cause and line; and each change that is told, made: the layer is silent then.

pub(super) mod world;

use super::*;
use crate::plan::Plan;
use crate::sandbox::Flags;
use world::{WORLD, layered};
use zviz_observe::{Intent, Named, SocketAddress};
use zviz_seccomp::{Arch, number_of};

fn asked(plan: &Plan, rules: &Rules, call: &Call) -> Vec<Denial> {
    why(&Scene { plan, filter: &Filter::of(plan), rules, outside: &WORLD }, call)
}

fn call(name: &str, args: &[u64], errno: i32) -> Call {
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    Call {
        pid: 1,
        program: "/usr/bin/it".into(),
        arch: Arch::native().audit(),
        number: number_of(name, Arch::native()).unwrap().into(),
        args: all,
        result: -i64::from(errno),
        paths: Vec::new(),
        address: None,
    }
}

fn on(name: &str, path: &str, intent: Intent, errno: i32) -> Call {
    let paths = vec![Named { path: path.into(), text: path.into(), intent }];
    Call { paths, ..call(name, &[], errno) }
}

fn to(name: &str, address: &str, errno: i32) -> Call {
    Call { address: Some(SocketAddress::Inet(address.parse().unwrap())), ..call(name, &[], errno) }
}

/// A profile on top of the default one, flags, a call, and what is expected: layer, cause, line and key, number of changes.
struct Case(&'static str, &'static [&'static str], Call, (Layer, &'static str, &'static str, usize));

fn flags(words: &[&str]) -> Flags {
    let mut flags = Flags::default();
    for pair in words.chunks(2) {
        let value = pair[1].to_owned();
        match pair[0] {
            "--ro" => flags.ro.push(value),
            "--rw" => {
                flags.ro.retain(|shared| *shared != value);
                flags.rw.push(value);
            }
            "--tmpfs" => flags.tmpfs.push(value),
            "--net" => flags.net = Some(value),
            "--pids" => flags.pids = Some(value),
            other => panic!("{other}"),
        }
    }
    flags
}

/// The words of a profile with a change.
fn changed(yaml: &str, change: &How, given: &[&str]) -> (String, Vec<String>) {
    let mut given: Vec<String> = given.iter().map(|word| (*word).to_owned()).collect();
    match change {
        How::Flag(words) if words[0] == "--profile" => (format!("extends: {}\n{yaml}", words[1]), given),
        How::Flag(words) => {
            given.extend(words.clone());
            (yaml.to_owned(), given)
        }
        // On top of what it says: by a second document that extends the first, as far as one text can.
        How::Yaml(text) => (format!("{yaml}\n#+\n{text}"), given),
        How::Instead { rule, with } if with.is_empty() => {
            // A list of one, or a line of its own.
            let lines =
                yaml.lines().filter(|line| !line.trim_start_matches([' ', '-']).trim_matches('"').eq(&rule.value));
            let text: String = lines.flat_map(|line| [line, "\n"]).collect();
            let text = text.replacen(&format!("[\"{}\"]", rule.value), "[]", 1);
            (text.replacen(&format!("[{}]", rule.value), "[]", 1), given)
        }
        How::Policy { .. } => panic!("{change:?}"),
        How::Instead { rule, with } => {
            let quoted = format!("\"{}\"", rule.value);
            (yaml.replacen(&quoted, &with.join("\n  - "), 1), given)
        }
    }
}

const DROP_ALL: &str = "built-in default:13: capabilities.drop_all";

fn cases() -> Vec<Case> {
    use Intent::{Create, Execute, List, Metadata, Read, ReadWrite, Remove, Write};
    use Layer::{Broker, Capabilities, Landlock, Limits, Mounts, Network, Seccomp};
    let (eperm, eacces, enoent, erofs) = (libc::EPERM, libc::EACCES, libc::ENOENT, libc::EROFS);
    vec![
        Case(
            "syscalls: {deny: [ptrace]}",
            &[],
            call("ptrace", &[0], eperm),
            (Seccomp, "deny", "own.yaml:2: syscalls.deny[0]", 1),
        ),
        Case(
            "syscalls:\n  deny:\n  - \"@debug\"",
            &[],
            call("ptrace", &[0], eperm),
            (Seccomp, "deny", "own.yaml:4: syscalls.deny[0]", 1),
        ),
        Case(
            "filesystem: {set_id_bits: false}",
            &[],
            call("fchmod", &[3, 0o4755], eperm),
            (Seccomp, "mode", "own.yaml:2: filesystem.set_id_bits", 1),
        ),
        Case(
            "filesystem: {executable: [/usr]}",
            &[],
            call("memfd_create", &[0, 1], eacces),
            (Seccomp, "memory", "own.yaml:2: filesystem.executable", 0),
        ),
        Case("", &[], call("userfaultfd", &[], eperm), (Seccomp, "default", "", 1)),
        Case("", &[], call("keyctl", &[0], eperm), (Seccomp, "default", "", 1)),
        Case("", &[], call("unshare", &[0x1000_0000], eperm), (Seccomp, "namespaces", "", 1)),
        Case("", &[], call("mount", &[], eperm), (Seccomp, "default", "", 2)),
        Case("", &[], call("reboot", &[], eperm), (Seccomp, "default", "", 0)),
        Case("", &[], call("socket", &[17, 3, 0], libc::EAFNOSUPPORT), (Seccomp, "default", "", 0)),
        Case("", &[], call("socket", &[2, 2, 1], libc::EAFNOSUPPORT), (Seccomp, "default", "", 1)),
        Case(
            "network: {sockets: {allow: [unix]}}",
            &[],
            call("socket", &[2, 1, 0], libc::EAFNOSUPPORT),
            (Seccomp, "unlisted", "own.yaml:2: network.sockets.allow", 1),
        ),
        Case(
            "network: {sockets: {deny: [udp]}}",
            &[],
            call("socket", &[2, 2, 0], libc::EAFNOSUPPORT),
            (Seccomp, "unlisted", "own.yaml:2: network.sockets.deny[0]", 1),
        ),
        Case(
            "ioctl: {allowlists: [{subsystem: fs, commands: [FIONBIO]}]}",
            &[],
            call("ioctl", &[0, 0x541b], libc::ENOTTY),
            (Seccomp, "unlisted", "own.yaml:2: ioctl.allowlists", 1),
        ),
        Case("", &[], call("ioctl", &[0, 0x5412], eperm), (Seccomp, "default", "", 0)),
        Case("", &[], call("sethostname", &[], eperm), (Seccomp, "default", "", 1)),
        Case("", &[], call("chroot", &[], eperm), (Capabilities, "CAP_SYS_CHROOT", DROP_ALL, 1)),
        Case("", &[], to("bind", "127.0.0.1:80", eacces), (Capabilities, "CAP_NET_BIND_SERVICE", DROP_ALL, 1)),
        Case("", &[], on("openat", "/home/u/.gitconfig", Read, enoent), (Mounts, "not-shared", "", 1)),
        Case("", &[], on("newfstatat", "/var/lib/thing", Metadata, enoent), (Mounts, "not-shared", "", 1)),
        Case("", &[], on("openat", "/home/u/.cache/x", Create, enoent), (Mounts, "not-shared", "", 2)),
        Case("", &[], on("execve", "/home/u/bin/tool", Execute, enoent), (Mounts, "not-shared", "", 1)),
        Case("", &[], on("openat", "/etc/hosts", Write, erofs), (Mounts, "read-only", "", 0)),
        Case("", &["--ro", "/data"], on("openat", "/data/a", Write, erofs), (Mounts, "read-only", "", 1)),
        Case("", &["--ro", "/data"], on("openat", "/data/a", ReadWrite, eacces), (Mounts, "read-only", "", 1)),
        Case(
            "filesystem: {workspace: readonly}",
            &[],
            on("openat", "/home/u/project/a", Write, erofs),
            (Mounts, "read-only", "own.yaml:2: filesystem.workspace", 1),
        ),
        Case(
            "filesystem:\n  readonly:\n  - /home/u/project/a",
            &[],
            on("openat", "/home/u/project/a", Write, erofs),
            (Mounts, "read-only", "own.yaml:4: filesystem.readonly[0]", 1),
        ),
        Case(
            "filesystem:\n  hidden:\n  - /home/u/project/s",
            &[],
            on("openat", "/home/u/project/s/k", Read, enoent),
            (Mounts, "hidden", "own.yaml:4: filesystem.hidden[0]", 1),
        ),
        Case("", &[], on("openat", "/proc/kcore", Read, 0), (Mounts, "hidden", "", 0)),
        Case(
            "filesystem: {writable: [/tmp]}",
            &[],
            on("openat", "/var/tmp/a", Create, eacces),
            (Landlock, "write", "own.yaml:2: filesystem.writable", 1),
        ),
        Case(
            "filesystem: {writable: [/tmp]}",
            &[],
            on("unlink", "/var/tmp/a", Remove, eacces),
            (Landlock, "write", "own.yaml:2: filesystem.writable", 1),
        ),
        Case(
            "filesystem: {base: none, readonly: [/usr, /etc/x]}",
            &[],
            on("openat", "/", List, eacces),
            (Landlock, "read", "own.yaml:2: filesystem.base", 1),
        ),
        Case(
            "filesystem: {executable: [/usr/bin]}",
            &[],
            on("execve", "/usr/lib/x", Execute, eacces),
            (Landlock, "execute", "own.yaml:2: filesystem.executable", 1),
        ),
        Case(
            "filesystem: {executable: [/usr]}",
            &[],
            on("execve", "/tmp/x", Execute, eacces),
            (Mounts, "noexec", "own.yaml:2: filesystem.executable", 1),
        ),
        Case("", &[], on("execve", "/run/x", Execute, eacces), (Mounts, "noexec", "", 1)),
        Case(
            "network: {ports: {allow_connect: [8001]}}",
            &[],
            to("connect", "127.0.0.1:8000", eacces),
            (Landlock, "port", "own.yaml:2: network.ports.allow_connect", 1),
        ),
        Case(
            "network: {ports: {allow_bind: [8001]}}",
            &[],
            to("bind", "127.0.0.1:8000", eacces),
            (Landlock, "port", "own.yaml:2: network.ports.allow_bind", 1),
        ),
        Case("", &[], to("connect", "192.0.2.1:80", libc::ENETUNREACH), (Network, "none", "", 1)),
        Case(
            "network: {mode: none}",
            &[],
            to("connect", "192.0.2.1:80", libc::ENETUNREACH),
            (Network, "none", "own.yaml:2: network.mode", 1),
        ),
        Case("", &[], to("connect", "127.0.0.1:8080", libc::ECONNREFUSED), (Network, "none", "", 1)),
        Case(
            "filesystem: {patterns: {deny_read: [\"*.key\"]}}",
            &[],
            on("openat", "/home/u/project/a.key", Read, eacces),
            (Broker, "pattern", "own.yaml:2: filesystem.patterns.deny_read[0]", 2),
        ),
        Case(
            "filesystem:\n  hidden:\n  - \"*.key\"",
            &[],
            on("openat", "/home/u/project/a.key", Read, enoent),
            (Broker, "pattern", "own.yaml:4: filesystem.hidden[0]", 1),
        ),
        Case(
            "network: {mode: allow-cidr, allow_cidrs: [192.0.2.0/24]}",
            &["--net", "host"],
            to("connect", "198.51.100.1:80", eacces),
            (Broker, "address", "own.yaml:2: network.allow_cidrs", 1),
        ),
        Case(
            "network: {egress: {deny: [127.0.0.0/8]}}",
            &["--net", "host"],
            to("connect", "127.0.0.1:80", eacces),
            (Broker, "address", "own.yaml:2: network.egress.deny", 0),
        ),
        Case("", &[], call("clone", &[17], libc::EAGAIN), (Limits, "pids", "", 1)),
        Case(
            "resources: {open_files: 64}",
            &[],
            call("dup", &[0], libc::EMFILE),
            (Limits, "open-files", "own.yaml:2: resources.open_files", 1),
        ),
        Case(
            "resources: {file_size: 1M}",
            &[],
            call("write", &[1], libc::EFBIG),
            (Limits, "file-size", "own.yaml:2: resources.file_size", 1),
        ),
        Case("", &[], on("write", "/tmp/full", Write, libc::ENOSPC), (Limits, "tmpfs", "", 1)),
        Case(
            "resources: {tmpfs_max: 1M}",
            &[],
            on("write", "/tmp/full", Write, libc::ENOSPC),
            (Limits, "tmpfs", "own.yaml:2: resources.tmpfs_max", 1),
        ),
    ]
}

#[test]
fn every_denial_has_its_layer_its_line_and_changes_that_help() {
    // All of them are looked at, whatever is wrong with one.
    let judge = |case: Case| std::panic::catch_unwind(|| judge(&case)).err();
    let wrong = cases().into_iter().filter_map(judge).count();
    assert_eq!(wrong, 0, "cases went wrong");
}

fn judge(Case(yaml, given, call, (layer, cause, rule, changes)): &Case) {
    let at = format!("{yaml} {given:?} {} {:?} {:?}", call.name().unwrap(), call.paths, call.address);
    let (plan, rules) = layered(yaml, &flags(given), 1000);
    let found = asked(&plan, &rules, call);
    let [denial] = found.as_slice() else { panic!("{at}: {found:#?}") };
    let told = denial.rule.as_ref().map_or(String::new(), |rule| format!("{}: {}", rule.place, rule.key));
    assert_eq!((&denial.layer, &denial.cause.as_str(), &told.as_str()), (layer, cause, rule), "{at}");
    assert_eq!(denial.changes.len(), *changes, "{at}: {:#?}", denial.changes);
    assert!(denial.changes.is_sorted_by_key(|change| change.risk), "{at}");
    // A limit is met wherever it is.
    for change in denial.changes.iter().filter(|_| *layer != Layer::Limits) {
        let (text, words) = changed(yaml, &change.how, given);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (plan, rules) = layered(&text, &flags(&words), 1000);
        assert_eq!(asked(&plan, &rules, call), [], "{at}: {:?}", change.how);
    }
}

#[test]
fn ordinary_errors_are_nobodys_fault() {
    use Intent::{Create, Execute, Metadata, Read, Write};
    let (plan, rules) =
        layered("filesystem: {writable: [/tmp], patterns: {deny_read: [\"*.key\"]}}", &Flags::default(), 1000);
    for call in [
        on("openat", "/nowhere", Read, libc::ENOENT),
        on("openat", "/home/u/project/nothing", Read, libc::ENOENT),
        on("openat", "/home/u/project/a.txt", Read, libc::ENOENT),
        on("newfstatat", "/usr/share/none", Metadata, libc::ENOENT),
        on("openat", "/usr/share/closed", Read, libc::EACCES),
        on("openat", "/var/tmp/closed", Write, libc::EACCES),
        on("openat", "/tmp/new/folder/x", Create, libc::ENOENT),
        on("execve", "/usr/bin/nothing", Execute, libc::ENOENT),
        on("execve", "/home/u/project/text", Execute, libc::EACCES),
        on("mkdir", "/tmp/there", Create, libc::EEXIST),
        to("connect", "127.0.0.1:81", libc::ECONNREFUSED),
        call("read", &[9], libc::EBADF),
        call("kill", &[1, 9], libc::EPERM),
        call("wait4", &[0], libc::ECHILD),
        call("ioctl", &[0, 0x5401], libc::ENOTTY),
    ] {
        assert_eq!(asked(&plan, &rules, &call), [], "{call:?}");
    }
}

#[test]
fn mounts_of_a_sandbox_inside_are_its_own() {
    let mut call = on("openat", "/home/u/.gitconfig", Intent::Read, libc::ENOENT);
    for (yaml, pid, found) in
        [("extends: nested", 1, 1), ("extends: nested", 2, 0), ("extends: nested", 0, 0), ("", 2, 1)]
    {
        let (plan, rules) = layered(yaml, &Flags::default(), 1000);
        call.pid = pid;
        assert_eq!(asked(&plan, &rules, &call).len(), found, "{yaml} {pid}");
    }
}

#[test]
fn what_every_program_tries_is_expected() {
    let (plan, rules) = layered("", &Flags::default(), 1000);
    let found = asked(&plan, &rules, &call("clone3", &[], libc::ENOSYS));
    assert!(found.len() == 1 && found[0].expected && found[0].changes.is_empty(), "{found:?}");
}

#[test]
fn a_strangers_words_are_escaped_and_never_a_change() {
    let (plan, rules) = layered("filesystem: {writable: [/tmp]}", &Flags::default(), 1000);
    for name in ["/var/tmp/\u{1b}[2J", "/var/tmp/a\nzviz: fine", "/var/tmp/\u{202e}x"] {
        let mut call = on("openat", name, Intent::Write, libc::EACCES);
        call.program = "/bin/\u{7}x".into();
        let found = asked(&plan, &rules, &call);
        assert_eq!(found.len(), 1);
        let text = serde_json::to_string(&found).unwrap();
        assert!(!text.chars().any(|c| c.is_control() || c == '\u{202e}'), "{text}");
        // A folder that is there whatever it is called.
        assert_eq!(found[0].changes[0].how, How::Yaml("filesystem: {writable: [/var/tmp]}".into()));
        assert!(!found[0].program.contains('\u{7}'));
    }
    let long = format!("/var/tmp/{}", "x".repeat(4000));
    let found = asked(&plan, &rules, &on("openat", &long, Intent::Write, libc::EACCES));
    assert!(found[0].object.len() < 600);
    let (plan, rules) = layered("filesystem: {patterns: {deny_read: [\"/var/tmp/**\"]}}", &Flags::default(), 1000);
    for (name, changes) in [("/var/tmp/plain", 2), ("/var/tmp/\u{1b}[2J", 1), (long.as_str(), 1)] {
        let found = asked(&plan, &rules, &on("openat", name, Intent::Read, libc::EACCES));
        assert_eq!(found[0].changes.len(), changes, "{name:?}");
    }
}

#[test]
fn what_rules_of_the_network_refuse_is_told_with_their_line() {
    use crate::network::Event;
    let flags = crate::sandbox::Flags { net: Some("private".into()), ..Default::default() };
    let yaml = "network:\n  mode: private\n  allow_domains: [crates.io]\n  egress: {deny: [192.0.2.0/24]}\n";
    let (plan, rules) = world::layered(yaml, &flags, 1000);
    let filter = Filter::default();
    let scene = Scene { plan: &plan, filter: &filter, rules: &rules, outside: &world::WORLD };
    let told = |json: &str| refused(&scene, &serde_json::from_str::<Event>(json).unwrap());
    let tcp = |rule: &str, to: &str| {
        let line = format!(
            r#"{{"event":"connection","verdict":"deny","rule":"{rule}","protocol":"tcp","to":"{to}","port":443}}"#
        );
        told(&line).unwrap()
    };
    let adds = |text: &str| How::Yaml(text.into());
    let out = |key: &str, value: &str, line: u32| How::Instead {
        rule: Origin { place: format!("own.yaml:{line}"), key: key.into(), value: value.into() },
        with: Vec::new(),
    };
    for (rule, to, line, what, change) in [
        ("otherwise", "203.0.113.1", 4, "no rule", adds("network: {egress: {allow: [\"tcp/203.0.113.1:443\"]}}")),
        ("guarded: private", "fd00::1", 0, "guarded", adds("network: {egress: {allow: [\"tcp/[fd00::1]:443\"]}}")),
        (
            "network.egress.deny[0]",
            "192.0.2.1",
            5,
            "refuse it (network.egress.deny[0])",
            out("network.egress.deny[0]", "192.0.2.0/24", 5),
        ),
    ] {
        let denial = tcp(rule, to);
        let place = denial.rule.map_or(String::new(), |rule| rule.place);
        let expected = if line == 0 { String::new() } else { format!("own.yaml:{line}") };
        assert_eq!((denial.layer, place.as_str()), (Layer::Network, expected.as_str()), "{rule}");
        assert!(denial.what.contains(what), "{}", denial.what);
        let changes: Vec<&How> = denial.changes.iter().map(|change| &change.how).collect();
        assert_eq!(changes, [&change], "{rule}");
    }
    // Who asked for a name is let through by it, and an echo opens nothing but echoes.
    let changes =
        |line: &str| -> Vec<How> { told(line).unwrap().changes.into_iter().map(|change| change.how).collect() };
    let head = r#"{"event":"connection","verdict":"deny","rule":"otherwise","#;
    assert_eq!(
        changes(&format!(r#"{head}"protocol":"udp","to":"203.0.113.1","port":443,"name":"crates.io"}}"#)),
        [
            adds("network: {allow_domains: [\"crates.io:443\"]}"),
            adds("network: {egress: {allow: [\"udp/203.0.113.1:443\"]}}")
        ]
    );
    assert_eq!(
        changes(&format!(r#"{head}"protocol":"icmpv6","to":"2001:db8::1"}}"#)),
        [adds("network: {egress: {allow: [\"icmp/2001:db8::1\"]}}")]
    );
    let name = r#"{"event":"name","verdict":"deny","rule":"network.allow_domains","name":"evil.example","kind":1}"#;
    let denial = told(name).unwrap();
    assert_eq!(denial.object, "evil.example");
    assert_eq!(denial.changes[0].how, How::Yaml("network: {allow_domains: [evil.example]}".into()));
    assert_eq!(told(&name.replace("deny", "allow")), None);
}
