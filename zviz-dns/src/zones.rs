//! Which names may be asked for.

use crate::name::{Name, NotAName};
use std::collections::HashMap;
use std::sync::Arc;
use zviz_network::wire::Zone;

/// The names of a policy.
#[derive(Debug)]
pub(crate) struct Zones {
    zones: Vec<Zoned>,
    exact: HashMap<Box<[u8]>, Vec<usize>>,
    below: HashMap<Box<[u8]>, Vec<usize>>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Zoned {
    pub(crate) key: Arc<str>,
    pub(crate) sets: (Arc<str>, Arc<str>),
}

/// What a policy has to say of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Match {
    /// The entries that it fits, in the policy's order: its addresses are pinned for each, since each has its own ports.
    pub(crate) zones: Vec<usize>,
    /// How many labels are not the policy's own, but the program's choice. None where an entry is the name itself.
    pub(crate) chosen: Option<usize>,
}

impl Zones {
    pub(crate) fn new(zones: &[Zone]) -> Result<Zones, NotAName> {
        let mut all = Zones { zones: Vec::with_capacity(zones.len()), exact: HashMap::new(), below: HashMap::new() };
        for (index, zone) in zones.iter().enumerate() {
            let name = Name::of_text(&zone.name)?;
            let names = if zone.below { &mut all.below } else { &mut all.exact };
            names.entry(name.wire().into()).or_default().push(index);
            let sets = (zone.sets.0.as_str().into(), zone.sets.1.as_str().into());
            all.zones.push(Zoned { key: zone.key.as_str().into(), sets });
        }
        Ok(all)
    }

    /// None is no.
    pub(crate) fn find(&self, name: &Name) -> Option<Match> {
        let mut zones = self.exact.get(name.wire()).cloned().unwrap_or_default();
        let exactly = !zones.is_empty();
        let mut chosen = usize::MAX;
        for (labels, above) in name.above().enumerate() {
            if let Some(below) = self.below.get(above) {
                zones.extend(below);
                chosen = chosen.min(labels + 1);
            }
        }
        zones.sort_unstable();
        (!zones.is_empty()).then_some(Match { zones, chosen: (!exactly).then_some(chosen) })
    }

    pub(crate) fn get(&self, index: usize) -> Option<&Zoned> {
        self.zones.get(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones(names: &[&str]) -> Zones {
        let zone = |name: &&str| Zone {
            key: (*name).to_owned(),
            name: name.trim_start_matches("*.").to_owned(),
            below: name.starts_with("*."),
            sets: (String::new(), String::new()),
        };
        Zones::new(&names.iter().map(zone).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn names_fit_label_by_label() {
        let zones = zones(&["crates.io", "*.example.org", "*.a.example.org", "www.example.org"]);
        for (name, fits) in [
            ("crates.io", Some((vec![0], None))),
            ("CRATES.IO", Some((vec![0], None))),
            ("xcrates.io", None),
            ("x.crates.io", None),
            ("io", None),
            ("crates.io.evil.net", None),
            ("example.org", None),
            ("notexample.org", None),
            ("b.example.org", Some((vec![1], Some(1)))),
            ("c.b.example.org", Some((vec![1], Some(2)))),
            ("b.a.example.org", Some((vec![1, 2], Some(1)))),
            ("www.example.org", Some((vec![1, 3], None))),
        ] {
            let found = zones.find(&Name::of_text(name).unwrap());
            assert_eq!(found.map(|found| (found.zones, found.chosen)), fits, "{name}");
        }
    }

    #[test]
    fn borders_of_labels_are_not_dots() {
        let zones = zones(&["crates.io", "*.example.org"]);
        for labels in [vec![&b"crates.io"[..]], vec![b"a.example", b"org"], vec![b"evil\0", b"crates.io"]] {
            assert_eq!(zones.find(&Name::of_labels(labels).unwrap()), None);
        }
    }

    #[test]
    fn an_empty_list_fits_nothing_and_a_star_everything() {
        assert_eq!(zones(&[]).find(&Name::of_text("a").unwrap()), None);
        let all = Zone { key: String::new(), name: String::new(), below: true, sets: Default::default() };
        let all = Zones::new(&[all]).unwrap();
        assert_eq!(all.find(&Name::of_text("a.b").unwrap()).unwrap().chosen, Some(2));
        assert_eq!(all.find(&Name::of_text("").unwrap()), None);
    }
}
