//! From what was asked for and what is there to a spec: pure.

use super::facts::Facts;
use super::folders::{self, Entry, What, Workspace};
use super::{
    Network, Sandbox, environment, ids, in_place, limits, masks, network, paths, profiled, shares, staged, words,
};
use crate::plan::network::Link;
use crate::plan::{Backend, InPlace, Note, Problems};
use crate::profile::files;
use oci_spec::runtime as oci;
use std::time::Duration;

/// What a sandbox comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Lowered {
    /// For `Plan::build`, with the default profile over it.
    pub spec: oci::Spec,
    /// When everything inside is killed.
    pub timeout: Option<Duration>,
    /// What was decided and a user should know.
    pub notes: Vec<Note>,
    pub(super) entries: Vec<Entry>,
    pub(super) translated: bool,
    pub(super) stage: Option<String>,
    pub(super) in_place: Option<InPlace>,
    pub(super) link: Link,
    pub(super) events: bool,
    pub(super) refusals: bool,
    pub(super) network: Option<network::Linked>,
}

/// Decides what the sandbox is made of. Nothing is read but the arguments.
///
/// # Errors
/// Every flag that cannot be followed, with the reason and what would help.
pub fn lower(sandbox: &Sandbox, facts: &Facts) -> Result<Lowered, Problems> {
    if sandbox.backend == Some(Backend::Landlock) {
        return in_place::lower(sandbox, facts);
    }
    let mut problems = Problems::default();
    let mut notes = Vec::new();
    if sandbox.args.first().is_none_or(String::is_empty) {
        problems.add("command", "there is none");
    }
    for arg in &sandbox.args {
        if arg.contains('\0') {
            problems.add("command", "an argument holds a NUL");
        }
    }
    if sandbox.profile.nested {
        notes.push(Note(
            "/proc has no masks (--profile nested): the kernel gives no proc to a sandbox inside otherwise".into(),
        ));
    }
    let ids = ids::lower(sandbox, facts, &mut notes, &mut problems);
    let owner = (ids.uid, ids.gid);
    let mut asked = shares::entries(sandbox, facts, &mut problems);
    for tmpfs in &sandbox.tmpfs {
        match folders::tmpfs(tmpfs, owner) {
            Ok(entry) => asked.push(entry),
            Err(why) => problems.add(format!("--tmpfs {}", tmpfs.inside), why),
        }
    }
    let (cwd, workspace) = cwd(sandbox, facts, &mut notes, &mut problems);
    let mut masked: Vec<String> = masks::masked(sandbox.profile.nested).map(str::to_owned).collect();
    if sandbox.stage.is_some() {
        staged::check(workspace.as_ref(), &asked, &mut problems);
    }
    if let Some(workspace) = workspace
        && !asked.iter().any(|entry| entry.inside == workspace.inside)
    {
        if let Some(home) = &facts.home
            && paths::within(&home.path, &workspace.inside)
        {
            notes.push(Note(format!("the home folder {} is shared; known secrets in it are hidden", home.path)));
            masked.extend(masks::HOME_SECRETS.iter().map(|name| format!("{}/{name}", home.path)));
        }
        asked.push(workspace);
    }
    profiled::hidden(&sandbox.profile, &asked, &cwd, &mut notes, &mut problems);
    asked.extend(profiled::entries(sandbox, facts, &asked, &mut notes, &mut problems));
    let linked = network::lower(sandbox, facts, &mut notes, &mut problems);
    let (linked, mut files) = linked.unzip();
    files.iter_mut().for_each(|files| files.retain(|file| !asked.iter().any(|other| other.inside == file.inside)));
    asked.extend(files.into_iter().flatten());
    let (home, private) = folders::home(facts, &asked, owner);
    if !ids.translated {
        masked.extend(facts.readable_secrets.iter().cloned());
    }
    let nested = sandbox.profile.nested.then_some(sandbox.network);
    let entries = merge(
        folders::base(facts, nested, &|name| profiled::has_system(&sandbox.profile, name)),
        private,
        asked,
        &mut problems,
    );
    // Whether it exists in a folder that is shared is found out there; elsewhere nothing else can be.
    let there = |entry: &Entry| paths::within(&cwd, &entry.inside) || paths::within(&entry.inside, &cwd);
    if sandbox.cwd.is_some() && !entries.iter().any(there) {
        problems.add(format!("--cwd {cwd}"), "there is no such folder inside");
    }
    let env = environment::lower(sandbox, &facts.environment, &home, |folder| visible(&entries, folder), &mut problems);
    if sandbox.network == Network::Host {
        notes.push(Note("the network is the host's (--net host): its local services can be reached".into()));
    }
    let resources = limits::resources(sandbox, &facts.limits, &mut notes, &mut problems);
    if let Some(Err(why)) = &facts.rootfs {
        problems.add(format!("--rootfs {}", sandbox.rootfs.as_deref().unwrap_or_default()), why.as_str());
    }
    let spec =
        words::spec(sandbox, facts, &ids, &entries, words::Decided { cwd, env, masked, resources }, &mut problems);
    problems.or(Lowered {
        spec,
        timeout: sandbox.timeout,
        notes,
        entries,
        translated: ids.translated,
        stage: sandbox.stage.clone(),
        in_place: None,
        link: linked.as_ref().map_or(Link::None, |linked| linked.link.clone()),
        events: sandbox.network_log,
        refusals: sandbox.refusals,
        network: linked,
    })
}

/// Where the command starts, and the folder that is shared because the caller stands in it.
pub(super) fn cwd(
    sandbox: &Sandbox,
    facts: &Facts,
    notes: &mut Vec<Note>,
    problems: &mut Problems,
) -> (String, Option<Entry>) {
    if let Some(asked) = &sandbox.cwd {
        return match paths::inside(asked) {
            Ok(inside) => (inside, None),
            Err(why) => {
                problems.add(format!("--cwd {asked}"), why);
                ("/".to_owned(), None)
            }
        };
    }
    if sandbox.profile.files.workspace == Some(files::Workspace::None) {
        return ("/".to_owned(), None);
    }
    let Some(cwd) = &facts.cwd else {
        problems.add("current folder", "was deleted, or its path is not UTF-8; --cwd starts elsewhere");
        return ("/".to_owned(), None);
    };
    match folders::workspace(cwd, sandbox) {
        Workspace::Shared => {
            let writable = sandbox.profile.files.workspace != Some(files::Workspace::Readonly);
            let what = What::Bind { source: cwd.clone(), writable, own: true };
            let entry = Entry { inside: cwd.clone(), origin: folders::CURRENT.to_owned(), what };
            (cwd.clone(), Some(entry))
        }
        Workspace::Seen => {
            notes
                .push(Note(format!("the current folder {cwd} is not shared: it is no place of work (--rw shares it)")));
            (cwd.clone(), None)
        }
        Workspace::Unseen => {
            notes.push(Note(format!("the current folder {cwd} is not seen inside (--rw shares it); starting in /")));
            ("/".to_owned(), None)
        }
    }
}

/// Everything in the order it is made: a folder before what is in it. What was asked for replaces what is always there.
fn merge(base: Vec<Entry>, home: Option<Entry>, asked: Vec<Entry>, problems: &mut Problems) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for entry in asked {
        match entries.iter().find(|other| other.inside == entry.inside) {
            Some(other) => problems.add(&entry.origin, format!("{} is taken by {}", entry.inside, other.origin)),
            None => entries.push(entry),
        }
    }
    for entry in home.into_iter().chain(base) {
        if !entries.iter().any(|other| other.inside == entry.inside) {
            entries.push(entry);
        }
    }
    // By components, so that `/a-b` does not come between `/a` and `/a/b`; links first, since paths may lead through.
    entries.sort_by(|a, b| {
        let later = |entry: &Entry| !matches!(entry.what, What::Link { .. });
        later(a).cmp(&later(b)).then_with(|| a.inside.split('/').cmp(b.inside.split('/')))
    });
    entries
}

/// Whether a folder of the host is seen inside at the same path: the innermost entry around it decides.
fn visible(entries: &[Entry], folder: &str) -> bool {
    let around = entries.iter().filter(|entry| paths::within(folder, &entry.inside));
    match around.max_by_key(|entry| entry.inside.len()) {
        Some(Entry { what: What::Bind { source, .. }, inside, .. }) => source == inside,
        Some(Entry { what: What::Link { .. }, .. }) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
