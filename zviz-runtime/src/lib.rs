//! The zviz runtime: a plan of a sandbox, and what carries it out.

pub mod apply;
mod child;
pub mod container;
mod failure;
pub mod features;
mod launch;
pub mod plan;
pub mod prepare;
pub mod store;
mod sync;
mod words;
pub mod host;
pub mod profile;
pub mod spec;

pub use host::Host;
pub use plan::Plan;
pub use profile::Profile;
pub use spec::Spec;
