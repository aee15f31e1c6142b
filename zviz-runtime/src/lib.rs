//! The zviz runtime: a plan of a sandbox, and what carries it out.

pub mod apply;
pub mod container;
pub mod features;
pub mod plan;
pub mod store;
