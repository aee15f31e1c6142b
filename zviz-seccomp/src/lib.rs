//! Seccomp policies: from rules by name to a BPF program, the answers a program gives, and the default policy.
//!
//! Pure: nothing here loads a filter or knows a container. A [`Policy`] says what each call gets, [`compile`] makes the
//! [`Program`], [`Cache`] keeps it, [`Program::eval`] answers what the kernel would, and [`Policy::decide`] what it should.

#![forbid(unsafe_code)]

mod action;
mod arch;
mod arguments;
mod bpf;
mod cache;
mod cache_file;
mod categories;
mod check;
mod choice;
mod compare;
mod compile;
mod conditions;
mod decide;
mod decision;
mod default;
mod disassembly;
mod dispatch;
mod error;
mod eval;
mod fuzz;
mod in_place;
mod library;
mod needs;
mod never_notified;
mod policy;
mod program;
mod ranges;
mod sources;
mod syscalls;
mod table;
mod variant;
mod writer;

pub use action::Action;
pub use arch::{Arch, UnknownArch, X32_BIT};
pub use cache::{Cache, Unusable};
pub use categories::{CATEGORIES, Category, category};
pub use choice::{Choice, Socket};
pub use compare::{Compare, Op};
pub use compile::{Compiled, compile};
pub use default::default_policy;
pub use error::Error;
pub use eval::SeccompData;
pub use fuzz::{fuzz_policy, fuzz_program};
pub use needs::may_finish_init;
pub use policy::{Fallback, Flags, Policy, Rule};
pub use program::{INSTRUCTION_SIZE, MAX_INSTRUCTIONS, Program, SockFilter};
pub use sources::Source;
pub use syscalls::{name_of, number_of};
pub use variant::{NOTIFIABLE, SAFE_NODES, Variant, policy_with};

/// "This kernel does not have the call."
pub const ENOSYS: Action = Action::Errno(libc::ENOSYS as u16);
/// "You may not."
pub const EPERM: Action = Action::Errno(libc::EPERM as u16);

/// The version of the libseccomp whose names and numbers are used, such as `2.5.4`.
pub fn libseccomp_version() -> String {
    library::version()
}
