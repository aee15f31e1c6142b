//! One network policy on top of another: what both allow of what a program is held to without a packet filter. Where there is
//! one, the rules of both are in force, and nothing has to be worked out.

use crate::document::{Dns, Egress, Ingress, Network, NetworkMode, Ports, SocketKind, Sockets};
use zviz_network::address::Peers;

/// What the default profile has where no list says otherwise.
const SOCKETS: &[SocketKind] = &[SocketKind::Tcp, SocketKind::Udp, SocketKind::Unix, SocketKind::Netlink];

impl Network {
    /// What both allow. Nothing that one of them refuses goes through.
    #[must_use]
    pub fn within(&self, other: &Network) -> Network {
        let (ours, theirs) = (self.ranges(), other.ranges());
        let dns = dns(self, other);
        let allowed = match (&ours, &theirs) {
            (Some(ours), Some(theirs)) => Some(common(ours, theirs)),
            (one, None) | (None, one) => one.clone(),
        };
        Network {
            mode: mode(self.mode, other.mode),
            allow_cidrs: None,
            allow_domains: Vec::new(),
            egress: Egress { allow: allowed, deny: joined(&self.egress.deny, &other.egress.deny) },
            ingress: Ingress { deny_all: self.ingress.deny_all.max(other.ingress.deny_all), allow: None },
            dns: Dns { allow: dns, proxy: Default::default() },
            sockets: sockets(&self.sockets, &other.sockets),
            ports: Ports {
                allow_bind: ports(&self.ports.allow_bind, &other.ports.allow_bind),
                allow_connect: ports(&self.ports.allow_connect, &other.ports.allow_connect),
                deny_connect: joined(&self.ports.deny_connect, &other.ports.deny_connect),
            },
            ..Network::default()
        }
    }

    /// The networks that may be reached; none is any.
    fn ranges(&self) -> Option<Vec<String>> {
        let lists = [&self.allow_cidrs, &self.egress.allow];
        let given = lists.iter().any(|list| list.is_some());
        given.then(|| lists.into_iter().flatten().flatten().cloned().collect())
    }
}

/// Port 53 goes to any network where one profile says so, and so only where the other lets it go there too.
fn dns(one: &Network, other: &Network) -> Option<bool> {
    let open = |network: &Network| network.ranges().is_none() || network.dns.allow == Some(true);
    match (one.dns.allow, other.dns.allow) {
        (None, None) => None,
        (Some(false), _) | (_, Some(false)) => Some(false),
        _ if open(one) && open(other) => Some(true),
        _ => None,
    }
}

fn joined<T: Clone + PartialEq>(one: &[T], other: &[T]) -> Vec<T> {
    let more = other.iter().filter(|item| !one.contains(item));
    one.iter().chain(more).cloned().collect()
}

fn sockets(one: &Sockets, other: &Sockets) -> Sockets {
    let allow = match (&one.allow, &other.allow) {
        (None, None) => None,
        (one, other) => {
            let has =
                |list: &Option<Vec<SocketKind>>, kind: &SocketKind| list.as_deref().unwrap_or(SOCKETS).contains(kind);
            let kinds = one.iter().chain(other).flatten().copied();
            let mut both: Vec<SocketKind> = kinds.filter(|kind| has(one, kind) && has(other, kind)).collect();
            both.sort();
            both.dedup();
            Some(both)
        }
    };
    Sockets { allow, deny: joined(&one.deny, &other.deny) }
}

type Range = (u16, u16);

fn ports(one: &Option<Vec<Range>>, other: &Option<Vec<Range>>) -> Option<Vec<Range>> {
    let (one, other) = match (one, other) {
        (Some(one), Some(other)) => (one, other),
        (one, None) | (None, one) => return one.clone(),
    };
    let pairs = one.iter().flat_map(|one| other.iter().map(move |other| (one.0.max(other.0), one.1.min(other.1))));
    let mut common: Vec<Range> = pairs.filter(|(from, to)| from <= to).collect();
    common.sort_unstable();
    common.dedup();
    Some(common)
}

fn common(one: &[String], other: &[String]) -> Vec<String> {
    let read =
        |list: &[String]| -> Vec<Peers> { list.iter().filter_map(|text| text.clone().try_into().ok()).collect() };
    let (one, other) = (read(one), read(other));
    let both = one.iter().flat_map(|one| other.iter().filter_map(|other| one.common(other)));
    let mut found: Vec<String> = Vec::new();
    for text in both.map(String::from) {
        if !found.contains(&text) {
            found.push(text);
        }
    }
    found
}

/// Who has a network of its own is held by more than who has the host's, and who has none by more than either.
fn mode(one: Option<NetworkMode>, other: Option<NetworkMode>) -> Option<NetworkMode> {
    let order = |mode: &NetworkMode| match mode {
        NetworkMode::None => 0,
        NetworkMode::Private | NetworkMode::Bridge | NetworkMode::Pasta => 1,
        NetworkMode::Host | NetworkMode::AllowCidr => 2,
    };
    [one, other].into_iter().flatten().min_by_key(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(items: &[&str]) -> Vec<String> {
        items.iter().map(|item| (*item).to_owned()).collect()
    }

    fn to(ranges: &[&str]) -> Network {
        Network { allow_cidrs: Some(list(ranges)), ..Network::default() }
    }

    #[test]
    fn networks_are_those_that_both_have() {
        let both = to(&["10.0.0.0/8", "192.0.2.7/32", "fd00::/8"]).within(&to(&["10.1.0.0/16", "0.0.0.0/0"]));
        assert_eq!(both.egress.allow, Some(list(&["10.1.0.0/16", "10.0.0.0/8", "192.0.2.7/32"])));
        assert_eq!(to(&["10.0.0.0/8"]).within(&to(&["192.0.2.0/24"])).egress.allow, Some(Vec::new()));
        assert_eq!(to(&["10.0.0.0/8"]).within(&Network::default()).egress.allow, Some(list(&["10.0.0.0/8"])));
    }

    #[test]
    fn what_one_refuses_is_refused() {
        let none = Network { mode: Some(NetworkMode::None), ..Network::default() };
        let host = Network { mode: Some(NetworkMode::Host), ..Network::default() };
        assert_eq!(none.within(&host).mode, Some(NetworkMode::None));
        assert_eq!(host.within(&none).mode, Some(NetworkMode::None));
        let sockets = |kinds: &[SocketKind]| Network {
            sockets: Sockets { allow: Some(kinds.to_vec()), deny: Vec::new() },
            ..Network::default()
        };
        let both = sockets(&[SocketKind::Unix, SocketKind::Tcp]).within(&sockets(&[SocketKind::Tcp]));
        assert_eq!(both.sockets.allow, Some(vec![SocketKind::Tcp]));
        // A list is never more than the default has.
        assert_eq!(sockets(&[SocketKind::Icmp]).within(&host).sockets.allow, Some(Vec::new()));
        let bind = |ranges: &[Range]| Network {
            ports: Ports { allow_bind: Some(ranges.to_vec()), ..Ports::default() },
            ..Network::default()
        };
        let both = bind(&[(80, 90), (443, 443)]).within(&bind(&[(85, 500)]));
        assert_eq!(both.ports.allow_bind, Some(vec![(85, 90), (443, 443)]));
    }

    #[test]
    fn names_are_asked_for_where_both_let_them() {
        let dns = |allow, ranges: Option<&[&str]>| Network {
            dns: Dns { allow, ..Dns::default() },
            allow_cidrs: ranges.map(list),
            ..Network::default()
        };
        let of = |one: &Network, other: &Network| one.within(other).dns.allow;
        let open = dns(Some(true), Some(&["10.0.0.0/8"]));
        assert_eq!(of(&open, &Network::default()), Some(true));
        assert_eq!(of(&open, &dns(None, Some(&["192.0.2.0/24"]))), None);
        assert_eq!(of(&open, &open), Some(true));
        assert_eq!(of(&open, &dns(Some(false), None)), Some(false));
    }
}
