//! From single paths to the folders that stand for them.

use super::{Surroundings, depth, is_folder, is_system, parent};
use crate::profile::files::within;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// So many of one folder stand for the folder.
const MANY: usize = 3;
/// Too much to be granted because of a few files in it.
const NEVER_WHOLE: &[&str] =
    &["/", "/boot", "/etc", "/home", "/media", "/mnt", "/opt", "/root", "/srv", "/usr", "/var", "/var/lib"];

pub(super) fn covered(path: &str, by: &BTreeSet<String>) -> bool {
    by.iter().any(|above| above != path && !Path::new(above).is_symlink() && within(path, above))
}

/// Whether a folder is too much to be granted.
fn never_whole(path: &str, around: &Surroundings) -> bool {
    NEVER_WHOLE.contains(&path) || around.home.as_deref().is_some_and(|home| within(home, path))
}

pub(super) fn general(
    found: &BTreeSet<String>,
    around: &Surroundings,
    left: &mut BTreeMap<String, String>,
) -> BTreeSet<String> {
    let mut general = BTreeSet::new();
    let mut others: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
    for path in found {
        let folder = if is_folder(path) { path.as_str() } else { parent(path) };
        let asked = around.shares.contains(path);
        if is_folder(path) && never_whole(path, around) && !asked {
            left.insert(path.clone(), "too much to be granted as a whole".into());
        } else if is_system(path) && !within(path, "/etc") && !never_whole(folder, around) {
            general.insert(folder.to_owned());
        } else if within(path, "/etc") && Path::new(path).is_symlink() && !never_whole(parent(path), around) {
            // As a link, and not as the file that it leads to: compilers look for their parts from there.
            general.insert(parent(path).to_owned());
        } else {
            others.entry(parent(path)).or_default().push(path);
        }
    }
    for (folder, paths) in others {
        if paths.len() >= MANY && !never_whole(folder, around) {
            general.insert(folder.to_owned());
        } else {
            general.extend(paths.into_iter().cloned());
        }
    }
    // The system's folders, level by level.
    loop {
        let mut around: BTreeMap<String, usize> = BTreeMap::new();
        for path in general.iter().filter(|path| is_system(path) && depth(path) > MANY && !within(path, "/etc")) {
            *around.entry(parent(path).to_owned()).or_default() += 1;
        }
        let many: Vec<String> = around.into_iter().filter(|(_, count)| *count >= MANY).map(|(path, _)| path).collect();
        if many.is_empty() {
            break;
        }
        general.retain(|path| !many.iter().any(|above| within(path, above)));
        general.extend(many);
    }
    let all = general.clone();
    general.retain(|path| !covered(path, &all));
    general
}
