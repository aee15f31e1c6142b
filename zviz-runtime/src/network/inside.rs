//! What is in force inside a container's network namespace: its policies, with what this host alone knows.

use super::{Error, names};
use crate::plan::Plan;
use crate::plan::network::Network;
use std::net::{IpAddr, SocketAddr};
use zviz_network::address::Ports;
use zviz_network::names::zones;
use zviz_network::policy::{Guarded, Policy, Rule, Verdict};
use zviz_network::rules::{self, ENGINE, Ruleset};
use zviz_network::wire::Resolver;

const DNS: u16 = 53;
/// A network of IPv6 with fewer bits than that is no link's, but whatever somebody has called one. RFC 6177.
const NARROW: u8 = 48;

/// Rules, and who answers for names.
#[derive(Debug, Default)]
pub(super) struct Inside {
    pub rules: Option<Ruleset>,
    pub untracked: Option<Ruleset>,
    pub resolver: Option<Resolver>,
}

/// Those of a plan, on this host.
pub(super) fn of(plan: &Plan, network: &Network, table: &str) -> Result<Inside, Error> {
    if network.policies.is_empty() {
        return Ok(Inside::default());
    }
    let mut policies = guarding(network, &near()?);
    if network.nameservers {
        // The host's, too: what answers inside of an engine's network asks those from in there.
        let servers = names::inside(plan).into_iter().chain(names::servers()?);
        // Port 53 of all of them leads to the resolver of another container of this namespace, if that one has any.
        policies.iter_mut().for_each(|policy| policy.egress.extend([nameservers(servers.clone()), neighbours()]));
    } else {
        guard(&mut policies, &Guarded { network: ENGINE.into(), what: "an engine's resolver".into() });
    }
    let upstream = match &network.resolver {
        None => None,
        Some(resolver) if resolver.upstream.is_empty() => Some(upstream(names::servers()?)?),
        Some(resolver) => Some(resolver.upstream.clone()),
    };
    let resolver = upstream.map(|upstream| Resolver {
        upstream,
        names: zones(&policies),
        guarded: policies.iter().flat_map(|policy| &policy.guarded).map(|block| block.network).collect(),
    });
    let (rules, untracked) = (rules::inside(&policies, table), rules::untracked(&policies, table));
    Ok(Inside { rules: Some(rules), untracked, resolver })
}

/// The policies, which let nobody reach this host by any of its addresses who does not name it.
fn guarding(network: &Network, near: &[Guarded]) -> Vec<Policy> {
    let mut policies = network.policies.clone();
    near.iter().for_each(|block| guard(&mut policies, block));
    policies
}

/// Only in those that guard anything: one that is there to count lets everything through.
fn guard(policies: &mut [Policy], block: &Guarded) {
    for policy in policies.iter_mut().filter(|policy| !policy.guarded.is_empty()) {
        policy.guarded.push(block.clone());
    }
}

/// Port 53 of those who answer for names. Each is named by its address, so that a guarded one is meant.
fn nameservers(servers: impl Iterator<Item = IpAddr>) -> Rule {
    Rule {
        key: "nameservers".into(),
        verdict: Verdict::Accept,
        // Without any address the rule would be about all of them.
        networks: servers.chain([IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)]).map(Into::into).collect(),
        protocol: None,
        ports: vec![Ports::one(DNS)],
    }
}

/// Where the resolver of another container answers.
fn neighbours() -> Rule {
    let [port, _] = rules::RESOLVER.map(|resolver| Ports::one(resolver.port()));
    let networks = rules::RESOLVER.map(|resolver| resolver.ip().into()).to_vec();
    Rule { networks, ports: vec![port], ..nameservers(std::iter::empty()) }
}

fn upstream(servers: Vec<IpAddr>) -> Result<Vec<SocketAddr>, Error> {
    if servers.is_empty() {
        Err(Error::NoServers)
    } else {
        Ok(servers.into_iter().map(|it| (it, DNS).into()).collect())
    }
}

/// What this host is called on its networks, and who is on them by IPv6. Its loopback is no container's.
fn near() -> Result<Vec<Guarded>, Error> {
    let all = super::host::networks().map_err(Error::Addresses)?;
    Ok(all.into_iter().flat_map(|(address, bits)| around(address, bits)).collect())
}

/// An address of this host. Its neighbours by IPv4 have private addresses mostly, but by IPv6 public ones: they are what is
/// behind the same router, and among them is what this host will be called in an hour (RFC 8981).
fn around(address: IpAddr, bits: u8) -> Vec<Guarded> {
    let own = Guarded { network: address.into(), what: "this host".into() };
    let near = Some(bits).filter(|bits| address.is_ipv6() && (NARROW..128).contains(bits));
    let near = near.and_then(|bits| super::host::network(address, bits));
    // Who names all private networks has named that of this host.
    let near = near.filter(|near| !Guarded::always().iter().any(|block| block.network.covers(near)));
    let near = near.map(|network| Guarded { network, what: "this host's network".into() });
    [own].into_iter().chain(near).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_is_guarded_where_anything_is() {
        let guards = Policy::new(Verdict::Accept);
        let counts = Policy { guarded: Vec::new(), ..Policy::new(Verdict::Accept) };
        let network = Network { policies: vec![guards, counts], ..Network::default() };
        let host: IpAddr = "192.0.2.7".parse().unwrap();
        let [guards, counts] = guarding(&network, &around(host, 24)).try_into().unwrap();
        assert!(guards.guarded.iter().any(|block| block.network.contains(host) && block.what == "this host"));
        assert_eq!(counts.guarded, []);
    }

    #[test]
    fn neighbours_by_ipv6_are_guarded_with_this_host() {
        let of = |address: &str, bits| -> Vec<String> {
            around(address.parse().unwrap(), bits).iter().map(|block| block.network.to_string()).collect()
        };
        assert_eq!(of("2001:db8:51::2", 64), ["2001:db8:51::2/128", "2001:db8:51::/64"]);
        assert_eq!(of("2001:db8:51::2", 128), ["2001:db8:51::2/128"]);
        assert_eq!(of("2001:db8:51::2", 3), ["2001:db8:51::2/128"]);
        assert_eq!(of("192.0.2.7", 24), ["192.0.2.7/32"]);
        for guarded in ["fe80::7", "fd00:1::7"] {
            assert_eq!(of(guarded, 64), [format!("{guarded}/128")]);
        }
    }
}
