//! Mounts that a broker makes in a user namespace whose every right the caller has.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod limits;
#[path = "../runner/mod.rs"]
mod runner;
mod stage;
mod sysfs;

const TESTS: &[(&str, runner::Test)] = &[
    ("no_sysfs_becomes_writable", sysfs::no_sysfs_becomes_writable),
    ("a_tmpfs_has_few_files", limits::a_tmpfs_has_few_files),
    ("file_systems_are_counted", limits::file_systems_are_counted),
];

fn main() {
    runner::run(TESTS, "to give a user namespace its ids");
}
