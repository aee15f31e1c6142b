//! What somebody may have meant.

/// The most edits by which a word may differ from what was meant: a third of it.
fn bound(word: &str) -> usize {
    (word.chars().count() / 3).max(1)
}

/// Of `known`, the word that is nearest to `word`, if one is near.
#[must_use]
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let apart = known.into_iter().map(|other| (distance(word, other), other));
    apart.filter(|(edits, _)| *edits <= bound(word)).min_by_key(|(edits, _)| *edits).map(|(_, other)| other)
}

/// How many characters are put in, taken out, changed, or swapped with the next one: the optimal string alignment.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.to_lowercase().chars().collect(), other.chars().collect());
    let mut rows = vec![(0..=other.len()).collect::<Vec<usize>>()];
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let mut least = (rows[i][j] + usize::from(a != b)).min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && one[i - 1] == *b && *a == other[j - 1] {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_pen_are_seen_through() {
        let known = ["writable", "readonly", "tmpfs", "hidden"];
        for (word, meant) in
            [("writeable", "writable"), ("readonyl", "readonly"), ("Hidden", "hidden"), ("tmpf", "tmpfs")]
        {
            assert_eq!(nearest(word, known), Some(meant), "{word}");
        }
        assert_eq!(nearest("network", known), None);
    }
}
