//! Attacks on runtimes that were published, tried on the real binary. Most tests show, as their control, that the same
//! attack succeeds where the defence is not there. Those of places in /proc and /sys (2019-16884, 2019-19921, 2023-27561,
//! 2023-28642), of the console (2025-52565), of kernel parameters (2025-52881) and of the working directory (2024-21626)
//! do not: their control is only that what is allowed works, which a refusal of another kind would pass too.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod binary;
mod descriptors;
mod paths;
mod procfs;
mod rights;
#[path = "../support/mod.rs"]
mod support;
mod terminal;
