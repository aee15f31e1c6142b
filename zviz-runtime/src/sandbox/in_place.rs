//! A sandbox without namespaces, from what was asked for and what is there: the same folders at their own places. Pure.

use super::facts::{Facts, RootEntry};
use super::folders::{self, Entry, What};
use super::lower::Lowered;
use super::{Network, Sandbox, environment, limits, paths, profiled, shares};
use crate::plan::network::Link;
use crate::plan::{InPlace, Note, Problems};
use crate::profile::Profile;
use oci_spec::runtime as oci;

/// Devices that every sandbox has.
const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];

/// Where the temporary folder comes from.
const TEMPORARY: &str = "the temporary folder";

/// Where what is beside something hidden comes from. It may be gone by the time that its rule is made.
const BESIDE: &str = "beside what is hidden";

/// Decides what it is made of.
///
/// # Errors
/// Every flag that cannot be followed, with the reason and what would help.
pub(super) fn lower(sandbox: &Sandbox, facts: &Facts) -> Result<Lowered, Problems> {
    let mut problems = Problems::default();
    let mut notes = Vec::new();
    if sandbox.args.first().is_none_or(String::is_empty) {
        problems.add("command", "there is none");
    }
    for _ in sandbox.args.iter().filter(|arg| arg.contains('\0')) {
        problems.add("command", "an argument holds a NUL");
    }
    refuse(sandbox, facts, &mut problems);
    let mut asked = shares::entries(sandbox, facts, &mut problems);
    elsewhere(sandbox, facts, &mut problems);
    let (cwd, workspace) = cwd(sandbox, facts, &mut notes, &mut problems);
    if let Some(workspace) = workspace.filter(|entry| !asked.iter().any(|other| other.inside == entry.inside)) {
        asked.push(workspace);
    }
    asked.extend(profiled::entries(sandbox, facts, &asked, &mut notes, &mut problems));
    let mut entries = asked;
    let base = base(sandbox, facts);
    entries.extend(
        base.into_iter().filter(|entry| !entries.iter().any(|other| other.inside == entry.inside)).collect::<Vec<_>>(),
    );
    let hidden: Vec<&String> = facts.readable_secrets.iter().chain(&sandbox.profile.files.hidden).collect();
    for path in &hidden {
        carve(&mut entries, path, facts);
    }
    let private = facts.temporary.as_deref().unwrap_or("/nonexistent");
    entries.push(Entry {
        inside: private.to_owned(),
        origin: TEMPORARY.to_owned(),
        what: What::Bind { source: private.to_owned(), writable: true, own: true },
    });
    let seen = |path: &str| entries.iter().any(|entry| paths::within(path, &entry.inside));
    if sandbox.cwd.is_some() && !seen(&cwd) && !entries.iter().any(|entry| paths::within(&entry.inside, &cwd)) {
        problems.add(format!("--cwd {cwd}"), "nothing there is shared");
    }
    let home = facts.home.as_ref().map(|home| home.path.as_str()).filter(|home| *home != "/" && seen(home));
    let mut sandbox = sandbox.clone();
    // What was asked for comes later, and holds.
    sandbox.environment.insert(0, super::Variable::Set("TMPDIR".into(), private.to_owned()));
    let env = environment::lower(&sandbox, &facts.environment, home.unwrap_or(private), seen, &mut problems);
    problems.or(Lowered {
        spec: spec(&sandbox, facts, &entries, cwd, env, &hidden),
        timeout: sandbox.timeout,
        notes,
        entries,
        translated: false,
        stage: None,
        in_place: Some(InPlace { network: sandbox.network == Network::Host }),
        link: Link::None,
        events: false,
        refusals: sandbox.refusals,
        network: None,
    })
}

/// Flags that take namespaces, mounts or cgroups.
fn refuse(sandbox: &Sandbox, facts: &Facts, problems: &mut Problems) {
    let mut refuse = |flag: &str, why: &str| problems.add(flag, format!("{why} (--backend landlock has none)"));
    for (given, flag) in
        [(sandbox.memory.is_some(), "--memory"), (sandbox.pids.is_some(), "--pids"), (sandbox.cpus.is_some(), "--cpus")]
    {
        if given {
            refuse(flag, "needs a cgroup");
        }
    }
    for tmpfs in &sandbox.tmpfs {
        refuse(&format!("--tmpfs {}", tmpfs.inside), "needs a mount");
    }
    if !matches!(sandbox.network, Network::None | Network::Host) {
        refuse(&format!("--net {}", sandbox.network.name()), "needs a network namespace");
    }
    if sandbox.network_log {
        refuse("--net-log", "needs a network namespace");
    }
    for (given, flag) in [(sandbox.rootfs.is_some(), "--rootfs"), (sandbox.stage.is_some(), "--stage")] {
        if given {
            refuse(flag, "needs mounts");
        }
    }
    if sandbox.hostname.is_some() {
        refuse("--hostname", "needs a uts namespace");
    }
    match &facts.user {
        Some(Err(why)) => problems.add("--user", why.as_str()),
        Some(Ok(ids)) if *ids != (facts.uid, facts.gid) => {
            refuse("--user", "another id needs a user namespace");
        }
        _ => {}
    }
}

/// Shares that would be seen under another name.
fn elsewhere(sandbox: &Sandbox, facts: &Facts, problems: &mut Problems) {
    for share in &sandbox.shares {
        let Some(inside) = share.inside.as_ref().filter(|inside| **inside != share.host) else { continue };
        if !matches!(facts.sources.get(&share.host), Some(Ok(source)) if source.path == *inside) {
            problems.add(share.place(), "another place inside needs a mount (--backend landlock has none)");
        }
    }
}

/// Where it starts, and the folder that is shared because the caller stands in it.
fn cwd(sandbox: &Sandbox, facts: &Facts, notes: &mut Vec<Note>, problems: &mut Problems) -> (String, Option<Entry>) {
    let (cwd, workspace) = super::lower::cwd(sandbox, facts, notes, problems);
    if let (Some(entry), Some(home)) = (&workspace, &facts.home)
        && paths::within(&home.path, &entry.inside)
    {
        problems.add(
            folders::CURRENT,
            format!(
                "{} holds the home folder, whose secrets cannot be hidden without mounts: start in a folder of the project, or \
                 share it all the same (--rw)",
                entry.inside
            ),
        );
    }
    (cwd, workspace)
}

/// What is always there: the system's folders, the devices of every sandbox, and /proc to be read.
fn base(sandbox: &Sandbox, facts: &Facts) -> Vec<Entry> {
    let has = |name: &str| folders::SYSTEM.contains(&name) && profiled::has_system(&sandbox.profile, name);
    // Links lead into other folders of the list, or to what is not shared.
    let there = facts.root.iter().filter(|(name, entry)| has(name) && !matches!(entry, RootEntry::Link(_)));
    let system = there.map(|(name, _)| format!("/{name}"));
    let read = system.chain(["/proc".to_owned()]).chain(facts.resolver.clone());
    let bind = |inside: String, writable| Entry {
        origin: "the system".to_owned(),
        what: What::Bind { source: inside.clone(), writable, own: false },
        inside,
    };
    read.map(|path| bind(path, false)).chain(DEVICES.iter().map(|path| bind((*path).to_owned(), true))).collect()
}

/// Takes a path out of what is shared to be read, by sharing what is beside it instead. What is written cannot be shared in
/// parts, since nothing new could be made in it: the planner refuses that.
fn carve(entries: &mut Vec<Entry>, hidden: &str, facts: &Facts) {
    let holds = |entry: &Entry| {
        matches!(entry.what, What::Bind { writable: false, .. }) && paths::within(hidden, &entry.inside)
    };
    while let Some(at) = entries.iter().position(holds) {
        let entry = entries.remove(at);
        let mut folder = entry.inside.clone();
        while folder != hidden {
            let Some(names) = facts.beside.get(&folder) else { break };
            let Some(next) = hidden.get(folder.len() + 1..).and_then(|rest| rest.split('/').next()) else { break };
            for name in names.iter().filter(|name| *name != next) {
                let inside = format!("{folder}/{name}");
                let what = What::Bind { source: inside.clone(), writable: false, own: false };
                if !entries.iter().any(|other| other.inside == inside) {
                    entries.push(Entry { inside, origin: BESIDE.to_owned(), what });
                }
            }
            folder = format!("{folder}/{next}");
        }
    }
}

fn spec(
    sandbox: &Sandbox,
    facts: &Facts,
    entries: &[Entry],
    cwd: String,
    env: Vec<String>,
    hidden: &[&String],
) -> oci::Spec {
    let mut user = oci::User::default();
    user.set_uid(facts.uid).set_gid(facts.gid).set_umask(Some(0o022));
    let mut process = oci::Process::default();
    process.set_terminal(Some(sandbox.terminal)).set_user(user).set_args(Some(sandbox.args.clone()));
    process.set_env(Some(env)).set_cwd(cwd.into()).set_capabilities(None);
    process.set_rlimits(Some(limits::rlimits(sandbox, facts))).set_no_new_privileges(Some(true));
    let mut linux = oci::Linux::default();
    linux.set_namespaces(None).set_masked_paths(Some(hidden.iter().map(|path| (*path).clone()).collect()));
    let mut spec = oci::Spec::default();
    spec.set_version("1.2.0".to_owned());
    spec.set_root(None).set_hostname(None).set_linux(Some(linux)).set_process(Some(process));
    spec.set_mounts(Some(entries.iter().filter_map(mount).collect()));
    spec
}

fn mount(entry: &Entry) -> Option<oci::Mount> {
    let What::Bind { source, writable, .. } = &entry.what else { return None };
    let mut options = vec!["rbind".to_owned()];
    if !writable {
        options.push("rro".to_owned());
    }
    if ["/dev", "/proc"].iter().any(|own| paths::within(&entry.inside, own)) {
        options.push("noexec".to_owned());
    }
    if entry.origin == BESIDE {
        options.push("nofail".to_owned());
    }
    let mut mount = oci::Mount::default();
    mount.set_destination(source.into()).set_typ(Some("bind".to_owned()));
    mount.set_source(Some(source.into())).set_options(Some(options));
    Some(mount)
}

/// The profile, for which the temporary folder is what /tmp is in a sandbox of mounts.
pub(super) fn granted(mut profile: Profile, entries: &[Entry]) -> Profile {
    let Some(temporary) = entries.iter().find(|entry| entry.origin == TEMPORARY) else { return profile };
    let list = &mut profile.files;
    let (reads, writes, executes) = (list.reads("/tmp"), list.writes("/tmp"), list.executes("/tmp"));
    let add = |to: &mut Option<Vec<String>>| to.iter_mut().for_each(|to| to.push(temporary.inside.clone()));
    if writes {
        add(&mut list.writable);
    }
    if reads && list.listed_only && !writes {
        list.readonly.push(temporary.inside.clone());
    }
    if executes {
        add(&mut list.executable);
    }
    profile
}
