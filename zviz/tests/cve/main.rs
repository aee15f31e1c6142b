//! Attacks on runtimes that were published, tried on the real binary. Each test first shows, as its control, that the
//! same attack succeeds where the defence is not there, so that a test which can no longer fail is noticed.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod binary;
mod descriptors;
mod paths;
mod procfs;
mod rights;
#[path = "../support/mod.rs"]
mod support;
mod terminal;
