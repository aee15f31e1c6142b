//! The rules for opening files, ready to be asked.

use super::{Access, FileRule, Files, Reason, Verdict};
use crate::glob::{Glob, Matching, Together};

/// The rules, ready to be asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    rules: Vec<Ready>,
    /// Their patterns, if they could be joined.
    joined: Option<Together>,
    /// Where the rules end that others stand within.
    own: usize,
    default: Verdict,
}

type Ready = (Glob, Access, Verdict);

/// What the rules say to one opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ruling {
    /// All told.
    pub verdict: Verdict,
    /// Which rule said so; none for the default.
    pub rule: Option<u16>,
}

impl Rules {
    /// A rule whose glob is at fault, which [`super::Policy::faults`] tells, refuses everything.
    #[must_use]
    pub fn new(files: &Files) -> Rules {
        let rule = |rule: &FileRule| Some((Glob::new(&rule.glob).ok()?, rule.access, rule.verdict));
        match files.all().map(rule).collect() {
            Some(rules) => Rules::of(rules, files.rules.len(), files.default),
            None => Rules::of(Vec::new(), 0, Verdict::Deny(Reason::Eperm)),
        }
    }

    fn of(rules: Vec<Ready>, own: usize, default: Verdict) -> Rules {
        let joined = Together::new(rules.iter().map(|(glob, ..)| glob));
        Rules { rules, joined, own, default }
    }

    /// What is said to opening `name` for reading, writing, or both. Neither is asked about as reading.
    #[must_use]
    pub fn ask(&self, name: &[u8], reads: bool, writes: bool) -> Ruling {
        let matching = self.joined.as_ref().map(|joined| joined.matching(name));
        let reading = (reads || !writes).then(|| self.first(name, matching.as_ref(), Access::Read));
        let writing = writes.then(|| self.first(name, matching.as_ref(), Access::Write));
        match (reading, writing) {
            (Some(one), None) | (None, Some(one)) => one,
            // The stricter.
            (Some(one), Some(other)) if weight(other.verdict) > weight(one.verdict) => other,
            (Some(one), Some(_)) => one,
            (None, None) => Ruling { verdict: self.default, rule: None },
        }
    }

    /// Whether nothing below a directory of this name is refused or asked about, so that it may have another name as a whole.
    #[must_use]
    pub fn leave_all_below(&self, directory: &[u8]) -> bool {
        let (own, within) = self.rules.split_at(self.own);
        let leave = |rules: &[Ready], default: Verdict, access: Access| {
            for (glob, _, verdict) in rules.iter().filter(|(_, of, _)| *of == Access::Any || *of == access) {
                if weight(*verdict) > weight(Verdict::Audit) {
                    if glob.may_match_below(directory) {
                        return false;
                    }
                } else if glob.matches_all_below(directory) {
                    return true;
                }
            }
            weight(default) <= weight(Verdict::Audit)
        };
        let kinds = [Access::Read, Access::Write];
        kinds.into_iter().all(|access| leave(own, self.default, access) && leave(within, Verdict::Allow, access))
    }

    /// Whether every rule says the same of anything below two directories, so that one may become the other.
    #[must_use]
    pub fn alike_below(&self, one: &[u8], other: &[u8]) -> bool {
        self.rules.iter().all(|(glob, ..)| glob.alike_below(one, other))
    }

    /// Whether every rule says the same of anything below this name as if it were anywhere, so that it may lead anywhere.
    #[must_use]
    pub fn alike_anywhere(&self, name: &[u8]) -> bool {
        self.rules.iter().all(|(glob, ..)| glob.alike_anywhere(name))
    }

    fn first(&self, name: &[u8], matching: Option<&Matching<'_>>, access: Access) -> Ruling {
        let matches = |glob: &Glob, at: usize| matching.map_or_else(|| glob.matches(name), |all| all.has(at));
        let applies = |(glob, of, _): &Ready, at| (*of == Access::Any || *of == access) && matches(glob, at);
        let (own, within) = self.rules.split_at(self.own);
        let find = |rules: &[Ready], before: usize, default: Verdict| {
            match rules.iter().enumerate().find(|(i, rule)| applies(rule, before + i)) {
                // There are fewer than would not fit.
                Some((i, (.., verdict))) => Ruling { verdict: *verdict, rule: Some((before + i) as u16) },
                None => Ruling { verdict: default, rule: None },
            }
        };
        find(within, self.own, Verdict::Allow).stricter(find(own, 0, self.default))
    }
}

impl Ruling {
    /// The one that is stricter, or the second.
    #[must_use]
    pub fn stricter(self, other: Ruling) -> Ruling {
        if weight(self.verdict) > weight(other.verdict) { self } else { other }
    }
}

fn weight(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Allow => 0,
        Verdict::Audit => 1,
        Verdict::Ask => 2,
        Verdict::Deny(_) => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_rule_that_matches_decides_for_each_kind_of_access() {
        let json = r#"{"rules": [
            {"glob": "/tmp/**", "access": "read", "verdict": "allow"},
            {"glob": "/tmp/log/*", "access": "write", "verdict": "audit"},
            {"glob": "/tmp/**", "access": "write", "verdict": {"deny": "EROFS"}},
            {"glob": "/etc/**", "verdict": "audit"}
        ], "default": {"deny": "EACCES"}}"#;
        let files: Files = serde_json::from_str(json).unwrap();
        assert_eq!(files.faults(), []);
        let rules = Rules::new(&files);
        let ask = |name: &str, reads, writes| {
            let ruling = rules.ask(name.as_bytes(), reads, writes);
            (ruling.verdict, ruling.rule)
        };
        assert_eq!(ask("/tmp/a", true, false), (Verdict::Allow, Some(0)));
        assert_eq!(ask("/tmp/a", false, true), (Verdict::Deny(Reason::Erofs), Some(2)));
        // What may be read only may not be opened for both.
        assert_eq!(ask("/tmp/a", true, true), (Verdict::Deny(Reason::Erofs), Some(2)));
        assert_eq!(ask("/tmp/log/a", true, true), (Verdict::Audit, Some(1)));
        assert_eq!(ask("/etc/a", false, false), (Verdict::Audit, Some(3)));
        assert_eq!(ask("/root", true, false), (Verdict::Deny(Reason::Eacces), None));
    }

    #[test]
    fn nothing_is_allowed_that_the_rules_around_refuse() {
        let json = r#"{"rules": [{"glob": "/**/*.log", "verdict": "allow"}, {"glob": "/etc/**", "verdict": "audit"},
            {"glob": "/w/key", "verdict": {"deny": "ENOENT"}}],
            "within": [{"glob": "/w/**", "verdict": "allow"}, {"glob": "/**", "access": "write", "verdict": {"deny": "EACCES"}}]}"#;
        let files: Files = serde_json::from_str(json).unwrap();
        let rules = Rules::new(&files);
        let ask = |name: &str, writes: bool| {
            let ruling = rules.ask(name.as_bytes(), !writes, writes);
            (ruling.verdict, ruling.rule)
        };
        assert_eq!(ask("/w/a.log", true), (Verdict::Allow, Some(0)));
        assert_eq!(ask("/tmp/a.log", true), (Verdict::Deny(Reason::Eacces), Some(4)));
        assert_eq!(ask("/etc/a", false), (Verdict::Audit, Some(1)));
        assert_eq!(ask("/etc/a", true), (Verdict::Deny(Reason::Eacces), Some(4)));
        assert_eq!(ask("/w/key", true), (Verdict::Deny(Reason::Enoent), Some(2)));
        assert!(files.refuses());
        assert!(rules.leave_all_below(b"/w/a") && !rules.leave_all_below(b"/w") && !rules.leave_all_below(b"/tmp/a"));
    }

    #[test]
    fn a_directory_is_moved_if_nothing_in_it_is_kept() {
        let files = |json: &str| serde_json::from_str::<Files>(json).unwrap();
        let denied = files(r#"{"rules": [{"glob": "/w/*/secret", "verdict": {"deny": "EACCES"}}]}"#);
        assert!(denied.refuses());
        let rules = Rules::new(&denied);
        assert!(!rules.leave_all_below(b"/w") && !rules.leave_all_below(b"/w/a") && !rules.leave_all_below(b"/"));
        assert!(rules.leave_all_below(b"/w/a/b") && rules.leave_all_below(b"/x"));
        let allowed = files(
            r#"{"rules": [{"glob": "/w/a/key", "access": "read", "verdict": "ask"}, {"glob": "/w/**", "verdict": "allow"}],
                "default": {"deny": "EPERM"}}"#,
        );
        let rules = Rules::new(&allowed);
        assert!(rules.leave_all_below(b"/w/b") && !rules.leave_all_below(b"/w/a") && !rules.leave_all_below(b"/w"));
        assert!(!rules.leave_all_below(b"/x"));
        assert!(!files(r#"{"rules": [{"glob": "/w", "verdict": "ask"}]}"#).refuses());
    }

    #[test]
    fn a_rule_that_cannot_be_meant_is_told_and_refuses_everything() {
        let rule = |glob: &str| FileRule { glob: glob.into(), access: Access::Any, verdict: Verdict::Allow };
        let files = Files { rules: vec![rule("/ok"), rule("/not/")], default: Verdict::Allow, ..Files::default() };
        assert_eq!(files.faults().first().map(|fault| fault.place.as_str()), Some("files.rules[1].glob"));
        assert_eq!(Rules::new(&files).ask(b"/ok", true, false).verdict, Verdict::Deny(Reason::Eperm));
    }

    proptest! {
        #[test]
        fn joined_rules_say_what_they_said_one_by_one(
            rules in prop::collection::vec(("(/|\\*\\*|/\\*)(a|b|\\*)?(/a|/b|/\\*\\*|a)?", 0..3u8, 0..4u8), 0..20),
            own in 0..20usize,
            names in prop::collection::vec("(/[ab]{0,2}){1,4}", 1..8),
        ) {
            let rule = |(glob, access, verdict): (String, u8, u8)| FileRule {
                glob,
                access: [Access::Read, Access::Write, Access::Any][usize::from(access)],
                verdict: [Verdict::Allow, Verdict::Audit, Verdict::Ask, Verdict::Deny(Reason::Erofs)][usize::from(verdict)],
            };
            let rules: Vec<FileRule> = rules.into_iter().map(rule).filter(|rule| Glob::new(&rule.glob).is_ok()).collect();
            let (own, within) = rules.split_at(own.min(rules.len()));
            let files = Files { rules: own.to_vec(), within: within.to_vec(), ..Files::default() };
            let joined = Rules::new(&files);
            prop_assert!(joined.joined.is_some());
            let alone = Rules { joined: None, ..joined.clone() };
            for name in names {
                for (reads, writes) in [(true, false), (false, true), (true, true), (false, false)] {
                    let [one, other] = [&joined, &alone].map(|rules| rules.ask(name.as_bytes(), reads, writes));
                    prop_assert_eq!(one, other, "{} {:?}", name, files);
                }
            }
        }
    }
}
