//! What a profile makes of a sandbox: limits, the network, and the folders that it names.

use super::facts::Facts;
use super::folders::{self, Entry, What};
use super::shares::{self, Share};
use super::{Network, Sandbox, Tmpfs, paths};
use crate::plan::{Note, Problems};
use crate::profile::{self, Profile};
use std::time::Duration;

/// What every sandbox has of its own, whatever the host has under that name.
const PRIVATE: &[&str] = &["/dev", "/proc", "/run", "/sys", "/tmp", "/var/tmp"];

impl Sandbox {
    /// The sandbox with what its profile says of limits, folders in memory and the network.
    #[must_use]
    pub(crate) fn under_profile(&self) -> Sandbox {
        let (mut sandbox, limits) = (self.clone(), &self.profile.limits);
        let lower = |own: Option<u64>, limit: Option<u64>| own.into_iter().chain(limit).min();
        sandbox.memory = lower(self.memory, limits.memory.filter(|_| !limits.optional));
        sandbox.pids = lower(self.pids, limits.pids.filter(|_| !limits.optional));
        let cpus = limits.cpu.and_then(|(quota, period)| quota.saturating_mul(1000).checked_div(period));
        sandbox.cpus = lower(self.cpus, cpus.filter(|_| !limits.optional));
        let wall = limits.wall_time.map(Duration::from_millis);
        sandbox.timeout = self.timeout.into_iter().chain(wall).min();
        if let Some(network) = self.profile.network.filter(|_| !self.network_given && self.network == Network::None) {
            sandbox.network = match network {
                profile::Network::None => Network::None,
                profile::Network::Host => Network::Host,
                profile::Network::Bridge => Network::Bridge,
                profile::Network::Pasta => Network::Pasta,
                profile::Network::Private => Network::Private,
            };
        }
        for path in self.profile.files.tmpfs.iter().filter(|path| !is_private(path)) {
            if !sandbox.tmpfs.iter().any(|own| own.inside == *path) {
                sandbox.tmpfs.push(Tmpfs { inside: path.clone(), size: limits.tmpfs });
            }
        }
        sandbox
    }

    /// What of the host the profile names.
    pub(super) fn named(&self) -> impl Iterator<Item = &String> {
        let files = &self.profile.files;
        let named = files.readonly.iter().chain(files.writable.iter().flatten());
        named.filter(|path| path.as_str() != "/" && !is_private(path) && !files.tmpfs.contains(path))
    }
}

fn is_private(path: &str) -> bool {
    PRIVATE.iter().any(|own| paths::within(path, own))
}

/// Whether a path of the root is a part of the system's folders.
fn is_system(path: &str) -> bool {
    folders::SYSTEM.iter().any(|name| paths::within(path, &format!("/{name}")))
}

/// Whether the system's folder `/name` is there as a whole.
pub(super) fn has_system(profile: &Profile, name: &str) -> bool {
    let files = &profile.files;
    !files.listed_only || files.used().any(|path| path.strip_prefix('/') == Some(name))
}

/// The folders of the host that the profile brings in, but for those that are there already.
pub(super) fn entries(
    sandbox: &Sandbox,
    facts: &Facts,
    taken: &[Entry],
    notes: &mut Vec<Note>,
    problems: &mut Problems,
) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    if facts.rootfs.is_some() {
        // The paths are the image's.
        return entries;
    }
    let origin = format!("profile {}", sandbox.profile.name);
    let files = &sandbox.profile.files;
    for path in sandbox.named() {
        let there = |entry: &Entry| entry.inside == *path;
        let is_home = facts.home.as_ref().is_some_and(|home| home.path == *path);
        let whole = path.split('/').nth(1).is_some_and(|name| has_system(&sandbox.profile, name));
        if is_system(path) && files.writable.iter().flatten().any(|other| other == path) {
            let what = "is one of the system's folders, or in one, which are read-only in a sandbox: it is not written";
            notes.push(Note(format!("{origin}: filesystem.writable: {path} {what}")));
        }
        let covered = is_system(path) && (!files.listed_only || whole);
        if is_home || covered || taken.iter().chain(&entries).any(there) {
            continue;
        }
        if !matches!(facts.sources.get(path), Some(Ok(_))) {
            notes.push(Note(format!("{origin}: {path} is not there, and not shared")));
            continue;
        }
        let writable = files.writable.iter().flatten().any(|other| other == path);
        let share = Share { host: path.clone(), inside: None, writable: writable && !is_system(path) };
        let Some(mut entry) = shares::entry(&share, facts, &origin, problems) else { continue };
        if let What::Bind { own, .. } = &mut entry.what {
            // What the system keeps from others it keeps from the sandbox.
            *own = !is_system(path);
        }
        entries.push(entry);
    }
    entries
}

/// What is asked for in a folder that the profile hides is not there, and nothing can be shared in its place.
pub(super) fn hidden(profile: &Profile, asked: &[Entry], cwd: &str, notes: &mut Vec<Note>, problems: &mut Problems) {
    let above = |path: &str| profile.files.hidden.iter().find(|hidden| paths::within(path, hidden));
    let name = &profile.name;
    for entry in asked {
        match above(&entry.inside) {
            Some(hidden) if *hidden == entry.inside => {
                let what = format!("{}: {hidden} is empty: the profile {name} hides it", entry.origin);
                notes.push(Note(what));
            }
            Some(hidden) => {
                let what =
                    format!("{} is in {hidden}, which the profile {name} hides (filesystem.hidden)", entry.inside);
                problems.add(entry.origin.as_str(), what);
            }
            None => {}
        }
    }
    let told = |path: &str| asked.iter().any(|entry| entry.inside == path);
    if let Some(hidden) = above(cwd).filter(|hidden| *hidden != cwd && !told(cwd)) {
        problems
            .add(format!("--cwd {cwd}"), format!("is in {hidden}, which the profile {name} hides (filesystem.hidden)"));
    }
}

/// The profile with what was asked for beside it: folders that flags share, and the one that the caller stands in.
pub(super) fn granted(profile: &Profile, entries: &[Entry]) -> Profile {
    let mut profile = profile.clone();
    let files = &mut profile.files;
    let asked = |entry: &&Entry| entry.origin.starts_with("--") || entry.origin == folders::CURRENT;
    for entry in entries.iter().filter(asked) {
        let writable = matches!(entry.what, What::Bind { writable: true, .. } | What::Memory { .. });
        match &mut files.writable {
            Some(list) if writable => list.push(entry.inside.clone()),
            // Something that was hidden or kept from writing by name stays so.
            _ if files.listed_only => files.readonly.push(entry.inside.clone()),
            _ => {}
        }
    }
    profile
}
