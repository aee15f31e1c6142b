//! Rules of a profile for the network, by the real binary, against peers in namespaces that the test makes.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod attacks;
mod container;
mod internet;
mod life;
mod links;
mod many;
mod ordinary;
mod pasta;
mod remains;
mod rules;
mod sandboxes;
#[path = "../support/mod.rs"]
mod support;
mod topology;
