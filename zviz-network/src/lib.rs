//! Layer E, decided: who may be reached and who may reach in, as rules of a packet filter, and what the network helper is asked
//! to do.
//!
//! ```text
//! Policy (of a profile) ──rules::inside──► Ruleset ──wire::Up──► zviz-net, which alone speaks to the kernel
//!                                             └──Display──► the .nft of `zviz compile`
//! ```
//!
//! Pure: nothing here reads or changes the machine.

#![forbid(unsafe_code)]

pub mod address;
pub mod names;
pub mod policy;
pub mod rules;
pub mod wire;
