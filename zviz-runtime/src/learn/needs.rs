//! What a program was seen to use.

mod sockets;

use sockets::kind;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use zviz_observe::{Call, Intent, Report, SocketAddress};

/// Bytes that names may take, of calls that succeeded and as much again of those that failed: a program can make up any number,
/// and who learns has no limit of memory.
const MOST: usize = 64 << 20;
/// Of calls of the x32 table, asm/unistd.h.
const X32: u64 = 1 << 30;
/// What is kept beside each.
const BESIDE: usize = 128;
/// Driver calls, which no program has so many of.
const MOST_IOCTLS: usize = 1024;
/// No kernel has a call of such a number.
const NO_CALL: u64 = 1 << 16;

/// What was done with a path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Uses {
    /// Its contents were read, or it was listed.
    pub read: bool,
    /// It was written, or changed.
    pub written: bool,
    /// A name was made or taken away.
    pub made: bool,
    /// It was executed.
    pub executed: bool,
    /// It was looked at, or entered.
    pub seen: bool,
}

/// What a program was seen to use.
#[derive(Debug, Default)]
pub struct Needs {
    /// System calls, by name.
    pub calls: BTreeSet<String>,
    /// Where its paths led, of calls that succeeded.
    pub paths: BTreeMap<PathBuf, Uses>,
    /// Absolute paths as they were written, of calls that succeeded.
    pub texts: BTreeMap<PathBuf, Uses>,
    /// Calls that failed, with where their first path led, and the errno.
    pub failed: BTreeSet<(String, Option<PathBuf>, i32)>,
    /// What failed calls were to do with paths.
    pub refused: BTreeMap<PathBuf, Uses>,
    /// Kinds of sockets that were made, as profiles name them.
    pub sockets: BTreeSet<&'static str>,
    /// Kinds that were refused.
    pub sockets_refused: BTreeSet<&'static str>,
    /// TCP ports that were refused, to listen at.
    pub binds_refused: BTreeSet<u16>,
    /// TCP ports that were refused, to connect to.
    pub connects_refused: BTreeSet<u16>,
    /// TCP ports that were listened at.
    pub binds: BTreeSet<u16>,
    /// Whether one was left to the kernel to choose.
    pub any_port: bool,
    /// TCP ports that were connected to.
    pub connects: BTreeSet<u16>,
    /// Unix sockets that were connected to.
    pub unix: BTreeSet<PathBuf>,
    /// Driver calls that were answered.
    pub ioctls: BTreeSet<u32>,
    /// The highest descriptor that a file was opened at.
    pub descriptors: i64,
    /// Whether the working folder was asked for or used.
    pub stands: bool,
    room: Room,
    room_for_failures: Room,
    names: HashMap<(u32, u64), Option<String>>,
    kinds: HashMap<(i32, u64), &'static str>,
}

/// What names have taken, and how many there was none for.
#[derive(Debug, Default)]
struct Room {
    taken: usize,
    left_out: u64,
}

impl Room {
    fn take(&mut self, path: &Path) -> bool {
        let taken = self.taken.saturating_add(path.as_os_str().len()).saturating_add(BESIDE);
        let has = taken <= MOST;
        if has {
            self.taken = taken;
        } else {
            self.left_out = self.left_out.saturating_add(1);
        }
        has
    }

    /// Notes what was done with a path.
    fn note(&mut self, to: &mut BTreeMap<PathBuf, Uses>, path: &Path, uses: Uses) {
        if let Some(known) = to.get_mut(path) {
            known.add(uses);
        } else if self.take(path) {
            to.insert(path.to_path_buf(), uses);
        }
    }
}

impl Uses {
    fn of(intent: Intent) -> Uses {
        let none = Uses::default();
        match intent {
            Intent::Read | Intent::List => Uses { read: true, ..none },
            Intent::Write | Intent::Change => Uses { written: true, ..none },
            Intent::ReadWrite => Uses { read: true, written: true, ..none },
            Intent::Create => Uses { written: true, made: true, ..none },
            Intent::Remove => Uses { made: true, ..none },
            Intent::Execute => Uses { executed: true, ..none },
            Intent::Metadata | Intent::Enter | Intent::Mount => Uses { seen: true, ..none },
        }
    }

    fn add(&mut self, other: Uses) {
        self.read |= other.read;
        self.written |= other.written;
        self.made |= other.made;
        self.executed |= other.executed;
        self.seen |= other.seen;
    }
}

/// Arguments that are ints: what is in the upper half of the register is not theirs.
fn int(value: u64) -> i32 {
    value as i32
}

impl Report for Needs {
    fn call(&mut self, call: &Call) {
        if call.number & !X32 >= NO_CALL {
            return;
        }
        let name = self.names.entry((call.arch, call.number)).or_insert_with(|| call.name()).clone();
        let Some(name) = name else { return };
        match call.errno() {
            None => {
                self.paths_of(call);
                self.socket(&name, call);
            }
            Some(errno) => {
                self.failure(&name, call, errno);
                // A connection that nobody answers was allowed.
                if !matches!(errno, libc::EACCES | libc::EPERM) {
                    self.socket(&name, call);
                }
            }
        }
        if name == "ioctl" && call.errno() != Some(libc::ENOTTY) && self.ioctls.len() < MOST_IOCTLS {
            self.ioctls.insert(call.args[1] as u32);
        }
        if matches!(name.as_str(), "getcwd" | "fchdir") {
            self.stands = true;
        }
        self.calls.insert(name);
    }
}

impl Needs {
    /// How often there was no room to remember a name.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.room.left_out.saturating_add(self.room_for_failures.left_out)
    }

    fn paths_of(&mut self, call: &Call) {
        for named in &call.paths {
            let uses = Uses::of(named.intent);
            self.room.note(&mut self.paths, &named.path, uses);
            let text = Path::new(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&named.text));
            match text.is_absolute() {
                true => self.room.note(&mut self.texts, text, uses),
                false => self.stands = true,
            }
        }
        let opens = call.paths.first().is_some_and(|named| !matches!(named.intent, Intent::Metadata | Intent::Enter));
        if opens && call.result < 1 << 20 {
            self.descriptors = self.descriptors.max(call.result);
        }
    }

    fn failure(&mut self, name: &str, call: &Call, errno: i32) {
        for named in &call.paths {
            self.room_for_failures.note(&mut self.refused, &named.path, Uses::of(named.intent));
        }
        let path = call.paths.first().map(|named| named.path.clone());
        let room = &mut self.room_for_failures;
        let failed = (name.to_owned(), path, errno);
        if !self.failed.contains(&failed) && failed.1.as_deref().is_none_or(|path| room.take(path)) {
            self.failed.insert(failed);
        }
        if let (libc::EACCES, Some(SocketAddress::Inet(at))) = (errno, &call.address) {
            match name {
                "bind" => drop(self.binds_refused.insert(at.port())),
                "connect" => drop(self.connects_refused.insert(at.port())),
                _ => {}
            }
        }
        if name == "socket" {
            self.sockets_refused.extend(kind(int(call.args[0]), int(call.args[1]), int(call.args[2])));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zviz_observe::Named;
    use zviz_seccomp::{Arch, number_of};

    pub(super) fn call(name: &str, args: [u64; 6], result: i64) -> Call {
        Call {
            pid: 1,
            program: PathBuf::new(),
            arch: Arch::native().audit(),
            number: number_of(name, Arch::native()).unwrap().into(),
            args,
            result,
            paths: Vec::new(),
            address: None,
        }
    }

    #[test]
    fn what_succeeds_is_needed_and_what_fails_is_remembered() {
        let mut needs = Needs::default();
        let named = |intent| Named { path: "/a/b".into(), text: b"b".to_vec(), intent };
        let with = |intent, result| Call { paths: vec![named(intent)], ..call("openat", [0; 6], result) };
        needs.call(&with(Intent::Read, 3));
        needs.call(&with(Intent::Create, -i64::from(libc::EACCES)));
        assert_eq!(needs.paths[Path::new("/a/b")], Uses { read: true, ..Uses::default() });
        assert!(needs.refused[Path::new("/a/b")].made && needs.stands);
        assert_eq!(needs.failed.iter().next(), Some(&("openat".into(), Some("/a/b".into()), libc::EACCES)));
        assert_eq!(needs.descriptors, 3);
    }

    #[test]
    fn names_have_as_much_room_as_there_is() {
        let mut needs = Needs::default();
        for number in 0..12_000 {
            let path = PathBuf::from(format!("/{}{number}", "a/".repeat(2000)));
            let paths = vec![Named { path, text: b"b".to_vec(), intent: Intent::Read }];
            needs.call(&Call { paths, ..call("openat", [0; 6], -i64::from(libc::ENOENT)) });
        }
        assert!(needs.refused.len() < 20_000 && needs.failed.len() < 20_000 && needs.left_out() > 0);
        // It takes none of the others' away.
        let paths = vec![Named { path: "/a".into(), text: b"/a".to_vec(), intent: Intent::Read }];
        needs.call(&Call { paths, ..call("openat", [0; 6], 3) });
        assert!(needs.paths.contains_key(Path::new("/a")) && needs.texts.contains_key(Path::new("/a")));
    }
}
