//! What is decided about each call. Pure: registers, memory and the policy are all there is.

pub mod bpf;
pub mod changes;
pub mod files;
pub mod mounts;
pub mod names;
pub mod nodes;
#[cfg(test)]
mod paths;
pub mod sockets;
pub mod system;
