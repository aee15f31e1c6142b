//! Lists of paths as rules about files.
//!
//! Rules allow; a denial holds whatever is allowed. So what is written is said by what is allowed, and by denials what within it
//! is not. A path is its file, or its folder (whose name ends in a slash here) and all that is in it.

use crate::profile::files::{Files, OWN, within};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Where folders of the root are links on most systems: the rules are about the names that the kernel comes to.
const LINKS: &[(&str, &str)] = &[
    ("/bin", "/usr/bin"),
    ("/lib", "/usr/lib"),
    ("/lib32", "/usr/lib32"),
    ("/lib64", "/usr/lib64"),
    ("/libx32", "/usr/libx32"),
    ("/sbin", "/usr/sbin"),
    // Where both are one.
    ("/sbin", "/usr/bin"),
    ("/usr/sbin", "/usr/bin"),
    ("/var/lock", "/run/lock"),
    ("/var/run", "/run"),
];

/// The rules, in an order of their own, and what is left to others.
pub(super) fn rules(files: &Files) -> (Vec<String>, Vec<String>) {
    let mut rules = Vec::new();
    let written = written(files);
    // What is said of a path holds for all below it, so that each says no more than what it adds.
    let lists = [(pruned(&read(files)), "r"), (pruned(&written), "wkl"), (pruned(&executed(files)), "mix")];
    for path in lists.iter().flat_map(|(list, _)| list).collect::<BTreeSet<_>>() {
        let rights: String = lists.iter().filter(|(list, _)| list.contains(path)).map(|(_, right)| *right).collect();
        rules.push(format!("{} {rights},", quoted(path, true)));
    }
    let mut left = Vec::new();
    for own in files.readonly.iter().map(|path| trimmed(path)) {
        for path in spellings([own].into_iter()) {
            let covered = written.iter().any(|above| within(&path, above));
            let reopened = written.iter().any(|below| below != own && within(below, &path));
            match (covered, reopened) {
                (true, false) => rules.push(format!("audit deny {} wkl,", quoted(&path, true))),
                (true, true) => left.push(format!("{path} is kept by mounts alone: something in it is written")),
                (false, _) => {}
            }
        }
    }
    for path in spellings(files.hidden.iter().map(String::as_str)) {
        // What is under the mask. The mask itself, an empty file or folder, is there to be looked at.
        rules.push(format!("audit deny {} wklmx,", quoted(&path, false)));
        rules.push(format!("audit deny {} rwklmx,", below(&path)));
    }
    (rules, left)
}

fn read(files: &Files) -> BTreeSet<String> {
    if !files.listed_only {
        return BTreeSet::from(["/".to_owned()]);
    }
    let lists = files.readonly.iter().chain(files.writable.iter().flatten()).chain(&files.tmpfs);
    spellings(lists.map(String::as_str).chain(OWN.iter().copied()))
}

fn written(files: &Files) -> BTreeSet<String> {
    let all = ["/".to_owned()];
    let lists = files.writable.as_deref().unwrap_or(&all).iter().chain(&files.tmpfs).map(String::as_str);
    spellings(lists.chain(OWN.iter().copied()).filter(|path| files.writes(path)))
}

fn executed(files: &Files) -> BTreeSet<String> {
    files
        .executable
        .as_ref()
        .map_or_else(|| BTreeSet::from(["/".to_owned()]), |executable| spellings(executable.iter().map(String::as_str)))
}

/// Without what is below another.
fn pruned(paths: &BTreeSet<String>) -> BTreeSet<String> {
    let below = |path: &String| paths.iter().any(|above| above != path && within(path, above));
    paths.iter().filter(|path| !below(path)).cloned().collect()
}

fn trimmed(path: &str) -> &str {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() { "/" } else { trimmed }
}

/// Paths, and what they are where folders above them are links.
fn spellings<'p>(paths: impl Iterator<Item = &'p str>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in paths {
        let path = trimmed(path);
        for (link, place) in LINKS {
            if let Some(rest) = path.strip_prefix(link).filter(|rest| rest.is_empty() || rest.starts_with('/')) {
                found.insert(format!("{place}{rest}"));
            }
        }
        found.insert(path.to_owned());
    }
    found
}

/// A path as a pattern that stands for it and, if asked for, for all below it.
fn quoted(path: &str, below: bool) -> String {
    match (path, below) {
        ("/", true) => "\"/{,**}\"".to_owned(),
        ("/", false) => "\"/\"".to_owned(),
        (_, true) => format!("\"{}{{,/,/**}}\"", escaped(path)),
        (_, false) => format!("\"{}\"", escaped(path)),
    }
}

fn below(path: &str) -> String {
    format!("\"{}/**\"", escaped(path.trim_end_matches('/')))
}

/// Every byte that could mean something to apparmor_parser(8) by its number, in octal: quotation marks, escapes, patterns,
/// variables, comments. So nobody needs to know which do.
fn escaped(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' | b'+' | b':' => text.push(byte.into()),
            _ => {
                let _ = write!(text, "\\{byte:03o}");
            }
        }
    }
    text
}
