//! The device rules as a program of the kernel's virtual machine, for cgroup v2.
//!
//! The kernel runs it for each open or mknod of a device node with `struct bpf_cgroup_dev_ctx`: the sort of node in the
//! low half of the first word and the accesses asked for in the high half, then major and minor. 0 denies. Rules are
//! tried from the last to the first; each settles the accesses that it speaks of, and what none settles is denied.

use crate::plan::cgroup::devices::{Access, Node, Rule};
use zviz_sys::bpf::Insn;

const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const NODE: u8 = 2;
const WANTED: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// `BPF_LDX | BPF_MEM | BPF_W`.
const LOAD: u8 = 0x61;
/// `BPF_ALU64 | BPF_MOV`, of a register and of a constant.
const MOVE: u8 = 0xbf;
const SET: u8 = 0xb7;
/// `BPF_ALU | BPF_AND | BPF_K` and `BPF_ALU | BPF_RSH | BPF_K`: 32 bits wide.
const AND: u8 = 0x54;
const SHIFT: u8 = 0x74;
/// `BPF_JMP32` with a constant, so that a number above 2^31 is not extended: not equal, any bit set.
const UNEQUAL: u8 = 0x56;
const ANY_BIT: u8 = 0x46;
/// `BPF_JMP | BPF_JA`.
const SKIP: u8 = 0x05;
/// `BPF_JMP | BPF_EXIT`.
const EXIT: u8 = 0x95;

fn insn(code: u8, to: u8, from: u8, offset: i16, immediate: u32) -> Insn {
    Insn { code, registers: to | from << 4, offset, immediate: immediate as i32 }
}

/// Assembles the program.
pub fn assemble(rules: &[Rule]) -> Vec<Insn> {
    let mut program = vec![
        insn(LOAD, NODE, CONTEXT, 0, 0),
        insn(MOVE, WANTED, NODE, 0, 0),
        insn(SHIFT, WANTED, 0, 0, 16),
        insn(AND, NODE, 0, 0, 0xffff),
        insn(LOAD, MAJOR, CONTEXT, 4, 0),
        insn(LOAD, MINOR, CONTEXT, 8, 0),
    ];
    let total = rules.iter().rposition(Rule::is_total);
    let (default, rest) = total.map_or((false, rules), |i| (rules[i].allow, &rules[i + 1..]));
    for rule in rest.iter().rev() {
        append(rule, &mut program);
    }
    answer(default, &mut program);
    program
}

fn append(rule: &Rule, program: &mut Vec<Insn>) {
    let mut body = Vec::new();
    let bits = u32::from(rule.access.bits());
    match (rule.allow, rule.access == Access::ALL) {
        (allow, true) => answer(allow, &mut body),
        (true, false) => {
            body.push(insn(AND, WANTED, 0, 0, !bits));
            body.push(insn(UNEQUAL, WANTED, 0, 2, 0));
            answer(true, &mut body);
        }
        (false, false) => {
            body.push(insn(ANY_BIT, WANTED, 0, 1, bits));
            body.push(insn(SKIP, 0, 0, 2, 0));
            answer(false, &mut body);
        }
    }
    let node = match rule.node {
        Node::All => None,
        Node::Block => Some(1),
        Node::Char => Some(2),
    };
    let tests = [(NODE, node), (MAJOR, rule.major), (MINOR, rule.minor)];
    let tests: Vec<(u8, u32)> = tests.into_iter().filter_map(|(register, value)| Some((register, value?))).collect();
    for (i, (register, value)) in tests.iter().enumerate() {
        // Over the tests that follow and the body: at most seven.
        let distance = (tests.len() - 1 - i + body.len()) as i16;
        program.push(insn(UNEQUAL, *register, 0, distance, *value));
    }
    program.append(&mut body);
}

fn answer(allow: bool, program: &mut Vec<Insn>) {
    program.push(insn(SET, RESULT, 0, 0, u32::from(allow)));
    program.push(insn(EXIT, 0, 0, 0, 0));
}

#[cfg(test)]
mod tests {
    use super::*;

    const MKNOD: u32 = 1;
    const READ: u32 = 2;
    const WRITE: u32 = 4;

    /// Runs a program as the kernel would, on the instructions that [`assemble`] uses.
    fn run(program: &[Insn], node: u32, access: u32, major: u32, minor: u32) -> u64 {
        let context = [node | access << 16, major, minor];
        let mut r = [0u64; 11];
        let mut at = 0usize;
        for _ in 0..100_000 {
            let i = program[at];
            let (to, from) = (usize::from(i.registers & 15), usize::from(i.registers >> 4));
            let (low, constant) = (r[to] as u32, i.immediate as u32);
            let mut jump = false;
            match i.code {
                LOAD => r[to] = u64::from(context[i.offset as usize / 4]),
                MOVE => r[to] = r[from],
                SET => r[to] = i64::from(i.immediate) as u64,
                AND => r[to] = u64::from(low & constant),
                SHIFT => r[to] = u64::from(low >> constant),
                UNEQUAL => jump = low != constant,
                ANY_BIT => jump = low & constant != 0,
                SKIP => jump = true,
                EXIT => return r[0],
                other => panic!("{other:#x}"),
            }
            at += 1 + if jump { usize::try_from(i.offset).unwrap() } else { 0 };
        }
        panic!("no end");
    }

    fn rules(text: &[&str]) -> Vec<Rule> {
        text.iter().map(|r| Rule::try_from((*r).to_owned()).unwrap()).collect()
    }

    /// What the rules mean, said another way: each access goes by the last rule that speaks of it.
    fn meaning(rules: &[Rule], node: u32, access: u32, major: u32, minor: u32) -> bool {
        let sort = if node == 1 { Node::Block } else { Node::Char };
        [MKNOD, READ, WRITE].into_iter().filter(|bit| access & bit != 0).all(|bit| {
            let speaks = |r: &&Rule| {
                (r.node == Node::All || r.node == sort)
                    && r.major.is_none_or(|n| n == major)
                    && r.minor.is_none_or(|n| n == minor)
                    && u32::from(r.access.bits()) & bit != 0
            };
            rules.iter().rev().find(speaks).is_some_and(|r| r.allow)
        })
    }

    #[test]
    fn program_does_what_the_rules_mean() {
        let sets: [&[&str]; 8] = [
            &[],
            &["deny a *:* rwm", "allow c 1:3 rw", "allow c 136:* rwm", "allow b *:* m"],
            &["allow a *:* rwm", "deny c 1:3 w", "deny b 8:* rwm"],
            &["allow c 1:3 r", "allow c 1:3 w"],
            &["allow c 1:* rwm", "deny c 1:3 w", "allow c *:3 m"],
            &["deny a *:* rwm", "allow a *:* m", "deny c 1:* m"],
            &["allow c 1:3 rwm", "deny a *:* rwm"],
            &["allow c 4294967295:2147483648 rw"],
        ];
        let numbers = [0, 1, 3, 8, 136, 2_147_483_648, u32::MAX];
        for set in sets {
            let rules = rules(set);
            let program = assemble(&rules);
            for node in [1, 2] {
                for access in 1..8 {
                    for (major, minor) in numbers.iter().flat_map(|a| numbers.iter().map(move |b| (*a, *b))) {
                        assert_eq!(
                            run(&program, node, access, major, minor) == 1,
                            meaning(&rules, node, access, major, minor),
                            "{set:?}: node {node} access {access} {major}:{minor}"
                        );
                    }
                }
            }
        }
    }
}
