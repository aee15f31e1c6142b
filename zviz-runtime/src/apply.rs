//! What carries a plan out, one file for each layer.

pub mod hooks;
