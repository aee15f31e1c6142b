//! A container's state as JSON: for hooks and the seccomp listener as the specification has it, for `state` and
//! `list` as runc prints it.

use super::{State, Status};
use crate::receipt::Receipt;
use serde::Serialize;
use std::collections::BTreeMap;

/// The state of the specification. runtime.md, "State".
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OciState<'a> {
    /// `ociVersion` of the spec.
    pub oci_version: &'a str,
    /// The container's.
    pub id: &'a str,
    /// At the time of the report.
    pub status: Status,
    /// Init's, in the runtime's pid namespace; absent when stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Absolute.
    pub bundle: &'a str,
    /// As given.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: &'a BTreeMap<String, String>,
}

/// What `state` and `list` print: field names and order are runc's.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report<'a> {
    /// `ociVersion` of the spec.
    pub oci_version: &'a str,
    /// The container's.
    pub id: &'a str,
    /// Init's; 0 when stopped.
    pub pid: i32,
    /// At the time of the report.
    pub status: Status,
    /// Absolute.
    pub bundle: &'a str,
    /// On the host.
    pub rootfs: &'a str,
    /// RFC 3339.
    pub created: &'a str,
    /// As given.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: &'a BTreeMap<String, String>,
    /// A user's name or `#uid`: `list` says it, `state` leaves it empty.
    pub owner: String,
    /// The limit that ended it: `wall_time`. zviz's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// What is in force: `state` says it. zviz's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt<'a>>,
}

impl State {
    /// For a hook or a listener.
    pub fn oci(&self, status: Status) -> OciState<'_> {
        OciState {
            oci_version: &self.oci_version,
            id: self.id.as_str(),
            status,
            pid: self.init.filter(|_| status != Status::Stopped).map(|init| init.pid),
            bundle: &self.bundle,
            annotations: &self.plan.annotations,
        }
    }

    /// For a user.
    pub fn report(&self, status: Status, owner: String) -> Report<'_> {
        Report {
            oci_version: &self.oci_version,
            id: self.id.as_str(),
            pid: self.init.filter(|_| status != Status::Stopped).map_or(0, |init| init.pid),
            status,
            bundle: &self.bundle,
            rootfs: self.rootfs(),
            created: &self.created,
            annotations: &self.plan.annotations,
            owner,
            ended: None,
            receipt: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::{Id, Init};
    use crate::plan::{Plan, Rootfs};

    fn state() -> State {
        let rootfs =
            Rootfs { path: "/b/rootfs".into(), readonly: false, propagation: None, pivot: true, mount_label: None };
        let plan = Plan { rootfs: Some(rootfs), ..Plan::default() };
        State {
            init: Some(Init { pid: 7, started: 1 }),
            created: "2026-11-21T00:38:15.5Z".into(),
            ..State::new("1.2.0", Id::new("web").unwrap(), "/b", plan)
        }
    }

    #[test]
    fn keys_are_runcs_in_runcs_order() {
        let mut state = state();
        assert_eq!(
            serde_json::to_string(&state.report(Status::Running, String::new())).unwrap(),
            r#"{"ociVersion":"1.2.0","id":"web","pid":7,"status":"running","bundle":"/b","rootfs":"/b/rootfs","created":"2026-11-21T00:38:15.5Z","owner":""}"#
        );
        state.plan.annotations.insert("k".into(), "v".into());
        assert_eq!(
            serde_json::to_string(&state.report(Status::Stopped, "root".into())).unwrap(),
            r#"{"ociVersion":"1.2.0","id":"web","pid":0,"status":"stopped","bundle":"/b","rootfs":"/b/rootfs","created":"2026-11-21T00:38:15.5Z","annotations":{"k":"v"},"owner":"root"}"#
        );
    }

    #[test]
    fn a_hook_of_a_stopped_container_gets_no_pid() {
        let state = state();
        assert_eq!(
            serde_json::to_string(&state.oci(Status::Stopped)).unwrap(),
            r#"{"ociVersion":"1.2.0","id":"web","status":"stopped","bundle":"/b"}"#
        );
        assert_eq!(state.oci(Status::Creating).pid, Some(7));
    }
}
