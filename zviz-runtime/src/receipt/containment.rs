//! Layer A of a receipt: namespaces, root, ids, rights.

use crate::plan::capabilities::names;
use crate::plan::{Backend, Capabilities, IdMap, Namespace, Net, Plan, Time, User, Uts};
use serde::Serialize;
use std::collections::BTreeMap;

/// Where the container is apart from the host.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Containment {
    /// `namespaces`, or `landlock`: there are none, and what that lacks is among the notes.
    backend: Backend,
    /// By the names of namespaces(7): `new`, `joined`; what is the host's is not among them.
    namespaces: BTreeMap<&'static str, &'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    uid_map: Vec<IdMap>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gid_map: Vec<IdMap>,
    /// Inside.
    uid: u32,
    gid: u32,
    /// The host's folder that is the root; none for a fresh one in memory, or a root that is joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<String>,
    root_readonly: bool,
    mounts: usize,
    masked_paths: usize,
    readonly_paths: usize,
    /// Sets that are not empty.
    capabilities: BTreeMap<&'static str, Vec<String>>,
    no_new_privileges: bool,
}

impl Containment {
    pub(super) fn of(plan: &Plan) -> Containment {
        let (uid_map, gid_map) = match &plan.namespaces.user {
            User::New { uids, gids, .. } => (uids.clone(), gids.clone()),
            User::Host | User::Join(_) => (Vec::new(), Vec::new()),
        };
        Containment {
            backend: plan.backend,
            namespaces: namespaces(plan),
            uid_map,
            gid_map,
            uid: plan.process.credentials.uid,
            gid: plan.process.credentials.gid,
            root: plan.rootfs.as_ref().map(|root| root.path.clone()).filter(|path| !path.is_empty()),
            root_readonly: plan.rootfs.as_ref().is_some_and(|root| root.readonly),
            mounts: plan.mounts.len(),
            masked_paths: plan.masked_paths.len(),
            readonly_paths: plan.readonly_paths.len(),
            capabilities: sets(plan.process.capabilities),
            no_new_privileges: plan.process.no_new_privs,
        }
    }
}

fn sets(given: Capabilities) -> BTreeMap<&'static str, Vec<String>> {
    let Capabilities { bounding, effective, permitted, inheritable, ambient } = given;
    let all = [
        ("bounding", bounding),
        ("effective", effective),
        ("permitted", permitted),
        ("inheritable", inheritable),
        ("ambient", ambient),
    ];
    all.into_iter().filter(|(_, mask)| *mask != 0).map(|(set, mask)| (set, names(mask))).collect()
}

fn namespaces(plan: &Plan) -> BTreeMap<&'static str, &'static str> {
    const NEW: Option<&str> = Some("new");
    const JOINED: Option<&str> = Some("joined");
    let n = &plan.namespaces;
    let plain = |namespace: &Namespace| match namespace {
        Namespace::Host => None,
        Namespace::Join(_) => JOINED,
        Namespace::New => NEW,
    };
    let user = match &n.user {
        User::Host => None,
        User::Join(_) => JOINED,
        User::New { .. } => NEW,
    };
    let uts = match &n.uts {
        Uts::Host => None,
        Uts::Join { .. } => JOINED,
        Uts::New(_) => NEW,
    };
    let net = match &n.net {
        Net::Host => None,
        Net::Join { .. } => JOINED,
        Net::New { .. } => NEW,
    };
    let time = match &n.time {
        Time::Host => None,
        Time::Join(_) => JOINED,
        Time::New { .. } => NEW,
    };
    let all = [
        ("user", user),
        ("pid", plain(&n.pid)),
        ("mount", plain(&n.mount)),
        ("uts", uts),
        ("ipc", plain(&n.ipc)),
        ("network", net),
        ("cgroup", plain(&n.cgroup)),
        ("time", time),
    ];
    all.into_iter().filter_map(|(name, how)| Some((name, how?))).collect()
}
