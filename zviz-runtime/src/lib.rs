//! The zviz runtime: a plan of a sandbox, and what carries it out.

pub mod apply;
mod child;
pub mod console;
pub mod container;
pub mod descriptors;
pub mod doctor;
pub mod exec;
pub mod explain;
mod failure;
pub mod features;
pub mod foreground;
pub mod gc;
pub mod host;
mod launch;
pub mod learn;
pub mod ledger;
pub mod network;
pub mod pidfile;
pub mod plan;
pub mod prepare;
pub mod profile;
pub mod receipt;
pub mod records;
pub mod sandbox;
pub mod sealed;
pub mod spec;
pub mod start;
pub mod store;
mod sync;
pub mod teardown;
pub mod why;
mod words;

pub use host::Host;
pub use plan::Plan;
pub use profile::Profile;
pub use receipt::Receipt;
pub use spec::Spec;

/// The examples of the document compile.
#[cfg(doctest)]
#[doc = include_str!("../../docs/run.md")]
struct DocsRun;
