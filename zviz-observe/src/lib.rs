//! Every system call of a program, as it ended, and what it named.
//!
//! A process beside the sandbox traces the payload (ptrace(2)) from before its execve on, and reports each call to the runtime.
//! It is for `zviz learn` and `zviz run --explain` alone, and no boundary: it looks, and decides nothing, so that a program
//! that changes a path while it is read misleads whoever reads the report and gains nothing. A program runs several times
//! slower under it, and one that traces others (a debugger) cannot do so.
//!
//! ```text
//! runtime ── fork ──► tracer              before there is anything to trace
//!         ── pid of init ─────────────►   it seizes it
//!         ◄── errno ───────────────────
//!         ◄══ calls ═══════════════════   a thread of the runtime's reads them, until the last process has ended
//! ```

#![forbid(unsafe_code)]

mod address;
mod call;
mod decode;
mod memory;
mod observer;
mod open;
mod outbox;
mod resolve;
mod table;
mod tasks;
mod tracer;
mod wire;

pub use call::{Call, Intent, Named, SocketAddress};
pub use observer::{Error, Observer, Report, Reporting, Summary};
