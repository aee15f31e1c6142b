//! Mount options: one table from the words of a spec to what the mount API takes.

use super::{Attributes, Propagation, PropagationKind};

pub use zviz_sys::mount::attr;

/// What one word means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// Sets an attribute of this mount.
    Set(u64),
    /// Clears one.
    Clear(u64),
    /// Chooses the access-time mode of this mount.
    Atime(u64),
    /// Takes back the choice of that mode, if it is the one chosen.
    NotAtime(u64),
    /// Sets attributes of the tree.
    SetAll(u64),
    /// Clears attributes of the tree.
    ClearAll(u64),
    /// Chooses the access-time mode of the tree.
    AtimeAll(u64),
    /// A flag of the file system itself, by the key that fsconfig(2) knows.
    Superblock(&'static str),
    /// Takes such a flag back.
    NoSuperblock(&'static str),
    Propagation(PropagationKind, bool),
    Bind {
        recursive: bool,
    },
    Remount,
    CopyUp,
    Idmap {
        recursive: bool,
    },
    NoFollow,
    /// Says what is so anyway.
    Nothing,
}

use Meaning::{
    Atime, AtimeAll, Bind, Clear, ClearAll, CopyUp, Idmap, NoFollow, NoSuperblock, NotAtime, Nothing, Remount, Set,
    SetAll, Superblock,
};
use PropagationKind::{Private, Shared, Slave, Unbindable};

/// Every word that is no option of a file system; mount(8), config.md "Linux mount options".
const TABLE: &[(&str, Meaning)] = &[
    ("async", NoSuperblock("sync")),
    ("atime", NotAtime(attr::NOATIME)),
    ("bind", Bind { recursive: false }),
    ("defaults", Nothing),
    ("dev", Clear(attr::NODEV)),
    ("diratime", Clear(attr::NODIRATIME)),
    ("dirsync", Superblock("dirsync")),
    ("exec", Clear(attr::NOEXEC)),
    ("idmap", Idmap { recursive: false }),
    // Whether changes are counted is decided by each file system itself by now; the mount API has no such flag.
    ("iversion", Nothing),
    ("lazytime", Superblock("lazytime")),
    // Says how much the kernel logs of a mount that fails; the mount API has no such switch.
    ("loud", Nothing),
    ("mand", Superblock("mand")),
    ("noatime", Atime(attr::NOATIME)),
    ("nodev", Set(attr::NODEV)),
    ("nodiratime", Set(attr::NODIRATIME)),
    ("noexec", Set(attr::NOEXEC)),
    ("noiversion", Nothing),
    ("nolazytime", NoSuperblock("lazytime")),
    ("nomand", NoSuperblock("mand")),
    ("norelatime", NotAtime(0)),
    ("nostrictatime", NotAtime(attr::STRICTATIME)),
    ("nosuid", Set(attr::NOSUID)),
    ("nosymfollow", Set(attr::NOSYMFOLLOW)),
    ("private", Meaning::Propagation(Private, false)),
    ("ratime", AtimeAll(0)),
    ("rbind", Bind { recursive: true }),
    ("rdev", ClearAll(attr::NODEV)),
    ("rdiratime", ClearAll(attr::NODIRATIME)),
    ("relatime", Atime(0)),
    ("remount", Remount),
    ("rexec", ClearAll(attr::NOEXEC)),
    ("ridmap", Idmap { recursive: true }),
    ("rnoatime", AtimeAll(attr::NOATIME)),
    ("rnodev", SetAll(attr::NODEV)),
    ("rnodiratime", SetAll(attr::NODIRATIME)),
    ("rnoexec", SetAll(attr::NOEXEC)),
    ("rnorelatime", AtimeAll(0)),
    ("rnostrictatime", AtimeAll(0)),
    ("rnosuid", SetAll(attr::NOSUID)),
    ("rnosymfollow", SetAll(attr::NOSYMFOLLOW)),
    ("ro", Set(attr::RDONLY)),
    ("rprivate", Meaning::Propagation(Private, true)),
    ("rrelatime", AtimeAll(0)),
    ("rro", SetAll(attr::RDONLY)),
    ("rrw", ClearAll(attr::RDONLY)),
    ("rshared", Meaning::Propagation(Shared, true)),
    ("rslave", Meaning::Propagation(Slave, true)),
    ("rstrictatime", AtimeAll(attr::STRICTATIME)),
    ("rsuid", ClearAll(attr::NOSUID)),
    ("rsymfollow", ClearAll(attr::NOSYMFOLLOW)),
    ("runbindable", Meaning::Propagation(Unbindable, true)),
    ("rw", Clear(attr::RDONLY)),
    ("shared", Meaning::Propagation(Shared, false)),
    ("silent", Nothing),
    ("slave", Meaning::Propagation(Slave, false)),
    ("src-nofollow", NoFollow),
    ("strictatime", Atime(attr::STRICTATIME)),
    ("suid", Clear(attr::NOSUID)),
    ("symfollow", Clear(attr::NOSYMFOLLOW)),
    ("sync", Superblock("sync")),
    ("tmpcopyup", CopyUp),
    ("unbindable", Meaning::Propagation(Unbindable, false)),
];

/// The words of the table, sorted: what `features` reports.
pub const KNOWN_OPTIONS: [&str; TABLE.len()] = {
    let mut words = [""; TABLE.len()];
    let mut i = 0;
    while i < TABLE.len() {
        words[i] = TABLE[i].0;
        i += 1;
    }
    words
};

/// What the options of one mount add up to; where two contradict, the later one holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Options {
    pub attributes: Attributes,
    pub recursive: Attributes,
    pub propagation: Vec<Propagation>,
    /// `bind` or `rbind`, and whether the latter.
    pub bind: Option<bool>,
    pub remount: bool,
    pub copy_up: bool,
    /// `idmap` or `ridmap`, and whether the latter.
    pub idmap: Option<bool>,
    pub nofollow: bool,
    /// Flags of the file system.
    pub superblock: Vec<&'static str>,
    /// Options of the file system.
    pub data: Vec<(String, Option<String>)>,
}

/// Reads the words of one mount.
pub(super) fn read(words: &[String]) -> Options {
    let mut options = Options::default();
    for word in words {
        match TABLE.binary_search_by_key(&word.as_str(), |(known, _)| known) {
            Ok(at) => options.apply(TABLE[at].1),
            Err(_) => options.data.extend(split(word).map(parameter)),
        }
    }
    options
}

impl Options {
    fn apply(&mut self, meaning: Meaning) {
        match meaning {
            Set(bits) => self.attributes.turn_on(bits),
            Clear(bits) => self.attributes.turn_off(bits),
            Atime(mode) => self.attributes.atime(mode),
            NotAtime(mode) => {
                let chosen = self.attributes.clear & attr::ATIME != 0;
                if !chosen || self.attributes.set & attr::ATIME == mode {
                    self.attributes.atime(0);
                }
            }
            SetAll(bits) => self.recursive.turn_on(bits),
            ClearAll(bits) => self.recursive.turn_off(bits),
            AtimeAll(mode) => self.recursive.atime(mode),
            Superblock(key) => {
                self.superblock.retain(|k| *k != key);
                self.superblock.push(key);
            }
            NoSuperblock(key) => self.superblock.retain(|k| *k != key),
            Meaning::Propagation(kind, recursive) => self.propagation.push(Propagation { kind, recursive }),
            Bind { recursive } => self.bind = Some(recursive || self.bind == Some(true)),
            Remount => self.remount = true,
            CopyUp => self.copy_up = true,
            Idmap { recursive } => self.idmap = Some(recursive),
            NoFollow => self.nofollow = true,
            Nothing => {}
        }
    }
}

impl Attributes {
    fn turn_on(&mut self, bits: u64) {
        self.set |= bits;
        self.clear &= !bits;
    }

    fn turn_off(&mut self, bits: u64) {
        self.clear |= bits;
        self.set &= !bits;
    }

    /// The access-time mode is set by clearing the whole field with it. mount_setattr(2).
    fn atime(&mut self, mode: u64) {
        self.set = self.set & !attr::ATIME | mode;
        self.clear |= attr::ATIME;
    }
}

/// One word may hold several options of a file system, as in fstab(5). A comma within quotes (SELinux contexts) or
/// after a backslash (paths of an overlay) separates nothing.
fn split(word: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    word.split(move |c: char| {
        let separates = c == ',' && !quoted && !escaped;
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        separates
    })
    .filter(|part| !part.is_empty())
}

fn parameter(part: &str) -> (String, Option<String>) {
    match part.split_once('=') {
        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
        None => (part.to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> Options {
        read(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_table_is_sorted() {
        assert!(TABLE.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn the_later_word_holds() {
        assert_eq!(of(&["ro", "rw"]).attributes, Attributes { set: 0, clear: attr::RDONLY });
        assert_eq!(of(&["rw", "ro"]).attributes, Attributes { set: attr::RDONLY, clear: 0 });
        assert_eq!(
            of(&["noatime", "strictatime"]).attributes,
            Attributes { set: attr::STRICTATIME, clear: attr::ATIME }
        );
        assert_eq!(of(&["noatime", "atime"]).attributes, Attributes { set: 0, clear: attr::ATIME });
        assert_eq!(of(&["strictatime", "atime"]).attributes, of(&["strictatime"]).attributes);
        assert_eq!(of(&["sync", "async"]).superblock, Vec::<&str>::new());
        assert_eq!(of(&["rbind", "bind"]).bind, Some(true));
    }

    #[test]
    fn options_of_the_file_system() {
        let data = of(&["mode=755,size=64k", "newinstance", "context=\"a:b:s0:c1,c2\"", ""]).data;
        let want = [
            ("mode", Some("755")),
            ("size", Some("64k")),
            ("newinstance", None),
            ("context", Some("\"a:b:s0:c1,c2\"")),
        ];
        assert_eq!(data, want.map(|(k, v)| (k.to_owned(), v.map(str::to_owned))));
        assert_eq!(of(&["lowerdir=/a\\,b:/c"]).data[0].1.as_deref(), Some("/a\\,b:/c"));
    }
}
