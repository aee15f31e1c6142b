//! Many patterns at once: a bit for each place in each of them, so that a byte of a name takes a few operations for every 64
//! places, whatever number of patterns these belong to.
//!
//! ```text
//! **/.git/*   **  /  .  g  i  t  /  *  end      places that bytes have led to ──► those with this byte move on by one,
//!             1   1  0  0  0  0  0  0  0        stars stay where they are, and what is behind a star is reached with it
//! ```

use super::{Glob, Token};

/// The most places: half a MiB of tables where patterns have all bytes there are. More are matched one by one.
const MOST: usize = 1 << 14;

/// Patterns that were joined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Together {
    /// Of 64 places each.
    words: usize,
    /// Bytes that every pattern takes alike are of one class.
    classes: Vec<u8>,
    /// For each class and word, the places that wait for such a byte.
    moves: Vec<u64>,
    /// All stars, which stay where they are at any byte but a slash.
    stars: Vec<u64>,
    /// Those that do at a slash too.
    across: Vec<u64>,
    /// Where all begin.
    start: Vec<u64>,
    /// The last place of each.
    ends: Vec<usize>,
}

/// Which patterns match a name.
pub struct Matching<'t> {
    ends: &'t [usize],
    reached: Vec<u64>,
}

impl Matching<'_> {
    /// Whether the one does that was given as this, from 0.
    #[must_use]
    pub fn has(&self, index: usize) -> bool {
        self.ends.get(index).is_some_and(|place| bit(&self.reached, *place))
    }
}

impl Together {
    /// None if they are too many to be joined.
    #[must_use]
    pub fn new<'g>(globs: impl Iterator<Item = &'g Glob>) -> Option<Together> {
        // Where each pattern ends there is one place more, at which nothing moves.
        let mut places: Vec<Option<Token>> = Vec::new();
        let (mut starts, mut ends) = (Vec::new(), Vec::new());
        for glob in globs {
            starts.push(places.len());
            places.extend(glob.prefix.iter().map(|byte| Some(Token::Byte(*byte))));
            places.extend(glob.rest.iter().copied().map(Some));
            ends.push(places.len());
            places.push(None);
            if places.len() > MOST {
                return None;
            }
        }
        let words = places.len().div_ceil(64);
        let mut classes = vec![0u8; 256];
        let mut count = 1;
        for place in &places {
            let Some(Token::Byte(byte)) = place else { continue };
            if let Some(class) = classes.get_mut(usize::from(*byte)).filter(|class| **class == 0) {
                // No pattern has a zero byte, so that there are no more than 256 with the class of the others.
                *class = u8::try_from(count).ok()?;
                count += 1;
            }
        }
        let mut moves = vec![0u64; count * words];
        let [mut stars, mut across, mut start] = [(); 3].map(|()| vec![0u64; words]);
        for (place, token) in places.iter().enumerate() {
            match token {
                Some(Token::Byte(byte)) => {
                    let class = classes.get(usize::from(*byte)).copied().unwrap_or_default();
                    set(moves.get_mut(usize::from(class) * words..)?, place);
                }
                Some(Token::Within) => set(&mut stars, place),
                Some(Token::Across) => [&mut stars, &mut across].into_iter().for_each(|of| set(of, place)),
                None => {}
            }
        }
        starts.iter().for_each(|place| set(&mut start, *place));
        let mut joined = Together { words, classes, moves, stars, across, start, ends };
        let mut start = std::mem::take(&mut joined.start);
        joined.pass_stars(&mut start);
        joined.start = start;
        Some(joined)
    }

    /// Which match this name.
    #[must_use]
    pub fn matching(&self, name: &[u8]) -> Matching<'_> {
        let mut reached = self.start.clone();
        for byte in name {
            let class = usize::from(self.classes.get(usize::from(*byte)).copied().unwrap_or_default());
            let moves = self.moves.get(class * self.words..).unwrap_or_default();
            let stays = if *byte == b'/' { &self.across } else { &self.stars };
            // Both of which go on into the next word.
            let (mut carried, mut passed) = (0, 0);
            for (((word, moves), stays), stars) in reached.iter_mut().zip(moves).zip(stays).zip(&self.stars) {
                let moved = *word & moves;
                let next = *word & stays | moved << 1 | carried;
                carried = moved >> 63;
                let at_star = next & stars;
                *word = next | at_star << 1 | passed;
                passed = at_star >> 63;
            }
        }
        Matching { ends: &self.ends, reached }
    }

    /// What is behind a star is reached with it, since it may stand for nothing. There are no two stars in a row.
    fn pass_stars(&self, reached: &mut [u64]) {
        let mut carried = 0;
        for (word, stars) in reached.iter_mut().zip(&self.stars) {
            let at_star = *word & stars;
            *word |= at_star << 1 | carried;
            carried = at_star >> 63;
        }
    }
}

fn set(bits: &mut [u64], place: usize) {
    if let Some(word) = bits.get_mut(place / 64) {
        *word |= 1 << (place % 64);
    }
}

fn bit(bits: &[u64], place: usize) -> bool {
    bits.get(place / 64).is_some_and(|word| word & 1 << (place % 64) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn agree(patterns: &[String], names: &[String]) {
        let globs: Vec<Glob> = patterns.iter().filter_map(|pattern| Glob::new(pattern).ok()).collect();
        let joined = Together::new(globs.iter()).unwrap();
        for name in names {
            let matching = joined.matching(name.as_bytes());
            for (i, glob) in globs.iter().enumerate() {
                assert_eq!(matching.has(i), glob.matches(name.as_bytes()), "{glob:?} {name}");
            }
            assert!(!matching.has(globs.len()));
        }
    }

    #[test]
    fn what_needs_more_than_a_word_is_joined() {
        let long = format!("/{}/**/end", "x".repeat(200));
        let patterns: Vec<String> = (0..40)
            .flat_map(|i| [format!("**/a{i}/*"), format!("/b/{i}**"), format!("/c*/d{i}/**/e"), long.clone()])
            .collect();
        let names: Vec<String> = (0..42)
            .flat_map(|i| [format!("/x/a{i}/y"), format!("/b/{i}0/z"), format!("/cc/d{i}/q/e"), format!("/d{i}")])
            .chain([long.replace("**", "a/b"), "/".into(), String::new()])
            .collect();
        agree(&patterns, &names);
        agree(&[], &names);
    }

    #[test]
    fn every_byte_is_of_a_class() {
        let bytes = (1u8..=255).filter(|byte| *byte != b'/' && byte.is_ascii());
        let all: String = bytes.map(|byte| format!("\\{}", byte as char)).collect();
        let rest: String = ('\u{80}'..'\u{3000}').filter(|c| !c.is_control()).step_by(40).collect();
        agree(&[format!("/{all}"), format!("/*{rest}")], &[format!("/{}", all.replace('\\', "")), format!("/x{rest}")]);
    }

    #[test]
    fn too_many_are_not_joined() {
        let globs: Vec<Glob> = (0..100).map(|i| Glob::new(&format!("/{i}{}", "x".repeat(1000))).unwrap()).collect();
        assert_eq!(Together::new(globs.iter()), None);
    }

    proptest! {
        #[test]
        fn they_agree_with_each_alone(
            patterns in prop::collection::vec(prop::collection::vec("(a|b|/|\\*|\\*\\*|\\\\\\*|ab|/a)", 0..8), 0..40),
            names in prop::collection::vec("[ab/*]{0,12}", 1..6),
        ) {
            let patterns: Vec<String> = patterns.into_iter().map(|parts| format!("/{}", parts.concat())).collect();
            let names: Vec<String> = names.into_iter().map(|name| format!("/{name}")).collect();
            agree(&patterns, &names);
        }
    }
}
