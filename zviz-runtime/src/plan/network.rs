//! The network of a container, decided: its link, the rules for its packets, who answers for names.

mod rights;

pub(super) use rights::{check as check_rights, check_added};

use super::input::{Findings, Input};
use super::{Namespaces, Net, Process, Seccomp};
use crate::profile::{Packets, Profile};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use zviz_broker::policy::Trail;
use zviz_network::address::Network as Range;
use zviz_network::policy::{Ingress, Log, Policy, Published, Verdict};

/// What is made in a network namespace beside a loopback device.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// The way out.
    #[serde(default)]
    pub link: Link,
    /// What may go out and come in: all of them must let it through.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<Policy>,
    /// Who answers for names inside; none: whoever the container asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolver: Option<Resolver>,
    /// Whether the container's nameservers are let through although no rule names them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nameservers: bool,
    /// What programs inside read of names; none: what is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<Files>,
    /// Whether connections are reported while it runs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub events: bool,
}

/// The way out of a network namespace that zviz makes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    /// None, or one that others make: hooks, who made the namespace that is joined.
    #[default]
    None,
    /// A pair of devices to a bridge of the host.
    Bridge(Bridge),
    /// A network stack of a process of the caller's. pasta(1)
    Pasta(Pasta),
}

/// A pair of devices to a bridge of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bridge {
    /// Ports of the host that lead to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<Published>,
}

/// A network stack of a process of the caller's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pasta {
    /// Ports of the host that lead to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<Published>,
}

/// Files of a sandbox's own, in /etc.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// What it is called, in hostname(5) and hosts(5).
    pub hostname: String,
    /// resolv.conf(5).
    pub resolver: String,
}

/// Who answers for names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolver {
    /// Who is asked; none: those that the host asks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upstream: Vec<SocketAddr>,
}

/// The most connections at a time of one sandbox whose profile says nothing of it. All sandboxes go out by the host's addresses,
/// of which each has 64,512 ports to one peer, and share its table of connections (262,144 on most hosts): without a limit one
/// sandbox takes them from all others, and from the host, by as many datagrams as there are ports.
const CONNECTIONS: u32 = 4096;

/// The profile of a container with a network of its own: what it says of addresses is for rules about packets, and nobody asks
/// the broker. None where the profile stays as it is.
pub(super) fn filtered(input: Input, namespaces: &Namespaces) -> Option<Profile> {
    packets(input, namespaces)?;
    let profile = input.profile.clone().by_packets();
    // A filter that was compiled for another broker asks it other things.
    let program = input.profile.program.clone().filter(|_| profile.variant() == input.profile.variant());
    Some(Profile { program, ..profile })
}

/// What the profile says of packets, where there can be any that it would say it of.
fn packets<'a>(input: Input<'a>, namespaces: &Namespaces) -> Option<&'a Packets> {
    let packets = input.profile.packets.as_ref()?;
    match &namespaces.net {
        Net::Host => None,
        // Nobody will make a device in it.
        Net::New { .. } if input.request.sandbox && input.request.link == Link::None => None,
        Net::New { .. } | Net::Join { .. } => Some(packets),
    }
}

/// Whether there is to be no network where others make one: an engine fills a new namespace by hooks, or after `create`.
fn shuts(input: Input, namespaces: &Namespaces) -> bool {
    let none = input.profile.network == Some(crate::profile::Network::None);
    none && !input.request.sandbox && matches!(namespaces.net, Net::New { .. })
}

/// Decides what is made in it.
pub(super) fn plan(
    input: Input,
    namespaces: &Namespaces,
    process: &Process,
    seccomp: Option<&Seccomp>,
    found: &mut Findings,
) -> Option<Network> {
    let (link, events) = (&input.request.link, input.request.events);
    let refusals = input.request.refusals;
    let packets = packets(input, namespaces);
    if events && (namespaces.net == Net::Host || *link == Link::None && input.request.sandbox) {
        let which = if namespaces.net == Net::Host { "the network is the host's" } else { "there is no network" };
        found.problem("--net-log", format!("{which}: --net private has connections of its own to tell of"));
        return None;
    }
    // Without a word of a profile, all but what is guarded.
    let plain = || vec![Policy::new(Verdict::Accept)];
    let shut = shuts(input, namespaces);
    let mut policies = match (packets, link) {
        (None, Link::None) if shut => {
            vec![Policy { ingress: Some(Ingress::default()), ..Policy::new(Verdict::Refuse) }]
        }
        (Some(packets), _) => packets.policies.clone(),
        (None, Link::None) => Vec::new(),
        (None, Link::Bridge(_) | Link::Pasta(_)) => plain(),
    };
    if !policies.is_empty() {
        rights::check("process.capabilities", process.capabilities, namespaces, seccomp, found);
    }
    if events && policies.is_empty() {
        // Only to be told of.
        policies.push(Policy { guarded: Vec::new(), ..Policy::new(Verdict::Accept) });
    }
    if policies.is_empty() {
        return None;
    }
    if let Some(first) = policies.first_mut().filter(|_| *link != Link::None) {
        first.limits.connections.get_or_insert(CONNECTIONS);
    }
    for policy in &mut policies {
        if events {
            policy.log = Log { denied: true, allowed: true };
        }
        policy.log.denied |= refusals;
        policy.raw = rights::makes_packets(process.capabilities);
        policy.links.extend(neighbours(process));
    }
    let taken = matches!(input.profile.broker.audit, Some(Trail::File { .. } | Trail::Descriptor(_)));
    if !events && !refusals && !taken && policies.iter().any(|policy| policy.log != Log::default()) {
        let what = "nobody takes it down: --net-log, or an audit to a file";
        found.note(format!("profile {}: network.log", input.profile.name), what);
        policies.iter_mut().for_each(|policy| policy.log = Log::default());
    }
    let resolver = packets.filter(|packets| packets.resolver);
    Some(Network {
        link: link.clone(),
        policies,
        resolver: resolver.map(|packets| Resolver { upstream: packets.upstream.clone() }),
        nameservers: !shut && packets.is_none_or(|packets| packets.names && !packets.resolver),
        files: None,
        events: events || refusals,
    })
}

/// Where neighbours may be asked for, beside those at the bridge. Which networks there will be at the devices that others make,
/// pasta among them, is not known; who has no raw socket can ask for nobody by himself.
fn neighbours(process: &Process) -> Option<Range> {
    let anywhere = !rights::makes_packets(process.capabilities);
    anywhere.then(|| Range::try_from("::/0".to_owned()).ok())?
}
