//! What runs before libseccomp's part of a program: by architecture, the calls that libseccomp is not given, x32, and
//! calls newer than the policy.
//!
//! ```text
//!     A = arch
//!     if arch is the first:
//!         A = number
//!         -1: to libseccomp's part
//!         x32's numbers: answered, or their own table of calls
//!         above the last number named: answered
//!         each call of its own: its code, which returns
//!         to libseccomp's part
//!     if arch is the second: …
//! ```

use crate::arch::X32_BIT;
use crate::bpf::*;
use crate::conditions::{arm, ret};
use crate::decision::Decision;
use crate::table::Table;
use crate::{Action, Arch, SockFilter};

/// A jump to the end of the prologue, set right by [`prologue`] when its length is known.
const TO_LIBRARY: SockFilter = SockFilter::new(JA, 0, 0, u32::MAX);

/// The code; empty where libseccomp's part says it all. `x32` answers x32's numbers where there is no table of them.
pub fn prologue(tables: &[Table], x32_answer: Option<Action>) -> Vec<SockFilter> {
    let x32 = tables.iter().find(|table| table.arch == Arch::X32);
    let sections: Vec<(u32, Vec<SockFilter>)> = tables
        .iter()
        .filter(|table| table.arch != Arch::X32)
        .filter_map(|table| {
            let second = (table.arch == Arch::X86_64).then_some(x32).flatten();
            Some((table.arch.audit(), section(table, second, x32_answer)?))
        })
        .collect();
    if sections.is_empty() {
        return Vec::new();
    }
    let mut code = vec![SockFilter::new(LD_ABS, 0, 0, OFFSET_ARCH)];
    for (audit, section) in sections {
        code.extend(guarded(JEQ, audit, section));
    }
    let end = code.len();
    for (at, instruction) in code.iter_mut().enumerate() {
        if *instruction == TO_LIBRARY {
            instruction.k = (end - at - 1) as u32;
        }
    }
    code
}

/// Runs `body`, which does not run on behind its end, if A compares so with a constant.
fn guarded(operation: u16, k: u32, body: Vec<SockFilter>) -> Vec<SockFilter> {
    let mut code = match u8::try_from(body.len()) {
        Ok(length) => vec![SockFilter::new(jump(operation), 0, length, k)],
        // Too far for a conditional jump.
        Err(_) => vec![SockFilter::new(jump(operation), 1, 0, k), SockFilter::new(JA, 0, 0, body.len() as u32)],
    };
    code.extend(body);
    code
}

/// One architecture, from the load of the number on.
fn section(table: &Table, x32: Option<&Table>, x32_answer: Option<Action>) -> Option<Vec<SockFilter>> {
    let own = calls(table);
    let second = match (x32, x32_answer) {
        (Some(x32), _) => calls(x32),
        (None, Some(answer)) if table.arch == Arch::X86_64 => vec![ret(answer)],
        _ => Vec::new(),
    };
    if own.is_empty() && second.is_empty() {
        return None;
    }
    let mut code = vec![SockFilter::new(LD_ABS, 0, 0, OFFSET_NR)];
    code.extend(guarded(JEQ, u32::MAX, vec![TO_LIBRARY]));
    if table.arch == Arch::X86_64 {
        code.extend(guarded(JGE, X32_BIT, [second, vec![TO_LIBRARY]].concat()));
    }
    code.extend(own);
    code.push(TO_LIBRARY);
    Some(code)
}

/// The calls of a table; A holds the number before and, where none matches, after.
fn calls(table: &Table) -> Vec<SockFilter> {
    let mut code = Vec::new();
    if let Some((last, answer)) = table.newer {
        code.extend(guarded(JGT, last, vec![ret(answer)]));
    }
    for (number, decision) in &table.calls {
        code.extend(guarded(JEQ, *number, body(table.arch, decision)));
    }
    code
}

fn body(arch: Arch, decision: &Decision) -> Vec<SockFilter> {
    match decision {
        Decision::Answer(action) => vec![ret(*action)],
        Decision::Arms(arms, otherwise) => {
            let arms = arms.iter().flat_map(|(compares, then)| arm(arch, compares, body(arch, then)));
            arms.chain(body(arch, otherwise)).collect()
        }
    }
}
