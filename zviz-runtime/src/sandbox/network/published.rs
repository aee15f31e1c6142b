//! Ports of the host that lead to a sandbox: `-p`.

use crate::plan::Problems;
use crate::sandbox::Sandbox;
use std::net::{IpAddr, Ipv6Addr};
use zviz_network::policy::{Policy, Protocol, Published, Transport};

/// `[HOSTADDR:]HOSTPORT:PORT[/tcp|udp]`.
pub(in crate::sandbox) fn published(text: &str) -> Result<Published, String> {
    let (ports, transport) = match text.rsplit_once('/') {
        Some((ports, "tcp")) => (ports, Transport::Tcp),
        Some((ports, "udp")) => (ports, Transport::Udp),
        Some((_, other)) => return Err(format!("{other:?} is neither tcp nor udp")),
        None => (text, Transport::Tcp),
    };
    let form = || "is not [ADDRESS:]PORT-OF-HOST:PORT[/tcp|udp]".to_owned();
    let (outside, inside) = ports.rsplit_once(':').ok_or_else(form)?;
    let (address, outside) = match outside.rsplit_once(':') {
        Some((address, port)) => (Some(host_address(address)?), port),
        None => (None, outside),
    };
    let port = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|port| *port != 0).filter(|_| digits);
        number.ok_or_else(|| format!("{text:?} is no port: 1 to 65535"))
    };
    Ok(Published { address, outside: port(outside)?, inside: port(inside)?, transport })
}

fn host_address(text: &str) -> Result<IpAddr, String> {
    let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let parsed = match bracketed {
        Some(six) => six.parse().ok().filter(IpAddr::is_ipv6),
        None => text.parse().ok().filter(IpAddr::is_ipv4),
    };
    match parsed {
        Some(address) if !address.is_multicast() => Ok(address.to_canonical()),
        _ => Err(format!("{text:?} is no address of a host (IPv6 in brackets)")),
    }
}

/// Refuses ports of the host that are asked for twice.
pub(super) fn meet(ports: &[Published], problems: &mut Problems) {
    for (at, port) in ports.iter().enumerate() {
        let before = ports.iter().take(at);
        let same = |other: &Published| (other.outside, other.transport) == (port.outside, port.transport);
        let meets = |other: &&Published| {
            same(other) && (other.address == port.address || other.address.is_none() || port.address.is_none())
        };
        if let Some(other) = before.into_iter().find(meets) {
            problems.add(format!("-p {port}"), format!("-p {other} has this port of the host already"));
        }
    }
}

/// Refuses ports that nobody would reach, since the profile says who comes in: a flag opens nothing that it keeps shut.
pub(super) fn come_in(sandbox: &Sandbox, problems: &mut Problems) {
    let policies = sandbox.profile.packets.iter().flat_map(|packets| &packets.policies);
    for policy in policies {
        for port in sandbox.published.iter().filter(|port| !comes_in(policy, port)) {
            let inside = port.inside;
            let why = format!(
                "the profile {} lets nobody in at port {inside}: network.ingress.allow says who may come, such as \
                 192.0.2.0/24:{inside}; without network.ingress, who reaches the port may",
                sandbox.profile.name
            );
            problems.add(format!("-p {port}"), why);
        }
    }
}

fn comes_in(policy: &Policy, port: &Published) -> bool {
    let Some(ingress) = &policy.ingress else { return true };
    let protocol = Protocol::from(port.transport);
    ingress.rules.iter().any(|rule| {
        rule.protocol.is_none_or(|it| it == protocol)
            && (rule.ports.is_empty() || rule.ports.iter().any(|ports| ports.contains(port.inside)))
    })
}

/// Refuses what a bridge cannot bring to a sandbox: a connection to ::1 comes from there, and no device takes that.
pub(super) fn leave_loopback(ports: &[Published], problems: &mut Problems) {
    for port in ports.iter().filter(|port| port.address == Some(Ipv6Addr::LOCALHOST.into())) {
        let why = "what is for ::1 does not leave the host's loopback device, so that it comes to no sandbox at the bridge: \
                   leave the address out, say 127.0.0.1, or use --net pasta";
        problems.add(format!("-p {port}"), why);
    }
}
