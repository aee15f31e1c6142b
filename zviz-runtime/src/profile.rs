//! The policy that is laid over a spec: it takes away, never adds.

use serde::{Deserialize, Serialize};
use zviz_broker::policy::ask::Asking;
use zviz_broker::policy::files::{Access, FileRule, Files, Verdict};
use zviz_broker::policy::{Mounts, Policy as Broker, Uname};

/// What may be granted at most.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Its name, for messages.
    pub name: String,
    /// Capabilities that may be granted, as a mask by number.
    pub capabilities: u64,
    /// Set whatever the spec says.
    pub no_new_privs: bool,
    /// Landlock over the mounts of the plan.
    pub landlock: bool,
    /// The default seccomp policy is intersected with the spec's.
    pub seccomp: bool,
    /// Sandboxes inside are possible: new namespaces, a proc without masks, and mounts by way of the broker.
    #[serde(default)]
    pub nested: bool,
    /// What the broker does. There is none if that is nothing.
    #[serde(default)]
    pub broker: Broker,
}

/// CAP_SETGID, CAP_SETUID and CAP_SETFCAP, linux/capability.h: a root that has them may map its ids, and be root, in a
/// namespace inside.
const MAPPING: u64 = 1 << 6 | 1 << 7 | 1 << 31;

/// The built-in profiles, by name, and what each is for.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("ask", "programs that somebody watches: who opens a file outside the system's folders is asked about"),
    ("default", "programs that nothing is known of"),
    ("nested", "sandboxes and containers inside: bubblewrap, unshare, buildah, podman"),
    ("virtualised", "programs that size themselves by what the machine has: they see the sandbox's limits"),
];

impl Profile {
    /// Takes nothing away: the OCI command line, where the spec is the policy.
    pub fn none() -> Self {
        Profile {
            name: "none".into(),
            capabilities: u64::MAX,
            no_new_privs: false,
            landlock: false,
            seccomp: false,
            nested: false,
            broker: Broker::default(),
        }
    }
}

impl Profile {
    /// A built-in profile.
    #[must_use]
    pub fn built_in(name: &str) -> Option<Profile> {
        let profile = Profile { name: name.to_owned(), ..Profile::default() };
        match name {
            "default" => Some(profile),
            "ask" => {
                let files = Files { rules: unasked(), default: Verdict::Ask };
                let broker = Broker { files: Some(files), ask: Some(Asking::default()), ..Broker::default() };
                Some(Profile { broker, ..profile })
            }
            "nested" => {
                let broker = Broker { mounts: Some(Mounts::default()), nodes: true, ..Broker::default() };
                Some(Profile { capabilities: MAPPING, nested: true, broker, ..profile })
            }
            "virtualised" => {
                let broker = Broker { sysinfo: true, uname: Some(Uname::plain()), ..Broker::default() };
                Some(Profile { broker, ..profile })
            }
            _ => None,
        }
    }
}

/// What every program opens, and nobody need be asked about.
fn unasked() -> Vec<FileRule> {
    let rule = |access| move |glob: &&str| FileRule { glob: (*glob).into(), access, verdict: Verdict::Allow };
    let any = ["/dev/**", "/proc/**", "/tmp/**"];
    let read = ["/", "/*", "/bin/**", "/etc/**", "/lib*/**", "/opt/**", "/sbin/**", "/sys/**", "/usr/**"];
    any.iter().map(rule(Access::Any)).chain(read.iter().map(rule(Access::Read))).collect()
}

impl Default for Profile {
    /// What `zviz run -- CMD` lays over its own spec: no capability, no new privilege, Landlock, the default filter.
    fn default() -> Self {
        Profile {
            name: "default".into(),
            capabilities: 0,
            no_new_privs: true,
            landlock: true,
            seccomp: true,
            nested: false,
            broker: Broker::default(),
        }
    }
}
