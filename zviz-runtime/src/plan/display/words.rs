//! Values of a plan as words.

use crate::plan::mounts::{Attributes, attr};
use crate::plan::process::Rlimit;

/// The text as it is, or with quotes and escapes where it could be taken for something else: a plan is printed for
/// people, and a config is written by anyone.
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | ',' | '\'');
    if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { format!("{text:?}") }
}

/// `1 id`, `2 ids`.
pub(super) fn count(n: u64, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}

/// Permission bits, in octal.
pub(super) fn mode(bits: u32) -> String {
    format!("{bits:04o}")
}

/// Words with spaces between, or `none`.
pub(super) fn list(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.collect();
    if words.is_empty() { "none".into() } else { words.join(" ") }
}

/// Numbers with spaces between, or `none`.
pub(super) fn ids(numbers: &[u32]) -> String {
    list(numbers.iter().map(ToString::to_string))
}

/// The words of mount(8) for attributes, each after a comma. `fresh`: nothing is inherited, so that what is cleared
/// says nothing.
pub(super) fn attributes(a: Attributes, prefix: &str, fresh: bool) -> String {
    const WORDS: &[(u64, &str, &str)] = &[
        (attr::RDONLY, "ro", "rw"),
        (attr::NOSUID, "nosuid", "suid"),
        (attr::NODEV, "nodev", "dev"),
        (attr::NOEXEC, "noexec", "exec"),
        (attr::NODIRATIME, "nodiratime", "diratime"),
        (attr::NOSYMFOLLOW, "nosymfollow", "symfollow"),
    ];
    let mut out = String::new();
    for (bit, set, clear) in WORDS {
        if a.set & bit != 0 {
            out += &format!(", {prefix}{set}");
        } else if a.clear & bit != 0 && !fresh {
            out += &format!(", {prefix}{clear}");
        }
    }
    if a.clear & attr::ATIME != 0 {
        let word = match a.set & attr::ATIME {
            attr::NOATIME => "noatime",
            attr::STRICTATIME => "strictatime",
            _ => "relatime",
        };
        if !(fresh && word == "relatime") {
            out += &format!(", {prefix}{word}");
        }
    }
    out
}

/// One limit.
pub(super) fn rlimit(limit: &Rlimit) -> String {
    let value = |n: u64| if n == u64::MAX { "unlimited".to_owned() } else { n.to_string() };
    format!("rlimit {}: {} of {}", crate::plan::rlimits::name(limit.resource), value(limit.soft), value(limit.hard))
}
