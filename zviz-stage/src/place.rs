//! Where stages are kept, how they are called, and which folders can be staged.

use crate::Error;
use std::fs::{self, DirBuilder};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Below `$XDG_STATE_HOME` where that is set, for root in /var/lib, else in the home folder.
pub(crate) fn of_caller(root: bool) -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| match root {
        true => Some(PathBuf::from("/var/lib")),
        false => absolute("HOME").map(|home| home.join(".local/state")),
    })?;
    Some(state.join("zviz/stages"))
}

/// Makes a folder for us alone, and finds out whether it is that: who may change it may put links into it.
pub(crate) fn make_private(folder: &Path) -> Result<(), Error> {
    let named = |source| Error::io(format!("make {}", folder.display()), source);
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(named)?;
    is_private(folder)
}

pub(crate) fn is_private(folder: &Path) -> Result<(), Error> {
    let found =
        fs::symlink_metadata(folder).map_err(|source| Error::io(format!("look at {}", folder.display()), source))?;
    let ours = found.uid() == nix::unistd::geteuid().as_raw() && found.mode() & 0o022 == 0 && found.is_dir();
    if ours { Ok(()) } else { Err(Error::Open(folder.display().to_string())) }
}

/// A name that is safe as one of a file.
pub(crate) fn is_name(name: &str) -> bool {
    name.len() <= 100
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// The name of a folder's stage where none is given: its own, and enough of its path to be another's than its namesake's.
pub(crate) fn name_of(folder: &str) -> String {
    let last = folder.rsplit('/').next().unwrap_or_default();
    let word: String = last
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' })
        .skip_while(|c| !c.is_ascii_alphanumeric())
        .take(40)
        .collect();
    let mut hasher = DefaultHasher::new();
    folder.hash(&mut hasher);
    format!("{}-{:08x}", if word.is_empty() { "folder" } else { &word }, hasher.finish() as u32)
}

/// What is mounted below a folder; proc_pid_mountinfo(5). An overlay is made of one mount.
pub(crate) fn mounted_below(folder: &str) -> Option<String> {
    let table = fs::read("/proc/self/mountinfo").ok()?;
    let within = [folder.as_bytes(), b"/"].concat();
    let place = |line: &[u8]| -> Option<Vec<u8>> { Some(unescaped(line.split(|b| *b == b' ').nth(4)?)) };
    let mut places = table.split(|b| *b == b'\n').filter_map(place);
    places.find(|place| place.starts_with(&within)).map(|place| crate::escape::name(&place))
}

/// Blanks and backslashes are written in octal.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.get(..3).filter(|d| *first == b'\\' && d.iter().all(|b| (b'0'..=b'7').contains(b)));
        if let Some(digits) = digits {
            out.push(digits.iter().fold(0u32, |n, b| n * 8 + u32::from(b - b'0')) as u8);
            rest = tail.get(3..).unwrap_or_default();
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "a.b-c_1", "1"] {
            assert!(is_name(good));
        }
        for bad in ["", ".", "..", ".a", "a/b", "a\n", "-a", "é", &"a".repeat(101)] {
            assert!(!is_name(bad), "{bad:?}");
        }
        for folder in ["/home/u/my project", "/", "/x/..y", "/ü", "/a/\u{1}"] {
            assert!(is_name(&name_of(folder)), "{}", name_of(folder));
        }
        assert_ne!(name_of("/a/x"), name_of("/b/x"));
    }

    #[test]
    fn octal() {
        assert_eq!(unescaped(b"/a\\040b\\134"), b"/a b\\");
        assert_eq!(unescaped(b"\\9"), b"\\9");
    }
}
