//! Mounts that a broker makes in a user namespace whose every right the caller has.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod limits;
#[path = "../../../zviz/tests/support/needs.rs"]
#[allow(dead_code, reason = "shared with tests that need more")]
mod needs;
mod stage;
mod sysfs;

type Test = fn(&str);

const TESTS: &[(&str, Test)] = &[
    ("no_sysfs_becomes_writable", sysfs::no_sysfs_becomes_writable),
    ("a_tmpfs_has_few_files", limits::a_tmpfs_has_few_files),
    ("file_systems_are_counted", limits::file_systems_are_counted),
];

/// One after the other, in one thread. Any argument names those to run.
fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if std::env::args().any(|argument| argument == "--list") {
        return TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
    }
    let chosen = TESTS.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|part| name.contains(part)));
    let mut passed = 0;
    for (name, test) in chosen {
        if nix::unistd::geteuid().is_root() {
            test(name);
        } else {
            needs::skip(name, "needs root, to give a user namespace its ids");
        }
        passed += 1;
        println!("test {name} ... ok");
    }
    println!("test result: ok. {passed} passed; 0 failed; 0 ignored");
}
