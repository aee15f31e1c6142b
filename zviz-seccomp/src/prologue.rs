//! What runs before libseccomp's part of a program: by architecture, the calls that libseccomp is not given, x32, and
//! ENOSYS for calls newer than the policy.
//!
//! ```text
//!     A = arch
//!     if arch is the first:
//!         A = number
//!         -1: to libseccomp's part
//!         x32's numbers: answered, or their own table of calls
//!         above the last number named: ENOSYS
//!         each call of its own: its code, which returns
//!         to libseccomp's part
//!     if arch is the second: …
//! ```

use crate::arch::X32_BIT;
use crate::bpf::*;
use crate::conditions::{arm, ret};
use crate::table::{Call, Table};
use crate::{Arch, ENOSYS, Policy, SockFilter};

/// A jump to the end of the prologue, set right by [`prologue`] when its length is known.
const TO_LIBRARY: SockFilter = SockFilter::new(JA, 0, 0, u32::MAX);

/// The code; empty where libseccomp's part says it all.
pub fn prologue(policy: &Policy, tables: &[Table]) -> Vec<SockFilter> {
    let x32 = tables.iter().find(|table| table.arch == Arch::X32);
    let sections: Vec<(u32, Vec<SockFilter>)> = tables
        .iter()
        .filter(|table| table.arch != Arch::X32)
        .filter_map(|table| {
            let second = (table.arch == Arch::X86_64).then_some(x32).flatten();
            Some((table.arch.audit(), section(policy, table, second)?))
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
fn section(policy: &Policy, table: &Table, x32: Option<&Table>) -> Option<Vec<SockFilter>> {
    let own = calls(table);
    let second = match x32 {
        Some(x32) => calls(x32),
        // libseccomp's part answers them as it answers a foreign architecture.
        None if table.arch == Arch::X86_64 && policy.x32 != policy.foreign_arch => vec![ret(policy.x32)],
        None => Vec::new(),
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

/// The calls of a table that libseccomp is not given; A holds the number before and, where none matches, after.
fn calls(table: &Table) -> Vec<SockFilter> {
    let mut code = Vec::new();
    if let Some(last) = table.last {
        code.extend(guarded(JGT, last, vec![ret(ENOSYS)]));
    }
    for (number, call) in table.own() {
        code.extend(guarded(JEQ, number, decision(table.arch, call)));
    }
    code
}

fn decision(arch: Arch, call: &Call) -> Vec<SockFilter> {
    match call {
        Call::Library => vec![TO_LIBRARY],
        Call::Always(action) => vec![ret(*action)],
        Call::Arms(arms, otherwise) => {
            let mut code: Vec<SockFilter> =
                arms.iter().flat_map(|(compares, action)| arm(arch, compares, *action)).collect();
            code.push(ret(*otherwise));
            code
        }
    }
}
