//! Attacks on runtimes that were published, tried on the real binary. As its control, each test shows that the same
//! attack succeeds where the defence is not there: against the step as a runtime does it that goes by paths (`naive.rs`),
//! against zviz with the defence switched off, or against a program that was given what zviz takes away.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod binary;
mod descriptors;
mod masks;
mod naive;
mod paths;
mod procfs;
mod rights;
#[path = "../support/mod.rs"]
mod support;
mod terminal;
