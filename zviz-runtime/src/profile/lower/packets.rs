//! `network` as policies for a packet filter.

use super::Lowering;
use crate::profile::Packets;
use std::net::SocketAddr;
use zviz_network::address::{Peers, Ports};
use zviz_network::policy::{Ingress, Limits, Log, Named, Policy, Rule, Verdict};
use zviz_profile::{ConnectionLog, NetworkMode, filtered};

const DNS: u16 = 53;
const ALL: &[&str] = &["0.0.0.0/0", "::/0"];

impl Lowering<'_> {
    /// None where nothing is said: the spec decides alone.
    pub(super) fn packets(&mut self) -> Option<Packets> {
        let given = &self.document.network;
        if given.mode == Some(NetworkMode::None) {
            // There is nowhere to go.
            return None;
        }
        let resolver = !given.allow_domains.is_empty() || given.dns.proxy.enabled == Some(true);
        let listed = listed(given);
        let mut policy = Policy::new(if listed { Verdict::Refuse } else { Verdict::Accept });
        policy.egress = self.egress(listed);
        policy.named = self.named();
        policy.resolver = resolver;
        policy.ingress = self.ingress();
        policy.limits = Limits { connections: given.connections_max, connections_per_second: given.connections_rate };
        let log = given.log.unwrap_or(ConnectionLog::None);
        policy.log = Log { denied: log >= ConnectionLog::Denied, allowed: log == ConnectionLog::All };
        if policy == Policy::new(Verdict::Accept) && !own(given.mode) {
            return None;
        }
        let only = only(given);
        let upstream: Option<SocketAddr> = given.dns.proxy.upstream.as_deref().and_then(|text| text.parse().ok());
        let keys = policy.egress.iter().chain(policy.ingress.iter().flat_map(|ingress| &ingress.rules));
        let keys = keys.map(|rule| &rule.key).chain(policy.named.iter().map(|named| &named.key));
        let origins = keys.map(|key| (key.clone(), self.origin(key))).collect();
        let names = given.dns.allow != Some(false) && (resolver || !listed || given.dns.allow == Some(true));
        let sockets = self.sockets_beside();
        Some(Packets {
            policies: vec![policy],
            resolver,
            upstream: upstream.into_iter().collect(),
            names,
            only,
            sockets,
            origins,
        })
    }

    fn egress(&mut self, listed: bool) -> Vec<Rule> {
        let given = &self.document.network;
        let rule = |key: String, verdict, ports: Vec<Ports>| Rule {
            key,
            verdict,
            networks: Vec::new(),
            protocol: None,
            ports,
        };
        let mut rules = Vec::new();
        // Beside a list of what is allowed, that all else is denied goes without saying.
        let deny = given.egress.deny.iter().enumerate();
        for (i, text) in deny.filter(|(_, text)| !listed || !ALL.contains(&text.as_str())) {
            rules.extend(self.peers(format!("network.egress.deny[{i}]"), text, Verdict::Refuse));
        }
        for (i, (from, to)) in given.ports.deny_connect.iter().enumerate() {
            let ports = Ports::between(*from, *to).into_iter().collect();
            rules.push(rule(format!("network.ports.deny_connect[{i}]"), Verdict::Refuse, ports));
        }
        let verdict = match given.dns.allow {
            Some(true) if listed => Some(Verdict::Accept),
            Some(false) => Some(Verdict::Refuse),
            _ => None,
        };
        rules.extend(verdict.map(|verdict| rule("network.dns.allow".into(), verdict, vec![Ports::one(DNS)])));
        for (key, list) in [("allow_cidrs", &given.allow_cidrs), ("egress.allow", &given.egress.allow)] {
            for (i, text) in list.iter().flatten().enumerate() {
                rules.extend(self.peers(format!("network.{key}[{i}]"), text, Verdict::Accept));
            }
        }
        rules
    }

    fn peers(&mut self, key: String, text: &str, verdict: Verdict) -> Option<Rule> {
        match Peers::try_from(text.to_owned()) {
            Ok(Peers { network, protocol, ports }) => {
                Some(Rule { key, verdict, networks: vec![network], protocol, ports: ports.into_iter().collect() })
            }
            Err(what) => {
                self.fault(&key, what);
                None
            }
        }
    }

    fn named(&mut self) -> Vec<Named> {
        let mut all = Vec::new();
        for (i, text) in self.document.network.allow_domains.iter().enumerate() {
            let key = format!("network.allow_domains[{i}]");
            let (name, ports) = text.split_once(':').map_or((text.as_str(), None), |(name, ports)| (name, Some(ports)));
            let ports = match ports.map(|ports| Ports::try_from(ports.to_owned())).transpose() {
                Ok(ports) => ports.into_iter().collect(),
                Err(what) => {
                    self.fault(&key, what);
                    continue;
                }
            };
            let (below, name) = name.strip_prefix("*.").map_or((false, name), |name| (true, name));
            all.push(Named { key, name: name.to_ascii_lowercase(), below, ports });
        }
        all
    }

    fn ingress(&mut self) -> Option<Ingress> {
        let given = &self.document.network.ingress;
        if given.deny_all == Some(true) {
            return Some(Ingress::default());
        }
        let allowed = given.allow.as_ref()?.iter().enumerate();
        let rules =
            allowed.filter_map(|(i, text)| self.peers(format!("network.ingress.allow[{i}]"), text, Verdict::Accept));
        Some(Ingress { rules: rules.collect() })
    }
}

/// Whether there is a list beside which all else is refused.
fn listed(given: &zviz_profile::Network) -> bool {
    given.allow_cidrs.is_some() || given.egress.allow.is_some() || !given.allow_domains.is_empty()
}

/// Keys that nothing else holds a program to.
fn only(given: &zviz_profile::Network) -> Vec<String> {
    let lists = [
        ("network.allow_cidrs", given.allow_cidrs.as_deref().unwrap_or_default()),
        ("network.egress.allow", given.egress.allow.as_deref().unwrap_or_default()),
        ("network.egress.deny", given.egress.deny.as_slice()),
    ];
    let speaks = |text: &String| Peers::try_from(text.clone()).is_ok_and(|peers| peers.protocol.is_some());
    let with_protocol = lists.into_iter().filter(|(_, list)| list.iter().any(speaks)).map(|(key, _)| key);
    filtered(given).into_iter().chain(with_protocol).map(str::to_owned).collect()
}

/// Whether there are any of these.
pub(super) fn packets_only(given: &zviz_profile::Network) -> bool {
    !only(given).is_empty()
}

/// Whether it is a network of the container's own in any case.
pub(super) fn own(mode: Option<NetworkMode>) -> bool {
    matches!(mode, Some(NetworkMode::Bridge | NetworkMode::Pasta | NetworkMode::Private))
}

#[cfg(test)]
mod tests;
