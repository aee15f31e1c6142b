//! What is said of the network and cannot be meant.

use crate::document::{ConnectionLog, Document, Network, NetworkMode, SocketKind};
use crate::place::Faults;
use zviz_network::address::Peers;

/// Denials of everything beside a list of what is allowed: they say what holds anyway.
const ALL: &[&str] = &["0.0.0.0/0", "::/0"];

pub(super) fn faults(document: &Document) -> Faults {
    let mut check = Check { document, network: &document.network, faults: Faults::default() };
    check.mode();
    check.names();
    check.networks();
    check.sockets();
    check.faults
}

struct Check<'d> {
    document: &'d Document,
    network: &'d Network,
    faults: Faults,
}

impl Check<'_> {
    fn fault(&mut self, key: &str, what: impl Into<String>) {
        let place = self.document.place(key).or_else(|| self.document.start()).cloned();
        if let Some(place) = place {
            self.faults.add(&place, key, what);
        }
    }

    fn mode(&mut self) {
        let network = self.network;
        let own = filtered(network);
        match network.mode {
            Some(NetworkMode::None) => {
                let ways_out = [
                    ("network.allow_cidrs", network.allow_cidrs.is_some()),
                    ("network.egress.allow", network.egress.allow.is_some()),
                    ("network.dns.allow", network.dns.allow == Some(true)),
                ];
                // That nobody connects holds there, too.
                let own = own.into_iter().filter(|key| *key != "network.ingress.deny_all").map(|key| (key, true));
                for (key, _) in ways_out.into_iter().chain(own).filter(|(_, given)| *given) {
                    self.fault(key, "nothing can be reached with network.mode none");
                }
            }
            Some(NetworkMode::Host | NetworkMode::AllowCidr) => {
                for key in own {
                    self.fault(key, OWN);
                }
                for (key, peers) in lists(network) {
                    if peers.protocol.is_some() {
                        self.fault(&key, format!("{peers} has a protocol: {OWN}"));
                    }
                }
            }
            _ => {}
        }
        let allow_cidr = network.mode == Some(NetworkMode::AllowCidr);
        if allow_cidr && network.allow_cidrs.is_none() && network.egress.allow.is_none() {
            self.fault("network.mode", "allow-cidr needs network.allow_cidrs");
        }
        if network.ingress.deny_all == Some(true) && network.ingress.allow.is_some() {
            self.fault("network.ingress.allow", "nobody could connect: network.ingress.deny_all");
        }
    }

    fn names(&mut self) {
        let (names, dns) = (&self.network.allow_domains, &self.network.dns);
        let resolver = !names.is_empty() || dns.proxy.enabled == Some(true);
        if !names.is_empty() && dns.proxy.enabled == Some(false) {
            self.fault("network.dns.proxy.enabled", "network.allow_domains needs it");
        }
        if resolver && dns.allow == Some(false) {
            let key = if names.is_empty() { "network.dns.proxy.enabled" } else { "network.allow_domains" };
            self.fault(key, "no name could be asked for: network.dns.allow is false");
        }
        if dns.proxy.upstream.is_some() && !resolver {
            self.fault("network.dns.proxy.upstream", "nobody asks it: network.dns.proxy.enabled goes with it");
        }
        for (i, name) in names.iter().enumerate() {
            if names.iter().take(i).any(|other| other == name) {
                self.fault(&format!("network.allow_domains[{i}]"), format!("{name} is there already"));
            }
        }
    }

    fn networks(&mut self) {
        let network = self.network;
        let beside =
            network.allow_cidrs.is_some() || network.egress.allow.is_some() || !network.allow_domains.is_empty();
        let denied = network.egress.deny.iter().filter(|text| !beside || !ALL.contains(&text.as_str()));
        let denied: Vec<Peers> = denied.filter_map(|text| Peers::try_from(text.clone()).ok()).collect();
        for (key, peers) in lists(network).into_iter().filter(|(key, _)| !key.starts_with("network.egress.deny")) {
            if let Some(by) = denied.iter().find(|denied| denied.covers(&peers)) {
                self.fault(&key, format!("{peers} is denied by network.egress.deny ({by}): it can never be reached"));
            }
        }
    }

    fn sockets(&mut self) {
        let network = self.network;
        for (i, kind) in network.sockets.allow.iter().flatten().enumerate() {
            let key = format!("network.sockets.allow[{i}]");
            if network.sockets.deny.contains(kind) {
                self.fault(&key, "is denied by network.sockets.deny");
            }
            if matches!(kind, SocketKind::Raw | SocketKind::Packet | SocketKind::Vsock) {
                self.fault(&key, "is not for the inside: what programs get is tcp, udp, unix, icmp and netlink");
            }
        }
        let tcp = network.sockets.allow.as_ref().is_none_or(|kinds| kinds.contains(&SocketKind::Tcp))
            && !network.sockets.deny.contains(&SocketKind::Tcp);
        for (key, ports) in [("allow_bind", &network.ports.allow_bind), ("allow_connect", &network.ports.allow_connect)]
        {
            if !tcp && ports.as_ref().is_some_and(|ports| !ports.is_empty()) {
                self.fault(&format!("network.ports.{key}"), "no TCP socket can be made: network.sockets");
            }
        }
        if network.ingress.deny_all == Some(true) && network.ports.allow_bind.is_some() {
            self.fault("network.ports.allow_bind", "nobody could connect: network.ingress.deny_all");
        }
        let overlap = |(from, to): (u16, u16)| {
            let whole = |other: &(u16, u16)| other.0 <= from && to <= other.1;
            network.ports.deny_connect.iter().any(whole)
        };
        for (i, ports) in network.ports.allow_connect.iter().flatten().enumerate() {
            if overlap(*ports) {
                self.fault(&format!("network.ports.allow_connect[{i}]"), "is denied by network.ports.deny_connect");
            }
        }
    }
}

/// Why the host's network cannot be held to it.
const OWN: &str = "only the packet filter of a network of the container's own can hold it: mode: private makes one";

/// The keys that are written and that nothing but a packet filter, or a resolver beside it, holds a program to.
#[must_use]
pub fn filtered(network: &Network) -> Vec<&'static str> {
    let given = [
        ("network.allow_domains", !network.allow_domains.is_empty()),
        ("network.ingress.deny_all", network.ingress.deny_all == Some(true)),
        ("network.ingress.allow", network.ingress.allow.is_some()),
        ("network.dns.proxy.enabled", network.dns.proxy.enabled == Some(true)),
        ("network.connections_max", network.connections_max.is_some()),
        ("network.connections_rate", network.connections_rate.is_some()),
        ("network.log", network.log.is_some_and(|log| log != ConnectionLog::None)),
    ];
    given.into_iter().filter(|(_, given)| *given).map(|(key, _)| key).collect()
}

/// Every entry about addresses of the outside, with its key. Each is well written.
fn lists(network: &Network) -> Vec<(String, Peers)> {
    let lists = [
        ("network.allow_cidrs", network.allow_cidrs.as_deref().unwrap_or_default()),
        ("network.egress.allow", network.egress.allow.as_deref().unwrap_or_default()),
        ("network.egress.deny", network.egress.deny.as_slice()),
    ];
    let each = |(key, list): (&str, &[String])| -> Vec<(String, Peers)> {
        let entries = list.iter().enumerate();
        entries.filter_map(|(i, text)| Some((format!("{key}[{i}]"), Peers::try_from(text.clone()).ok()?))).collect()
    };
    lists.into_iter().flat_map(each).collect()
}

#[cfg(test)]
mod tests {
    use crate::inherit::{Text, read};

    fn said(text: &str) -> String {
        let text = Text { file: "a.yaml".into(), text: format!("network: {{{text}}}\n") };
        read(&text, &|name| Err(format!("there is no profile {name:?}")))
            .err()
            .map(|f| f.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn contradictions_are_told_where_they_are() {
        for (text, expected) in [
            (
                "sockets: {allow: [unix]}, ports: {allow_connect: [80]}",
                "a.yaml:1: network.ports.allow_connect: no TCP socket can be made",
            ),
            ("mode: none, allow_domains: [crates.io]", "network.allow_domains: nothing can be reached"),
            ("mode: none, connections_max: 7", "network.connections_max: nothing can be reached"),
            ("mode: none, dns: {allow: true}", "network.dns.allow: nothing can be reached"),
            ("mode: host, allow_domains: [crates.io]", "network.allow_domains: only the packet filter"),
            ("mode: host, log: all", "mode: private makes one"),
            ("mode: host, ingress: {deny_all: true}", "network.ingress.deny_all: only the packet filter"),
            ("mode: host, ingress: {allow: []}", "network.ingress.allow: only the packet filter"),
            (
                "mode: allow-cidr, allow_cidrs: [tcp/10.0.0.0/8]",
                "network.allow_cidrs[0]: tcp/10.0.0.0/8 has a protocol",
            ),
            ("mode: private, ingress: {deny_all: true, allow: [10.0.0.0/8]}", "network.ingress.allow: nobody could"),
            (
                "allow_domains: [a.b], dns: {proxy: {enabled: false}}",
                "network.dns.proxy.enabled: network.allow_domains",
            ),
            ("allow_domains: [a.b], dns: {allow: false}", "network.allow_domains: no name could be asked for"),
            ("dns: {proxy: {enabled: true}, allow: false}", "network.dns.proxy.enabled: no name could be asked for"),
            ("dns: {proxy: {upstream: \"10.0.0.53:53\"}}", "network.dns.proxy.upstream: nobody asks it"),
            ("allow_domains: [a.b, A.b]", "network.allow_domains[1]: a.b is there already"),
            (
                "allow_cidrs: [10.1.0.0/16], egress: {deny: [10.0.0.0/8]}",
                "network.allow_cidrs[0]: 10.1.0.0/16 is denied by network.egress.deny (10.0.0.0/8)",
            ),
            (
                "egress: {allow: [\"10.0.0.1:80\"], deny: [\"10.0.0.0/8:1-100\"]}",
                "network.egress.allow[0]: 10.0.0.1/32:80",
            ),
        ] {
            let said = said(text);
            assert!(said.contains(expected), "{text}: {said}");
        }
    }

    #[test]
    fn what_can_be_meant_is_let_be() {
        for text in [
            "mode: none, ingress: {deny_all: true}",
            "mode: private, allow_domains: [crates.io, \"*.example.org:443\"], egress: {deny: [\"0.0.0.0/0\"]}",
            "mode: host, allow_cidrs: [\"10.0.0.0/8:443\"], log: none",
            "mode: bridge, allow_cidrs: [10.0.0.0/8], egress: {deny: [\"10.0.0.0/8:22\", udp/10.0.0.0/8]}",
            "mode: pasta, egress: {deny: [169.254.0.0/16]}, ingress: {allow: [\"tcp/10.0.0.0/8:80\"]}",
            "connections_max: 100, connections_rate: 10, log: denied, dns: {proxy: {enabled: true, upstream: \"[::1]:53\"}}",
        ] {
            assert_eq!(said(text), "");
        }
    }
}
