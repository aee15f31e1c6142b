//! The cache gives what compiling gives, and trusts no directory or file that is not the caller's alone.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use zviz_seccomp::{Action, Cache, Policy, Program, Rule, Unusable, compile};

fn policy() -> Policy {
    let mut policy = Policy::new(Action::Errno(1));
    policy.rules = vec![Rule::new(["read", "write", "made_up"], Action::Allow)];
    policy
}

fn files(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn keeps_what_it_compiled() {
    let base = tempfile::tempdir().unwrap();
    let directory = base.path().join("cache");
    let (expected, cache) = (compile(&policy()).unwrap(), Cache::at(&directory));
    assert_eq!(cache.unusable(), None);
    assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(cache.load_or_compile(&policy()).unwrap(), expected);
    let [file] = &files(&directory)[..] else { panic!("one file") };
    let written = fs::metadata(file).unwrap().modified().unwrap();
    assert_eq!(cache.load_or_compile(&policy()).unwrap(), expected);
    assert_eq!(fs::metadata(file).unwrap().modified().unwrap(), written);
    let other = Policy { default: Action::Errno(2), ..policy() };
    assert_ne!(cache.load_or_compile(&other).unwrap().program, expected.program);
    assert_eq!(files(&directory).len(), 2);
}

#[test]
fn a_file_that_is_not_right_is_replaced() {
    let base = tempfile::tempdir().unwrap();
    let directory = base.path().join("cache");
    let cache = Cache::at(&directory);
    let expected = cache.load_or_compile(&policy()).unwrap();
    let file = files(&directory).remove(0);
    let good = fs::read(&file).unwrap();
    // Cut short, from another policy under this name, and one that others could have written.
    let other = Policy { default: Action::Allow, rules: Vec::new(), ..policy() };
    cache.load_or_compile(&other).unwrap();
    let foreign = fs::read(files(&directory).into_iter().find(|path| *path != file).unwrap()).unwrap();
    for bytes in [&good[..good.len() - 1], &foreign, b""] {
        fs::write(&file, bytes).unwrap();
        assert_eq!(cache.load_or_compile(&policy()).unwrap(), expected);
        assert_eq!(fs::read(&file).unwrap(), good);
    }
    mode(&file, 0o622);
    assert_eq!(cache.load_or_compile(&policy()).unwrap(), expected);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    // A link is not followed: the program of the other policy would be taken otherwise.
    let aside = base.path().join("aside");
    fs::write(&aside, &good).unwrap();
    fs::remove_file(&file).unwrap();
    symlink(&aside, &file).unwrap();
    assert_eq!(cache.load_or_compile(&policy()).unwrap(), expected);
    assert!(fs::symlink_metadata(&file).unwrap().is_file());
    assert_eq!(fs::read(&aside).unwrap(), good);
}

#[test]
fn a_directory_that_is_not_the_callers_alone_is_not_used() {
    let base = tempfile::tempdir().unwrap();
    let (open, link, file) = (base.path().join("open"), base.path().join("link"), base.path().join("file"));
    fs::create_dir(&open).unwrap();
    mode(&open, 0o755);
    symlink(base.path(), &link).unwrap();
    fs::write(&file, b"").unwrap();
    assert_eq!(Cache::at(&open).unusable(), Some(Unusable::Mode(0o755)));
    for path in [link, file, base.path().join("no/such/parent")] {
        let cache = Cache::at(&path);
        assert!(matches!(cache.unusable(), Some(Unusable::Open(_))), "{}", path.display());
        assert_eq!(cache.load_or_compile(&policy()).unwrap(), compile(&policy()).unwrap());
    }
    assert!(files(&open).is_empty());
    assert_eq!(Cache::off().load_or_compile(&policy()).unwrap(), compile(&policy()).unwrap());
    // Somebody else's directory: /proc/self belongs to the caller, / to root.
    if let Some(Unusable::Owner(owner)) = Cache::at(Path::new("/")).unusable() {
        assert_eq!(owner, 0);
    }
}

#[test]
fn does_not_grow_without_end() {
    let base = tempfile::tempdir().unwrap();
    mode(base.path(), 0o700);
    for number in 0..600 {
        fs::write(base.path().join(number.to_string()), b"").unwrap();
    }
    Cache::at(base.path()).load_or_compile(&policy()).unwrap();
    assert_eq!(files(base.path()).len(), 1);
}

#[test]
fn a_program_survives_as_bytes() {
    let program = compile(&policy()).unwrap().program;
    assert_eq!(Program::from_bytes(&program.as_bytes()).unwrap(), program);
    assert!(Program::from_bytes(&program.as_bytes()[1..]).is_err());
    assert!(Program::from_bytes(&[]).is_err());
}
