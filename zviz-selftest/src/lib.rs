//! Attempts to escape from a sandbox, or to use up the machine from inside: each made where it ought to fail, and, as the
//! control, where nothing keeps it from succeeding.
//!
//! ```text
//! zviz selftest ──► door: zviz run's own way into a sandbox ──► inside: one process for each probe ──► one: attempt
//!       ▲                                                         │ one line of JSON each
//!       └─────────── verdicts, by what the profile allows ◄───────┘
//! ```
//!
//! The probes are tables, a file a group, below `groups`. An attempt is harmless where it succeeds.

pub mod allowed;
pub mod bait;
pub mod compare;
pub mod control;
pub mod groups;
pub mod inside;
pub mod outcome;
pub mod peers;
pub mod probe;
pub mod report;

pub use bait::Bait;
pub use groups::{GROUPS, find};
pub use outcome::{Answer, Outcome};
pub use probe::{Control, Group, Probe};
