//! No key of a profile is ignored: each changes what is laid over a spec, or is refused with a reason. Read with a value of
//! each kind, so that a new key fails here until somebody says what it does.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "profile_keys/required.rs"]
mod required;
#[path = "profile_keys/tested.rs"]
mod tested;

use zviz_profile::schema::{Does, leaves};
use zviz_profile::{Text, read};
use zviz_runtime::Profile;
use zviz_runtime::profile::built_in;
use zviz_runtime::profile::lower::{Context, lower};

/// A key, what is around it, and a value that says something. `{}` is where the value goes.
#[rustfmt::skip]
const VALUES: &[(&str, &str)] = &[
    ("extends", "extends: nested"),
    ("requirements.lsm", "requirements: {lsm: required}"),
    ("requirements.lsm", "requirements: {lsm: optional}"),
    ("requirements.seccomp_notify", "requirements: {seccomp_notify: required}"),
    ("requirements.network_policy", "requirements: {network_policy: optional}"),
    ("requirements.landlock", "requirements: {landlock: required}"),
    ("requirements.cgroup", "requirements: {cgroup: optional}"),
    ("requirements.user_namespaces", "requirements: {user_namespaces: required}"),
    ("requirements.backend", "requirements: {backend: landlock}"),
    ("syscalls.allow", "syscalls: {allow: [\"@default\", userfaultfd]}"),
    ("syscalls.deny", "syscalls: {deny: [mount]}"),
    ("syscalls.broker", "syscalls: {broker: [sysinfo]}"),
    ("ioctl.allowlists[].commands", "ioctl: {allowlists: [{commands: [FIONREAD]}]}"),
    ("filesystem.rootfs", "filesystem: {rootfs: readonly}"),
    ("filesystem.base", "filesystem: {base: none}"),
    ("filesystem.readonly", "filesystem: {readonly: [/a]}"),
    ("filesystem.writable", "filesystem: {writable: [/a]}"),
    ("filesystem.tmpfs", "filesystem: {tmpfs: [/a]}"),
    ("filesystem.hidden", "filesystem: {hidden: [/a]}"),
    ("filesystem.executable", "filesystem: {executable: [/a]}"),
    ("filesystem.set_id_bits", "filesystem: {set_id_bits: false}"),
    ("filesystem.workspace", "filesystem: {workspace: none}"),
    ("filesystem.patterns.allow_read", "filesystem: {patterns: {allow_read: [a], deny_read: [b]}}"),
    ("filesystem.patterns.allow_write", "filesystem: {patterns: {allow_write: [a], deny_write: [b]}}"),
    ("filesystem.patterns.deny_read", "filesystem: {patterns: {deny_read: [a]}}"),
    ("filesystem.patterns.deny_write", "filesystem: {patterns: {deny_write: [a]}}"),
    ("filesystem.patterns.ask", "filesystem: {patterns: {ask: [a]}}"),
    ("filesystem.patterns.audit", "filesystem: {patterns: {audit: [a]}}"),
    ("lsm.type", "lsm: {type: landlock}"),
    ("lsm.type", "lsm: {type: apparmor}"),
    ("lsm.profile", "lsm: {type: apparmor, profile: a}"),
    ("lsm.profile", "lsm: {type: selinux, profile: a}"),
    ("network.mode", "network: {mode: none}"),
    ("network.mode", "network: {mode: private}"),
    ("network.allow_cidrs", "network: {allow_cidrs: [10.0.0.0/8]}"),
    ("network.egress.allow", "network: {egress: {allow: [10.0.0.0/8]}}"),
    ("network.egress.deny", "network: {egress: {deny: [10.0.0.0/8]}}"),
    ("network.ingress.deny_all", "network: {ingress: {deny_all: true}}"),
    ("network.dns.allow", "network: {dns: {allow: false}}"),
    ("network.sockets.allow", "network: {sockets: {allow: [unix]}}"),
    ("network.sockets.deny", "network: {sockets: {deny: [udp]}}"),
    ("network.ports.allow_bind", "network: {ports: {allow_bind: [80]}}"),
    ("network.ports.allow_connect", "network: {ports: {allow_connect: [80]}}"),
    ("network.ports.deny_connect", "network: {ports: {deny_connect: [80]}}"),
    ("network.allow_domains", "network: {allow_domains: [a.example]}"),
    ("network.ingress.allow", "network: {ingress: {allow: [10.0.0.0/8]}}"),
    ("network.connections_max", "network: {connections_max: 7}"),
    ("network.connections_rate", "network: {connections_rate: 7}"),
    ("network.log", "network: {log: denied}"),
    ("network.dns.proxy.enabled", "network: {dns: {proxy: {enabled: true}}}"),
    ("network.dns.proxy.upstream", "network: {dns: {proxy: {enabled: true, upstream: \"10.0.0.53:53\"}}}"),
    ("resources.memory_max", "resources: {memory_max: 1G}"),
    ("resources.memory_swap_max", "resources: {memory_max: 1G, memory_swap_max: 2G}"),
    ("resources.memory_high", "resources: {memory_high: 1G}"),
    ("resources.cpu_max", "resources: {cpu_max: 0.5}"),
    ("resources.cpu_weight", "resources: {cpu_weight: 50}"),
    ("resources.pids_max", "resources: {pids_max: 7}"),
    ("resources.io_max[].device", "resources: {io_max: [{device: \"8:0\", rbps: 1}]}"),
    ("resources.io_max[].rbps", "resources: {io_max: [{device: \"8:0\", rbps: 1}]}"),
    ("resources.io_max[].wbps", "resources: {io_max: [{device: \"8:0\", wbps: 1}]}"),
    ("resources.io_max[].riops", "resources: {io_max: [{device: \"8:0\", riops: 1}]}"),
    ("resources.io_max[].wiops", "resources: {io_max: [{device: \"8:0\", wiops: 1}]}"),
    ("resources.open_files", "resources: {open_files: 64}"),
    ("resources.file_size", "resources: {file_size: 1M}"),
    ("resources.tmpfs_max", "resources: {tmpfs_max: 1M}"),
    ("resources.tmpfs_inodes_max", "resources: {tmpfs_inodes_max: 7}"),
    ("resources.disk_max", "resources: {disk_max: 1M}"),
    ("resources.disk_inodes_max", "resources: {disk_inodes_max: 7}"),
    ("resources.ptys_max", "resources: {ptys_max: 7}"),
    ("resources.output_max", "resources: {output_max: 1M}"),
    ("resources.output_action", "resources: {output_max: 1M, output_action: truncate}"),
    ("resources.cpu_time", "resources: {cpu_time: 1s}"),
    ("resources.cpu_time_total", "resources: {cpu_time_total: 1s}"),
    ("resources.wall_time", "resources: {wall_time: 1s}"),
    ("resources.core_dumps", "resources: {core_dumps: true}"),
    ("capabilities.drop_all", "capabilities: {drop_all: false}"),
    ("capabilities.keep", "capabilities: {keep: [CHOWN]}"),
    ("capabilities.ambient", "capabilities: {keep: [CHOWN], ambient: [CHOWN]}"),
    ("capabilities.bounding.drop", "capabilities: {drop_all: false, bounding: {drop: [CHOWN]}}"),
    ("broker.max_inflight", "broker: {max_inflight: 7}"),
    ("broker.rate", "broker: {rate: 7}"),
    ("broker.timeout_ms", "broker: {timeout_ms: 7}"),
    ("broker.death", "broker: {death: degrade}"),
    ("broker.ask_timeout", "broker: {ask_timeout: 7s}\nfilesystem: {patterns: {ask: [a]}}"),
    ("broker.mount_types", "broker: {mount_types: [tmpfs]}\nnested: true\nsyscalls: {broker: [mount]}"),
    ("broker.tmpfs_max", "broker: {tmpfs_max: 1M}\nnested: true\nsyscalls: {broker: [mount]}"),
    ("broker.uname.release", "broker: {uname: {release: a}}\nsyscalls: {broker: [uname]}"),
    ("broker.uname.version", "broker: {uname: {version: a}}\nsyscalls: {broker: [uname]}"),
    ("broker.unix_sockets", "broker: {unix_sockets: [/run/a]}"),
    ("audit.level", "audit: {level: full}\nsyscalls: {broker: [openat]}"),
    ("nested", "nested: true\nsyscalls: {broker: [mount]}"),
];

fn profile(text: &str) -> Result<Profile, String> {
    let text = Text { file: "a.yaml".into(), text: format!("name: a\n{text}\n") };
    let base = |name: &str| built_in::text(name).ok_or_else(|| format!("there is no profile {name:?}"));
    let document = read(&text, &base).map_err(|faults| faults.to_string())?;
    let mut profile = lower(&document, &Context::default()).map_err(|faults| faults.to_string())?;
    // Where a limit is written is said, and limits nothing.
    profile.limits.places.clear();
    profile.packets.iter_mut().for_each(|packets| packets.origins.clear());
    Ok(profile)
}

/// The same text without the key.
fn without(key: &str, text: &str) -> String {
    let last = key.trim_end_matches("[]").rsplit('.').next().unwrap();
    let start = text
        .match_indices(last)
        .map(|(at, _)| at)
        .filter(|at| text[at + last.len()..].starts_with(':'))
        .last()
        .unwrap();
    let (mut depth, mut end) = (0i32, text.len());
    for (at, c) in text[start..].char_indices() {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' if depth == 0 => (end, depth) = (start + at, i32::MIN),
            ']' | '}' => depth -= 1,
            ',' | '\n' if depth == 0 => (end, depth) = (start + at, i32::MIN),
            _ => {}
        }
        if depth == i32::MIN {
            break;
        }
    }
    let rest = text[end..].trim_start_matches([',', '\n', ' ']);
    let before = text[..start].trim_end_matches([',', ' ']);
    match rest.is_empty() || rest.starts_with(['}', ']']) {
        true => format!("{before}{rest}"),
        false => format!("{}{rest}", &text[..start]),
    }
}

#[test]
fn no_key_is_ignored() {
    for (path, key) in leaves() {
        if key.does == Does::Describes {
            continue;
        }
        let texts: Vec<&str> = VALUES.iter().filter(|(known, _)| *known == path).map(|(_, text)| *text).collect();
        assert!(!texts.is_empty(), "{path} is in the schema, and nothing here says what it does");
        for text in texts {
            match (key.does, profile(text)) {
                (Does::Refused(why), result) => assert!(result.unwrap_err().contains(why), "{path}"),
                // Refused where it stands alone, with its line.
                (_, Err(what)) => assert!(what.starts_with("a.yaml:") && what.contains(&path), "{path}: {what}"),
                (_, Ok(with)) => {
                    let rest = without(&path, text);
                    match profile(&rest) {
                        Ok(other) => assert_ne!(with, other, "{path}: {text:?} and {rest:?} come to the same"),
                        Err(what) => assert!(what.starts_with("a.yaml:"), "{rest:?}: {what}"),
                    }
                }
            }
        }
    }
    let known: Vec<String> = leaves().into_iter().map(|(path, _)| path).collect();
    for (path, _) in VALUES {
        assert!(known.iter().any(|other| other == path), "{path} is no key any more");
    }
}

#[test]
fn a_time_beyond_measure_is_a_long_one() {
    assert_eq!(profile("broker: {timeout_ms: 99999999999}").unwrap().broker.pace.deadline_ms, u32::MAX);
}
