//! What the calls are about: files of the caller's and of others, folders with rules and with a default ACL.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;

/// Whoever calls, without any capability.
pub const USER: u32 = 4711;
pub const FOLDERS: &[&str] = &["a", "a/b", "shared", "kept", "kept/in", "hidden", "acl"];

/// The tree as it is at first.
pub fn build(base: &Path) {
    // One stays, whose default ACL does with it.
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    for entry in entries(base).chain(entries(&base.join("acl"))).filter(|entry| !entry.ends_with("tree/acl")) {
        let _ = fs::remove_file(&entry).or_else(|_| fs::remove_dir_all(&entry));
    }
    for folder in FOLDERS {
        fs::create_dir_all(base.join(folder)).unwrap();
        for name in ["f", "g"] {
            let file = base.join(folder).join(name);
            fs::write(&file, format!("{folder}/{name}")).unwrap();
            let own = name == "f" || *folder != "shared";
            chown(&file, Some(if own { USER } else { 12 }), Some(USER)).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(if own { 0o644 } else { 0o666 })).unwrap();
        }
        let own = *folder != "shared";
        chown(base.join(folder), Some(if own { USER } else { 0 }), Some(USER)).unwrap();
        let mode = if own { 0o755 } else { 0o1777 };
        fs::set_permissions(base.join(folder), fs::Permissions::from_mode(mode)).unwrap();
    }
    chown(base, Some(0), Some(0)).unwrap();
    for (place, target) in [("a/l", "../kept/f"), ("kept/l", "../a/h"), ("shared/l", "../a/b"), ("acl/l", "nowhere")] {
        symlink(target, base.join(place)).unwrap();
    }
}

/// What is made there has this access at most, and no umask counts.
pub fn give_default_acl(folder: &Path) {
    // Of the owner, the group and others. acl(5), linux/posix_acl_xattr.h.
    let script = "import os, struct, sys\n\
        acl = b''.join(struct.pack('<HHi', tag, bits, -1) for tag, bits in ((1, 7), (4, 7), (32, 4)))\n\
        os.setxattr(sys.argv[1], 'system.posix_acl_default', struct.pack('<I', 2) + acl)";
    let done = Command::new("python3").args(["-c", script]).arg(folder).status();
    if !done.is_ok_and(|status| status.success()) {
        println!("SKIP default ACLs: no python3, or the file system has none");
    }
}

/// What is left, but for what differs each time.
pub fn left(base: &Path) -> String {
    let mut folders = vec![base.to_owned()];
    let mut lines = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let stat = fs::symlink_metadata(&path).unwrap();
            let text = match stat.file_type() {
                kind if kind.is_file() => fs::read_to_string(&path).unwrap(),
                kind if kind.is_symlink() => fs::read_link(&path).unwrap().display().to_string(),
                _ => String::new(),
            };
            let links = if stat.is_dir() { 0 } else { stat.nlink() };
            lines.push(format!("{} {:o} {} {links} {text}", path.display(), stat.mode(), stat.uid()));
            if stat.is_dir() {
                folders.push(path);
            }
        }
    }
    lines.sort();
    lines.join("\n")
}
