//! What the kernel reads by itself where a program is executed, and the links on the way to a file.

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

/// As many links as the kernel follows. path_resolution(7)
const MOST_LINKS: usize = 40;
/// PT_INTERP, elf(5).
const INTERPRETER: u32 = 3;

/// Every path that leads to the file, the links among them, and the file itself at last.
pub fn chain(path: &Path) -> Vec<PathBuf> {
    let mut chain = Vec::new();
    let mut at = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        let Some((link, next)) = first_link(&at) else { break };
        chain.push(link);
        at = next;
    }
    chain.push(plain(&at));
    chain
}

/// Without `.` and `..`; the path has no link in it.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::from("/");
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::Normal(name) => plain.push(name),
            _ => {}
        }
    }
    plain
}

/// The first link on a path, and the path with that followed.
fn first_link(path: &Path) -> Option<(PathBuf, PathBuf)> {
    let mut at = PathBuf::from("/");
    let mut parts = path.components();
    parts.next();
    while let Some(part) = parts.next() {
        match part {
            Component::ParentDir => drop(at.pop()),
            Component::Normal(name) => at.push(name),
            _ => continue,
        }
        if let Ok(target) = fs::read_link(&at) {
            let link = at.clone();
            at.pop();
            return Some((link, at.join(target).join(parts.as_path())));
        }
    }
    None
}

/// The interpreter of a program: that of a script, or the linker.
pub fn interpreter(program: &Path) -> Option<PathBuf> {
    // What was executed may be a pipe by now, that nobody writes to.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(program).ok()?;
    let file = Some(file).filter(|file| file.metadata().is_ok_and(|found| found.is_file()))?;
    let mut start = Vec::new();
    (&file).take(256).read_to_end(&mut start).ok()?;
    if let Some(line) = start.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next()?;
        let word = str::from_utf8(line).ok()?.split_ascii_whitespace().next()?;
        return Some(PathBuf::from(word)).filter(|path| path.is_absolute());
    }
    // The 64-bit form, in this machine's byte order: EI_CLASS is 2.
    if !start.starts_with(b"\x7fELF\x02") {
        return None;
    }
    let number = |at: usize, length: usize| {
        let mut bytes = [0; 8];
        bytes.get_mut(..length)?.copy_from_slice(start.get(at..at.checked_add(length)?)?);
        Some(u64::from_le_bytes(bytes))
    };
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    (0..count).find_map(|entry| {
        let mut header = [0; 56];
        file.read_exact_at(&mut header, table.checked_add(entry.checked_mul(size)?)?).ok()?;
        let number = |at: usize| Some(u64::from_le_bytes(header.get(at..at + 8)?.try_into().ok()?));
        if u32::from_le_bytes(header.get(..4)?.try_into().ok()?) != INTERPRETER {
            return None;
        }
        let mut name = vec![0; usize::try_from(number(32)?).ok().filter(|length| *length <= 4096)?];
        file.read_exact_at(&mut name, number(8)?).ok()?;
        let name = String::from_utf8(name).ok()?;
        Some(PathBuf::from(name.trim_end_matches('\0')))
    })
}

/// Where a command is found, as a shell does.
pub fn command(name: &str, path: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(std::path::absolute(name).ok()?).filter(|path| path.exists());
    }
    path.split(':').map(|folder| Path::new(folder).join(name)).find(|path| path.is_absolute() && path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_one_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        fs::create_dir(dir.join("real")).unwrap();
        fs::write(dir.join("real/file"), "#!/bin/sh -e\n").unwrap();
        std::os::unix::fs::symlink("real", dir.join("folder")).unwrap();
        std::os::unix::fs::symlink("../folder/file", dir.join("real/link")).unwrap();
        let want = ["folder", "real/link", "folder", "real/file"].map(|name| dir.join(name));
        assert_eq!(chain(&dir.join("folder/link")), want);
        assert_eq!(interpreter(&dir.join("real/file")), Some("/bin/sh".into()));
        assert_eq!(interpreter(&dir), None);
        let pipe = dir.join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(interpreter(&pipe), None, "and nobody is waited for");
    }
}
