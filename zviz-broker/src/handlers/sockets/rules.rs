//! Which rule decides about an address.

use super::address::Way;
use super::known;
use crate::policy::sockets::{Place, Rule, Sockets, Verdict};
use std::borrow::Cow;
use std::net::IpAddr;

/// What was decided, and by which rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// What.
    pub verdict: Verdict,
    /// The key of the policy, or why the name is refused unless a rule has exactly that.
    pub rule: Cow<'static, str>,
}

/// An address of the internet. An IPv4 address in the clothes of IPv6 is an IPv4 address.
#[must_use]
pub fn internet(sockets: &Sockets, way: Way, address: IpAddr, port: u16) -> Ruling {
    let rule = find(sockets, way, |rule| match rule.place() {
        Place::Net(net) => {
            (net.within.is_empty() || net.within.iter().any(|network| network.contains(address)))
                && (net.ports.is_empty() || net.ports.iter().any(|ports| ports.contains(port)))
        }
        _ => false,
    });
    ruling(sockets, rule, None)
}

/// An abstract name.
#[must_use]
pub fn abstract_name(sockets: &Sockets, way: Way, name: &[u8]) -> Ruling {
    let rule = find(sockets, way, |rule| matches!(rule.place(), Place::Abstract(theirs) if theirs.as_bytes() == name));
    ruling(sockets, rule, known::abstract_name(name).filter(|_| way != Way::Bind))
}

/// The canonical name of a file. `same` says whether what a refusing rule names leads to the file as well, by other
/// names: a permission is for exactly what it says, since links are the container's to make.
#[must_use]
pub fn path(sockets: &Sockets, way: Way, name: &[u8], mut same: impl FnMut(&Place) -> bool) -> Ruling {
    let rule = find(sockets, way, |rule| {
        let by_name = match rule.place() {
            Place::Path(path) => path.as_bytes() == name,
            Place::Below(folder) => is_below(name, folder.as_bytes()),
            Place::Net(_) | Place::Abstract(_) => return false,
        };
        by_name || rule.verdict() == Verdict::Deny && same(rule.place())
    });
    ruling(sockets, rule, known::path(name).filter(|_| way != Way::Bind))
}

/// Whether a canonical name is in a folder or below it, by whole components.
#[must_use]
pub fn is_below(name: &[u8], folder: &[u8]) -> bool {
    let folder = folder.strip_suffix(b"/").unwrap_or(folder);
    name.strip_prefix(folder).is_some_and(|rest| rest.starts_with(b"/"))
}

fn find(sockets: &Sockets, way: Way, matches: impl FnMut(&Rule) -> bool) -> Option<(&Rule, String)> {
    let (list, rules) = match way {
        Way::Connect | Way::Send => ("connect", &sockets.connect),
        Way::Bind => ("bind", &sockets.bind),
    };
    let at = rules.iter().position(matches)?;
    Some((rules.get(at)?, format!("sockets.{list}[{at}]")))
}

fn ruling(sockets: &Sockets, rule: Option<(&Rule, String)>, known: Option<(&str, &str)>) -> Ruling {
    let exact = |rule: &Rule| matches!(rule.place(), Place::Path(_) | Place::Abstract(_));
    match (rule, known) {
        (Some((rule, name)), _) if exact(rule) || rule.verdict() == Verdict::Deny => {
            Ruling { verdict: rule.verdict(), rule: name.into() }
        }
        (_, Some((pattern, why))) => {
            Ruling { verdict: Verdict::Deny, rule: format!("sockets: {pattern}: {why}").into() }
        }
        (Some((rule, name)), None) => Ruling { verdict: rule.verdict(), rule: name.into() },
        (None, None) => Ruling { verdict: sockets.otherwise, rule: "sockets.otherwise".into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets(text: &str) -> Sockets {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let sockets = sockets(
            r#"{"connect":[{"deny":{"net":{"in":["10.1.0.0/16","::1"]}}},{"allow":{"net":{"in":["10.0.0.0/8"],
            "ports":["80","8000-8001"]}}}],"bind":[{"allow":{"net":{"ports":["0"]}}}]}"#,
        );
        let of = |address: &str, port| internet(&sockets, Way::Connect, address.parse().unwrap(), port);
        for (address, port, verdict, rule) in [
            ("10.1.2.3", 80, Verdict::Deny, "sockets.connect[0]"),
            ("::ffff:10.1.2.3", 80, Verdict::Deny, "sockets.connect[0]"),
            ("::1", 80, Verdict::Deny, "sockets.connect[0]"),
            ("10.2.0.1", 8001, Verdict::Allow, "sockets.connect[1]"),
            ("::ffff:10.2.0.1", 80, Verdict::Allow, "sockets.connect[1]"),
            ("10.2.0.1", 81, Verdict::Deny, "sockets.otherwise"),
            ("::2", 80, Verdict::Deny, "sockets.otherwise"),
        ] {
            assert_eq!(of(address, port), Ruling { verdict, rule: rule.into() }, "{address} {port}");
        }
        assert_eq!(internet(&sockets, Way::Bind, "::".parse().unwrap(), 0).verdict, Verdict::Allow);
        assert_eq!(internet(&sockets, Way::Bind, "::".parse().unwrap(), 1).verdict, Verdict::Deny);
    }

    #[test]
    fn a_known_name_has_to_be_named() {
        let open = Sockets { otherwise: Verdict::Allow, ..Sockets::default() };
        let decide = |sockets: &Sockets, name: &str| path(sockets, Way::Connect, name.as_bytes(), |_| false).verdict;
        assert_eq!(decide(&open, "/run/docker.sock"), Verdict::Deny);
        assert_eq!(decide(&open, "/run/app.sock"), Verdict::Allow);
        assert_eq!(path(&open, Way::Bind, b"/run/docker.sock", |_| false).verdict, Verdict::Allow);
        let below = sockets(r#"{"connect":[{"allow":{"below":"/run"}}]}"#);
        assert_eq!(decide(&below, "/run/docker.sock"), Verdict::Deny);
        assert_eq!(decide(&below, "/run/a/b"), Verdict::Allow);
        assert_eq!([decide(&below, "/running/a"), decide(&below, "/run")], [Verdict::Deny; 2]);
        let exact = sockets(r#"{"connect":[{"allow":{"path":"/run/docker.sock"}}]}"#);
        assert_eq!(decide(&exact, "/run/docker.sock"), Verdict::Allow);
        assert_eq!(decide(&exact, "/mnt/docker.sock"), Verdict::Deny);
        assert_eq!(abstract_name(&open, Way::Connect, b"/tmp/.X11-unix/X0").verdict, Verdict::Deny);
    }

    #[test]
    fn only_a_refusal_counts_for_other_names() {
        let rules = sockets(r#"{"connect":[{"allow":{"path":"/a"}},{"deny":{"path":"/b"}}],"otherwise":"allow"}"#);
        let ruling = path(&rules, Way::Connect, b"/c", |_| true);
        assert_eq!((ruling.verdict, ruling.rule.as_ref()), (Verdict::Deny, "sockets.connect[1]"));
        assert_eq!(path(&rules, Way::Connect, b"/a", |_| true).verdict, Verdict::Allow);
    }
}
