//! What a profile says about the addresses of sockets.

use super::Fault;
use super::network::{Network, Ports};
use serde::{Deserialize, Serialize};

/// Rules about where sockets may be connected, sent to and bound. The first that matches decides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sockets {
    /// Destinations of `connect`, `sendto`, `sendmsg` and `sendmmsg`.
    pub connect: Vec<Rule>,
    /// Addresses of `bind`.
    pub bind: Vec<Rule>,
    /// Where no rule matches.
    pub otherwise: Verdict,
}

/// May it be?
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The kernel judges, as it would without a broker.
    Allow,
    /// EACCES.
    #[default]
    Deny,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Rule {
    /// The kernel judges.
    Allow(Place),
    /// EACCES.
    Deny(Place),
}

/// Addresses of one family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Place {
    /// Of the internet.
    Net(Internet),
    /// The Unix socket with this path in the container.
    Path(String),
    /// Unix sockets in this directory and those below it.
    Below(String),
    /// The Unix socket with this abstract name (unix(7)), without the leading NUL; its own NULs are part of it.
    Abstract(String),
}

/// Addresses of the internet, of both versions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Internet {
    /// In one of these; none is any.
    #[serde(rename = "in")]
    pub within: Vec<Network>,
    /// With one of these ports; none is any.
    pub ports: Vec<Ports>,
}

/// `sun_path` of `struct sockaddr_un`, less the NUL of an abstract name.
const ABSTRACT_MAX: usize = 107;

impl Rule {
    /// What it is about.
    #[must_use]
    pub fn place(&self) -> &Place {
        let (Rule::Allow(place) | Rule::Deny(place)) = self;
        place
    }

    /// What it says.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            Rule::Allow(_) => Verdict::Allow,
            Rule::Deny(_) => Verdict::Deny,
        }
    }
}

impl Sockets {
    /// Every fault, each with its place.
    pub(super) fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (list, rules) in [("connect", &self.connect), ("bind", &self.bind)] {
            for (i, rule) in rules.iter().enumerate() {
                if let Some(why) = rule.place().fault() {
                    faults.push(Fault { place: format!("sockets.{list}[{i}]"), why: why.into() });
                }
            }
        }
        faults
    }
}

impl Place {
    fn fault(&self) -> Option<&'static str> {
        match self {
            Place::Net(_) => None,
            Place::Path(path) if path == "/" => Some("the root is no socket"),
            Place::Path(path) | Place::Below(path) => match path.strip_prefix('/') {
                None => Some("must begin with /"),
                Some("") => None,
                Some(_) if path.contains('\0') => Some("a path has no NUL"),
                Some(rest) if rest.split('/').any(|name| matches!(name, "" | "." | "..")) => {
                    Some("must be without //, . and .., and not end with /: it is compared with what the kernel says")
                }
                Some(_) => None,
            },
            Place::Abstract(name) if name.is_empty() => Some("an abstract name has at least one byte"),
            Place::Abstract(name) if name.len() > ABSTRACT_MAX => Some("longer than 107 bytes"),
            Place::Abstract(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_read_as_it_is_written() {
        let text = r#"{"connect":[{"allow":{"net":{"in":["10.0.0.0/8"],"ports":["443","8000-8100"]}}},
            {"deny":{"path":"/run/x.sock"}},{"allow":{"below":"/run"}},{"allow":{"abstract":"a"}}],"otherwise":"deny"}"#;
        let sockets: Sockets = serde_json::from_str(text).unwrap();
        assert_eq!((sockets.connect.len(), sockets.bind.len()), (4, 0));
        let again: Sockets = serde_json::from_str(&serde_json::to_string(&sockets).unwrap()).unwrap();
        assert_eq!(sockets, again);
        for wrong in [
            r#"{"connect":[{"allow":{"net":{"in":["10.0.0.1/8"]}}}]}"#,
            r#"{"connect":[{"allow":{"net":{"port":["1"]}}}]}"#,
            r#"{"connect":[{"permit":{"path":"/x"}}]}"#,
            r#"{"connects":[]}"#,
            r#"{"otherwise":"maybe"}"#,
        ] {
            assert!(serde_json::from_str::<Sockets>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_manuals_example_is_one() {
        let manual = include_str!("../../../docs/broker.md");
        let blocks = manual.split("```json\n").skip(1).filter_map(|rest| rest.split("\n```").next());
        let examples: Vec<Sockets> = blocks
            .filter(|block| block.contains("\"connect\": ["))
            .map(|block| serde_json::from_str(block).unwrap())
            .collect();
        assert_eq!((examples.len(), examples[0].connect.len()), (1, 5));
        assert_eq!(examples[0].faults(), []);
    }

    #[test]
    fn paths_are_canonical() {
        let fault = |place: Place| place.fault();
        for path in ["", "run/x", "/run/../x", "/run//x", "/run/", "/./x", "/a\0b"] {
            assert!(fault(Place::Path(path.into())).is_some(), "{path}");
            assert!(fault(Place::Below(path.into())).is_some(), "{path}");
        }
        assert_eq!([fault(Place::Below("/".into())), fault(Place::Path("/a.b".into()))], [None; 2]);
        assert!(fault(Place::Path("/".into())).is_some());
        assert!(fault(Place::Abstract(String::new())).is_some());
        let sockets = Sockets { bind: vec![Rule::Deny(Place::Path("x".into()))], ..Sockets::default() };
        let places: Vec<String> = sockets.faults().into_iter().map(|fault| fault.place).collect();
        assert_eq!(places, ["sockets.bind[0]"]);
    }
}
