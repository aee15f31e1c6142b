//! Container engines with zviz as their runtime, each with a root of its own.
//!
//! An engine is started once and its cases run one after the other, as `engines/cases.rs` says; no image is pulled.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

#[path = "engines/cases.rs"]
#[macro_use]
mod cases;
#[path = "engines/docker/mod.rs"]
mod docker;
mod support;
