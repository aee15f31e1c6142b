//! The seccomp supervisor, and the contract between a runtime and one.

pub mod audit;
pub mod decision;
pub mod handlers;
pub mod handover;
pub mod held;
pub mod memory;
pub mod policy;
pub mod table;
