//! What is known of the packets that come to a part, since whatever leads there has asked for it. The kernel need not be asked again.

use super::expand::family;
use super::{Family, Match, Rule, Ruleset};
use std::collections::BTreeMap;

/// What every packet has been matched with that comes to a part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Known {
    /// IPv4 or IPv6.
    pub family: Option<Family>,
    /// The protocol above.
    pub protocol: Option<u8>,
}

impl Known {
    /// With what a rule asks for.
    fn and(self, rule: &Rule) -> Known {
        rule.matches.iter().fold(self, |known, is| match is {
            Match::Family(of) | Match::DestinationIn(_, of) => Known { family: Some(*of), ..known },
            Match::Destination(network) | Match::Source(network) => Known { family: Some(family(network)), ..known },
            Match::Protocol(number) => Known { protocol: Some(*number), ..known },
            _ => known,
        })
    }

    /// Of packets of which one or the other is known.
    fn or(self, other: Known) -> Known {
        Known {
            family: self.family.filter(|_| self.family == other.family),
            protocol: self.protocol.filter(|_| self.protocol == other.protocol),
        }
    }
}

impl Ruleset {
    /// What is known in each part that something leads to, by its name.
    #[must_use]
    pub fn known(&self) -> BTreeMap<&str, Known> {
        let parts: BTreeMap<&str, &[Rule]> =
            self.parts.iter().map(|part| (part.name.as_str(), part.rules.as_slice())).collect();
        let mut known: BTreeMap<&str, Known> = BTreeMap::new();
        let mut from: Vec<(&[Rule], Known)> =
            self.chains.iter().map(|chain| (chain.rules.as_slice(), Known::default())).collect();
        // What is known of a part only ever gets less, so this ends.
        while let Some((rules, so_far)) = from.pop() {
            let led = rules.iter().flat_map(|rule| rule.actions.iter().map(move |action| (rule, action)));
            for (rule, action) in led {
                let Some(to) = action.leads_to() else { continue };
                let (before, with) = (known.get(to).copied(), so_far.and(rule));
                let now = before.map_or(with, |before| before.or(with));
                if before != Some(now) {
                    known.insert(to, now);
                    from.extend(parts.get(to).map(|rules| (*rules, now)));
                }
            }
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::parts::to;
    use crate::rules::{Chain, Hook, Kind, Part};

    #[test]
    fn what_is_known_is_what_all_that_leads_there_has_asked_for() {
        let (four, six, tcp) = (Match::Family(Family::V4), Match::Family(Family::V6), Match::Protocol(6));
        let part = |name: &str, rules| Part { name: name.into(), rules };
        let led = |name: &str, matches: &[&Match]| to(name.into(), matches.iter().map(|is| (*is).clone()).collect());
        let rules =
            vec![led("a", &[&four, &tcp]), led("b", &[&four]), led("b", &[&six]), led("c", &[&tcp]), led("e", &[])];
        let chain = Chain { name: "x".into(), kind: Kind::Filter, hook: Hook::Output, priority: 0, drops: true, rules };
        let parts = vec![
            // One leads to itself, and one to another that is led to with less.
            part("a", vec![led("d", &[]), led("a", &[])]),
            part("c", vec![led("d", &[&four]), led("e", &[&four])]),
            part("d", vec![led("f", &[])]),
            part("unused", vec![led("a", &[&six])]),
        ];
        let ruleset = Ruleset { table: "t".into(), sets: Vec::new(), chains: vec![chain], parts };
        let both = Known { family: Some(Family::V4), protocol: Some(6) };
        let expected = [
            ("a", both),
            ("b", Known::default()),
            ("c", Known { family: None, protocol: Some(6) }),
            ("d", both),
            ("e", Known::default()),
            ("f", both),
        ];
        assert_eq!(ruleset.known(), expected.into());
    }
}
