//! The network that there is: a loopback device and nothing else, unless something says otherwise; and what its rules refuse.

use super::change::quoted;
use super::change::{Change, Risk};
use super::denial::shown;
use super::scene::object;
use super::{Denial, Layer, Origin, Scene};
use crate::network::Event;
use crate::plan::Net;
use nix::errno::Errno;
use std::net::IpAddr;
use zviz_observe::{Call, SocketAddress};

/// Whether a network of its own can have been the reason.
pub(super) fn ask(scene: &Scene<'_>, call: &Call, errno: Errno) -> Option<Denial> {
    // Rules tell by themselves what they refuse.
    if !matches!(scene.plan.namespaces.net, Net::New { .. }) || scene.plan.network.is_some() {
        return None;
    }
    let Some(SocketAddress::Inet(address)) = &call.address else { return None };
    let what = match errno {
        Errno::ENETUNREACH | Errno::EHOSTUNREACH if !address.ip().is_loopback() => {
            "the sandbox has no network but a loopback device of its own"
        }
        // Who listens on nothing is nobody's fault.
        Errno::ECONNREFUSED if address.ip().is_loopback() && scene.outside.host_listens(address) => {
            "somebody listens there on the host; the sandbox has a loopback device of its own"
        }
        Errno::EADDRNOTAVAIL if !address.ip().is_loopback() && !address.ip().is_unspecified() => {
            "the sandbox has no network device with this address"
        }
        _ => return None,
    };
    let mode = scene.rules.key("network.mode");
    let why = "all of the host's network, with everything that listens on it";
    // A profile that says none holds whatever flags say.
    let change = match mode.as_ref().is_some_and(|mode| mode.value == "none") {
        true => Change::yaml("network: {mode: host}", Risk::High, why),
        false => Change::flag("--net", "host", Risk::High, why),
    };
    let denial = Denial::new(Layer::Network, "none").what(what).rule(mode).changes([change]);
    Some(scene.told(denial, call, object(call)))
}

/// Lists beside which all else is refused.
const LISTS: &[&str] = &["network.allow_domains", "network.allow_cidrs", "network.egress.allow"];
/// Rules that no key of a profile stands for: about nothing else, and about addresses that only a rule of their own opens.
const OTHERWISE: &str = "otherwise";
const GUARDED: &str = "guarded: ";
/// Lists whose values say what is refused.
const DENIALS: &[&str] = &["network.egress.deny[", "network.ports.deny_connect["];

/// What rules of the network, or the resolver, have refused.
#[must_use]
pub fn refused(scene: &Scene<'_>, event: &Event) -> Option<Denial> {
    if let Event::Ended { program } = event {
        let what = "it has ended, and with it the sandbox's way out: nothing was reached from then on";
        let denial = Denial::new(Layer::Network, "ended").what(what);
        return Some(Denial { object: shown(program.as_bytes()), result: "ended".into(), ..denial });
    }
    if !event.is_refusal() {
        return None;
    }
    let list = || LISTS.iter().find_map(|key| scene.rules.key(key));
    let (object, rule, what, changes) = match event {
        Event::Connection { rule, protocol, from: Some(from), to, port, .. } => {
            let port = port.map(|port| format!(":{port}")).unwrap_or_default();
            let what = format!("the rules of the network let {from} reach in by no rule ({rule})");
            (format!("{protocol} from {from} to {to}{port}"), line(scene, rule), what, Vec::new())
        }
        Event::Connection { rule, protocol, from: None, to, port, name, .. } => {
            let asked = name.as_ref().map(|name| format!(", asked for as {name}")).unwrap_or_default();
            let what = match (rule.as_str(), rule.strip_prefix(GUARDED)) {
                (OTHERWISE, _) => format!("no rule of the network lets it through{asked}"),
                (_, Some(kind)) => format!("{kind} addresses are guarded: only a rule that names one opens it{asked}"),
                _ => format!("the rules of the network refuse it ({rule}){asked}"),
            };
            let written = if rule == OTHERWISE { list() } else { line(scene, rule) };
            let changes = opening(event, written.as_ref());
            let port = port.map(|port| format!(":{port}")).unwrap_or_default();
            let at = if to.is_ipv6() { format!("[{to}]") } else { to.to_string() };
            (format!("{protocol} {at}{port}"), written, what, changes)
        }
        Event::Name { rule, name, why, .. } => {
            let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            let what = format!("the resolver of the sandbox does not ask for it ({rule}){why}");
            let risk = "whoever has the name is told what the sandbox knows";
            let change = Change::yaml(format!("network: {{allow_domains: [{}]}}", quoted(name)), Risk::Medium, risk);
            (name.clone(), line(scene, rule).or_else(list), what, vec![change])
        }
        Event::Ended { .. } | Event::Dropped { .. } => return None,
    };
    let denial = Denial::new(Layer::Network, "rule").what(shown(what.as_bytes())).rule(rule).changes(changes);
    Some(Denial { object: shown(object.as_bytes()), result: "refused".into(), ..denial })
}

/// What would let a connection to the outside through: the name that led there, whose address will be another one some day, or
/// the address; or a denial the less.
fn opening(event: &Event, written: Option<&Origin>) -> Vec<Change> {
    let Event::Connection { rule, protocol, to, port, name, .. } = event else { return Vec::new() };
    let why = "whoever answers there is told what the sandbox knows";
    if rule != OTHERWISE && !rule.starts_with(GUARDED) {
        let denied = written.filter(|origin| DENIALS.iter().any(|list| origin.key.starts_with(list)));
        let denied = denied.filter(|origin| !origin.value.is_empty());
        return denied.map(|origin| Change::without(origin.clone(), Risk::High, why)).into_iter().collect();
    }
    let risk = if rule == OTHERWISE { Risk::Medium } else { Risk::High };
    let kind = match protocol.as_str() {
        "tcp" | "udp" => format!("{protocol}/"),
        "icmp" | "icmpv6" => "icmp/".to_owned(),
        _ => String::new(),
    };
    let place = match (to, port) {
        (IpAddr::V4(to), Some(port)) => format!("{kind}{to}:{port}"),
        (IpAddr::V6(to), Some(port)) => format!("{kind}[{to}]:{port}"),
        (to, None) => format!("{kind}{to}"),
    };
    let by_address = Change::yaml(format!("network: {{egress: {{allow: [{}]}}}}", quoted(&place)), risk, why);
    let named = name.as_ref().zip(*port).filter(|_| rule == OTHERWISE);
    let by_name = named.map(|(name, port)| {
        Change::yaml(format!("network: {{allow_domains: [{}]}}", quoted(&format!("{name}:{port}"))), risk, why)
    });
    by_name.into_iter().chain([by_address]).collect()
}

/// The line of a rule, where it stands for a key of the profile.
fn line(scene: &Scene<'_>, rule: &str) -> Option<Origin> {
    rule.starts_with("network.").then(|| scene.rules.key(rule))?
}
