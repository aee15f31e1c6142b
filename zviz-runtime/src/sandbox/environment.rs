//! The environment inside: a short list, so that no secret of the caller's environment goes along by accident.

use super::paths;
use super::{Sandbox, Variable};
use crate::plan::Problems;
use std::collections::BTreeMap;

/// Where the value of a variable comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The caller's value, if it has one.
    Caller,
    /// The caller's value, or this one.
    CallerOr(&'static str),
    /// The caller's folders that the sandbox sees, then the standard ones.
    SearchPath,
    /// The home folder inside.
    Home,
}

/// Every variable that a command finds without being asked for; `docs/run.md` prints this list. A name that ends in
/// `*` stands for all that begin so.
pub const DEFAULTS: &[(&str, Origin)] = &[
    ("PATH", Origin::SearchPath),
    ("HOME", Origin::Home),
    ("USER", Origin::Caller),
    ("LOGNAME", Origin::Caller),
    ("SHELL", Origin::CallerOr("/bin/sh")),
    ("TERM", Origin::CallerOr("dumb")),
    ("LANG", Origin::Caller),
    ("LANGUAGE", Origin::Caller),
    ("LC_*", Origin::Caller),
    ("TZ", Origin::Caller),
];

/// The folders that PATH always holds.
pub const STANDARD_PATH: &[&str] = &["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// `KEY=value` lines, complete and sorted. `visible` says which folders of the host are seen inside at the same path.
pub(super) fn lower(
    sandbox: &Sandbox,
    caller: &BTreeMap<String, String>,
    home: &str,
    visible: impl Fn(&str) -> bool,
    problems: &mut Problems,
) -> Vec<String> {
    let mut inside: BTreeMap<&str, String> = BTreeMap::new();
    for (name, origin) in DEFAULTS {
        match origin {
            Origin::Caller => match name.strip_suffix('*') {
                Some(prefix) => {
                    let family = caller.iter().filter(|(name, _)| name.starts_with(prefix));
                    inside.extend(family.map(|(name, value)| (name.as_str(), value.clone())));
                }
                None => inside.extend(caller.get(*name).map(|value| (*name, value.clone()))),
            },
            Origin::CallerOr(or) => {
                inside.insert(name, caller.get(*name).map_or(*or, String::as_str).to_owned());
            }
            Origin::SearchPath => {
                inside.insert(name, search_path(caller.get("PATH").map_or("", String::as_str), &visible));
            }
            Origin::Home => {
                inside.insert(name, home.to_owned());
            }
        }
    }
    for variable in &sandbox.environment {
        let (name, value) = match variable {
            Variable::Set(name, value) => (name, Some(value)),
            Variable::Copy(name) => (name, caller.get(name)),
        };
        let place = || format!("--env {name}");
        if name.is_empty() || name.contains(['=', '\0']) {
            problems.add(place(), "is no name of a variable");
            continue;
        }
        match value {
            Some(value) if value.contains('\0') => problems.add(place(), "the value holds a NUL"),
            Some(value) => {
                inside.insert(name, value.clone());
            }
            None => problems.add(place(), "is not set here, or not in UTF-8"),
        }
    }
    inside.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

fn search_path(caller: &str, visible: &impl Fn(&str) -> bool) -> String {
    let mut folders: Vec<&str> = Vec::new();
    let own = caller.split(':').filter(|folder| paths::is_plain(folder) && visible(folder));
    for folder in own.chain(STANDARD_PATH.iter().copied()) {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(sandbox: &Sandbox, caller: &[(&str, &str)]) -> Result<Vec<String>, Problems> {
        let caller = caller.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let mut problems = Problems::default();
        let visible = |folder: &str| paths::within(folder, "/usr");
        let lines = lower(sandbox, &caller, "/home/u", visible, &mut problems);
        problems.or(lines)
    }

    #[test]
    fn secrets_stay_outside() {
        let caller = [("AWS_SECRET_ACCESS_KEY", "x"), ("LC_TIME", "C"), ("LD_PRELOAD", "/x"), ("TERM", "xterm")];
        let lines = environment(&Sandbox::new(["true"]), &caller).unwrap();
        let standard = STANDARD_PATH.join(":");
        let want = ["HOME=/home/u", "LC_TIME=C", &format!("PATH={standard}"), "SHELL=/bin/sh", "TERM=xterm"];
        assert_eq!(lines, want);
    }

    #[test]
    fn path_keeps_the_folders_that_are_seen() {
        let caller = [("PATH", "/home/u/bin:/usr/games:.::/usr/../home:/bin")];
        let lines = environment(&Sandbox::new(["true"]), &caller).unwrap();
        let path = lines.iter().find(|line| line.starts_with("PATH=")).unwrap();
        assert_eq!(path, &format!("PATH=/usr/games:{}", STANDARD_PATH.join(":")));
    }

    #[test]
    fn variables_are_set_and_copied() {
        let mut sandbox = Sandbox::new(["true"]);
        sandbox.env("A", "1").env_copy("B").env("HOME", "/elsewhere");
        let lines = environment(&sandbox, &[("B", "2")]).unwrap();
        assert!(lines.contains(&"A=1".to_string()) && lines.contains(&"B=2".to_string()));
        assert!(lines.contains(&"HOME=/elsewhere".to_string()));
    }

    #[test]
    fn bad_variables_are_named() {
        let mut sandbox = Sandbox::new(["true"]);
        sandbox.env_copy("ABSENT").env("A=B", "1").env("", "1").env("N", "a\0b");
        let problems = environment(&sandbox, &[]).unwrap_err().to_string();
        assert_eq!(
            problems,
            "--env ABSENT: is not set here, or not in UTF-8; --env A=B: is no name of a variable; \
             --env : is no name of a variable; --env N: the value holds a NUL"
        );
    }

    #[test]
    fn the_manual_lists_the_same() {
        let manual = include_str!("../../../docs/run.md");
        for (name, _) in DEFAULTS {
            assert!(manual.contains(&format!("| `{name}` |")), "docs/run.md lacks {name}");
        }
        let rows = manual.lines().skip_while(|line| !line.starts_with("| Variable")).skip(2);
        let rows = rows.take_while(|line| line.starts_with('|')).count();
        assert_eq!(rows, DEFAULTS.len(), "docs/run.md lists a variable that is not there");
    }
}
