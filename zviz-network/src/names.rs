//! The names that may be asked for, by several policies at once, and the sets that their addresses go to.

use crate::policy::{Named, Policy};
use crate::wire::Zone;

/// The names that all policies let be asked for, each with the sets that its addresses go to; none is every name.
/// [`inside`](crate::rules::inside) makes the sets: one of each family for every entry, so that its packets are counted apart.
#[must_use]
pub fn zones(policies: &[Policy]) -> Option<Vec<Zone>> {
    let mut start = 0;
    let mut lists: Vec<Vec<Zone>> = Vec::new();
    for policy in policies {
        lists.push(policy.named.iter().enumerate().map(|(i, named)| zone(named, start + i)).collect());
        start += policy.named.len();
    }
    // A policy that lists none leaves them to the others.
    lists.retain(|list| !list.is_empty());
    let mut all = Vec::new();
    for (i, list) in lists.iter().enumerate() {
        let others = lists.iter().enumerate().filter(|(other, _)| *other != i).map(|(_, list)| list);
        all.extend(
            others.fold(list.clone(), |zones, others| zones.iter().flat_map(|zone| within(zone, others)).collect()),
        );
    }
    (!lists.is_empty()).then_some(all)
}

/// The sets of one entry, counted over all policies.
pub(crate) fn sets(i: usize) -> (String, String) {
    (format!("names{i}_ipv4"), format!("names{i}_ipv6"))
}

fn zone(named: &Named, i: usize) -> Zone {
    Zone { key: named.key.clone(), name: named.name.clone(), below: named.below, sets: sets(i) }
}

/// What of a zone is in one of others, too.
fn within<'z>(zone: &'z Zone, others: &'z [Zone]) -> impl Iterator<Item = Zone> + 'z {
    others.iter().filter_map(|other| match (covers(other, zone), covers(zone, other)) {
        (true, _) => Some(zone.clone()),
        (_, true) => Some(Zone { name: other.name.clone(), below: other.below, ..zone.clone() }),
        _ => None,
    })
}

fn covers(wide: &Zone, narrow: &Zone) -> bool {
    let below = || narrow.name.strip_suffix(&wide.name).is_some_and(|rest| rest.ends_with('.'));
    (wide.below && below()) || (wide.below == narrow.below && wide.name == narrow.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Verdict;

    fn policy(names: &[&str]) -> Policy {
        let mut policy = Policy::new(Verdict::Refuse);
        policy.named = names
            .iter()
            .map(|text| {
                let (below, name) = text.strip_prefix("*.").map_or((false, *text), |name| (true, name));
                Named { key: format!("of {text}"), name: name.into(), below, ports: Vec::new() }
            })
            .collect();
        policy
    }

    fn asked(policies: &[&[&str]]) -> Option<Vec<String>> {
        let policies: Vec<Policy> = policies.iter().map(|names| policy(names)).collect();
        let text = |zone: Zone| format!("{}{} {}", if zone.below { "*." } else { "" }, zone.name, zone.sets.0);
        zones(&policies).map(|zones| zones.into_iter().map(text).collect())
    }

    #[test]
    fn what_all_let_be_asked_for_goes_to_the_sets_of_each() {
        assert_eq!(asked(&[&[], &[]]), None);
        assert_eq!(asked(&[&["a.b", "*.a.b"], &[]]).unwrap(), ["a.b names0_ipv4", "*.a.b names1_ipv4"]);
        let both = asked(&[&["a.b", "c.d"], &["*.b", "*.x"]]).unwrap();
        assert_eq!(both, ["a.b names0_ipv4", "a.b names2_ipv4"]);
        assert_eq!(asked(&[&["*.a"], &["a"]]).unwrap(), [""; 0]);
        assert_eq!(asked(&[&["*.a"], &["*.b.a"]]).unwrap(), ["*.b.a names0_ipv4", "*.b.a names1_ipv4"]);
        assert_eq!(asked(&[&["ba"], &["*.a"]]).unwrap(), [""; 0]);
    }
}
