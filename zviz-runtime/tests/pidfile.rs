//! Pid files on a real file system.
#![allow(clippy::unwrap_used)] // a test may

use std::os::unix::fs::PermissionsExt;
use zviz_runtime::pidfile::write;

#[test]
fn it_holds_the_number_alone_and_replaces_what_was_there() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("pid");
    std::fs::write(&path, "an older and longer text").unwrap();
    write(&path, 4321).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"4321");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o644);
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1, "a temporary file is left");
}

#[test]
fn a_link_is_replaced_and_not_followed() {
    let scratch = tempfile::tempdir().unwrap();
    let (path, other) = (scratch.path().join("pid"), scratch.path().join("other"));
    std::fs::write(&other, "untouched").unwrap();
    std::os::unix::fs::symlink(&other, &path).unwrap();
    write(&path, 1).unwrap();
    assert_eq!(std::fs::read(&other).unwrap(), b"untouched");
    assert_eq!(std::fs::read(&path).unwrap(), b"1");
}

#[test]
fn failures_name_the_file_and_leave_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let error = write(&scratch.path().join("missing/pid"), 1).unwrap_err();
    assert_eq!(error.to_string(), format!("write pid file {}/missing/pid", scratch.path().display()));
    std::fs::create_dir(scratch.path().join("pid")).unwrap();
    write(&scratch.path().join("pid"), 1).unwrap_err();
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
    write(std::path::Path::new("/"), 1).unwrap_err();
}
