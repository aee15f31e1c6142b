//! Denials, each once, with how often there were: a bounded number of them, whatever a workload asks for.

use crate::why::Denial;
use serde::{Deserialize, Serialize};

/// The most that are remembered, and told.
pub const MOST: usize = 200;

/// A denial, and how often it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// As it was first.
    #[serde(flatten)]
    pub denial: Denial,
    /// From 1.
    pub times: u64,
}

/// All denials of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// In the order in which they came.
    pub denials: Vec<Counted>,
    /// How many calls were denied beside these.
    pub left_out: u64,
}

impl Tally {
    /// Counts one; it comes back if it is new.
    pub fn add(&mut self, denial: Denial) -> Option<&Denial> {
        if let Some(known) = self.denials.iter_mut().find(|known| known.denial.key() == denial.key()) {
            known.times = known.times.saturating_add(1);
            return None;
        }
        if self.denials.len() == MOST {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.denials.push(Counted { denial, times: 1 });
        self.denials.last().map(|counted| &counted.denial)
    }

    /// Whether the same layer is known, of the first so many, to have denied the same thing, or something in it.
    #[must_use]
    pub(super) fn has(&self, denial: &Denial, first: usize) -> bool {
        let folder = denial.object.trim_end_matches('/');
        let in_it = |object: &str| object.rsplit_once('/').is_some_and(|(above, _)| above == folder);
        self.denials
            .iter()
            .take(first)
            .map(|known| &known.denial)
            .any(|known| known.layer == denial.layer && (known.object == denial.object || in_it(&known.object)))
    }

    /// As [`Tally::add`], for who does not care whether it is new.
    pub(super) fn count(&mut self, denial: Denial) {
        let _ = self.add(denial);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::why::Layer;

    fn denial(object: &str) -> Denial {
        Denial {
            layer: Layer::Mounts,
            cause: "hidden".into(),
            call: "openat".into(),
            object: object.into(),
            result: "ENOENT".into(),
            program: "/bin/cat".into(),
            rule: None,
            what: String::new(),
            changes: Vec::new(),
            expected: false,
        }
    }

    #[test]
    fn a_million_denials_are_a_few_and_a_number() {
        let mut tally = Tally::default();
        for number in 0..100_000 {
            assert_eq!(tally.add(denial(&number.to_string())).is_some(), number < MOST);
        }
        assert!(tally.add(denial("7")).is_none());
        assert_eq!((tally.denials.len(), tally.left_out, tally.denials[7].times), (MOST, 100_000 - MOST as u64, 2));
    }
}
