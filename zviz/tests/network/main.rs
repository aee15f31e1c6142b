//! Rules of a profile for the network, by the real binary, against peers in namespaces that the test makes.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod attacks;
mod container;
mod echoes;
mod exhaustion;
mod explained;
mod fragments;
mod ingress;
mod internet;
mod life;
mod links;
mod log;
mod many;
mod names;
mod netlink;
mod ordinary;
mod pasta;
mod pods;
mod policies;
mod remains;
mod reuse;
mod rules;
mod sandboxes;
mod silence;
mod sockets;
#[path = "../support/mod.rs"]
mod support;
mod topology;
mod tracking;
