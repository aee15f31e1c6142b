//! What can be wrong with a policy or a program.

use crate::Arch;

/// Why there is no program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A condition on an argument that no system call has.
    #[error("rule {rule}: argument {index}: a system call has arguments 0 to 5")]
    Argument {
        /// Which rule of the policy, from 0.
        rule: usize,
        /// Its argument.
        index: u8,
    },
    /// An architecture that cannot be filtered for here.
    #[error("architecture {arch}: {problem}")]
    Arch {
        /// Which.
        arch: Arch,
        /// Why not.
        problem: &'static str,
    },
    /// Bytes that are not whole instructions.
    #[error("{0} bytes are not whole instructions")]
    Export(usize),
    /// A program that the kernel would refuse: more than 4096 instructions.
    #[error("{0} instructions are more than the kernel takes (4096)")]
    TooLong(usize),
    /// A program without instructions.
    #[error("a program without instructions")]
    Empty,
    /// A program that does not end in a return.
    #[error("the last instruction does not return")]
    NoReturn,
    /// An instruction that the kernel would refuse.
    #[error("instruction {at} (code {code:#06x}): {problem}")]
    Instruction {
        /// Which, from 0.
        at: usize,
        /// Its operation.
        code: u16,
        /// What is wrong.
        problem: &'static str,
    },
    /// A supervisor must not be asked about the call.
    #[error("notify {name}: {why}")]
    NeverNotified {
        /// Which.
        name: String,
        /// Why not.
        why: &'static str,
    },
    /// No system call has the name.
    #[error("notify {name:?}: no such system call{}", nearest.map(|call| format!("; the nearest is {call}")).unwrap_or_default())]
    UnknownCall {
        /// The name.
        name: String,
        /// One that is much like it.
        nearest: Option<&'static str>,
    },
}
