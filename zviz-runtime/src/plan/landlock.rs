//! Landlock over the same paths as the mounts: writing only where a mount is writable, and of that what the profile names.

use super::input::{Findings, Input};
use super::mounts::{Mount, MountKind, attr};
use super::namespaces::{User, maps_to};
use super::rootfs::Rootfs;
use super::{Landlock, LandlockRights, LandlockRule};
use crate::sandbox::folders::SYSTEM;

/// Scopes of abstract sockets and signals. Linux 6.12.
pub(super) const ABI_SCOPES: u32 = 6;
/// Denials are recorded, of programs that were executed since. Linux 6.15.
const ABI_RECORDS: u32 = 7;
/// TCP ports. Linux 6.7.
pub(super) const ABI_PORTS: u32 = 4;
/// A rule each: what a profile names one by one, or in short ranges.
const MOST_PORTS: usize = 4096;

/// Where a system has what its packages bring.
const USR: &str = "/usr";

/// Decides the ruleset, where the profile asks for one.
pub(super) fn plan(
    input: Input,
    user: &User,
    rootfs: Option<&Rootfs>,
    mounts: &[Mount],
    found: &mut Findings,
) -> Option<Landlock> {
    let profile = input.profile;
    if !profile.landlock {
        return None;
    }
    let abi = input.host.landlock_abi;
    let (bind, connect) = ports(input, abi, found);
    if abi == 0 {
        match named(input) {
            Some(what) => {
                found.problem("landlock", format!("this kernel has none, and the profile {} {what}", profile.name))
            }
            None => found.note("landlock", "this kernel has none: the mounts alone keep the payload from writing"),
        }
        return None;
    }
    let scoped = abi >= ABI_SCOPES;
    let recorded = recorded(input, abi, found);
    if profile.nested {
        // A rule belongs to a file of these mounts. A sandbox inside has mounts of its own and changes its root to one of
        // them, from which no way leads up to any rule: nothing could be granted there.
        if let Some(what) = named(input).filter(|_| !profile.requirements.landlock) {
            found.problem(
                "landlock",
                format!("the profile {} {what}, which sandboxes inside (nested) would escape", profile.name),
            );
        }
        found.note("landlock", "files are not judged by path (nested): the mounts alone keep from writing");
        let any = scoped || bind.is_some() || connect.is_some();
        return any.then(|| Landlock { abi, rules: Vec::new(), scoped, bind, connect, recorded });
    }
    Some(Landlock { abi, rules: rules(input, user, rootfs, mounts), scoped, bind, connect, recorded })
}

/// Whether denials are to be recorded: where somebody wants to be told, since the host's log is everybody's.
pub(super) fn recorded(input: Input, abi: u32, found: &mut Findings) -> bool {
    let asked = input.request.refusals || input.profile.landlock_records;
    if asked && abi < ABI_RECORDS {
        let what = format!("this kernel does not record what it denies: that needs ABI {ABI_RECORDS} (Linux 6.15)");
        found.note("landlock", what);
    }
    asked && abi >= ABI_RECORDS
}

/// What the profile says that Landlock alone can keep.
fn named(input: Input) -> Option<&'static str> {
    let files = &input.profile.files;
    if input.profile.requirements.landlock {
        return Some("requires it");
    }
    let says = [
        (files.writable.is_some(), "names what may be written"),
        (files.executable.is_some(), "names what may be executed"),
        (files.listed_only, "names what may be read"),
    ];
    says.into_iter().find_map(|(given, what)| given.then_some(what))
}

fn rules(input: Input, user: &User, rootfs: Option<&Rootfs>, mounts: &[Mount]) -> Vec<LandlockRule> {
    let files = &input.profile.files;
    // A root that is given as a directory is the container's own, to be written unless it is read-only; one that is made
    // of mounts alone has nothing of its own.
    let owned = rootfs.is_some_and(|root| !root.path.is_empty() && !root.readonly);
    let mut places: Vec<(&str, bool, bool)> = vec![("/", owned, false)];
    for mount in mounts {
        let writable = match mount.kind {
            MountKind::Bind(_) | MountKind::Filesystem(_) | MountKind::Overlay => !is_readonly(mount),
            // A changed mount keeps its rule only where it has one; nothing is granted by a change.
            MountKind::Remount | MountKind::Symlink { .. } | MountKind::Directory { .. } => continue,
        };
        places.retain(|(path, ..)| *path != mount.destination);
        places.push((&mount.destination, writable, false));
    }
    // What the profile names within a mount, with the mount's own right to write. It need not be there.
    let made: Vec<(&str, bool, bool)> = files
        .used()
        .filter(|path| !places.iter().any(|(place, ..)| place == path))
        .filter_map(|path| {
            let around = places.iter().filter(|(place, ..)| crate::profile::files::within(path, place));
            around.max_by_key(|(place, ..)| place.len()).map(|(_, writable, _)| (path.as_str(), *writable, true))
        })
        .collect();
    let names = near(mounts);
    let near =
        names.iter().map(String::as_str).filter(|path| !places.iter().chain(&made).any(|(place, ..)| place == path));
    let near: Vec<(&str, bool, bool)> = near.map(|path| (path, false, true)).collect();
    let all: Vec<(&str, bool, bool)> = places.into_iter().chain(made).chain(near.iter().copied()).collect();
    let alone = all.iter().any(|(path, writable, _)| *writable && !files.writes(path));
    let sealed = match alone {
        true => Vec::new(),
        false => sealed(input, user, mounts),
    };
    let rule = |(path, writable, optional): (&str, bool, bool)| {
        let rights = LandlockRights::of(files.reads(path), writable && files.writes(path), files.executes(path))?;
        let place = if near.iter().any(|(near, ..)| *near == path) { USR } else { path };
        let truncate = sealed.contains(&place) && matches!(rights, LandlockRights::Read | LandlockRights::ReadExecute);
        Some(LandlockRule { path: path.to_owned(), rights, optional, truncate })
    };
    all.into_iter().filter_map(rule).collect()
}

/// The folders of the system in which nobody inside could cut a file if Landlock let them.
///
/// The kernel asks at every open whether the file may be cut later (`hook_file_open` of security/landlock/fs.c), and where
/// nothing grants that it goes up to the root, past the rule that lets the file be read. Granted at such a folder, the way
/// ends there. What refuses then is the mount, which is read-only with all that is mounted below it; and, where a descriptor
/// from outside leads past that mount, that the files are other users': the ids inside are of a range that nobody has.
/// Rights go down to what is mounted below, and hold for other mounts of the same folder, so that nothing is granted where
/// Landlock alone keeps anybody from writing.
fn sealed<'a>(input: Input, user: &User, mounts: &'a [Mount]) -> Vec<&'a str> {
    let User::New { uids, gids, .. } = user else { return Vec::new() };
    let host = input.host;
    let strangers = !maps_to(uids, host.euid) && !maps_to(gids, host.egid);
    if !input.request.sandbox || host.rootless || !strangers {
        return Vec::new();
    }
    let own = |mount: &&Mount| {
        let MountKind::Bind(bind) = &mount.kind else { return false };
        let system = mount.destination.strip_prefix('/').is_some_and(|name| SYSTEM.contains(&name));
        // Whose ids are translated belongs to somebody inside.
        let untouched = bind.source == mount.destination && bind.idmap.is_none();
        system && untouched && mount.recursive.set & attr::RDONLY != 0
    };
    mounts.iter().filter(own).map(|mount| mount.destination.as_str()).collect()
}

/// Folders of the system's own /usr that hold most files that programs open, with no other rights than /usr has.
///
/// The kernel goes up from a file to the first rule that lets it be read, and each folder on the way costs some percent of the open:
/// the shared libraries of every program are three below /usr.
fn near(mounts: &[Mount]) -> Vec<String> {
    let own = |mount: &Mount| matches!(&mount.kind, MountKind::Bind(bind) if bind.source == USR && is_readonly(mount));
    if !mounts.iter().rfind(|mount| mount.destination == USR).is_some_and(own) {
        return Vec::new();
    }
    let libraries = format!("lib/{}-linux-gnu", std::env::consts::ARCH);
    let headers = format!("include/{}-linux-gnu", std::env::consts::ARCH);
    ["bin", "lib", &libraries, "include", &headers, "share"].iter().map(|name| format!("{USR}/{name}")).collect()
}

fn is_readonly(mount: &Mount) -> bool {
    mount.late_readonly || (mount.attributes.set | mount.recursive.set) & attr::RDONLY != 0
}

pub(super) type PortList = Option<Vec<u16>>;

/// The ports that may be bound and connected to; none is any.
pub(super) fn ports(input: Input, abi: u32, found: &mut Findings) -> (PortList, PortList) {
    let ports = &input.profile.ports;
    if ports.bind.is_none() && ports.connect.is_none() {
        return (None, None);
    }
    if abi < ABI_PORTS {
        let what = format!("rules about ports need Landlock's ABI {ABI_PORTS} (Linux 6.7), this kernel has {abi}");
        match input.profile.requirements.ports_optional {
            true => found.note("network.ports", format!("{what}: left out (requirements.network_policy: optional)")),
            false => found.problem("network.ports", what),
        }
        return (None, None);
    }
    let mut list = |ranges: &Option<Vec<(u16, u16)>>, key: &str| {
        let all: Vec<u16> = ranges.as_ref()?.iter().flat_map(|(from, to)| *from..=*to).collect();
        if all.len() > MOST_PORTS {
            found.problem(format!("network.ports.{key}"), format!("names {} ports, {MOST_PORTS} at most", all.len()));
        }
        Some(all)
    };
    (list(&ports.bind, "allow_bind"), list(&ports.connect, "allow_connect"))
}
