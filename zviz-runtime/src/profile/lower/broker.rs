//! What the broker does for a profile.

use super::{Lowering, is_pattern};
use std::collections::BTreeMap;
use zviz_broker::policy::ask::Asking;
use zviz_broker::policy::files::{Access, FileRule, Files, Reason, Verdict};
use zviz_broker::policy::sockets::Sockets;
use zviz_broker::policy::{Death, Mounts, Pace, Policy, Record, Uname};
use zviz_profile::calls::expand;
use zviz_profile::{AuditLevel, Patterns};

/// Calls that no broker decides, and what decides them. docs/broker.md has the reasons.
const KERNEL: &[(&[&str], &str)] = &[
    (
        &["execve", "execveat"],
        "is decided by the kernel, by filesystem.executable: nobody can execute a program for another",
    ),
    (
        &["clone", "clone3", "fork", "vfork", "unshare", "setns"],
        "is decided by the filter, by flags in a register: nobody can make a process for another",
    ),
    (
        &["socket", "socketpair", "ioctl", "prctl", "personality", "setsockopt"],
        "is decided by the filter: registers say all about it",
    ),
];

/// Calls that rules about sockets answer.
const SOCKETS: &[&str] = &["connect", "bind", "sendto", "sendmsg", "sendmmsg"];

/// Seven weeks at most, which nobody waits for.
fn milliseconds(time: u64) -> u32 {
    u32::try_from(time).unwrap_or(u32::MAX)
}

/// What rules are called by their author, by their names in the policy.
type Origins = BTreeMap<String, String>;

impl Lowering<'_> {
    /// A key with its file and line.
    pub(super) fn origin(&self, key: &str) -> String {
        let place = self.document.place(key).map(ToString::to_string).unwrap_or_default();
        format!("{place}: {key}")
    }

    pub(super) fn broker(&mut self) -> Policy {
        let asked = self.asked();
        let has = |names: &[&str]| asked.iter().any(|name| names.contains(name));
        let given = self.document.broker.clone();
        let mut policy = Policy {
            nodes: has(&["mknod", "mknodat"]),
            sysinfo: has(&["sysinfo"]),
            bpf_devices: has(&["bpf"]),
            pace: self.pace(),
            record: match self.document.audit.level {
                Some(AuditLevel::None) => Record::Nothing,
                Some(AuditLevel::Denials) => Record::Denials,
                Some(AuditLevel::Full) | None => Record::All,
            },
            ..Policy::default()
        };
        policy.files = self.rules(has(&["open", "openat", "openat2", "creat"]), &mut policy.origins);
        policy.sockets = self.ways(has(SOCKETS), &mut policy.origins);
        if has(&["uname"]) {
            let plain = Uname::plain();
            let (release, version) = (given.uname.release, given.uname.version);
            policy.uname =
                Some(Uname { release: release.unwrap_or(plain.release), version: version.unwrap_or(plain.version) });
        }
        if has(&["mount", "umount2", "pivot_root"]) {
            if self.document.nested != Some(true) {
                self.fault("syscalls.broker", "mounts are for sandboxes inside: nested: true goes with them");
            }
            let plain = Mounts::default();
            policy.mounts = Some(Mounts {
                types: given.mount_types.unwrap_or(plain.types),
                tmpfs_bytes: given.tmpfs_max.unwrap_or(plain.tmpfs_bytes),
                ..Mounts::default()
            });
        } else if self.document.nested == Some(true) {
            self.fault("nested", "needs mount, umount2 and pivot_root among syscalls.broker");
        }
        if !self.document.filesystem.patterns.ask.is_empty() {
            let plain = Asking::default();
            policy.ask = Some(Asking { timeout_ms: given.ask_timeout.map_or(plain.timeout_ms, milliseconds), ..plain });
        }
        policy.death = match given.death {
            Some(zviz_profile::Death::Degrade) => Death::Degrade,
            _ => Death::Kill,
        };
        policy
    }

    /// The calls of `syscalls.broker` that a broker can answer; the others are told of.
    fn asked(&mut self) -> Vec<&'static str> {
        let listed = self.document.syscalls.broker.clone();
        let mut asked = Vec::new();
        for (i, name) in listed.iter().enumerate() {
            let key = format!("syscalls.broker[{i}]");
            for call in expand(name) {
                if let Some((_, why)) = KERNEL.iter().find(|(calls, _)| calls.contains(&call)) {
                    self.note(&key, &format!("{call} {why}"));
                } else if zviz_seccomp::NOTIFIABLE.contains(&call) {
                    asked.push(call);
                } else {
                    let what =
                        format!("the broker cannot answer {call}; it can {}", zviz_seccomp::NOTIFIABLE.join(", "));
                    self.fault(&key, what);
                }
            }
        }
        asked
    }

    /// Rules for opening files.
    fn rules(&mut self, asked: bool, origins: &mut Origins) -> Option<Files> {
        let Patterns { deny_read, deny_write, audit, allow_read, allow_write, ask } =
            self.document.filesystem.patterns.clone();
        let hidden = self.document.filesystem.hidden.clone();
        let denied = Verdict::Deny(Reason::Eacces);
        let mut rules = Vec::new();
        for (key, globs, access, verdict) in [
            ("hidden", hidden, Access::Any, Verdict::Deny(Reason::Enoent)),
            ("patterns.allow_read", allow_read, Access::Read, Verdict::Allow),
            ("patterns.allow_write", allow_write, Access::Write, Verdict::Allow),
            ("patterns.deny_read", deny_read, Access::Read, denied),
            ("patterns.deny_write", deny_write, Access::Write, denied),
            ("patterns.ask", ask, Access::Any, Verdict::Ask),
            ("patterns.audit", audit, Access::Any, Verdict::Audit),
        ] {
            let key = format!("filesystem.{key}");
            for (i, glob) in self.paths(&key, &globs).into_iter().enumerate() {
                // A path that is hidden is no pattern, and not there.
                if key != "filesystem.hidden" || is_pattern(&glob) {
                    origins.insert(format!("files.rules[{}]", rules.len()), self.origin(&format!("{key}[{i}]")));
                    rules.push(FileRule { glob, access, verdict });
                }
            }
        }
        let full = self.document.audit.level == Some(AuditLevel::Full);
        let default = if full { Verdict::Audit } else { Verdict::Allow };
        let only_allows = rules.iter().all(|rule| rule.verdict == Verdict::Allow);
        (asked || !only_allows).then_some(Files { rules, default, ..Files::default() })
    }

    /// The broker's rules about sockets where a packet filter holds the program to what is said of the network.
    pub(super) fn sockets_beside(&mut self) -> Option<Sockets> {
        let named = self.paths("broker.unix_sockets", &self.document.broker.unix_sockets.clone());
        (self.asks_about_sockets() || !named.is_empty()).then(|| super::network::open(&named))
    }

    fn asks_about_sockets(&self) -> bool {
        let calls = self.document.syscalls.broker.iter().flat_map(|name| expand(name));
        calls.into_iter().any(|call| SOCKETS.contains(&call))
    }

    fn pace(&self) -> Pace {
        let (given, plain) = (&self.document.broker, Pace::default());
        Pace {
            calls_per_second: given.rate.unwrap_or(plain.calls_per_second),
            burst: given.max_inflight.unwrap_or(plain.burst),
            deadline_ms: given.timeout_ms.map_or(plain.deadline_ms, milliseconds),
        }
    }

    /// Rules for addresses of sockets: those of `network`, or none but that sockets of Docker and the like stay shut.
    fn ways(&mut self, asked: bool, origins: &mut Origins) -> Option<Sockets> {
        let named = self.paths("broker.unix_sockets", &self.document.broker.unix_sockets.clone());
        let ways = super::network::ways(&self.document.network, &named);
        match ways {
            Err((key, what)) => {
                self.fault(key, what);
                None
            }
            Ok(None) if asked || !named.is_empty() => Some(super::network::open(&named)),
            Ok(None) => None,
            Ok(Some((sockets, keys))) => {
                for (i, key) in keys.into_iter().enumerate() {
                    origins.insert(format!("sockets.connect[{i}]"), self.origin(key));
                }
                if let Some(key) = super::network::list(&self.document.network) {
                    origins.insert("sockets.otherwise".into(), self.origin(key));
                }
                Some(sockets)
            }
        }
    }
}
