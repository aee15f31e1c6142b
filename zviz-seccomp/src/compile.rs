//! From a policy to a program.

use std::collections::BTreeSet;

use crate::decision::Decision;
use crate::library::{self, Unconditional};
use crate::prologue::prologue;
use crate::syscalls;
use crate::table::Table;
use crate::{Action, Error, Policy, Program};

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
pub fn compile(policy: &Policy) -> Result<Compiled, Error> {
    let all = policy.all();
    check_arguments(&all)?;
    let strictest =
        |answer: fn(&Policy) -> Action| all.iter().map(|p| answer(p)).fold(answer(policy), Action::stricter);
    let (foreign_arch, x32) = (strictest(|policy| policy.foreign_arch), strictest(|policy| policy.x32));
    let mut archs = policy.known_architectures();
    archs.retain(|arch| all.iter().all(|policy| policy.known_architectures().contains(arch)));
    let mut tables: Vec<Table> = archs.iter().map(|arch| Table::new(&all, *arch)).collect();
    let default = strictest(|policy| policy.default);
    let rules = for_library(&all, &mut tables, default);
    // libseccomp's part answers x32's numbers as it answers a foreign architecture.
    let mut instructions = prologue(&tables, Some(x32).filter(|x32| *x32 != foreign_arch));
    instructions.extend(library::compile(default, foreign_arch, &archs, &rules)?);
    Ok(Compiled {
        program: Program::new(instructions)?,
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

/// Moves what libseccomp can be told out of the tables: names that have one answer whatever the arguments and the
/// architecture. What it would answer anyway, the default, nobody needs to be told.
fn for_library<'a>(all: &[&'a Policy], tables: &mut [Table], default: Action) -> Vec<Unconditional<'a>> {
    for table in &mut *tables {
        // Told of `socket`, libseccomp answers for socketcall as well.
        let said = |number: &u32, decision: &Decision| {
            *decision != Decision::Answer(default) || table.multiplexers.contains(number)
        };
        table.calls.retain(|number, decision| said(number, decision));
    }
    let mut rules = Vec::new();
    let mut seen = BTreeSet::new();
    for name in all.iter().flat_map(|policy| policy.names()).filter(|name| seen.insert(*name)) {
        let found: Vec<_> = tables.iter().map(|table| syscalls::resolve(name, table.arch)).collect();
        if found.iter().flatten().any(|found| !found.in_library) {
            continue;
        }
        let numbers: Vec<Option<u32>> = found.iter().map(|found| (*found)?.direct).collect();
        let answer = |(table, number): (&Table, &Option<u32>)| Some(table.calls.get(&(*number)?).cloned());
        let mut answers = tables.iter().zip(&numbers).filter_map(answer);
        let Some(Some(Decision::Answer(action))) = answers.next() else { continue };
        if action != default && answers.all(|answer| answer == Some(Decision::Answer(action))) {
            rules.push(Unconditional { name, action });
            for (table, number) in tables.iter_mut().zip(numbers) {
                number.and_then(|number| table.calls.remove(&number));
            }
        }
    }
    rules
}
