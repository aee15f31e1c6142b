//! What the kernel has recorded: a layer has said of itself that it denied something, and the profile is asked why.

mod filter;

use super::change::{Change, How, Risk};
use super::denial::shown;
use super::scene::text;
use super::{Denial, Layer, Scene, landlock};
use crate::plan::capabilities;
use crate::profile::files::within;
use crate::records::{Access, Recorded};
use nix::errno::Errno;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use zviz_observe::{Call, Intent, Named, SocketAddress};
use zviz_seccomp::{Arch, name_of, number_of};

/// A denial, as the kernel told of it. None where what is told is not the profile's doing: a sandbox inside has Landlock too.
#[must_use]
pub fn recorded(scene: &Scene<'_>, record: &Recorded) -> Option<Denial> {
    let mut denial = match &record.access {
        Access::Landlock { blockers, .. } => blockers.iter().find_map(|blocker| of_landlock(scene, record, blocker))?,
        Access::AppArmor { .. } => of_apparmor(scene, &record.access)?,
        Access::Selinux { .. } => of_selinux(scene, &record.access)?,
        Access::Seccomp { .. } => filter::recorded(scene, record)?,
    };
    let known = record.call.and_then(|(arch, number)| {
        let arch = Arch::all().find(|known| known.audit() == arch && *known != Arch::X32)?;
        name_of(u32::try_from(number).ok()?, arch)
    });
    denial.call = known.unwrap_or(denial.call);
    let program = record.program.as_os_str().as_encoded_bytes();
    match (&record.access, program.is_empty()) {
        (Access::AppArmor { comm, .. } | Access::Selinux { comm, .. } | Access::Seccomp { comm, .. }, true) => {
            denial.program = shown(comm)
        }
        _ => denial.program = shown(program),
    }
    denial.changes.retain(Change::is_plain);
    Some(denial)
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}

/// What a missing right was for. To make a name or take it away the kernel tells of the folder.
fn intent(blocker: &str) -> Option<Intent> {
    Some(match blocker.strip_prefix("fs.")? {
        "execute" => Intent::Execute,
        "read_file" => Intent::Read,
        "read_dir" => Intent::List,
        "write_file" | "truncate" | "ioctl_dev" => Intent::Write,
        name if name.starts_with("make_") || name.starts_with("remove_") => Intent::Write,
        _ => return None,
    })
}

/// A layer's answer to the call that the record is of, as far as the record tells which that was.
fn of_landlock(scene: &Scene<'_>, record: &Recorded, blocker: &str) -> Option<Denial> {
    let Access::Landlock { path: object, port, address, .. } = &record.access else { return None };
    let mut call = Call {
        pid: record.pid.unwrap_or(0),
        program: record.program.clone(),
        arch: Arch::native().audit(),
        number: 0,
        args: [0; 6],
        result: -i64::from(Errno::EACCES as i32),
        paths: Vec::new(),
        address: None,
    };
    let is = |call: &mut Call, name: &str| call.number = number_of(name, Arch::native()).map_or(0, u64::from);
    let told = |cause: &str, what: &str, object: &[u8]| {
        let denial = Denial::new(Layer::Landlock, cause).what(what);
        let result = format!("{:?}", Errno::EPERM);
        Some(Denial { call: blocker.to_owned(), object: shown(object), result, ..denial })
    };
    let denial = match blocker {
        "net.bind_tcp" | "net.connect_tcp" => {
            is(&mut call, if blocker == "net.bind_tcp" { "bind" } else { "connect" });
            let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            call.address = Some(SocketAddress::Inet(SocketAddr::new(address, (*port)?)));
            landlock::ask(scene, &call, Errno::EACCES)?
        }
        "scope.abstract_unix_socket" => {
            is(&mut call, "connect");
            let name = object.as_deref().map(|name| name.strip_prefix(b"\0").unwrap_or(name)).unwrap_or_default();
            call.address = Some(SocketAddress::UnixAbstract(name.to_vec()));
            call.result = -i64::from(Errno::EPERM as i32);
            landlock::ask(scene, &call, Errno::EPERM)?
        }
        "scope.signal" => {
            let scoped = scene.plan.landlock.as_ref().is_some_and(|landlock| landlock.scoped);
            return scoped.then(|| told("scope", "signals to programs outside are kept inside", b"")).flatten();
        }
        "ptrace" => return told("ptrace", "programs outside are not looked into", b""),
        "fs.change_topology" => {
            let what = "no mounts are made or changed where Landlock judges files";
            return told("mounts", what, object.as_deref().unwrap_or_default());
        }
        _ => {
            let path = path(object.as_deref()?);
            call.paths = vec![Named { text: Vec::new(), path, intent: intent(blocker)? }];
            landlock::ask(scene, &call, Errno::EACCES)?
        }
    };
    Some(Denial { call: if blocker.starts_with("fs.") { blocker.to_owned() } else { denial.call.clone() }, ..denial })
}

/// What a mask of AppArmor asks for: reading, writing, executing.
fn asked(mask: &str) -> (bool, bool, bool) {
    let any = |letters: &str| mask.chars().any(|letter| letters.contains(letter));
    (any("r"), any("wacdkl"), any("xm"))
}

fn of_apparmor(scene: &Scene<'_>, access: &Access) -> Option<Denial> {
    let Access::AppArmor { profile, operation, mask, name, kind, .. } = access else { return None };
    let name = name.as_deref().unwrap_or_default();
    let errno = if operation == "capable" { Errno::EPERM } else { Errno::EACCES };
    let mut denial = match &scene.plan.apparmor {
        Some(_) => own(scene, operation, mask, name, kind.as_deref()),
        None => {
            let cause = if mask.is_empty() { operation } else { mask };
            let what = format!("the AppArmor profile {} does not allow it", shown(profile.as_bytes()));
            let of = format!("AppArmor profile {profile}");
            let rule = line(operation, mask, name, kind.as_deref());
            let change = rule.map(|(rule, risk)| Change {
                how: How::Policy { of, rule },
                risk,
                why: "for all that have this AppArmor profile".into(),
            });
            let denial = Denial::new(Layer::Apparmor, cause).what(what);
            denial.rule(scene.rules.key("lsm.profile")).changes(change)
        }
    };
    denial.call.clone_from(operation);
    denial.object = shown(name);
    denial.result = format!("{errno:?}");
    Some(denial)
}

/// Of the AppArmor profile that was made of this one.
fn own(scene: &Scene<'_>, operation: &str, mask: &str, name: &[u8], kind: Option<&str>) -> Denial {
    let denial = |cause: &str, what: &str| Denial::new(Layer::Apparmor, cause).what(what);
    if operation == "capable" {
        let word = String::from_utf8_lossy(name).to_ascii_uppercase();
        let missing = capabilities::number(&word).filter(|number| scene.plan.profile.capabilities & (1 << number) == 0);
        let change = missing.map(|_| {
            let yaml = format!("capabilities: {{keep: [{word}]}}");
            Change::yaml(yaml, Risk::High, format!("gives CAP_{word} to whatever runs inside"))
        });
        let what = format!("CAP_{} is not among the capabilities that the profile keeps", shown(word.as_bytes()));
        return denial("capability", &what).rule(scene.rules.key("capabilities.drop_all")).changes(change);
    }
    if kind.is_some() {
        return denial("sockets", "is not among the kinds of sockets that the profile has")
            .rule(scene.rules.key("network.sockets.allow"));
    }
    if !name.starts_with(b"/") || operation.ends_with("mount") || operation == "pivotroot" {
        return denial(operation, "what is outside is neither signalled, traced nor mounted from here");
    }
    let named = Named { path: path(name), text: Vec::new(), intent: Intent::Read };
    let path = text(&named);
    // A folder's name ends in a slash there.
    let path = if path.len() > 1 { path.trim_end_matches('/') } else { &path };
    let files = &scene.plan.profile.files;
    let (reads, writes, executes) = asked(mask);
    if let Some(hidden) = files.hidden.iter().find(|hidden| within(path, hidden)) {
        let rule = scene.rules.path("filesystem.hidden", hidden);
        let change = rule.clone().map(|rule| Change::without(rule, Risk::High, "what was hidden is there again"));
        return denial("hidden", "the profile hides it").rule(rule).changes(change);
    }
    let (cause, key, what) = match () {
        () if writes && !files.writes(path) => {
            ("write", "filesystem.writable", "is not among what the profile lets be written")
        }
        () if executes && !files.executes(path) => {
            ("execute", "filesystem.executable", "programs are not executed here")
        }
        () if reads && !files.reads(path) => ("read", "filesystem.base", "is not among what the profile lets be read"),
        () => return denial("never", "it is a way out of a sandbox, which no profile opens"),
    };
    let kept = files.readonly.iter().filter(|above| writes && within(path, above)).max_by_key(|above| above.len());
    let kept = kept.and_then(|path| scene.rules.path("filesystem.readonly", path));
    let rule = kept.clone().or_else(|| scene.rules.key(key));
    let changes = landlock::changes(scene, cause, &scene.lasting(path), kept);
    denial(cause, what).rule(rule).changes(changes)
}

/// A rule of an AppArmor profile that allows it, where it can be said without a pattern. apparmor.d(5).
fn line(operation: &str, mask: &str, name: &[u8], kind: Option<&str>) -> Option<(String, Risk)> {
    let name = std::str::from_utf8(name).ok()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | ':');
    match (operation, kind) {
        ("capable", _) => Some((format!("capability {name},"), Risk::High)),
        ("mount" | "umount" | "ptrace", _) => Some((format!("{operation},"), Risk::High)),
        ("pivotroot", _) => Some(("pivot_root,".into(), Risk::High)),
        ("signal", _) => Some(("signal,".into(), Risk::Medium)),
        (_, Some(kind)) => Some((format!("network {name} {kind},"), Risk::Medium)),
        _ if name.starts_with('/') && name.chars().all(plain) => {
            let (reads, writes, executes) = asked(mask);
            let letters = [(reads, "r"), (writes, "w"), (mask.contains('k'), "k"), (mask.contains('l'), "l")];
            let letters: String = letters.iter().filter(|(asked, _)| *asked).map(|(_, letter)| *letter).collect();
            let runs = if executes { "mix" } else { "" };
            Some((format!("\"{name}\" {letters}{runs},"), Risk::Medium)).filter(|_| reads || writes || executes)
        }
        _ => None,
    }
}

fn of_selinux(scene: &Scene<'_>, access: &Access) -> Option<Denial> {
    let Access::Selinux { source, target, class, rights, name, .. } = access else { return None };
    // The third of user, role, type and level.
    let of = |label: &str| label.split(':').nth(2).map(str::to_owned);
    let (from, to) = (of(source)?, of(target)?);
    let asked = rights.join(" ");
    let rule = format!("allow {from} {}:{class} {{ {asked} }};", if source == target { "self" } else { &to });
    let grave = class.starts_with("cap") || !matches!(class.as_str(), "file" | "dir" | "lnk_file" | "fifo_file");
    let change = Change {
        how: How::Policy { of: "SELinux".into(), rule },
        risk: if grave { Risk::High } else { Risk::Medium },
        why: format!("for all that runs as {from}"),
    };
    let what = format!("the machine's policy lets {from} not {asked} what is labelled {to} ({class})");
    let denial = Denial::new(Layer::Selinux, class).what(what).rule(scene.rules.key("lsm.profile")).changes([change]);
    let result = format!("{:?}", Errno::EACCES);
    Some(Denial { call: asked, object: shown(name.as_deref().unwrap_or_default()), result, ..denial })
}

#[cfg(test)]
#[path = "recorded/tests.rs"]
mod tests;
