//! Mounts: what is not there, what is hidden, what is not written, and what is not executed.

use super::change::{Change, How, Risk, quoted};
use super::scene::{has, name, parent, text};
use super::{Denial, Layer, Scene};
use crate::plan::mounts::attr;
use crate::plan::{Mount, MountKind};
use crate::profile::files::within;
use crate::sandbox::masks::{HOME_SECRETS, SYSTEM_SECRETS};
use nix::errno::Errno;
use std::path::Path;
use zviz_broker::handlers::sockets::known;
use zviz_observe::{Call, Intent, Named, SocketAddress};

/// What every sandbox has of its own, of which nothing of the host can stand in.
const OWN: &[&str] = &["/proc", "/dev"];
/// Folders of which nothing can be had by an empty one in their place.
const SYSTEM: &[&str] = &["/bin", "/etc", "/lib", "/lib64", "/sbin", "/usr"];

/// Whether it can have been the reason.
pub(super) fn ask(scene: &Scene<'_>, call: &Call, errno: Errno) -> Option<Denial> {
    if let Some(denial) = mapped(scene, call, errno) {
        return Some(denial);
    }
    if errno == Errno::EXDEV {
        return apart(scene, call);
    }
    if let (Some(SocketAddress::UnixPath(path)), Errno::ENOENT) = (&call.address, errno) {
        return absent(scene, call, path, Intent::Read);
    }
    call.paths.iter().find_map(|named| match errno {
        Errno::ENOENT | Errno::ENOTDIR => {
            hidden(scene, call, named).or_else(|| absent(scene, call, &named.path, named.intent))
        }
        Errno::EROFS => readonly(scene, call, named, errno),
        Errno::EACCES if named.intent == Intent::Execute => unexecutable(scene, call, &text(named)),
        Errno::EACCES | Errno::EPERM if named.intent.writes() => readonly(scene, call, named, errno),
        _ => None,
    })
}

/// What was opened and is not what it seems: a file under a mask reads as an empty one.
pub(super) fn seen(scene: &Scene<'_>, call: &Call) -> Option<Denial> {
    if call.result < 0 || !matches!(name(call).as_str(), "open" | "openat" | "openat2") {
        return None;
    }
    let exact = |named: &&Named| scene.plan.masked_paths.iter().any(|masked| *masked == text(named));
    hidden(scene, call, call.paths.iter().find(exact)?)
}

fn hidden(scene: &Scene<'_>, call: &Call, named: &Named) -> Option<Denial> {
    let path = text(named);
    let mask = scene.masked_path(&path)?;
    let rule = scene.rules.path("filesystem.hidden", mask);
    let why = format!("{mask} can be read as anything else");
    let risk = if is_secret(mask) { Risk::High } else { Risk::Medium };
    let change = rule.clone().map(|rule| Change::without(rule, risk, why));
    let what = match &rule {
        Some(_) => format!("the profile hides {mask}"),
        None if within(mask, "/proc") => format!("{mask} tells of the machine, and is hidden from every sandbox"),
        None => format!("{mask} is a known place of secrets, and hidden"),
    };
    Some(scene.told(Denial::new(Layer::Mounts, "hidden").what(what).rule(rule).changes(change), call, path))
}

/// Whether the path is that of something that the host has and the sandbox has not.
fn absent(scene: &Scene<'_>, call: &Call, path: &Path, intent: Intent) -> Option<Denial> {
    let text = path.to_string_lossy();
    let private = match scene.mount(&text).map(|mount| &mount.kind) {
        // There is what the host has there.
        Some(MountKind::Bind(_) | MountKind::Overlay) => return None,
        Some(_) => true,
        None => false,
    };
    // With a root of its own the paths are not the host's.
    let foreign_root = scene.plan.rootfs.as_ref().is_none_or(|root| !root.path.is_empty());
    if foreign_root || within(&text, "/proc") {
        return None;
    }
    let makes = intent == Intent::Create;
    let place = if makes { Path::new(parent(&text)) } else { path };
    // A name that is to be made is missing by nature; the folder that it is to be in is not.
    let place_is_inside = makes && scene.plan.mounts.iter().any(|mount| Path::new(&mount.destination) == place);
    if place_is_inside || !scene.outside.host_has(place) {
        return None;
    }
    let it = if makes { "the folder" } else { "it" };
    let what = match private {
        true => format!("the host has {it}; what the sandbox has there is its own"),
        false => format!("the host has {it}, and it is not shared"),
    };
    let denial = Denial::new(Layer::Mounts, "not-shared").what(what);
    let mut changes: Vec<Change> = share(scene, place, intent.writes()).into_iter().collect();
    if makes {
        changes.extend(empty_folder(&place.to_string_lossy()));
    }
    if intent == Intent::Execute && !scene.plan.profile.files.executes(&text) {
        let path = quoted(&text);
        let yaml = format!("filesystem: {{readonly: [{path}], executable: [{path}]}}");
        changes = vec![Change::yaml(yaml, Risk::Medium, "shares exactly this program, to be executed")];
    }
    Some(scene.told(denial.changes(changes), call, text.as_bytes()))
}

/// A folder or file of the host, at its own path.
pub(super) fn share(scene: &Scene<'_>, path: &Path, writable: bool) -> Option<Change> {
    let text = path.to_str()?;
    let refused = text == "/" || OWN.iter().any(|own| within(text, own)) || writable && within(text, "/sys");
    // Hidden stays hidden, and one that cannot be written is no use.
    if refused || scene.masked_path(text).is_some() || writable && !scene.outside.host_writes(path) {
        return None;
    }
    let escaped = text.replace('\\', "\\\\").replace(':', "\\:");
    let socket = known::path(text.as_bytes());
    let system = SYSTEM.iter().any(|folder| within(text, folder));
    let (risk, why) = match (socket, writable) {
        (Some((_, why)), _) => (Risk::High, format!("whoever listens there obeys: {why}")),
        _ if is_secret(text) => (Risk::High, "it is a known place of secrets".to_owned()),
        (_, true) if system => (Risk::High, "the host's own system is changed".to_owned()),
        (_, true) => (Risk::Medium, "the host's own is changed".to_owned()),
        (_, false) if system => (Risk::Low, "everybody on the host may read the system".to_owned()),
        (_, false) => (Risk::Medium, "what is in it can be read, and sent where there is a network".to_owned()),
    };
    Some(Change::flag(if writable { "--rw" } else { "--ro" }, escaped, risk, why))
}

/// An empty folder in the place of one that need not keep anything.
fn empty_folder(path: &str) -> Option<Change> {
    let shallow = path.split('/').filter(|name| !name.is_empty()).count() < 3;
    let refused = OWN.iter().chain(SYSTEM).chain(&["/sys"]).any(|folder| within(path, folder));
    if shallow || refused || path.contains([':', '\\']) {
        return None;
    }
    let why = "an empty folder in memory: what is written there is gone afterwards, and what is there is not seen";
    Some(Change::flag("--tmpfs", path, Risk::Low, why))
}

fn is_secret(path: &str) -> bool {
    let system = SYSTEM_SECRETS.iter().any(|secret| match secret.strip_suffix('*') {
        Some(start) => path.starts_with(start),
        None => within(path, secret),
    });
    system || HOME_SECRETS.iter().any(|secret| format!("{path}/").contains(&format!("/{secret}/")))
}

fn readonly(scene: &Scene<'_>, call: &Call, named: &Named, errno: Errno) -> Option<Denial> {
    let path = text(named);
    if !scene.is_readonly(&path) {
        return None;
    }
    let on_host = scene.host_path(&path);
    let makes = matches!(named.intent, Intent::Create | Intent::Remove);
    let there = |path: &str| scene.outside.host_has(Path::new(path));
    // A folder is what a name is made in or taken from.
    let place = if makes && (named.intent == Intent::Remove || !on_host.as_deref().is_some_and(there)) {
        parent(&path).to_owned()
    } else {
        path.clone()
    };
    let writable = scene.host_path(&place).is_some_and(|path| scene.outside.host_writes(Path::new(&path)));
    // Who may not write it on the host either is refused by its mode, before the mount is asked.
    if errno != Errno::EROFS && !writable {
        return None;
    }
    let denial = |what: &str| scene.told(Denial::new(Layer::Mounts, "read-only").what(what), call, &path);
    if let Some(kept) = scene.readonly_path(&path) {
        let Some(rule) = scene.rules.path("filesystem.readonly", kept) else {
            return Some(denial("kernel parameters and what else root could write are read-only in every sandbox"));
        };
        let change = Change::without(rule.clone(), Risk::Medium, format!("{kept} can be written as what is around it"));
        let around_is_writable =
            scene.mount(&path).is_some_and(|mount| !mount.late_readonly && !has(mount, attr::RDONLY));
        let changes = around_is_writable.then_some(change);
        return Some(denial("the profile keeps it from being written").rule(Some(rule)).changes(changes));
    }
    let Some(mount) = scene.mount(&path) else {
        return Some(denial("the root of the sandbox holds nothing of its own, and is read-only"));
    };
    let workspace = scene.rules.key("filesystem.workspace").filter(|rule| rule.value == "readonly");
    if let Some(rule) = workspace.filter(|_| mount.origin == crate::sandbox::CURRENT) {
        let change =
            Change::yaml("filesystem: {workspace: writable}", Risk::Medium, "the folder that one stands in is written");
        return Some(denial("the profile shares the current folder to be read").rule(Some(rule)).changes([change]));
    }
    let mut changes: Vec<Change> = again(scene, mount, &path, &place).into_iter().collect();
    // What is to be made can be made in another folder; what is to be found there cannot.
    changes.extend(empty_folder(&place).filter(|_| named.intent == Intent::Create && place != path));
    let what = match mount.origin.strip_prefix("--ro ") {
        Some(_) => format!("is shared to be read: {}", mount.origin),
        None => format!("is read-only: {}", mount.origin),
    };
    let what = if writable { what } else { format!("{what}; on the host you may not write it either") };
    Some(denial(&what).changes(changes))
}

/// The share that makes a part of a read-only mount writable, from where that mount comes.
fn again(scene: &Scene<'_>, mount: &Mount, path: &str, place: &str) -> Option<Change> {
    let MountKind::Bind(_) = mount.kind else { return None };
    let source = scene.host_path(place)?;
    let mut change = share(scene, Path::new(&source), true)?;
    if source != place
        && let How::Flag(flag) = &mut change.how
    {
        let value = flag.get_mut(1)?;
        value.push(':');
        value.push_str(&place.replace('\\', "\\\\").replace(':', "\\:"));
    }
    // Landlock has a rule for every share; what a profile keeps from writing by name stays so.
    let kept = scene.plan.profile.files.readonly.iter().any(|above| within(path, above));
    (!kept).then_some(change)
}

fn unexecutable(scene: &Scene<'_>, call: &Call, path: &str) -> Option<Denial> {
    let mount = scene.mount(path).filter(|mount| has(mount, attr::NOEXEC))?;
    let denial = Denial::new(Layer::Mounts, "noexec");
    let files = &scene.plan.profile.files;
    if files.executable.is_some() && !files.executes(path) {
        let yaml = format!("filesystem: {{executable: [{}]}}", quoted(&scene.lasting(path)));
        let change = Change::yaml(yaml, Risk::High, "what is written inside can then be executed");
        let rule = scene.rules.key("filesystem.executable");
        let what = "the profile lets no program be executed from a folder that is written";
        return Some(scene.told(denial.what(what).rule(rule).changes([change]), call, path));
    }
    let place = mount.destination.as_str();
    let tmpfs = matches!(&mount.kind, MountKind::Filesystem(fs) if fs.fstype == "tmpfs") && !within(place, "/dev");
    let change = tmpfs.then(|| {
        Change::flag("--tmpfs", place, Risk::Low, "an empty folder in memory from which programs can be executed")
    });
    let what = format!("no program is executed from {place}");
    Some(scene.told(denial.what(what).changes(change), call, path))
}

/// A program that is mapped and not executed: what a linker does.
fn mapped(scene: &Scene<'_>, call: &Call, errno: Errno) -> Option<Denial> {
    if errno != Errno::EPERM || name(call) != "mmap" || call.args[2] & libc::PROT_EXEC as u64 == 0 {
        return None;
    }
    unexecutable(scene, call, &text(call.paths.first()?))
}

/// A name that was to move between two mounts that are one file system on the host.
fn apart(scene: &Scene<'_>, call: &Call) -> Option<Denial> {
    let [from, to] = call.paths.as_slice() else { return None };
    let (from, to) = (text(from), text(to));
    let (one, other) = (scene.mount(&from)?, scene.mount(&to)?);
    if one.destination == other.destination {
        return None;
    }
    let what = format!("{} and {} are mounts of their own: programs copy instead", one.destination, other.destination);
    let denial = Denial { expected: true, ..Denial::new(Layer::Mounts, "apart").what(what) };
    Some(scene.told(denial, call, format!("{from} to {to}")))
}
