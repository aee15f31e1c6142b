//! Reads what [`Facts`] holds. It is on the way to every start: a few dozen system calls, no more.

use super::facts::{Facts, Home, Kind, Limits, Names, RootEntry, Source};
use super::{Network, Sandbox, masks, paths};
use crate::network;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::{AccessFlags, access, getegid, geteuid};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// /etc/passwd is read to this many bytes: an image may bring any file under that name (CVE-2026-47262).
const PASSWD_MAX: u64 = 1 << 20;

/// Looks at the machine for one sandbox. `limits` and `subid_base` are known to the caller already.
pub fn probe(sandbox: &Sandbox, limits: Limits, subid_base: Option<u32>) -> Facts {
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let rootfs = sandbox.rootfs.as_deref().map(folder);
    let base = match &rootfs {
        Some(Ok(path)) => path.as_str(),
        _ => "/",
    };
    let named = sandbox.shares.iter().map(|share| &share.host).chain(sandbox.named());
    let sources = named.map(|host| (host.clone(), source(host))).collect();
    let translated = subid_base.is_some() && sandbox.userns == super::Userns::Auto;
    Facts {
        uid: geteuid().as_raw(),
        gid: getegid().as_raw(),
        subid_base,
        cwd: std::env::current_dir().ok().and_then(|path| path.into_os_string().into_string().ok()),
        home: environment.get("HOME").and_then(|path| home(path)),
        root: root(base, rootfs.is_some()),
        sources,
        user: sandbox.user.as_deref().map(|user| ids(user, base)),
        readable_secrets: if translated || rootfs.is_some() { Vec::new() } else { readable_secrets() },
        is_root: false,
        state: None,
        names: if sandbox.network.is_linked() { names(base) } else { Names::default() },
        temporary: None,
        beside: BTreeMap::new(),
        resolver: if sandbox.network == Network::Host && rootfs.is_none() { resolver() } else { None },
        limits,
        open_files: getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024)),
        rootfs,
        environment,
    }
}

/// Looks at what a sandbox without mounts has to know beside.
///
/// # Errors
/// If no name can be made up for its folder.
pub(super) fn probe_in_place(sandbox: &Sandbox) -> io::Result<Facts> {
    let mut facts = probe(sandbox, Limits::default(), None);
    facts.temporary = super::temporary::name()?.into_os_string().into_string().ok();
    for path in facts.readable_secrets.iter().chain(&sandbox.profile.files.hidden) {
        for folder in Path::new(path).ancestors().skip(1).filter(|folder| folder.parent().is_some()) {
            let Some(name) = folder.to_str().filter(|name| !facts.beside.contains_key(*name)) else { continue };
            let found = fs::read_dir(folder).into_iter().flatten().flatten();
            // A rule about a link is one about what it leads to.
            let found = found.filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink()));
            let names = found.filter_map(|entry| entry.file_name().into_string().ok()).collect();
            facts.beside.insert(name.to_owned(), names);
        }
    }
    Ok(facts)
}

fn why(error: &io::Error) -> String {
    match error.raw_os_error() {
        // Without the number that io::Error appends, and in lower case like all that we say.
        Some(number) => nix::errno::Errno::from_raw(number).desc().to_lowercase(),
        None => error.to_string(),
    }
}

fn resolved(path: &str) -> Result<String, String> {
    let path = fs::canonicalize(path).map_err(|e| why(&e))?;
    path.into_os_string().into_string().map_err(|_| "its path is not UTF-8".to_owned())
}

fn source(host: &str) -> Result<Source, String> {
    let path = resolved(host)?;
    let kind = fs::metadata(&path).map_err(|e| why(&e))?.file_type();
    let kind = if kind.is_dir() {
        Kind::Folder
    } else if kind.is_char_device() || kind.is_block_device() {
        Kind::Device
    } else {
        Kind::File
    };
    Ok(Source { path, kind })
}

fn folder(path: &str) -> Result<String, String> {
    let source = source(path)?;
    match source.kind {
        Kind::Folder if source.path == "/" => {
            Err("is the host's own root, which is what a sandbox has without it".into())
        }
        Kind::Folder => Ok(source.path),
        _ => Err("is not a folder".into()),
    }
}

fn home(path: &str) -> Option<Home> {
    if !paths::is_plain(path) {
        return None;
    }
    match resolved(path) {
        Ok(path) => Some(Home { path, exists: true }),
        Err(_) => Some(Home { path: paths::inside(path).ok()?, exists: false }),
    }
}

fn root(base: &str, image: bool) -> BTreeMap<String, RootEntry> {
    let mut entries = BTreeMap::new();
    let Ok(folder) = fs::read_dir(base) else { return entries };
    for found in folder.flatten() {
        let Ok(name) = found.file_name().into_string() else { continue };
        if !image && !super::folders::SYSTEM.contains(&name.as_str()) {
            continue;
        }
        // From getdents(2) itself on every file system that matters: no further call.
        let Ok(kind) = found.file_type() else { continue };
        let entry = if kind.is_dir() {
            RootEntry::Folder
        } else if kind.is_file() {
            RootEntry::File
        } else if kind.is_symlink() {
            let target = fs::read_link(found.path()).ok().and_then(|target| target.into_os_string().into_string().ok());
            match target {
                Some(target) => RootEntry::Link(target),
                None => continue,
            }
        } else {
            continue;
        };
        entries.insert(name, entry);
    }
    if image && Path::new(base).join("var/tmp").is_dir() {
        entries.insert("var/tmp".to_owned(), RootEntry::Folder);
    }
    entries
}

fn readable_secrets() -> Vec<String> {
    let mut secrets = Vec::new();
    let readable = |path: &str| access(path, AccessFlags::R_OK).is_ok();
    for pattern in masks::SYSTEM_SECRETS {
        let Some(prefix) = pattern.strip_suffix('*') else {
            secrets.extend(readable(pattern).then(|| (*pattern).to_owned()));
            continue;
        };
        let Some((folder, begin)) = prefix.rsplit_once('/') else { continue };
        for found in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = found.file_name();
            let path = name.to_str().filter(|name| name.starts_with(begin)).map(|name| format!("{folder}/{name}"));
            secrets.extend(path.filter(|path| readable(path)));
        }
    }
    secrets
}

/// As much as is read of resolv.conf(5).
const RESOLVER_MAX: u64 = 64 << 10;

/// What the host says of names, and which files of them a root has. What cannot be read is not there.
fn names(base: &str) -> Names {
    let there = network::NAMES.iter().filter(|name| fs::symlink_metadata(format!("{base}/etc/{name}")).is_ok());
    let mut names = Names { there: there.map(|name| (*name).to_owned()).collect(), ..Names::default() };
    for (address, bits) in network::host::networks().unwrap_or_default() {
        names.own.push(address);
        names.links.extend(network::host::network(address, bits));
    }
    let mut text = String::new();
    if let Ok(file) = File::open("/etc/resolv.conf") {
        let _ = file.take(RESOLVER_MAX).read_to_string(&mut text);
    }
    names.read(&text);
    names
}

fn resolver() -> Option<String> {
    resolved("/etc/resolv.conf").ok().filter(|path| paths::within(path, "/run"))
}

/// `UID`, `UID:GID` or a name of the root's /etc/passwd.
fn ids(user: &str, base: &str) -> Result<(u32, u32), String> {
    let number = |text: &str| {
        // u32::MAX is "no id" for the kernel: setresuid(2) would leave the id as it is (CVE-2024-40635 is its kin).
        let id = if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None };
        id.filter(|id| *id != u32::MAX).ok_or_else(|| format!("{text:?} is no id"))
    };
    if let Some((uid, gid)) = user.split_once(':') {
        return Ok((number(uid)?, number(gid)?));
    }
    let passwd = passwd(base).unwrap_or_default();
    if user.starts_with(|c: char| c.is_ascii_digit()) {
        let uid = number(user)?;
        let gid = lookup(&passwd, |_, id| id == uid).map_or(uid, |(_, gid)| gid);
        return Ok((uid, gid));
    }
    lookup(&passwd, |name, _| name == user).ok_or_else(|| "no such user in /etc/passwd".to_owned())
}

fn lookup(passwd: &str, wanted: impl Fn(&str, u32) -> bool) -> Option<(u32, u32)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _) = (fields.next()?, fields.next()?);
        let uid = fields.next()?.parse().ok().filter(|id| *id != u32::MAX)?;
        let gid = fields.next()?.parse().ok().filter(|id| *id != u32::MAX)?;
        wanted(name, uid).then_some((uid, gid))
    })
}

/// Found in the root, whatever links the root's owner has laid, and never outside it.
fn passwd(base: &str) -> io::Result<String> {
    let root = File::open(base)?;
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let file = File::from(openat2(&root, "etc/passwd", how)?);
    let mut bytes = Vec::new();
    file.take(PASSWD_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found() {
        let passwd = "root:x:0:0::/root:/bin/sh\nbob:x:1000:1001::/home/bob:/bin/sh\nbad:x:4294967295:1::/:\n";
        assert_eq!(lookup(passwd, |name, _| name == "bob"), Some((1000, 1001)));
        assert_eq!(lookup(passwd, |name, _| name == "bad"), None);
    }

    #[test]
    fn users_are_parsed_strictly() {
        assert_eq!(ids("12:34", "/"), Ok((12, 34)));
        for bad in ["4294967295", "1:4294967295", "-1:0", "1:", ":1", "1:2:3", "99999999999", "1x", "no such user"] {
            assert!(ids(bad, "/").is_err(), "{bad}");
        }
    }

    #[test]
    fn sources_say_what_is_wrong() {
        assert_eq!(source("/nonexistent"), Err("no such file or directory".into()));
        assert_eq!(source("/etc/passwd/x"), Err("not a directory".into()));
        assert_eq!(source("/dev/null").map(|s| s.kind), Ok(Kind::Device));
    }
}
