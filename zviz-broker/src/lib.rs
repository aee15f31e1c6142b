//! The seccomp supervisor, and the contract between a runtime and one.

pub mod audit;
pub mod handover;
