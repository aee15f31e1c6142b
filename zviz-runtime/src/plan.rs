//! What will be done, decided before anything is.

pub mod problems;

pub use problems::{Problem, Problems};
