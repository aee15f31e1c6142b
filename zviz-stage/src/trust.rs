//! Files that hand trust onward: some program obeys them without being asked to run anything of the folder, with the rights
//! of who opens, enters, installs or pushes it. A stage that changes one is applied only when its owner says so.
//!
//! What only acts when the project itself is run is left out, a Makefile or a test as much as any source file: whoever runs
//! a project that a stage has changed runs the stage's code, and no list would alter that.

mod table;

use crate::escape;
use table::GIT_DATA;
pub use table::TABLE;

/// The reason why a path hands trust onward, if it does.
pub fn hands_on(path: &[u8]) -> Option<&'static str> {
    let folded = folded(path);
    let names: Vec<&[u8]> = folded.split(|b| *b == b'/').collect();
    if let Some(at) = names.iter().position(|name| *name == b".git") {
        return git(names.get(at + 1..).unwrap_or_default());
    }
    let matches = |pattern: &&str| within(&names, &pattern.to_ascii_lowercase());
    TABLE.iter().find_map(|(patterns, why)| patterns.iter().any(&matches).then_some(*why))
}

/// The same of a path below a folder that git takes for a repository, whatever it is called.
pub fn in_repository(path: &[u8]) -> Option<&'static str> {
    let folded = folded(path);
    git(&folded.split(|b| *b == b'/').collect::<Vec<_>>())
}

/// A path as a folder has it that does not tell upper case from lower: there `\u{17f}` is an s, `\u{212a}` a k, `\u{df}` two s, and
/// characters that nobody sees are none (Unicode 5.18, fs/unicode of the kernel, CVE-2014-9390).
fn folded(path: &[u8]) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(path) else { return path.to_ascii_lowercase() };
    if text.is_ascii() {
        return path.to_ascii_lowercase();
    }
    let seen = text.chars().filter(|c| !escape::is_unseen(*c));
    seen.flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect::<String>().into_bytes()
}

fn git(inside: &[&[u8]]) -> Option<&'static str> {
    match inside {
        [] => Some(".git itself says where git finds the repository, its hooks and configuration"),
        [b"objects", b"info", ..] => Some("says where git finds more objects"),
        [first, ..] if GIT_DATA.iter().any(|name| name.as_bytes() == *first) => None,
        [b"hooks", ..] => Some("is run by git"),
        _ => Some("is configuration of git, which names programs that it runs"),
    }
}

fn within(names: &[&[u8]], pattern: &str) -> bool {
    let (pattern, below) = match pattern.strip_suffix('/') {
        Some(pattern) => (pattern, true),
        None => (pattern, false),
    };
    let wanted: Vec<&str> = pattern.split('/').collect();
    let fits = |part: &[&[u8]]| part.iter().zip(&wanted).all(|(name, wanted)| wild(name, wanted.as_bytes()));
    match below {
        true => names.windows(wanted.len()).any(fits),
        false => names.len().checked_sub(wanted.len()).and_then(|at| names.get(at..)).is_some_and(fits),
    }
}

/// One name against a pattern with `*`.
fn wild(name: &[u8], pattern: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|at| name.get(at..).is_some_and(|tail| wild(tail, rest))),
        Some((first, rest)) => name.split_first().is_some_and(|(c, tail)| c == first && wild(tail, rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hands_trust_on() {
        for path in [
            ".git",
            ".git/config",
            ".git/hooks/pre-commit",
            "sub/.git/hooks/x",
            ".git/info/attributes",
            ".git/objects/info/alternates",
            ".GIT/Config",
            ".git/modules/a/config",
            ".gitmodules",
            "a/b/.gitattributes",
            ".github/workflows/ci.yml",
            ".gitlab-ci.yml",
            "Jenkinsfile",
            ".bashrc",
            ".envrc",
            ".vscode/tasks.json",
            ".vscode",
            "x.code-workspace",
            "package.json",
            "sub/package.json",
            "setup.py",
            "build.rs",
            ".cargo/config.toml",
            "AGENTS.md",
            "deep/HEAD",
            ".idea/x/y.xml",
            ".v\u{17f}code/tasks.json",
            ".\u{df}h/config",
            ".hus\u{212a}y/pre-commit",
            ".g\u{200d}it/hooks/x",
            ".jj/repo/config.toml",
            "a/.eslintrc.js",
            ".config/fish/config.fish",
        ] {
            assert!(hands_on(path.as_bytes()).is_some(), "{path}");
        }
        for path in [
            "src/main.rs",
            "Makefile",
            ".git/objects/ab/cd",
            ".git/refs/heads/main",
            ".git/index",
            ".git/HEAD",
            "README.md",
            "vscode/x",
            "bashrc",
            "build.rs.txt",
            "notes.package.json.md",
            "HEADER",
        ] {
            assert_eq!(hands_on(path.as_bytes()), None, "{path}");
        }
    }
}
