//! Patterns of names: `*` is any part of one component, `**` any part of a name, `\` takes the next byte as it is. No
//! more: a pattern is matched in time that is linear in the name, whatever it says.

mod below;
mod together;

pub use together::{Matching, Together};

/// A pattern that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    /// What a name has to begin with, up to the first star.
    prefix: Vec<u8>,
    rest: Vec<Token>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// Any bytes but slashes.
    Within,
    /// Any bytes.
    Across,
}

/// The longest pattern.
pub const LONGEST: usize = 1024;

impl Glob {
    /// Understands a pattern of canonical absolute names.
    ///
    /// # Errors
    /// Why it could never match one, or is not clear.
    pub fn new(pattern: &str) -> Result<Glob, &'static str> {
        if pattern.len() > LONGEST {
            return Err("longer than 1024 bytes");
        }
        if !pattern.starts_with('/') && !pattern.starts_with("**") {
            return Err("must begin with / or **");
        }
        let components: Vec<&str> = pattern.split('/').collect();
        let last = components.len() - 1;
        for (i, component) in components.into_iter().enumerate() {
            let empty = component.is_empty() && i > 0 && !(i == last && last == 1);
            if empty || component == "." || component == ".." {
                return Err("a canonical name has no //, /./, /../ and no slash at its end");
            }
        }
        let mut tokens = Vec::new();
        let mut bytes = pattern.bytes().peekable();
        while let Some(byte) = bytes.next() {
            tokens.push(match byte {
                0 => return Err("holds a zero byte"),
                b'\\' => Token::Byte(bytes.next().filter(|byte| *byte != b'/').ok_or("ends with a \\")?),
                b'*' if bytes.next_if_eq(&b'*').is_some() => Token::Across,
                b'*' => Token::Within,
                byte => Token::Byte(byte),
            });
            if let [.., Token::Across | Token::Within, Token::Across | Token::Within] = tokens.as_slice() {
                return Err("has more than two stars in a row");
            }
        }
        let plain = tokens.iter().take_while(|token| matches!(token, Token::Byte(_))).count();
        let rest = tokens.split_off(plain);
        let prefix = tokens.iter().filter_map(|token| if let Token::Byte(byte) = token { Some(*byte) } else { None });
        Ok(Glob { prefix: prefix.collect(), rest })
    }

    /// Whether it is a name.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        let Some(name) = name.strip_prefix(self.prefix.as_slice()) else { return false };
        match self.rest.as_slice() {
            [] => name.is_empty(),
            [Token::Across] => true,
            rest => matches(rest, name),
        }
    }
}

/// All places in the pattern that may have been reached are followed at once: a step a byte, and none is ever undone.
fn matches(tokens: &[Token], name: &[u8]) -> bool {
    let mut reached = vec![false; tokens.len() + 1];
    let mut next = reached.clone();
    reach(&mut reached, tokens, 0);
    for byte in name {
        if !step(tokens, &reached, *byte, &mut next) {
            return false;
        }
        std::mem::swap(&mut reached, &mut next);
    }
    reached.last() == Some(&true)
}

/// The places that are reached from others with one byte; false if there are none.
fn step(tokens: &[Token], reached: &[bool], byte: u8, next: &mut [bool]) -> bool {
    next.fill(false);
    let mut any = false;
    for (i, token) in tokens.iter().enumerate().filter(|(i, _)| reached.get(*i) == Some(&true)) {
        let to = match token {
            Token::Byte(wanted) if *wanted == byte => i + 1,
            Token::Within if byte != b'/' => i,
            Token::Across => i,
            _ => continue,
        };
        reach(next, tokens, to);
        any = true;
    }
    any
}

/// A place, and those behind stars that may stand for nothing.
fn reach(reached: &mut [bool], tokens: &[Token], from: usize) {
    for (i, place) in reached.iter_mut().enumerate().skip(from) {
        *place = true;
        if !matches!(tokens.get(i), Some(Token::Within | Token::Across)) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The obvious way, which takes exponential time.
    fn naive(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern, name) {
            ([], rest) => rest.is_empty(),
            ([b'*', b'*', rest @ ..], _) => (0..=name.len()).any(|i| naive(rest, &name[i..])),
            ([b'*', rest @ ..], _) => {
                let end = name.iter().position(|byte| *byte == b'/').unwrap_or(name.len());
                (0..=end).any(|i| naive(rest, &name[i..]))
            }
            ([b'\\', byte, rest @ ..], [first, others @ ..]) => byte == first && naive(rest, others),
            ([byte, rest @ ..], [first, others @ ..]) => byte == first && naive(rest, others),
            _ => false,
        }
    }

    pub(super) fn glob(pattern: &str) -> Glob {
        Glob::new(pattern).unwrap()
    }

    #[test]
    fn stars_stay_within_components_or_cross_them() {
        for (pattern, yes, no) in [
            ("/", &["/"][..], &["/a", ""][..]),
            ("/etc/passwd", &["/etc/passwd"], &["/etc/passwd2", "/etc", "/etc/passwd/x"]),
            ("/etc/*", &["/etc/a", "/etc/"], &["/etc/a/b", "/etc", "/etcx"]),
            ("/etc/**", &["/etc/a", "/etc/a/b"], &["/etc", "/etcetera"]),
            ("/etc**", &["/etc", "/etcetera/a", "/etc/a"], &["/et"]),
            ("/home/*/.ssh/**", &["/home/a/.ssh/id"], &["/home/a/b/.ssh/id", "/home/a/.ssh"]),
            ("**/.git/**", &["/a/.git/config", "/.git/x"], &["/a/git/config"]),
            ("/**.so.*", &["/lib/a.so.1", "/.so.so.2"], &["/lib/a.so", "/lib/a.so.1/x"]),
            ("/a\\*", &["/a*"], &["/ab", "/a"]),
        ] {
            yes.iter().for_each(|name| assert!(glob(pattern).matches(name.as_bytes()), "{pattern} {name}"));
            no.iter().for_each(|name| assert!(!glob(pattern).matches(name.as_bytes()), "{pattern} {name}"));
        }
    }

    #[test]
    fn what_could_never_match_is_refused() {
        for pattern in
            ["", "etc", "*", "/etc/", "/a//b", "/a/./b", "/a/..", "//", "/a***", "/a****b", "/a\\", "/\0", "/a\\/b"]
        {
            assert!(Glob::new(pattern).is_err(), "{pattern:?}");
        }
        assert!(Glob::new(&format!("/{}", "x".repeat(LONGEST))).is_err());
    }

    /// What a matcher that goes back takes ages for.
    #[test]
    fn time_is_linear() {
        let pattern = format!("/{}b", "**a".repeat(300));
        let name = format!("/{}", "a".repeat(4000));
        assert!(!glob(&pattern).matches(name.as_bytes()));
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_obvious(parts in prop::collection::vec("(a|b|/|\\*|\\*\\*|\\\\\\*|ab)", 0..8), name in "[ab/*]{0,10}") {
            let (pattern, name) = (format!("/{}", parts.concat()), format!("/{name}"));
            if let Ok(glob) = Glob::new(&pattern) {
                prop_assert_eq!(glob.matches(name.as_bytes()), naive(pattern.as_bytes(), name.as_bytes()), "{} {}", pattern, name);
                // Of every directory above it.
                for (at, _) in name.match_indices('/') {
                    let directory = &name.as_bytes()[..at.max(1)];
                    let below = name.len() > at + 1;
                    let matches = glob.matches(name.as_bytes());
                    prop_assert!(!(below && matches) || glob.may_match_below(directory), "{} {} {}", pattern, name, at);
                    prop_assert!(!below || matches || !glob.matches_all_below(directory), "{} {} {}", pattern, name, at);
                }
            }
        }
    }
}
