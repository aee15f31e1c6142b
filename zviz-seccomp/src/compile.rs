//! From a policy to a program.

use crate::dispatch::dispatch;
use crate::ranges::{Range, ranges};
use crate::syscalls;
use crate::table::Table;
use crate::{Action, Arch, Error, Policy, Program};

/// A program, and what of the policy it does not carry.
#[derive(Clone, PartialEq, Debug)]
pub struct Compiled {
    /// The program.
    pub program: Program,
    /// [`Policy::unknown_names`].
    pub skipped: Vec<String>,
    /// [`Policy::shadowed_names`].
    pub shadowed: Vec<String>,
}

/// Compiles a policy. Milliseconds for one architecture; [`crate::Cache`] keeps the outcome.
///
/// # Errors
/// A rule on an argument that no call has, an architecture of the other byte order, a program that is too long.
pub fn compile(policy: &Policy) -> Result<Compiled, Error> {
    let all = policy.all();
    check_arguments(&all)?;
    let strictest =
        |answer: fn(&Policy) -> Action| all.iter().map(|p| answer(p)).fold(answer(policy), Action::stricter);
    let (foreign_arch, x32) = (strictest(|policy| policy.foreign_arch), strictest(|policy| policy.x32));
    let default = strictest(|policy| policy.default);
    let mut archs = policy.known_architectures();
    archs.retain(|arch| all.iter().all(|policy| policy.known_architectures().contains(arch)));
    check_architectures(&archs)?;
    let tables: Vec<Table> = archs.iter().map(|arch| Table::new(&all, *arch)).collect();
    let x32 = tables.iter().find(|table| table.arch == Arch::X32).ok_or(x32);
    let own = tables.iter().filter(|table| table.arch != Arch::X32);
    let sections: Vec<(Arch, Vec<Range>)> = own.map(|table| (table.arch, ranges(table, x32, default))).collect();
    Ok(Compiled {
        program: Program::new(dispatch(&sections, foreign_arch))?,
        skipped: policy.unknown_names(),
        shadowed: policy.shadowed_names(),
    })
}

fn check_arguments(all: &[&Policy]) -> Result<(), Error> {
    for (rule, given) in all.iter().flat_map(|policy| policy.rules.iter().enumerate()) {
        if let Some(compare) = given.args.iter().find(|compare| compare.index > 5) {
            return Err(Error::Argument { rule, index: compare.index });
        }
    }
    Ok(())
}

fn check_architectures(archs: &[Arch]) -> Result<(), Error> {
    let native = Arch::native().is_little_endian();
    for arch in archs {
        // The halves of an argument lie the other way round: libseccomp refuses that too.
        if arch.is_little_endian() != native {
            return Err(Error::Arch { arch: *arch, problem: "its byte order is not this machine's" });
        }
        // Names would be skipped that the policy means to refuse.
        if syscalls::number_of("exit_group", *arch).is_none() {
            return Err(Error::Arch { arch: *arch, problem: "this libseccomp does not know its system calls" });
        }
    }
    Ok(())
}
