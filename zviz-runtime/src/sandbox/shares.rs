//! Files and folders of the host that are shared: `--rw HOST[:INSIDE]`, `--ro HOST[:INSIDE]`.

use super::Sandbox;
use super::facts::{Facts, Kind};
use super::folders::{Entry, What};
use super::paths;
use crate::plan::Problems;

/// A file or folder of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// On the host; relative to the caller's current folder.
    pub host: String,
    /// Inside, absolute; the same path as on the host where absent.
    pub inside: Option<String>,
    /// Whether it may be written.
    pub writable: bool,
}

impl Share {
    /// Parses `HOST[:INSIDE]`. A colon or backslash of a path is written `\:` or `\\`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, writable: bool) -> Result<Share, String> {
        let mut parts = paths::split(text)?.into_iter();
        let host = parts.next().filter(|host| !host.is_empty()).ok_or("names no path of the host")?;
        let inside = parts.next();
        if inside.as_deref() == Some("") {
            return Err("names no path after the colon".into());
        }
        if parts.next().is_some() {
            return Err("has more than one colon (write a colon of a path as \\:)".into());
        }
        Ok(Share { host, inside, writable })
    }

    /// How it was asked for.
    pub fn place(&self) -> String {
        let flag = if self.writable { "--rw" } else { "--ro" };
        match &self.inside {
            Some(inside) => format!("{flag} {}:{inside}", self.host),
            None => format!("{flag} {}", self.host),
        }
    }
}

/// The mounts that the shares come to.
pub(super) fn entries(sandbox: &Sandbox, facts: &Facts, problems: &mut Problems) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for share in &sandbox.shares {
        let place = share.place();
        let Some(entry) = entry(share, facts, &place, problems) else { continue };
        if entries.iter().any(|other| other.inside == entry.inside) {
            problems.add(place, format!("{} is shared twice", entry.inside));
            continue;
        }
        entries.push(entry);
    }
    entries
}

pub(super) fn entry(share: &Share, facts: &Facts, place: &str, problems: &mut Problems) -> Option<Entry> {
    let source = match facts.sources.get(&share.host) {
        Some(Ok(source)) => source,
        Some(Err(why)) => {
            problems.add(place, why.as_str());
            return None;
        }
        None => {
            problems.add(place, "was not looked for");
            return None;
        }
    };
    if source.path == "/" {
        problems.add(place, "is the whole host, its processes and sockets included; name the folders that are needed");
        return None;
    }
    if paths::within(&source.path, "/proc") {
        problems.add(place, "is in the host's /proc, which shows the host's processes; the sandbox has its own");
        return None;
    }
    if matches!(source.kind, Kind::Device) {
        problems.add(place, "is a device; a sandbox has null, zero, full, random, urandom and tty");
        return None;
    }
    let asked = match &share.inside {
        Some(inside) => inside.as_str(),
        None if paths::is_plain(&share.host) => &share.host,
        None => &source.path,
    };
    let inside = match paths::inside(asked) {
        Ok(inside) => inside,
        Err(why) => {
            problems.add(place, why);
            return None;
        }
    };
    if let Some(why) = refused(&inside, share.writable) {
        problems.add(place, why);
        return None;
    }
    let what = What::Bind { source: source.path.clone(), writable: share.writable, own: true };
    Some(Entry { inside, origin: place.to_owned(), what })
}

/// Why nothing may be mounted there, if so.
pub(super) fn refused(inside: &str, writable: bool) -> Option<String> {
    if inside == "/" {
        return Some("the root itself cannot be replaced (--rootfs gives another one)".into());
    }
    for own in ["/proc", "/dev"] {
        if paths::within(inside, own) {
            return Some(format!("{own} of the sandbox is its own, nothing can be mounted there"));
        }
    }
    if inside == "/sys" || paths::within(inside, "/sys") && writable {
        return Some("of /sys only parts can be shared, read-only".into());
    }
    None
}
