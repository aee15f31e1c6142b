//! Landlock: rights over paths, which add up on the way to the root, and TCP ports.

use super::change::{Change, Risk, quoted};
use super::mounts::share;
use super::scene::{name, object, parent, text};
use super::{Denial, Layer, Origin, Scene};
use crate::plan::{Backend, Landlock, LandlockRights};
use crate::profile::files::within;
use nix::errno::Errno;
use std::path::Path;
use zviz_observe::{Call, Intent, Named, SocketAddress};

/// Read, write, execute.
type Rights = (bool, bool, bool);

/// Whether it can have been the reason.
pub(super) fn ask(scene: &Scene<'_>, call: &Call, errno: Errno) -> Option<Denial> {
    let landlock = scene.plan.landlock.as_ref()?;
    match errno {
        Errno::EACCES if call.address.is_some() => port(scene, call, landlock),
        Errno::EACCES => call.paths.iter().find_map(|named| file(scene, call, named, landlock)),
        Errno::EPERM => scope(scene, call, landlock),
        Errno::EXDEV => refer(scene, call, landlock),
        _ => None,
    }
}

/// What the rules grant at a path: those of all folders above it together.
fn granted(landlock: &Landlock, path: &str) -> Rights {
    let around = landlock.rules.iter().filter(|rule| within(path, &rule.path));
    // Every rule reads.
    around.fold((false, false, false), |(_, write, execute), rule| match rule.rights {
        LandlockRights::Read => (true, write, execute),
        LandlockRights::ReadExecute => (true, write, true),
        LandlockRights::ReadWrite => (true, true, execute),
        LandlockRights::Full => (true, true, true),
    })
}

/// What is asked for, and of which path: to make a name or to take it away is a right over its folder.
fn needed(named: &Named) -> Option<(String, Rights)> {
    let path = text(named);
    Some(match named.intent {
        Intent::Read | Intent::List => (path, (true, false, false)),
        Intent::Write => (path, (false, true, false)),
        Intent::ReadWrite => (path, (true, true, false)),
        Intent::Execute => (path, (false, false, true)),
        Intent::Create | Intent::Remove => (parent(&path).to_owned(), (false, true, false)),
        // It has no rules about these.
        Intent::Metadata | Intent::Change | Intent::Enter | Intent::Mount => return None,
    })
}

fn file(scene: &Scene<'_>, call: &Call, named: &Named, landlock: &Landlock) -> Option<Denial> {
    // Without rules files are not handled.
    if landlock.rules.is_empty() {
        return None;
    }
    let (place, (read, write, execute)) = needed(named)?;
    let (reads, writes, executes) = granted(landlock, &place);
    if (!read || reads) && (!write || writes) && (!execute || executes) {
        return None;
    }
    // What its owner's mode refuses is refused without a sandbox as well.
    if scene.outside.modes_allow(call.pid, &named.path, named.intent) == Some(false) {
        return None;
    }
    let files = &scene.plan.profile.files;
    let path = text(named);
    // A new file's own rule has nothing to hold on to.
    let of_folder = matches!(named.intent, Intent::Create | Intent::Remove);
    let there = scene.lasting(if of_folder { &place } else { &path });
    let (cause, key, what) = if execute && !executes {
        ("execute", "filesystem.executable", "programs are not executed here")
    } else if write && !writes {
        ("write", "filesystem.writable", "is not among what the profile lets be written")
    } else {
        ("read", "filesystem.base", "is not among what the profile lets be read")
    };
    let kept = files.readonly.iter().filter(|above| write && within(&place, above)).max_by_key(|above| above.len());
    let kept = kept.and_then(|path| scene.rules.path("filesystem.readonly", path));
    let rule = kept.clone().or_else(|| scene.rules.key(key)).or_else(|| scene.rules.key("filesystem.rootfs"));
    // Without mounts it alone says what is shared.
    let in_place = scene.plan.backend == Backend::Landlock;
    let what = if in_place && cause != "execute" { "is not shared (--backend landlock)" } else { what };
    let denial = Denial::new(Layer::Landlock, cause).what(what).rule(rule);
    let changes = match cause {
        "read" | "write" if in_place && kept.is_none() => {
            let there = Path::new(if of_folder { &place } else { &path });
            let shared = share(scene, there, cause == "write").filter(|_| scene.outside.host_has(there));
            shared.into_iter().collect()
        }
        _ => changes(scene, cause, &there, kept),
    };
    Some(scene.told(denial.changes(changes), call, path))
}

/// What would grant it.
pub(super) fn changes(scene: &Scene<'_>, cause: &str, path: &str, kept: Option<Origin>) -> Vec<Change> {
    match cause {
        "execute" => {
            let yaml = format!("filesystem: {{executable: [{}]}}", quoted(path));
            let risk = if scene.is_readonly(path) { Risk::Low } else { Risk::High };
            let why = match risk {
                Risk::Low => "a program that nobody inside can change",
                _ => "what is written inside can then be executed",
            };
            vec![Change::yaml(yaml, risk, why)]
        }
        "write" => match kept {
            Some(rule) => vec![Change::without(rule, Risk::Medium, "takes away that it is kept from writing")],
            None if scene.is_readonly(path) => share(scene, Path::new(path), true).into_iter().collect(),
            None => {
                let yaml = format!("filesystem: {{writable: [{}]}}", quoted(path));
                vec![Change::yaml(yaml, Risk::Medium, "lets this be written")]
            }
        },
        _ => {
            let yaml = format!("filesystem: {{readonly: [{}]}}", quoted(path));
            match path {
                "/" => vec![Change::yaml(yaml, Risk::High, "lets all that is there be read")],
                _ => vec![Change::yaml(yaml, Risk::Medium, "lets this be read")],
            }
        }
    }
}

/// A file takes no right along that it had not where it came from.
fn refer(scene: &Scene<'_>, call: &Call, landlock: &Landlock) -> Option<Denial> {
    let [from, to] = call.paths.as_slice() else { return None };
    let (from, to) = (text(from), text(to));
    let same = |one: &str, other: &str| {
        scene.mount(one).map(|mount| &mount.destination) == scene.mount(other).map(|mount| &mount.destination)
    };
    if landlock.rules.is_empty() || !same(&from, &to) || granted(landlock, &from) == granted(landlock, &to) {
        return None;
    }
    let what = "other rights hold there than where it comes from: programs copy it instead";
    let denial = Denial { expected: true, ..Denial::new(Layer::Landlock, "refer").what(what) };
    Some(scene.told(denial, call, format!("{from} to {to}")))
}

fn port(scene: &Scene<'_>, call: &Call, landlock: &Landlock) -> Option<Denial> {
    let Some(SocketAddress::Inet(address)) = &call.address else { return None };
    let (ports, key, list) = match name(call).as_str() {
        "connect" => (&landlock.connect, "network.ports.allow_connect", "allow_connect"),
        "bind" => (&landlock.bind, "network.ports.allow_bind", "allow_bind"),
        _ => return None,
    };
    let port = address.port();
    if ports.as_ref().is_none_or(|ports| ports.contains(&port)) {
        return None;
    }
    let what = format!("port {port} is not among those that the profile allows");
    let yaml = format!("network: {{ports: {{{list}: [{port}]}}}}");
    let change = Change::yaml(yaml, Risk::Medium, "exactly this port, at any address");
    let denial = Denial::new(Layer::Landlock, "port").what(what).rule(scene.rules.key(key)).changes([change]);
    Some(scene.told(denial, call, object(call)))
}

fn scope(scene: &Scene<'_>, call: &Call, landlock: &Landlock) -> Option<Denial> {
    let is_abstract = matches!(call.address, Some(SocketAddress::UnixAbstract(_)));
    if !landlock.scoped || !is_abstract || name(call) == "bind" {
        return None;
    }
    let what = "abstract sockets of programs outside are out of reach, whatever network there is";
    Some(scene.told(Denial::new(Layer::Landlock, "scope").what(what), call, object(call)))
}
