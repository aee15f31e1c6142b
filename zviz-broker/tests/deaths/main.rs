//! The death of parts of a broker, and calls that are held up.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod kills;
mod load;
#[path = "../runner/mod.rs"]
mod runner;
mod stage;

const TESTS: &[(&str, runner::Test)] = &[
    ("whoever_dies", kills::whoever_dies),
    ("whoever_dies_while_files_are_opened", kills::whoever_dies_while_files_are_opened),
    ("a_frozen_container_has_no_held_calls", load::a_frozen_container_has_no_held_calls),
    ("a_call_that_waits_for_an_answer_is_no_obstacle", load::a_call_that_waits_for_an_answer_is_no_obstacle),
    ("a_call_that_waits_for_a_fifo_is_no_obstacle", load::a_call_that_waits_for_a_fifo_is_no_obstacle),
    (
        "a_call_that_comes_while_the_first_hand_is_made_is_no_obstacle",
        load::a_call_that_comes_while_the_first_hand_is_made_is_no_obstacle,
    ),
    ("a_hand_that_hangs_is_ended", load::a_hand_that_hangs_is_ended),
    ("a_hand_that_ends_is_reaped_though_nobody_calls", load::a_hand_that_ends_is_reaped_though_nobody_calls),
    ("a_flood_is_delayed", load::a_flood_is_delayed),
];

fn main() {
    runner::run(TESTS, "for a pid namespace");
}
