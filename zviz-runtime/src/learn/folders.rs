//! From paths to the lists of a profile.
//!
//! What is granted is what was used, made general by these rules, each path by the first that holds:
//!
//! - a secret, or the socket of an agent: not granted, and hidden where a folder around it is granted;
//! - of the kernel's (/dev, /proc, /sys), or of /run: there anyway, or not there anyway;
//! - the folder that the program is started in, all of it: read, or written if anything in it was;
//! - the home folder, /tmp, /var/tmp: an empty one in memory;
//! - of the system's (/usr, /opt ...), but not of /etc: the folder that it is in, and the one around if that has three such;
//! - a link in a folder of /etc's, such as /etc/alternatives: that folder;
//! - the rest: itself, or the folder that it is in if three or more of that were used, but never /, /etc, /home or the like.

mod found;
mod general;

use super::needs::{Needs, Uses};
use super::programs::{chain, interpreter};
use crate::profile::files::within;
use crate::sandbox::folders::SYSTEM;
use found::Found;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Where a program was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The folder that it was started in, where that is shared.
    pub cwd: Option<String>,
    /// The caller's home folder.
    pub home: Option<String>,
    /// What else of the host was shared, at the same path.
    pub shares: Vec<String>,
    /// What SSH_AUTH_SOCK says.
    pub agent: Option<String>,
    /// Secrets that may be granted.
    pub allowed: Vec<String>,
    /// The program.
    pub program: Option<PathBuf>,
}

/// The lists of a profile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lists {
    /// Whether the folder that the program was started in is used; whether it is written.
    pub workspace: Option<bool>,
    /// `filesystem.readonly`.
    pub readonly: BTreeSet<String>,
    /// `filesystem.writable`.
    pub writable: BTreeSet<String>,
    /// `filesystem.tmpfs`.
    pub tmpfs: BTreeSet<String>,
    /// `filesystem.executable`.
    pub executable: BTreeSet<String>,
    /// `filesystem.hidden`.
    pub hidden: BTreeSet<String>,
    /// What was used and is not granted, with the reason.
    pub left: BTreeMap<String, String>,
}

impl Lists {
    /// Those that `needs` comes to. Looks at files of the host.
    #[must_use]
    pub fn of(needs: &Needs, around: &Surroundings) -> Lists {
        let mut found = Found::default();
        if needs.stands && around.cwd.is_some() {
            found.lists.workspace = Some(false);
        }
        let executed = Uses { executed: true, ..Uses::default() };
        let mut programs: BTreeSet<PathBuf> = around.program.iter().cloned().collect();
        for (path, uses) in &needs.paths {
            found.place(path, *uses, around);
            if uses.executed {
                programs.insert(path.clone());
            }
        }
        for program in &programs {
            found.way(program, executed, around);
            let mut next = interpreter(program);
            // A script's interpreter has one too.
            for _ in 0..4 {
                let Some(path) = next.filter(|path| plausible(path, needs)) else { break };
                found.way(&path, executed, around);
                next = interpreter(&path);
            }
        }
        for (text, uses) in &needs.texts {
            // What it leads to is known; where it cannot be followed here, it was made meanwhile.
            let chain = chain(text);
            // A link that was made of it meanwhile leads to what was not used.
            if chain.last().is_none_or(|last| !needs.paths.contains_key(last)) {
                continue;
            }
            for link in chain.iter().rev().skip(1) {
                found.place(link, Uses { executed: uses.executed, ..Uses { read: true, ..Uses::default() } }, around);
            }
        }
        for socket in &needs.unix {
            found.place(socket, Uses { read: true, written: true, ..Uses::default() }, around);
        }
        found.general(around)
    }

    /// How many paths are granted, to be read or written.
    #[must_use]
    pub fn granted(&self) -> usize {
        self.readonly.len() + self.writable.len() + self.tmpfs.len()
    }
}

/// Whether this can have been an interpreter: the program may have been written anew since it was executed, and say what it likes. One
/// that leads to a program is seen as that; a linker is seen by nobody, and is the system's.
fn plausible(path: &Path, needs: &Needs) -> bool {
    let leads_to = chain(path).pop();
    let was = |path: &PathBuf| needs.paths.get(path).is_some_and(|uses| uses.executed);
    let of_system = |path: &PathBuf| path.to_str().is_some_and(|path| is_system(path) && !within(path, "/etc"));
    leads_to.is_some_and(|path| was(&path) || of_system(&path))
}

/// Whether it is of the system's, whose folders are shared in every sandbox.
pub(super) fn is_system(path: &str) -> bool {
    SYSTEM.iter().any(|name| within(path, &format!("/{name}")))
}

fn is_folder(path: &str) -> bool {
    Path::new(path).is_dir()
}

fn depth(path: &str) -> usize {
    path.split('/').filter(|part| !part.is_empty()).count()
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("/", |(folder, _)| if folder.is_empty() { "/" } else { folder })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists(paths: &[(&str, Uses)], around: &Surroundings) -> Lists {
        let mut needs = Needs::default();
        needs.paths.extend(paths.iter().map(|(path, uses)| (PathBuf::from(path), *uses)));
        Lists::of(&needs, around)
    }

    const READ: Uses = Uses { read: true, written: false, made: false, executed: false, seen: false };
    const MADE: Uses = Uses { read: false, written: true, made: true, executed: false, seen: false };

    #[test]
    fn files_become_folders_but_never_large_ones() {
        // Not below /tmp, which every sandbox has of its own.
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let dir = dir.path().canonicalize().unwrap().to_str().unwrap().to_owned();
        let around =
            Surroundings { shares: vec![dir.clone()], home: Some("/home/u".into()), ..Surroundings::default() };
        for name in ["a", "b", "c"] {
            std::fs::write(format!("{dir}/{name}"), "").unwrap();
        }
        let at = |name: &str| format!("{dir}/{name}");
        let (a, b, c) = (at("a"), at("b"), at("c"));
        let two = lists(&[(&a, READ), (&b, READ)], &around);
        assert!(two.readonly.contains(&a) && two.readonly.contains(&b) && !two.readonly.contains(&dir));
        let three = lists(&[(&a, READ), (&b, READ), (&c, READ)], &around);
        assert!(three.readonly.contains(&dir) && !three.readonly.contains(&a));
        let made = lists(&[(&a, MADE)], &around);
        assert_eq!(made.writable, BTreeSet::from([dir.clone()]));
        let etc = lists(&[("/etc/a", READ), ("/etc/b", READ), ("/etc/c", READ), ("/etc", READ), ("/", READ)], &around);
        assert!(etc.readonly.contains("/etc/b") && !etc.readonly.contains("/etc") && !etc.readonly.contains("/"));
        assert!(etc.left.contains_key("/etc"));
    }

    #[test]
    fn what_is_private_is_in_memory_and_the_workspace_is_whole() {
        let around =
            Surroundings { cwd: Some("/tmp/work".into()), home: Some("/home/u".into()), ..Surroundings::default() };
        let found = lists(&[("/tmp/x/y", MADE), ("/home/u/.cache/z", MADE), ("/tmp/work/src/a", READ)], &around);
        assert_eq!(found.tmpfs, BTreeSet::from(["/home/u".to_owned(), "/tmp".to_owned()]));
        assert_eq!((found.workspace, found.writable.len()), (Some(false), 0));
        let written = lists(&[("/tmp/work/a", MADE), ("/tmp/work/run.so", READ)], &around);
        assert_eq!(written.workspace, Some(true));
        assert_eq!(written.executable, BTreeSet::from(["/tmp/work".to_owned()]));
    }

    #[test]
    fn secrets_are_left_out_unless_they_are_asked_for() {
        let mut around =
            Surroundings { home: Some("/home/u".into()), shares: vec!["/home/u".into()], ..Surroundings::default() };
        let paths = [("/home/u/.ssh/id_x", READ), ("/home/u/.gitconfig", READ)];
        let found = lists(&paths, &around);
        assert!(found.readonly.contains("/home/u/.gitconfig") && !found.readonly.contains("/home/u/.ssh/id_x"));
        assert!(found.left["/home/u/.ssh/id_x"].contains("--allow-secret"));
        around.allowed.push("/home/u/.ssh".into());
        assert!(lists(&paths, &around).readonly.contains("/home/u/.ssh/id_x"));
    }

    #[test]
    fn names_that_no_profile_can_have_are_left_out() {
        let long = format!("/srv/{}", "a/".repeat(2048));
        let found = lists(
            &[("/srv/a*", READ), ("/srv/**/b", MADE), (&long, READ), ("/srv/c?[d]", READ)],
            &Surroundings::default(),
        );
        assert_eq!(found.left.len(), 3, "{:?}", found.left);
        assert!(!found.readonly.iter().chain(&found.writable).any(|path| path.contains('*')), "{found:?}");
        assert!(found.readonly.contains("/srv/c?[d]"));
    }

    #[test]
    fn what_a_program_says_of_itself_afterwards_is_not_believed() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let dir = dir.path().canonicalize().unwrap().to_str().unwrap().to_owned();
        let at = |name: &str| format!("{dir}/{name}");
        for (name, text) in [("private", "text"), ("program", &*format!("#!{}\n", at("private"))), ("file", "")] {
            std::fs::write(at(name), text).unwrap();
        }
        std::os::unix::fs::symlink(at("private"), at("latest")).unwrap();
        std::os::unix::fs::symlink(at("latest"), at("opened")).unwrap();
        let around = Surroundings { shares: vec![dir.clone()], ..Surroundings::default() };
        let executed = Uses { executed: true, ..Uses::default() };
        let mut needs = Needs::default();
        needs.paths.extend([(at("program"), executed), (at("opened"), READ)].map(|(path, uses)| (path.into(), uses)));
        needs.texts.insert(at("opened").into(), READ);
        let granted = |needs: &Needs, name: &str| Lists::of(needs, &around).readonly.contains(&at(name));
        assert!(granted(&needs, "program") && !granted(&needs, "private") && !granted(&needs, "latest"));
        // The control: it was.
        needs.paths.insert(at("private").into(), Uses { read: true, ..executed });
        let found = Lists::of(&needs, &around).readonly;
        assert!(found.contains(&at("private")) && found.contains(&at("latest")) || found.contains(&dir), "{found:?}");
    }
}
