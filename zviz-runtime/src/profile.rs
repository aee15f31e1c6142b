//! The policy that is laid over a spec: it takes away, never adds. [`lower`](lower::lower) makes one of a file.

pub mod annotations;
pub mod apparmor;
pub mod artefacts;
pub mod built_in;
pub mod bundle;
pub mod files;
pub mod find;
pub mod hashed;
pub mod limits;
pub mod lower;
pub mod packets;

pub use built_in::BUILT_IN;
pub use bundle::Rules;
pub use files::{Files as FileRules, Ports};
pub use limits::Limits;
pub use packets::Packets;

use crate::plan::{Backend, Note};
use serde::{Deserialize, Serialize};
use zviz_broker::handlers::names;
use zviz_broker::policy::Policy as Broker;
use zviz_broker::policy::files::Files;
use zviz_seccomp::{Choice, Variant};

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
    /// What the filter says beside the default policy.
    #[serde(default)]
    pub calls: Choice,
    /// What may be read, written and executed.
    #[serde(default)]
    pub files: files::Files,
    /// TCP ports, by Landlock.
    #[serde(default)]
    pub ports: Ports,
    /// What may be used up.
    #[serde(default)]
    pub limits: Limits,
    /// The network; none where the spec, or a flag, decides alone.
    #[serde(default)]
    pub network: Option<Network>,
    /// What packets may go out and come in, where it is a network of the container's own.
    #[serde(default)]
    pub packets: Option<Packets>,
    /// What the host must have.
    #[serde(default)]
    pub requirements: Requirements,
    /// The AppArmor profile of whatever runs inside.
    #[serde(default)]
    pub apparmor: Option<apparmor::Wanted>,
    /// The SELinux label of whatever runs inside.
    #[serde(default)]
    pub selinux: Option<String>,
    /// The kernel is to record what Landlock denies.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub landlock_records: bool,
    /// Capabilities that a program of an ordinary user has as well, as a mask: a part of `capabilities`.
    #[serde(default)]
    pub ambient: u64,
    /// The texts that it was made of, its own first; none where no text was read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub texts: Vec<hashed::Hashed>,
    /// What its author should know of it.
    #[serde(default)]
    pub notes: Vec<Note>,
    /// Its own filter, where it was compiled beforehand.
    #[serde(skip)]
    pub program: Option<zviz_seccomp::Program>,
}

/// What the host must have; what is not required and missing is left out with a note.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Requirements {
    /// AppArmor or SELinux, in force over the payload.
    pub lsm: bool,
    /// Labels may be left out where the kernel, or the caller, cannot have them.
    pub lsm_optional: bool,
    /// Landlock.
    pub landlock: bool,
    /// Rules about ports may be left out where Landlock has none.
    pub ports_optional: bool,
    /// A user namespace of the container's own.
    pub user_namespace: bool,
    /// A kernel on which a broker can answer.
    pub notify: bool,
    /// A seccomp filter, the container's own or the profile's.
    pub seccomp: bool,
    /// What it is made of. Landlock: may be, where the host gives no namespaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<Backend>,
}

/// Which network there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// A loopback device and nothing else.
    None,
    /// The host's.
    Host,
    /// One of its own, at a bridge of the host.
    Bridge,
    /// One of its own, by pasta(1).
    Pasta,
    /// Whichever of the two the caller can have.
    Private,
}

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
            calls: Choice::default(),
            files: files::Files::default(),
            ports: Ports::default(),
            limits: Limits::default(),
            network: None,
            packets: None,
            requirements: Requirements::default(),
            apparmor: None,
            selinux: None,
            landlock_records: false,
            ambient: 0,
            texts: Vec::new(),
            notes: Vec::new(),
            program: None,
        }
    }
}

impl Profile {
    /// Its own filter, as a variant of the default one.
    #[must_use]
    pub fn variant(&self) -> Variant {
        Variant {
            notify: self.broker.calls().into_iter().map(str::to_owned).collect(),
            reads_unasked: self.broker.files.as_ref().is_some_and(Files::are_about_writing),
            nodes_asked: names::wanted(&self.broker),
            nested: self.nested,
            choice: self.calls.clone(),
            in_place: false,
        }
    }
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
            limits: Limits { core_files: Some(false), ..Limits::default() },
            ..Profile::none()
        }
    }
}
