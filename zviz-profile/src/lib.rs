//! The profile language: from YAML to a [`Document`] whose every value is checked, and in which everything that is wrong has
//! its line.
//!
//! ```text
//! text ──Node::parse──► Node ──check against schema::ROOT──► extends: lists joined, values replaced ──► Document
//! ```
//!
//! Pure: files are read by whoever calls, what a document means for a container is for zviz-runtime to say.

#![forbid(unsafe_code)]

pub mod calls;
mod check;
mod document;
pub mod host;
mod inherit;
mod intersect;
pub mod ioctls;
mod json_schema;
mod nearest;
pub mod node;
mod place;
pub mod quantity;
mod scalar;
pub mod schema;
mod sense;

pub use document::*;
pub use host::{HostPolicy, read_host};
pub use inherit::{Source, Text, read};
pub use json_schema::json_schema;
pub use nearest::nearest;
pub use place::{Fault, Faults, Place};
pub use sense::{filtered, static_only};
