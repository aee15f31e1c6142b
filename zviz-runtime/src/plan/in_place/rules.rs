//! Rules of Landlock. A rule grants everything below its path: no other takes any of it away again, which mounts can.

use crate::plan::input::{Findings, Input};
use crate::plan::{LandlockRights, LandlockRule};
use crate::profile::files;

/// A place of the host, with what may at most be done there.
struct Place {
    path: String,
    writable: bool,
    executable: bool,
    optional: bool,
}

/// The rules. What is kept from a place inside another that grants it is a problem.
pub(super) fn rules(input: Input, found: &mut Findings) -> Vec<LandlockRule> {
    let list = &input.profile.files;
    let mut places: Vec<Place> = input.spec.oci.mounts().iter().flatten().filter_map(place).collect();
    let named: Vec<Place> = list
        .used()
        .filter(|path| !places.iter().any(|place| place.path == **path))
        .filter_map(|path| {
            let around = places.iter().filter(|place| files::within(path, &place.path));
            let Place { writable, executable, .. } = around.max_by_key(|place| place.path.len())?;
            Some(Place { path: path.clone(), writable: *writable, executable: *executable, optional: true })
        })
        .collect();
    places.extend(named);
    let rule = |Place { path, writable, executable, optional }: Place| {
        let rights =
            LandlockRights::of(list.reads(&path), writable && list.writes(&path), executable && list.executes(&path))?;
        Some(LandlockRule { path, rights, optional, truncate: false })
    };
    let rules: Vec<LandlockRule> = places.into_iter().filter_map(rule).collect();
    overruled(&rules, found);
    hidden(input, &rules, found);
    rules
}

fn place(mount: &oci_spec::runtime::Mount) -> Option<Place> {
    let has = |word: &str| mount.options().iter().flatten().any(|option| option == word);
    Some(Place {
        path: mount.destination().to_str()?.to_owned(),
        writable: !has("rro"),
        executable: !has("noexec"),
        // As fstab(5) has it.
        optional: has("nofail"),
    })
}

fn writes(rights: LandlockRights) -> bool {
    matches!(rights, LandlockRights::ReadWrite | LandlockRights::Full)
}

fn executes(rights: LandlockRights) -> bool {
    matches!(rights, LandlockRights::ReadExecute | LandlockRights::Full)
}

/// What is to be less than what is around it.
fn overruled(rules: &[LandlockRule], found: &mut Findings) {
    for rule in rules {
        let around = |other: &&LandlockRule| {
            let more = writes(other.rights) && !writes(rule.rights) || executes(other.rights) && !executes(rule.rights);
            more && other.path != rule.path && files::within(&rule.path, &other.path)
        };
        if let Some(other) = rules.iter().find(around) {
            let what = if writes(other.rights) && !writes(rule.rights) { "written" } else { "executed" };
            found.problem(
                "--backend landlock",
                format!(
                    "{} is not to be {what}, and is in {}, which is: without mounts it cannot be less",
                    rule.path, other.path
                ),
            );
        }
    }
}

/// What is not to be there, and is in something that is.
fn hidden(input: Input, rules: &[LandlockRule], found: &mut Findings) {
    let masked = input.linux().and_then(|linux| linux.masked_paths().as_ref());
    for path in masked.into_iter().flatten().chain(&input.profile.files.hidden) {
        if let Some(rule) = rules.iter().find(|rule| files::within(path, &rule.path)) {
            found.problem(
                "--backend landlock",
                format!("{path} cannot be hidden without mounts: it is in {}, which is shared", rule.path),
            );
        }
    }
}
