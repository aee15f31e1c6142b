//! Layers B to E of a receipt.

use super::machine::{Applied, Loaded};
use crate::apply::landlock::{NEWEST, handled};
use crate::plan::cgroup::Resources as Asked;
use crate::plan::network::Link;
use crate::plan::{Backend, Net, Plan, rlimit_name};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use zviz_seccomp::Socket;

/// The filter.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Filter<'a> {
    /// As /proc/PID/status calls it: 2.
    mode: u32,
    instructions: usize,
    sha256: &'a str,
    /// What a call gets that no rule names.
    default: String,
    /// How many policies all have to let a call through.
    policies: usize,
    /// Whom the listener was sent to, where that is no broker of ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    listener: Option<&'a str>,
}

/// SECCOMP_MODE_FILTER, linux/seccomp.h.
const MODE_FILTER: u32 = 2;

impl<'a> Filter<'a> {
    pub(super) fn of(plan: &'a Plan, applied: &'a Applied) -> Option<Filter<'a>> {
        let (seccomp, Loaded { instructions, sha256 }) = plan.seccomp.as_ref().zip(applied.filter.as_ref())?;
        Some(Filter {
            mode: MODE_FILTER,
            instructions: *instructions,
            sha256,
            default: seccomp.policy.default.to_string(),
            policies: seccomp.policy.within.len() + 1,
            listener: seccomp.listener_path.as_deref(),
        })
    }
}

/// The broker.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Broker<'a> {
    /// Calls that it answers.
    handlers: Vec<&'static str>,
    /// What its death does.
    death: &'a str,
    /// Whether its decisions are recorded.
    audited: bool,
}

impl<'a> Broker<'a> {
    pub(super) fn of(plan: &'a Plan, applied: &Applied) -> Option<Broker<'a>> {
        let policy = &plan.profile.broker;
        let audited = policy.audit.is_some();
        applied.broker.then(|| Broker { handlers: policy.calls(), death: policy.death.word(), audited })
    }
}

/// Landlock.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Landlock {
    /// Whose rights are handled.
    abi: u32,
    /// What is denied where no rule grants it.
    handled: Vec<String>,
    /// Rules about paths.
    rules: usize,
    /// Of these, such as grant nothing where their path is not there.
    optional: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    bind_ports: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connect_ports: Option<usize>,
    /// Whether the kernel records what is denied.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    recorded: bool,
}

impl Landlock {
    pub(super) fn of(plan: &crate::plan::Landlock) -> Landlock {
        Landlock {
            abi: plan.abi.min(NEWEST),
            handled: handled(plan),
            rules: plan.rules.len(),
            optional: plan.rules.iter().filter(|rule| rule.optional).count(),
            bind_ports: plan.bind.as_ref().map(Vec::len),
            connect_ports: plan.connect.as_ref().map(Vec::len),
            recorded: plan.recorded,
        }
    }
}

/// What another security module was told at exec.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Label<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    apparmor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    selinux: Option<&'a str>,
}

impl<'a> Label<'a> {
    pub(super) fn of(plan: &'a Plan) -> Option<Label<'a>> {
        let process = &plan.process;
        let label = Label { apparmor: process.apparmor_profile.as_deref(), selinux: process.selinux_label.as_deref() };
        (label.apparmor.is_some() || label.selinux.is_some()).then_some(label)
    }
}

/// Limits.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Resources<'a> {
    /// The container's directories.
    cgroups: &'a [PathBuf],
    /// What was set there.
    #[serde(skip_serializing_if = "Asked::is_empty")]
    limits: &'a Asked,
    /// Whether devices are judged there.
    devices: bool,
    /// Soft and hard, by name; none is "unlimited".
    rlimits: BTreeMap<&'static str, [Option<u64>; 2]>,
    /// Milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    wall_time_ms: Option<u64>,
}

impl<'a> Resources<'a> {
    pub(super) fn of(plan: &'a Plan, applied: &'a Applied) -> Resources<'a> {
        let finite = |limit: u64| (limit != u64::MAX).then_some(limit);
        let rlimits = plan.process.rlimits.iter();
        Resources {
            cgroups: &applied.cgroups,
            limits: &plan.cgroup.resources,
            devices: plan.cgroup.devices.is_some() && !applied.cgroups.is_empty(),
            rlimits: rlimits.map(|r| (rlimit_name(r.resource), [finite(r.soft), finite(r.hard)])).collect(),
            wall_time_ms: plan.profile.limits.wall_time,
        }
    }
}

/// The network.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Network<'a> {
    /// `none`: a loopback device and nothing else. `devices`: those of the host that were moved in. `refused`: the host's, and no
    /// socket can be made (the backend `landlock`). `joined`, `host`. `bridge`, `pasta`: one of its own.
    mode: &'static str,
    /// Names inside.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    devices: Vec<&'a str>,
    /// The namespace that was joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    /// Whether a broker judges addresses.
    addresses_brokered: bool,
    /// Rules for its packets, by the keys of the profile, in the table of its namespace.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rules: Vec<&'a str>,
    /// Whether a resolver inside answers for names.
    resolver: bool,
}

impl<'a> Network<'a> {
    pub(super) fn of(plan: &'a Plan) -> Network<'a> {
        let inside =
            |devices: &'a [(String, String)]| devices.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>();
        let link = plan.network.as_ref().map(|network| &network.link);
        let (mode, devices, path) = match &plan.namespaces.net {
            Net::Host if without_sockets(plan) => ("refused", Vec::new(), None),
            Net::Host => ("host", Vec::new(), None),
            Net::Join { path, devices } => ("joined", inside(devices), Some(path.as_str())),
            Net::New { .. } if matches!(link, Some(Link::Bridge(_))) => ("bridge", Vec::new(), None),
            Net::New { .. } if matches!(link, Some(Link::Pasta(_))) => ("pasta", Vec::new(), None),
            Net::New { devices } if devices.is_empty() => ("none", Vec::new(), None),
            Net::New { devices } => ("devices", inside(devices), None),
        };
        let policies = plan.network.iter().flat_map(|network| &network.policies);
        let rules = policies.flat_map(|policy| {
            let keys = policy.egress.iter().map(|rule| rule.key.as_str());
            keys.chain(policy.named.iter().map(|named| named.key.as_str()))
        });
        Network {
            mode,
            devices,
            path,
            addresses_brokered: plan.profile.broker.sockets.is_some(),
            rules: rules.collect(),
            resolver: plan.network.as_ref().is_some_and(|network| network.resolver.is_some()),
        }
    }
}

/// Whether the filter lets nobody have a socket, pairs aside.
fn without_sockets(plan: &Plan) -> bool {
    let only_pairs = |kinds: &Vec<Socket>| kinds.iter().all(|kind| *kind == Socket::Pair);
    plan.backend == Backend::Landlock && plan.profile.calls.sockets.as_ref().is_some_and(only_pairs)
}
