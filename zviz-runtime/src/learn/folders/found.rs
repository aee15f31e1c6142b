//! Each path that was used, to the list that it belongs to.

use super::general::{covered, general};
use super::{Lists, Surroundings, depth, is_folder, is_system, parent};
use crate::learn::needs::Uses;
use crate::learn::programs::chain;
use crate::learn::secrets::{in_folder, why_secret};
use crate::profile::files::{OWN, within};
use crate::sandbox::folders::SYSTEM;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// With its terminator, as profiles have it.
const LONGEST: usize = 4096;
/// Empty in every sandbox.
const TEMPORARY: &[&str] = &["/tmp", "/var/tmp"];
const RUN: &[&str] = &["/run", "/var/run", "/var/lock"];

/// What was found, before it is made general.
#[derive(Default)]
pub(super) struct Found {
    pub(super) lists: Lists,
    read: BTreeSet<String>,
    written: BTreeSet<String>,
    executed: BTreeSet<String>,
}

impl Found {
    /// All on the way to a path.
    pub(super) fn way(&mut self, path: &Path, uses: Uses, around: &Surroundings) {
        chain(path).iter().for_each(|path| self.place(path, uses, around));
    }

    pub(super) fn place(&mut self, path: &Path, uses: Uses, around: &Surroundings) {
        let Some(path) = path.to_str().filter(|path| !path.chars().any(char::is_control)) else {
            self.lists.left.insert(path.to_string_lossy().escape_debug().to_string(), "no text".into());
            return;
        };
        let cwd = around.cwd.as_deref().filter(|cwd| within(path, cwd));
        if is_in(path, OWN) || path == "/" {
            return;
        }
        let why = why_secret(path, around.home.as_deref(), around.agent.as_deref());
        if let Some(why) = why.filter(|_| !around.allowed.iter().any(|allowed| within(path, allowed))) {
            self.lists.left.insert(path.to_owned(), format!("{why}; --allow-secret grants it"));
            if cwd.is_some() && Path::new(path).exists() {
                self.lists.hidden.insert(path.to_owned());
            }
            return;
        }
        let runs = uses.executed || uses.read && is_library(path);
        if let Some(cwd) = cwd {
            let written = self.lists.workspace == Some(true) || uses.written || uses.made;
            self.lists.workspace = Some(written);
            if runs {
                self.executed.insert(cwd.to_owned());
            }
            return;
        }
        if path.contains('*') || path.len() >= LONGEST {
            self.lists.left.insert(path.to_owned(), "no list of a profile can have this name".into());
            return;
        }
        let shared = around.shares.iter().any(|share| within(path, share));
        let private = around.home.as_deref().filter(|home| within(path, home) && *home != "/");
        let private = private.or(TEMPORARY.iter().copied().find(|folder| within(path, folder))).filter(|_| !shared);
        if let Some(private) = private {
            // An ancestor is looked at by many, and used by few.
            if path != private || uses.read || uses.made {
                self.lists.tmpfs.insert(private.to_owned());
            }
            if runs {
                self.executed.insert(private.to_owned());
            }
            return;
        }
        if is_in(path, RUN) || is_in(path, TEMPORARY) {
            if shared {
                let why = "below a folder that every sandbox has of its own; --ro and --rw share it with run, too";
                self.lists.left.insert(path.to_owned(), why.into());
            }
            return;
        }
        let folder = is_folder(path);
        let looked = uses.seen && (!folder || is_system(path) && !within(path, "/etc") && depth(path) >= 3);
        if runs {
            self.executed.insert(path.to_owned());
        }
        if uses.read || runs || looked && Path::new(path).exists() {
            self.read.insert(path.to_owned());
        }
        if uses.made {
            self.written.insert(parent(path).to_owned());
        } else if uses.written {
            self.written.insert(path.to_owned());
        }
    }

    pub(super) fn general(self, around: &Surroundings) -> Lists {
        let Found { mut lists, read, written, executed } = self;
        let mut left = BTreeMap::new();
        lists.readonly = general(&read, around, &mut left);
        lists.writable = general(&written, around, &mut left);
        lists.executable = general(&executed, around, &mut left);
        // The folders that links of the root stand for: a path that leads through one needs it.
        let links = SYSTEM.iter().map(|name| format!("/{name}")).filter(|path| Path::new(path).is_symlink());
        lists.executable.retain(|path| depth(path) > 1 || !Path::new(path).is_symlink());
        lists.readonly.extend(links);
        // What is executed is read; the workspace, and what is in memory, are anyway.
        for path in &lists.executable {
            let there = around.cwd.as_deref() == Some(path.as_str()) || lists.tmpfs.contains(path);
            if !there && !covered(path, &lists.readonly) {
                lists.readonly.insert(path.clone());
            }
        }
        lists.readonly.retain(|path| !lists.writable.contains(path));
        let granted = lists.readonly.iter().chain(&lists.writable).map(String::as_str);
        let granted = granted.chain(around.cwd.as_deref().filter(|_| lists.workspace.is_some()));
        let allowed = |path: &String| !around.allowed.iter().any(|allowed| within(path, allowed));
        let hidden: Vec<String> =
            granted.flat_map(|folder| in_folder(folder, around.home.as_deref())).filter(allowed).collect();
        lists.hidden.extend(hidden);
        lists.left.extend(left);
        lists
    }
}

fn is_in(path: &str, folders: &[&str]) -> bool {
    folders.iter().any(|folder| within(path, folder))
}

/// A library, which is mapped to be executed.
fn is_library(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let version = name.split_once(".so.").is_some_and(|(_, version)| version.starts_with(|c: char| c.is_ascii_digit()));
    name.ends_with(".so") || version || name.ends_with(".node")
}
