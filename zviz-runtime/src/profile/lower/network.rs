//! Where may be connected to: `network` as rules for the broker.

use super::packets::{own, packets_only};
use zviz_broker::policy::network::{Network as Range, Peers, Ports};
use zviz_broker::policy::sockets::{Internet, Place, Rule, Sockets, Verdict};
use zviz_profile::{Network, NetworkMode};

/// What is wrong, and where.
type Fault = (&'static str, String);

/// Ranges that mean everything.
const ALL: &[&str] = &["0.0.0.0/0", "::/0"];
const DNS: &str = "53";

/// The rules, if the profile has any that matter.
pub(super) fn ways(given: &Network, named: &[String]) -> Result<Option<(Sockets, Vec<&'static str>)>, Fault> {
    if given.mode == Some(NetworkMode::None) || own(given.mode) || packets_only(given) {
        // There is nowhere to go, or a packet filter holds the program to it.
        return Ok(None);
    }
    let lists = [&given.allow_cidrs, &given.egress.allow];
    let allowed: Option<Vec<String>> =
        lists.iter().any(|list| list.is_some()).then(|| lists.into_iter().flatten().flatten().cloned().collect());
    let says = allowed.is_some() || !given.egress.deny.is_empty() || !given.ports.deny_connect.is_empty();
    if !says && given.dns.allow.is_none() {
        return Ok(None);
    }
    let (mut connect, mut keys) = (Vec::new(), Vec::new());
    let net = |ranges: &[String], ports: Vec<Ports>, key: &'static str| -> Result<Place, Fault> {
        let within = ranges.iter().map(|range| Range::try_from(range.clone())).collect::<Result<_, _>>();
        Ok(Place::Net(Internet { within: within.map_err(|what| (key, what))?, ports }))
    };
    // Beside a list of what is allowed, that all else is denied goes without saying.
    let denied = given.egress.deny.iter().filter(|range| allowed.is_none() || !ALL.contains(&range.as_str()));
    let (denied, narrow) = apart(denied, "network.egress.deny")?;
    if !denied.is_empty() {
        connect.push(Rule::Deny(net(&denied, Vec::new(), "network.egress.deny")?));
        keys.push("network.egress.deny");
    }
    for place in narrow {
        connect.push(Rule::Deny(place));
        keys.push("network.egress.deny");
    }
    let ports =
        |(from, to): &(u16, u16)| Ports::try_from(if from == to { from.to_string() } else { format!("{from}-{to}") });
    let shut: Vec<Ports> = given.ports.deny_connect.iter().filter_map(|range| ports(range).ok()).collect();
    if !shut.is_empty() {
        connect.push(Rule::Deny(net(&[], shut, "network.ports.deny_connect")?));
        keys.push("network.ports.deny_connect");
    }
    if let Some(may) = given.dns.allow {
        let port = Ports::try_from(DNS.to_owned()).map_err(|what| ("network.dns.allow", what))?;
        let place = net(&[], vec![port], "network.dns.allow")?;
        connect.push(if may { Rule::Allow(place) } else { Rule::Deny(place) });
        keys.push("network.dns.allow");
    }
    let key = list(given).unwrap_or("network.egress.allow");
    match &allowed {
        // No range is any: an empty list allows nothing.
        Some(ranges) if ranges.is_empty() => {}
        Some(ranges) => {
            let (ranges, narrow) = apart(ranges.iter(), key)?;
            if !ranges.is_empty() {
                connect.push(Rule::Allow(net(&ranges, Vec::new(), key)?));
                keys.push(key);
            }
            for place in narrow {
                connect.push(Rule::Allow(place));
                keys.push(key);
            }
        }
        None => connect.push(Rule::Allow(Place::Net(Internet::default()))),
    }
    let open = open(named);
    let unix = open.connect.into_iter().filter(|rule| !matches!(rule.place(), Place::Net(_)));
    connect.extend(unix);
    Ok(Some((Sockets { connect, bind: open.bind, otherwise: Verdict::Deny }, keys)))
}

/// Networks alone, and those with ports, which need a rule each.
fn apart<'t>(texts: impl Iterator<Item = &'t String>, key: &'static str) -> Result<(Vec<String>, Vec<Place>), Fault> {
    let (mut plain, mut narrow) = (Vec::new(), Vec::new());
    for text in texts {
        let peers = Peers::try_from(text.clone()).map_err(|what| (key, what))?;
        match peers.ports {
            None => plain.push(text.clone()),
            Some(ports) => narrow.push(Place::Net(Internet { within: vec![peers.network], ports: vec![ports] })),
        }
    }
    Ok((plain, narrow))
}

/// The key of the list beside which all else is denied.
pub(super) fn list(given: &Network) -> Option<&'static str> {
    let lists = [(&given.allow_cidrs, "network.allow_cidrs"), (&given.egress.allow, "network.egress.allow")];
    lists.into_iter().find_map(|(list, key)| list.as_ref().map(|_| key))
}

/// All may be reached but what only a rule of its own opens: sockets of Docker, of message buses, of agents.
pub(super) fn open(named: &[String]) -> Sockets {
    let anywhere = || vec![Rule::Allow(Place::Net(Internet::default())), Rule::Allow(Place::Below("/".into()))];
    let mut connect: Vec<Rule> = named.iter().map(|path| Rule::Allow(Place::Path(path.clone()))).collect();
    connect.extend(anywhere());
    Sockets { connect, bind: anywhere(), otherwise: Verdict::Deny }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(edit: impl FnOnce(&mut Network)) -> Network {
        let mut network = Network { mode: Some(NetworkMode::Host), ..Network::default() };
        edit(&mut network);
        network
    }

    #[test]
    fn what_says_nothing_needs_no_rules() {
        assert_eq!(ways(&given(|_| {}), &[]), Ok(None));
        let none = given(|network| {
            network.mode = Some(NetworkMode::None);
            network.egress.deny = vec!["0.0.0.0/0".into()];
        });
        assert_eq!(ways(&none, &[]), Ok(None));
    }

    #[test]
    fn denials_come_first_and_all_else_is_denied_beside_a_list() {
        let network = given(|network| {
            network.egress.allow = Some(vec!["10.0.0.0/8".into()]);
            network.egress.deny = vec!["0.0.0.0/0".into(), "10.1.0.0/16".into()];
            network.ports.deny_connect = vec![(22, 23)];
            network.dns.allow = Some(true);
        });
        let (sockets, keys) = ways(&network, &["/run/a.sock".into()]).unwrap().unwrap();
        let expected =
            ["network.egress.deny", "network.ports.deny_connect", "network.dns.allow", "network.egress.allow"];
        assert_eq!(keys, expected);
        assert_eq!(sockets.otherwise, Verdict::Deny);
        let text: Vec<String> = sockets.connect.iter().map(|rule| serde_json::to_string(rule).unwrap()).collect();
        let expected = [
            r#"{"deny":{"net":{"in":["10.1.0.0/16"],"ports":[]}}}"#,
            r#"{"deny":{"net":{"in":[],"ports":["22-23"]}}}"#,
            r#"{"allow":{"net":{"in":[],"ports":["53"]}}}"#,
            r#"{"allow":{"net":{"in":["10.0.0.0/8"],"ports":[]}}}"#,
            r#"{"allow":{"path":"/run/a.sock"}}"#,
            r#"{"allow":{"below":"/"}}"#,
        ];
        assert_eq!(text, expected);
    }

    #[test]
    fn networks_with_ports_have_a_rule_each() {
        let network = given(|network| {
            network.allow_cidrs = Some(vec!["10.0.0.0/8".into(), "192.0.2.0/24:443".into(), "[fd00::/8]:1-9".into()]);
            network.egress.deny = vec!["10.0.0.1/32:22".into()];
        });
        let (sockets, keys) = ways(&network, &[]).unwrap().unwrap();
        let [deny, allow] = ["network.egress.deny", "network.allow_cidrs"];
        assert_eq!(keys, [deny, allow, allow, allow]);
        let text: Vec<String> = sockets.connect.iter().map(|rule| serde_json::to_string(rule).unwrap()).collect();
        let expected = [
            r#"{"deny":{"net":{"in":["10.0.0.1/32"],"ports":["22"]}}}"#,
            r#"{"allow":{"net":{"in":["10.0.0.0/8"],"ports":[]}}}"#,
            r#"{"allow":{"net":{"in":["192.0.2.0/24"],"ports":["443"]}}}"#,
            r#"{"allow":{"net":{"in":["fd00::/8"],"ports":["1-9"]}}}"#,
            r#"{"allow":{"below":"/"}}"#,
        ];
        assert_eq!(text, expected);
    }

    #[test]
    fn what_a_packet_filter_holds_needs_no_rules() {
        let names = given(|network| {
            (network.mode, network.allow_cidrs) = (None, Some(vec!["10.0.0.0/8".into()]));
            network.allow_domains = vec!["crates.io".into()];
        });
        assert_eq!(ways(&names, &[]), Ok(None));
        let private = given(|network| {
            (network.mode, network.allow_cidrs) = (Some(NetworkMode::Private), Some(vec!["10.0.0.0/8".into()]));
        });
        assert_eq!(ways(&private, &[]), Ok(None));
    }

    #[test]
    fn an_empty_list_allows_nothing() {
        let (sockets, _) = ways(&given(|network| network.allow_cidrs = Some(Vec::new())), &[]).unwrap().unwrap();
        assert!(!sockets.connect.iter().any(|rule| matches!(rule, Rule::Allow(Place::Net(_)))));
    }
}
