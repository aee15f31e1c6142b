//! The seccomp supervisor, and the contract between a runtime and one.

pub mod ask;
pub mod audit;
pub mod confine;
pub mod decision;
pub mod eyes;
pub mod glob;
pub mod handlers;
pub mod handover;
mod hands;
pub mod held;
pub mod listen;
mod loader;
pub mod memory;
pub mod policy;
pub mod start;
pub mod table;
