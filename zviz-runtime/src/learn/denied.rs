//! What a profile kept from a program.

use super::calls::calls;
use super::folders::{Lists, Surroundings, is_system};
use super::needs::{Needs, Uses};
use super::text::scalar;
use crate::profile::Profile;
use crate::profile::files::{OWN, Workspace, within};
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

/// What the layers answer where they refuse.
const REFUSALS: [i32; 4] = [libc::EACCES, libc::EPERM, libc::ENOSYS, libc::EROFS];

/// A part of a profile, and what is to be added to its lists.
type Section<'t> = (&'t str, Vec<(&'t str, Vec<String>)>);

/// A call that failed, and did not where the profile was learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    call: String,
    path: Option<PathBuf>,
    errno: i32,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.call)?;
        if let Some(path) = &self.path {
            write!(f, " {}", path.display().to_string().escape_debug())?;
        }
        write!(f, ": {}", nix::errno::Errno::from_raw(self.errno).desc())
    }
}

impl Denied {
    /// What failed in `after` alone, the second of two runs: refusals, and what was there the first time.
    #[must_use]
    pub fn between(before: &Needs, after: &Needs, around: &Surroundings) -> Vec<Denied> {
        let changes = |path: &Path| {
            // What a run makes and removes is another thing the next time.
            let own = around.cwd.iter().chain(&around.home).map(String::as_str).chain(OWN.iter().copied());
            let mut own = own.chain(["/tmp", "/var/tmp", "/run"]);
            path.to_str().is_none_or(|path| own.any(|own| within(path, own)))
        };
        let was_there = |path: &Path| {
            let uses = before.paths.get(path).or(before.texts.get(path));
            let looked = |uses: &Uses| *uses == Uses { seen: true, ..Uses::default() } && path.is_dir();
            uses.is_some_and(|uses| !looked(uses)) && !changes(path)
        };
        let denied =
            after.failed.iter().filter(|failed| !before.failed.contains(*failed)).filter(|(_, path, errno)| {
                let gone = *errno == libc::ENOENT && path.as_deref().is_some_and(was_there);
                REFUSALS.contains(errno) || gone
            });
        denied.map(|(call, path, errno)| Denied { call: call.clone(), path: path.clone(), errno: *errno }).collect()
    }
}

/// What a run under a profile was refused, as what to add to it: the lines of a unified difference. None if that is nothing.
#[must_use]
pub fn added(profile: &Profile, needs: &Needs, around: &Surroundings, file: &str) -> Option<String> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    let refused: BTreeSet<&String> = needs
        .failed
        .iter()
        .filter(|(call, _, errno)| matches!(*errno, libc::EPERM | libc::ENOSYS) && !profile.calls.allow.contains(call))
        .map(|(call, ..)| call)
        .collect();
    let learnable = calls(needs);
    let refused = refused.into_iter().filter(|call| profile.calls.listed_only && learnable.contains(call.as_str()));
    let refused: Vec<String> = refused.cloned().collect();
    sections.push(("syscalls", vec![("allow", refused)]));
    let lists = unlisted(profile, needs, around);
    let words = |list: &BTreeSet<String>| list.iter().map(|path| scalar(path)).collect::<Vec<_>>();
    let mut files = vec![("readonly", words(&lists.readonly)), ("writable", words(&lists.writable))];
    files.extend([("tmpfs", words(&lists.tmpfs)), ("executable", words(&lists.executable))]);
    sections.push(("filesystem", files));
    let sockets = &profile.calls.sockets;
    let kinds = needs.sockets_refused.iter().filter(|_| sockets.is_some()).map(|kind| (*kind).to_owned()).collect();
    sections.push(("network.sockets", vec![("allow", kinds)]));
    let ports = |refused: &BTreeSet<u16>, given: bool| refused.iter().filter(|_| given).map(u16::to_string).collect();
    let bind = ports(&needs.binds_refused, profile.ports.bind.is_some());
    let connect = ports(&needs.connects_refused, profile.ports.connect.is_some());
    sections.push(("network.ports", vec![("allow_bind", bind), ("allow_connect", connect)]));
    let workspace = workspace(profile, &lists);
    lines(&sections, workspace, &lists, file)
}

/// What becomes of the folder that it is started in, if it was used in another way than it may be.
fn workspace(profile: &Profile, lists: &Lists) -> Option<&'static str> {
    let now = profile.files.workspace;
    match lists.workspace {
        Some(true) if matches!(now, Some(Workspace::Readonly | Workspace::None)) => Some("writable"),
        Some(false) if now == Some(Workspace::None) => Some("readonly"),
        _ => None,
    }
}

/// What was refused because no list has it.
fn unlisted(profile: &Profile, needs: &Needs, around: &Surroundings) -> Lists {
    let files = &profile.files;
    let mut missing = Needs::default();
    for (path, uses) in &needs.refused {
        let Some(text) = path.to_str() else { continue };
        let cwd = around.cwd.as_deref().is_some_and(|cwd| within(text, cwd));
        let shared = around.shares.iter().any(|share| within(text, share));
        // Elsewhere it would not have been there where profiles are learned either.
        let there = cwd || shared || is_system(text) || ["/tmp", "/var/tmp"].iter().any(|own| within(text, own));
        let exists = path.exists() || uses.made;
        if !there || !exists || OWN.iter().any(|own| within(text, own)) {
            continue;
        }
        let may = |writes: bool| match files.workspace {
            _ if !cwd => {
                if writes {
                    files.writes(text)
                } else {
                    files.reads(text)
                }
            }
            Some(Workspace::None) => false,
            Some(Workspace::Readonly) => !writes,
            _ => true,
        };
        let folder = path.is_dir();
        let new = Uses {
            read: (uses.read || uses.seen && !folder) && !may(false),
            written: uses.written && !may(true),
            made: uses.made && !may(true),
            executed: uses.executed && !files.executes(text),
            seen: false,
        };
        if new != Uses::default() {
            missing.paths.insert(path.clone(), new);
        }
    }
    let mut lists = Lists::of(&missing, &Surroundings { program: None, ..around.clone() });
    // Links of the root come along always.
    for list in [&mut lists.readonly, &mut lists.writable, &mut lists.tmpfs] {
        list.retain(|path| !files.used().any(|known| known == path) && !Path::new(path).is_symlink());
    }
    lists.executable.retain(|path| !files.executes(path));
    lists
}

fn lines(sections: &[Section<'_>], workspace: Option<&str>, lists: &Lists, file: &str) -> Option<String> {
    let mut text = String::new();
    for (section, keys) in sections {
        let changed = *section == "filesystem" && workspace.is_some();
        if keys.iter().all(|(_, items)| items.is_empty()) && !changed {
            continue;
        }
        let path: Vec<&str> = section.split('.').collect();
        for (level, name) in path.iter().enumerate() {
            text += &format!(" {:indent$}{name}:\n", "", indent = level * 2);
        }
        let indent = path.len() * 2;
        if let Some(word) = workspace.filter(|_| changed) {
            text += &format!("+{:indent$}workspace: {word}\n", "");
        }
        for (key, items) in keys.iter().filter(|(_, items)| !items.is_empty()) {
            text += &format!(" {:indent$}{key}:\n", "");
            items.iter().for_each(|item| text += &format!("+{:indent$}  - {item}\n", ""));
        }
    }
    if text.is_empty() {
        return None;
    }
    let mut all = format!("--- {file}\n+++ {file}, with what was refused\n{text}");
    for (path, why) in &lists.left {
        all += &format!("# not {}: {why}\n", path.escape_debug());
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::files::Files;

    #[test]
    fn what_is_refused_the_second_time_alone_is_denied() {
        let (mut before, mut after) = (Needs::default(), Needs::default());
        before.paths.insert("/etc/passwd".into(), Uses { read: true, ..Uses::default() });
        let failed = |path: &str, errno| ("openat".to_owned(), Some(PathBuf::from(path)), errno);
        before.failed.insert(failed("/root", libc::EACCES));
        after.failed.extend([
            failed("/root", libc::EACCES),
            failed("/etc/passwd", libc::ENOENT),
            failed("/etc/nothing", libc::ENOENT),
            failed("/usr/x", libc::EACCES),
        ]);
        let denied = Denied::between(&before, &after, &Surroundings::default());
        let lines: Vec<String> = denied.iter().map(Denied::to_string).collect();
        assert_eq!(lines, ["openat /etc/passwd: No such file or directory", "openat /usr/x: Permission denied"]);
    }

    #[test]
    fn what_is_to_be_added_is_said_as_yaml() {
        let mut profile = Profile {
            files: Files { listed_only: true, writable: Some(Vec::new()), ..Files::default() },
            ..Profile::default()
        };
        profile.calls.listed_only = true;
        profile.calls.sockets = Some(Vec::new());
        let mut needs = Needs::default();
        let around = Surroundings::default();
        assert_eq!(added(&profile, &needs, &around, "a.yaml"), None);
        needs.calls.insert("socket".to_owned());
        needs.failed.insert(("socket".to_owned(), None, libc::EPERM));
        needs.sockets_refused.insert("tcp");
        needs.refused.insert("/etc/passwd".into(), Uses { read: true, ..Uses::default() });
        let text = added(&profile, &needs, &around, "a.yaml").unwrap();
        assert_eq!(
            text,
            "--- a.yaml\n+++ a.yaml, with what was refused\n syscalls:\n   allow:\n+    - socket\n filesystem:\n   readonly:\n\
             +    - /etc/passwd\n network:\n   sockets:\n     allow:\n+      - tcp\n"
        );
    }
}
