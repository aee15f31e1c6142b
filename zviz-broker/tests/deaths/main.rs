//! The death of parts of a broker, and calls that are held up.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod kills;
mod load;
#[path = "../../../zviz/tests/support/needs.rs"]
#[allow(dead_code, reason = "shared with tests that need more")]
mod needs;
mod stage;

type Test = fn(&str);

const TESTS: &[(&str, Test)] = &[
    ("whoever_dies", kills::whoever_dies),
    ("whoever_dies_while_files_are_opened", kills::whoever_dies_while_files_are_opened),
    ("a_frozen_container_has_no_held_calls", load::a_frozen_container_has_no_held_calls),
    ("a_call_that_waits_for_an_answer_is_no_obstacle", load::a_call_that_waits_for_an_answer_is_no_obstacle),
    ("a_call_that_waits_for_a_fifo_is_no_obstacle", load::a_call_that_waits_for_a_fifo_is_no_obstacle),
    ("a_hand_that_hangs_is_ended", load::a_hand_that_hangs_is_ended),
    ("a_hand_that_ends_is_reaped_though_nobody_calls", load::a_hand_that_ends_is_reaped_though_nobody_calls),
    ("a_flood_is_delayed", load::a_flood_is_delayed),
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
            needs::skip(name, "needs root, for a pid namespace");
        }
        passed += 1;
        println!("test {name} ... ok");
    }
    println!("test result: ok. {passed} passed; 0 failed; 0 ignored");
}
