//! Container engines with zviz as their runtime: Docker, Podman and containerd, each with a root of its own.
//!
//! An engine is started once and its cases run one after the other, as `engines/cases.rs` says; no image is pulled.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

#[path = "engines/cases.rs"]
#[macro_use]
mod cases;
#[path = "engines/containerd.rs"]
mod containerd;
#[path = "engines/docker/mod.rs"]
mod docker;
#[path = "network/internet.rs"]
mod internet;
#[path = "engines/network/mod.rs"]
mod network;
#[path = "engines/podman.rs"]
mod podman;
mod support;
