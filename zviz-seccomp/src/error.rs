//! What can be wrong with a policy or a program.

use std::io;

use crate::{Action, Arch};

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
    /// libseccomp refused something other than a rule.
    #[error("{call}")]
    Library {
        /// What was asked of it.
        call: &'static str,
        /// Its answer.
        source: libseccomp::error::SeccompError,
    },
    /// libseccomp refused an architecture; one of the other byte order, for example, as it does for runc.
    #[error("architecture {arch}")]
    Arch {
        /// Which.
        arch: Arch,
        /// Its answer.
        source: libseccomp::error::SeccompError,
    },
    /// libseccomp refused a rule; an action that this kernel does not have, for one.
    #[error("rule {action} for {name}")]
    Rule {
        /// The system call.
        name: String,
        /// The action.
        action: Action,
        /// Its answer.
        source: libseccomp::error::SeccompError,
    },
    /// No memory for libseccomp to write the program to.
    #[error("memory for the program")]
    Memory(#[source] io::Error),
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
}
