//! What a pattern says of everything below a directory.

use super::{Glob, Token, reach, step};

impl Glob {
    /// Whether something below a directory of this name could match it.
    #[must_use]
    pub fn may_match_below(&self, directory: &[u8]) -> bool {
        self.after(directory).is_some_and(|reached| {
            let (_, whole) = reached.split_last().unwrap_or((&false, &[]));
            // From every place but the last there is a way on.
            whole.contains(&true)
        })
    }

    /// Whether everything below a directory of this name matches it. False where that is not plain to see.
    #[must_use]
    pub fn matches_all_below(&self, directory: &[u8]) -> bool {
        self.rest.last() == Some(&Token::Across)
            && self.after(directory).is_some_and(|reached| reached.iter().rev().nth(1) == Some(&true))
    }

    /// Whether it matches the same below two directories, whatever that is. False where that is not plain to see.
    #[must_use]
    pub fn alike_below(&self, one: &[u8], other: &[u8]) -> bool {
        match (self.after(one), self.after(other)) {
            (None, None) => true,
            // One more place is for a part of the prefix, and of which part is not said.
            (Some(one), Some(other)) => one == other && one.len() == self.rest.len() + 1,
            _ => false,
        }
    }

    /// Whether what it matches below a directory it matches below any that is deep enough, whatever its name.
    #[must_use]
    pub fn alike_anywhere(&self, directory: &[u8]) -> bool {
        // A byte that no pattern has, in more components than this one could have.
        self.alike_below(directory, &b"/\xff".repeat(self.rest.len() + 2))
    }

    /// The places that are reached in the part behind the prefix after a directory and its slash: none if there is no match
    /// any more.
    fn after(&self, directory: &[u8]) -> Option<Vec<bool>> {
        let slash: &[u8] = if directory.ends_with(b"/") { b"" } else { b"/" };
        let text = [directory, slash].concat();
        let mut reached = vec![false; self.rest.len() + 1];
        let Some(rest) = text.strip_prefix(self.prefix.as_slice()) else {
            // Within the prefix: what is to come of it stands for one more place.
            let goes_on = self.prefix.starts_with(&text);
            reached.insert(0, true);
            return goes_on.then_some(reached);
        };
        reach(&mut reached, &self.rest, 0);
        let mut next = reached.clone();
        for byte in rest {
            if !step(&self.rest, &reached, *byte, &mut next) {
                return None;
            }
            std::mem::swap(&mut reached, &mut next);
        }
        Some(reached)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::glob;

    #[test]
    fn directories_are_alike_where_the_pattern_has_come_as_far() {
        for (pattern, one, other, alike) in [
            ("**/.git/hooks/**", "/w/a", "/w/b/c", true),
            ("**/.git/hooks/**", "/w/a", "/w/.git", false),
            ("**/.git/hooks/**", "/w/.git/a", "/w/b", true),
            ("**/.git/hooks/**", "/w/.git/hooks", "/w/.git/hook", false),
            ("**/*.key", "/w/a", "/w/b.key", true),
            ("/w/secret/**", "/w/a", "/w/b", true),
            ("/w/secret/**", "/w", "/", false),
            ("/w/secret/**", "/w/a", "/w/secret", false),
            ("/w/*/secret", "/w/a", "/w/b", true),
            ("/w/*/secret", "/w/a", "/x", false),
        ] {
            let glob = glob(pattern);
            assert_eq!(glob.alike_below(one.as_bytes(), other.as_bytes()), alike, "{pattern} {one} {other}");
            assert_eq!(glob.alike_below(other.as_bytes(), one.as_bytes()), alike, "{pattern} {other} {one}");
        }
        for (pattern, name, anywhere) in [
            ("**/.git/hooks/**", "/w/link", true),
            ("**/.git/hooks/**", "/w/.git/link", true),
            ("**/.git/hooks/**", "/w/.git", false),
            ("**/.git/hooks/**", "/w/.git/hooks", false),
            ("/w/secret/**", "/w/link", true),
            ("/w/secret/**", "/w", false),
            // Where it leads there may be no such pattern.
            ("/w/*/secret", "/w/link", false),
        ] {
            assert_eq!(glob(pattern).alike_anywhere(name.as_bytes()), anywhere, "{pattern} {name}");
        }
    }

    #[test]
    fn what_may_be_below_is_known() {
        for (pattern, yes, no) in [
            ("/a/secret", &["/", "/a"][..], &["/a/secret", "/b", "/a/s", "/aa"][..]),
            ("/a/*/secret", &["/", "/a", "/a/b"], &["/a/b/c", "/a/b/secret"]),
            ("/a/**", &["/", "/a", "/a/b/c"], &["/b", "/ab"]),
            ("/a/*", &["/a", "/"], &["/a/b"]),
            ("**/.git/**", &["/", "/x/y", "/x/.git"], &[]),
            ("/a*b", &["/"], &["/axb", "/a"]),
        ] {
            yes.iter().for_each(|name| assert!(glob(pattern).may_match_below(name.as_bytes()), "{pattern} {name}"));
            no.iter().for_each(|name| assert!(!glob(pattern).may_match_below(name.as_bytes()), "{pattern} {name}"));
        }
        for (pattern, yes, no) in [
            ("/a/**", &["/a", "/a/b"][..], &["/", "/b"][..]),
            ("/a**", &["/a", "/ab/c"], &["/"]),
            ("/a/*", &[], &["/a", "/a/b"]),
            ("/a/**b", &[], &["/a"]),
            ("/**", &["/", "/a"], &[]),
            ("/a/**/b/**", &["/a/x/b"], &["/a/x", "/a/b"]),
        ] {
            yes.iter().for_each(|name| assert!(glob(pattern).matches_all_below(name.as_bytes()), "{pattern} {name}"));
            no.iter().for_each(|name| assert!(!glob(pattern).matches_all_below(name.as_bytes()), "{pattern} {name}"));
        }
    }
}
