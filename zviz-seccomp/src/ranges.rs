//! The numbers of an architecture as ranges that are decided alike.
//!
//! Numbers are given out in the order in which calls are invented, and what a policy allows are mostly the old ones: some
//! four hundred calls become a few dozen ranges.

use std::collections::BTreeMap;

use crate::arch::X32_BIT;
use crate::decision::Decision;
use crate::table::Table;
use crate::{Action, Arch};

/// From a number up to the next range's.
#[derive(Clone, PartialEq, Debug)]
pub struct Range {
    pub first: u32,
    /// Whose conventions the arguments follow.
    pub arch: Arch,
    pub decision: Decision,
}

/// All numbers that can come with a table's architecture: the first range begins at 0. x32's calls come with x86-64's,
/// and `x32` is their table or their answer.
pub fn ranges(table: &Table, x32: Result<&Table, Action>, default: Action) -> Vec<Range> {
    let mut first = BTreeMap::new();
    lay(&mut first, table, 0, default);
    if table.arch == Arch::X86_64 {
        match x32 {
            Ok(table) => lay(&mut first, table, X32_BIT, default),
            Err(answer) => {
                first.retain(|number, _| *number < X32_BIT);
                first.insert(X32_BIT, (Arch::X32, Decision::Answer(answer)));
            }
        }
    }
    // A tracer sets the number -1 to have a call skipped (ptrace(2)): no call of any ABI.
    first.insert(u32::MAX, (table.arch, Decision::Answer(default)));
    let all = first.into_iter().map(|(first, (arch, decision))| Range { first, arch, decision });
    let mut ranges: Vec<Range> = Vec::new();
    for range in all {
        if ranges.last().is_none_or(|before| !alike(before, &range)) {
            ranges.push(range);
        }
    }
    ranges
}

/// Lays a table over the numbers from `base` on.
fn lay(first: &mut BTreeMap<u32, (Arch, Decision)>, table: &Table, base: u32, default: Action) {
    first.retain(|number, _| *number < base);
    let unnamed = |number: u32| match table.newer {
        Some((last, answer)) if number > last => answer,
        _ => default,
    };
    let plain = |number| (table.arch, Decision::Answer(unnamed(number)));
    first.insert(base, plain(base));
    if let Some(after) = table.newer.and_then(|(last, _)| last.checked_add(1)) {
        first.insert(after, plain(after));
    }
    for (number, decision) in &table.calls {
        first.insert(*number, (table.arch, decision.clone()));
        if let Some(next) = number.checked_add(1).filter(|next| !table.calls.contains_key(next)) {
            first.insert(next, plain(next));
        }
    }
}

/// Answers are the same whoever asks; questions about arguments are not.
fn alike(one: &Range, other: &Range) -> bool {
    let constant = matches!(one.decision, Decision::Answer(_));
    one.decision == other.decision && (constant || one.arch == other.arch)
}
