//! What is in force inside a container's network namespace: its policies, with what this host alone knows.

use super::{Error, names};
use crate::plan::Plan;
use crate::plan::network::Network;
use std::net::{IpAddr, SocketAddr};
use zviz_network::address::Ports;
use zviz_network::names::zones;
use zviz_network::policy::{Guarded, Policy, Rule, Verdict};
use zviz_network::rules::{self, Ruleset};
use zviz_network::wire::Resolver;

const DNS: u16 = 53;
/// Where Docker answers for names in the networks that users define: in the container's namespace, from a port that anybody
/// can find, and on some hosts it asks others from outside of that.
const ENGINE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 11));

/// Rules, and who answers for names.
#[derive(Debug, Default)]
pub(super) struct Inside {
    pub rules: Option<Ruleset>,
    pub resolver: Option<Resolver>,
}

/// Those of a plan, on this host.
pub(super) fn of(plan: &Plan, network: &Network, table: &str) -> Result<Inside, Error> {
    if network.policies.is_empty() {
        return Ok(Inside::default());
    }
    let mut policies = guarding(network, &addresses()?);
    if network.nameservers {
        // The host's, too: what answers inside of an engine's network asks those from in there.
        let servers = names::inside(plan).into_iter().chain(names::servers()?);
        policies.iter_mut().for_each(|policy| policy.egress.push(nameservers(servers.clone())));
    } else {
        guard(&mut policies, ENGINE, "an engine's resolver");
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
    Ok(Inside { rules: Some(rules::inside(&policies, table)), resolver })
}

/// The policies, which let nobody reach this host by any of its addresses who does not name it.
fn guarding(network: &Network, addresses: &[IpAddr]) -> Vec<Policy> {
    let mut policies = network.policies.clone();
    addresses.iter().for_each(|address| guard(&mut policies, *address, "this host"));
    policies
}

/// Only in those that guard anything: one that is there to count lets everything through.
fn guard(policies: &mut [Policy], address: IpAddr, what: &str) {
    for policy in policies.iter_mut().filter(|policy| !policy.guarded.is_empty()) {
        policy.guarded.push(Guarded { network: address.into(), what: what.into() });
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

fn upstream(servers: Vec<IpAddr>) -> Result<Vec<SocketAddr>, Error> {
    if servers.is_empty() {
        Err(Error::NoServers)
    } else {
        Ok(servers.into_iter().map(|it| (it, DNS).into()).collect())
    }
}

/// What this host is called on its networks. Its loopback is no container's.
fn addresses() -> Result<Vec<IpAddr>, Error> {
    let all = nix::ifaddrs::getifaddrs().map_err(Error::Addresses)?;
    let ip = |address: nix::sys::socket::SockaddrStorage| {
        let four = address.as_sockaddr_in().map(|four| IpAddr::V4(four.ip()));
        four.or_else(|| address.as_sockaddr_in6().map(|six| IpAddr::V6(six.ip())))
    };
    let mut addresses: Vec<IpAddr> = all.filter_map(|one| ip(one.address?)).filter(|ip| !ip.is_loopback()).collect();
    addresses.sort();
    addresses.dedup();
    Ok(addresses)
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
        let [guards, counts] = guarding(&network, &[host]).try_into().unwrap();
        assert!(guards.guarded.iter().any(|block| block.network.contains(host) && block.what == "this host"));
        assert_eq!(counts.guarded, []);
    }
}
