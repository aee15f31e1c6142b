//! A staged workspace: the current folder is read, and what is written to it goes elsewhere.

use super::folders::{CURRENT, Entry, What};
use super::lower::Lowered;
use super::paths;
use crate::plan::mounts::{IdmapSource, attr};
use crate::plan::{Attributes, Bind, Mount, MountKind, Problems};

/// Only the folder that is shared because the caller stands in it is staged: without one, `--stage` would promise what it
/// does not do.
pub(super) fn check(workspace: Option<&Entry>, asked: &[Entry], problems: &mut Problems) {
    let Some(workspace) = workspace else {
        return problems.add("--stage", "the current folder is not shared, so there is nothing to stage");
    };
    if let Some(other) = asked.iter().find(|entry| entry.inside == workspace.inside) {
        return problems.add("--stage", format!("{} shares the current folder itself", other.origin));
    }
    if matches!(workspace.what, What::Bind { writable: false, .. }) {
        problems.add("--stage", "the profile shares the current folder read-only, so there is nothing to stage");
    }
}

/// Lays the overlay over the current folder, whose bind becomes its lower layer.
pub(super) fn overlay(mounts: &mut Vec<Mount>, layers: &str, translated: bool) {
    let Some(at) = mounts.iter().position(|mount| mount.origin == CURRENT) else { return };
    let Some(lower) = mounts.get_mut(at) else { return };
    let idmap = translated.then_some(IdmapSource::Container { recursive: true, best_effort: false });
    if let MountKind::Bind(bind) = &mut lower.kind {
        bind.idmap.clone_from(&idmap);
    }
    let bind = Bind { source: layers.to_owned(), recursive: false, nofollow: true, idmap };
    let attributes = Attributes { set: attr::NOSUID | attr::NODEV, clear: 0 };
    let layers = Mount {
        origin: "--stage".to_owned(),
        kind: MountKind::Bind(bind),
        attributes,
        recursive: Attributes::default(),
        ..lower.clone()
    };
    let overlay = Mount { kind: MountKind::Overlay, ..layers.clone() };
    mounts.splice(at + 1..=at, [layers, overlay]);
}

impl Lowered {
    /// What is mounted in a staged folder needs a place there. One that is made for it would be a change of the stage that
    /// nobody asked for.
    ///
    /// # Errors
    /// The flags that name places which are not there.
    pub(super) fn places_exist(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        let staged = self.entries.iter().find(|entry| entry.origin == CURRENT);
        for entry in &self.entries {
            let below = |staged: &Entry| entry.inside != staged.inside && paths::within(&entry.inside, &staged.inside);
            if staged.is_some_and(below) && !std::path::Path::new(&entry.inside).exists() {
                problems.add(&entry.origin, format!("{} is not there, and --stage makes no places", entry.inside));
            }
        }
        problems.or(())
    }
}
