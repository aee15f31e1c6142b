//! From a policy to a program.

use std::collections::BTreeSet;

use crate::library::{self, Unconditional};
use crate::prologue::prologue;
use crate::syscalls;
use crate::table::Table;
use crate::{Arch, Error, Policy, Program};

/// A program, and what of the policy it does not carry.
#[derive(Clone, PartialEq, Debug)]
pub struct Compiled {
    /// The program.
    pub program: Program,
    /// Names that no known architecture has: newer than this version, or misspelt. Their rules do nothing; where the
    /// default refuses, so are the calls.
    pub skipped: Vec<String>,
    /// Names with conditions that a rule without conditions overrides, as in runc.
    pub shadowed: Vec<String>,
}

/// Compiles a policy. Milliseconds for one architecture; [`crate::Cache`] keeps the outcome.
pub fn compile(policy: &Policy) -> Result<Compiled, Error> {
    for (rule, compare) in policy.rules.iter().enumerate().flat_map(|(at, rule)| rule.args.iter().map(move |c| (at, c)))
    {
        if compare.index > 5 {
            return Err(Error::Argument { rule, index: compare.index });
        }
    }
    let archs = policy.known_architectures();
    let tables: Vec<Table> = archs.iter().map(|arch| Table::new(policy, *arch)).collect();
    let mut seen = BTreeSet::new();
    let mut rules = Vec::new();
    for rule in policy.rules.iter().filter(|rule| rule.args.is_empty() && rule.action != policy.default) {
        for name in &rule.names {
            if seen.insert(name.as_str()) {
                rules.push(Unconditional { name, action: rule.action });
            }
        }
    }
    let mut instructions = prologue(policy, &tables);
    instructions.extend(library::compile(policy.default, policy.foreign_arch, &archs, &rules)?);
    Ok(Compiled { program: Program::new(instructions)?, skipped: skipped(policy), shadowed: shadowed(policy, &seen) })
}

fn skipped(policy: &Policy) -> Vec<String> {
    let names = policy.rules.iter().flat_map(|rule| &rule.names);
    let names: BTreeSet<&String> = names.chain(policy.fallbacks.iter().flat_map(|fallback| &fallback.names)).collect();
    names.into_iter().filter(|name| syscalls::resolve(name, Arch::native()).is_none()).cloned().collect()
}

fn shadowed(policy: &Policy, unconditional: &BTreeSet<&str>) -> Vec<String> {
    let conditional = policy.rules.iter().filter(|rule| !rule.args.is_empty()).flat_map(|rule| &rule.names);
    let names: BTreeSet<&String> = conditional.filter(|name| unconditional.contains(name.as_str())).collect();
    names.into_iter().cloned().collect()
}
