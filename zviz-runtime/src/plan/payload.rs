//! The payload: what runs, as whom, where.

use super::input::{Findings, Input};
use super::namespaces::{Namespaces, User};
use super::process::{Credentials, Process};
use super::{capabilities, idmap, labels, rlimits, scheduling};
use crate::host::Host;
use crate::profile::Profile;
use oci_spec::runtime as oci;
use std::collections::BTreeSet;

/// NGROUPS_MAX. setgroups(2).
const GROUPS_MAX: usize = 65_536;

/// Decides the process. Without one in the spec, `create` makes a container that `start` refuses.
pub(super) fn plan(input: Input, namespaces: &Namespaces, found: &mut Findings) -> Process {
    // What the profile sets holds for what `exec` puts in there too.
    let none = Process { cwd: "/".into(), no_new_privs: input.profile.no_new_privs, ..Process::default() };
    let process = match input.spec.oci.process() {
        Some(given) => process(input.host, input.profile, &namespaces.user, given, found),
        None => none,
    };
    Process {
        // What `zviz run -- CMD` leaves out of the environment stays out.
        find_home: process.find_home && !input.request.sandbox,
        personality: scheduling::personality(input, found),
        memory_policy: scheduling::memory_policy(input, found),
        new_keyring: input.request.new_keyring,
        ..process
    }
}

/// Decides what `process` alone says.
pub(super) fn process(
    host: &Host,
    profile: &Profile,
    user: &User,
    given: &oci::Process,
    found: &mut Findings,
) -> Process {
    let cwd = given.cwd().to_str().unwrap_or_default();
    if !cwd.starts_with('/') {
        found.problem("process.cwd", "must be absolute");
    }
    let args = given.args().clone().unwrap_or_default();
    if args.is_empty() {
        found.problem("process.args", "must name a program");
    } else if args[0].is_empty() {
        found.problem("process.args[0]", "is empty");
    }
    let terminal = given.terminal().unwrap_or(false);
    let capabilities = capabilities::plan(host, profile, user, given.capabilities().as_ref(), found);
    let mut env = env(given.env().iter().flatten(), found);
    let find_home = lacks_home(&mut env);
    Process {
        args,
        find_home,
        env,
        cwd: cwd.to_owned(),
        terminal,
        console_size: console_size(given, terminal, found),
        credentials: credentials(given.user(), user, found),
        umask: umask(given, found),
        capabilities,
        no_new_privs: given.no_new_privileges().unwrap_or(false) || profile.no_new_privs,
        rlimits: rlimits::plan(given, found),
        oom_score_adj: oom_score_adj(given, found),
        scheduler: scheduling::scheduler(given, found),
        io_priority: scheduling::io_priority(given, found),
        initial_affinity: scheduling::affinity(given, "initial", found),
        final_affinity: scheduling::affinity(given, "final", found),
        personality: None,
        memory_policy: None,
        apparmor_profile: labels::apparmor(host, given, found),
        selinux_label: labels::selinux(host, given, found),
        reaper: false,
        new_keyring: true,
    }
}

/// Where a name is given twice the later value holds, as a shell would have it.
pub(super) fn env<'a>(given: impl IntoIterator<Item = &'a String>, found: &mut Findings) -> Vec<String> {
    let mut env: Vec<String> = Vec::new();
    for (i, entry) in given.into_iter().enumerate() {
        match entry.split_once('=') {
            None => found.problem(format!("process.env[{i}]"), format!("{entry:?} has no \"=\"")),
            Some(("", _)) => found.problem(format!("process.env[{i}]"), format!("{entry:?} has no name")),
            Some((name, _)) => {
                env.retain(|earlier| earlier.split_once('=').is_none_or(|(earlier, _)| earlier != name));
                env.push(entry.clone());
            }
        }
    }
    env
}

/// Whether HOME is to be found yet. An empty one is none, as to runc, and makes room.
pub(super) fn lacks_home(env: &mut Vec<String>) -> bool {
    env.retain(|entry| entry != "HOME=");
    !env.iter().any(|entry| entry.starts_with("HOME="))
}

fn console_size(given: &oci::Process, terminal: bool, found: &mut Findings) -> Option<(u16, u16)> {
    let size = given.console_size()?;
    let mut side = |value: u64, name: &str| {
        u16::try_from(value).unwrap_or_else(|_| {
            found.problem(format!("process.consoleSize.{name}"), format!("must be at most 65535, not {value}"));
            0
        })
    };
    let size = (side(size.height(), "height"), side(size.width(), "width"));
    terminal.then_some(size)
}

/// Who the payload runs as: every id must have one outside, or the kernel refuses it.
pub(super) fn credentials(given: &oci::User, user: &User, found: &mut Findings) -> Credentials {
    let additional = given.additional_gids().as_deref().unwrap_or_default();
    if given.username().as_deref().is_some_and(|name| !name.is_empty()) {
        found.note("process.user.username", "is for Windows, left out: uid and gid hold");
    }
    for (id, field) in [(given.uid(), "uid"), (given.gid(), "gid")] {
        if id == u32::MAX {
            found.problem(format!("process.user.{field}"), "is no id");
        }
    }
    if additional.len() > GROUPS_MAX {
        found.problem("process.user.additionalGids", format!("more than {GROUPS_MAX} groups"));
    }
    // Docker lists a group twice that both the image and its caller name; the kernel would show it twice.
    let mut seen = BTreeSet::new();
    let mut groups = Some(additional.iter().copied().filter(|gid| seen.insert(*gid)).collect());
    if let User::New { uids, gids, setgroups, .. } = user {
        unmapped(uids, given.uid(), "process.user.uid", "linux.uidMappings", found);
        unmapped(gids, given.gid(), "process.user.gid", "linux.gidMappings", found);
        for (i, gid) in additional.iter().enumerate() {
            unmapped(gids, *gid, &format!("process.user.additionalGids[{i}]"), "linux.gidMappings", found);
        }
        if !setgroups {
            if !additional.is_empty() {
                found.problem(
                    "process.user.additionalGids",
                    "cannot be set without root where only our own id is mapped",
                );
            }
            groups = None;
        }
    }
    Credentials { uid: given.uid(), gid: given.gid(), groups }
}

fn unmapped(map: &[super::IdMap], id: u32, place: &str, list: &str, found: &mut Findings) {
    if !map.is_empty() && !idmap::maps(map, id) {
        found.problem(place, format!("{id} is not mapped in {list}"));
    }
}

fn umask(given: &oci::Process, found: &mut Findings) -> Option<u32> {
    let umask = given.user().umask()?;
    if umask > 0o777 {
        found.problem("process.user.umask", format!("must be at most 511 (octal 777), not {umask}"));
    }
    Some(umask)
}

fn oom_score_adj(given: &oci::Process, found: &mut Findings) -> Option<i32> {
    let score = given.oom_score_adj()?;
    if !(-1000..=1000).contains(&score) {
        found.problem("process.oomScoreAdj", format!("must be -1000 to 1000, not {score}"));
    }
    Some(score)
}
