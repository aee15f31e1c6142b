//! What the deciders read and what they leave beside the plan.

use super::network::Link;
use super::{InPlace, Note, Problems};
use crate::host::Host;
use crate::profile::Profile;
use crate::spec::Spec;

/// What the caller asks for beside the spec: flags of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The container's id.
    pub id: String,
    /// Enter the root by pivot_root(2); `--no-pivot` says no.
    pub pivot: bool,
    /// A session keyring of its own; `--no-new-keyring` says no.
    pub new_keyring: bool,
    /// The cgroup is made by systemd (`--systemd-cgroup`).
    pub systemd_cgroup: bool,
    /// `--rootless true` or `false` for cgroups; absent: as the host is.
    pub rootless_cgroup: Option<bool>,
    /// The spec was made of a sandbox (`crate::sandbox`), not read from a bundle: its root is a fresh tmpfs, and the one
    /// id that an ordinary user may map need not be 0 inside.
    pub sandbox: bool,
    /// The network namespace that the spec has a path of is the caller's own: Docker's word for `--network host`.
    /// [`crate::network::is_own`]
    pub own_network: bool,
    /// The sandbox is to be without namespaces.
    pub in_place: Option<InPlace>,
    /// The way out of its network namespace that zviz makes.
    pub link: Link,
    /// Connections are told of while it runs (`--net-log`).
    pub events: bool,
    /// What is refused is remembered: connections, and by the kernel what Landlock denies (`--explain`).
    pub refusals: bool,
}

impl From<&str> for Request {
    /// The flags as they are by default.
    fn from(id: &str) -> Self {
        Request {
            id: id.into(),
            pivot: true,
            new_keyring: true,
            systemd_cgroup: false,
            rootless_cgroup: None,
            sandbox: false,
            own_network: false,
            in_place: None,
            link: Link::None,
            events: false,
            refusals: false,
        }
    }
}

/// Everything a decision may rest on.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    pub spec: &'a Spec,
    pub profile: &'a Profile,
    pub host: &'a Host,
    pub request: &'a Request,
}

impl<'a> Input<'a> {
    /// The `linux` section.
    pub fn linux(self) -> Option<&'a oci_spec::runtime::Linux> {
        self.spec.oci.linux().as_ref()
    }
}

/// What is said about the plan: why there is none, or what a user should know of it.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub problems: Problems,
    pub notes: Vec<Note>,
}

impl Findings {
    /// Records a fault at `place`.
    pub fn problem(&mut self, place: impl Into<String>, what: impl Into<String>) {
        self.problems.add(place, what);
    }

    /// Records a remark about `place`.
    pub fn note(&mut self, place: impl AsRef<str>, what: impl AsRef<str>) {
        self.notes.push(Note(format!("{}: {}", place.as_ref(), what.as_ref())));
    }
}
