//! Comparisons of arguments in BPF, which has 32-bit words: an argument is compared high word first.

use crate::bpf::*;
use crate::{Action, Arch, Compare, Op, SockFilter};

/// Runs `body`, which does not run on behind its end, if every comparison holds, else runs on behind it.
pub fn arm(arch: Arch, compares: &[Compare], body: Vec<SockFilter>) -> Vec<SockFilter> {
    // At most six comparisons of at most six instructions: the distance of a jump over them and a short body fits.
    // Before a long body there is a jump over it, and a comparison that does not hold goes to that.
    let far = body.len() >= 200;
    let over = [SockFilter::new(JA, 0, 0, 1), SockFilter::new(JA, 0, 0, body.len() as u32)];
    let mut rest = if far { 1 } else { body.len() as u8 };
    let mut code = if far { [&over[..], &body].concat() } else { body };
    for compare in compares.iter().rev() {
        let mut head = one(arch, *compare, rest);
        rest += head.len() as u8;
        head.append(&mut code);
        code = head;
    }
    code
}

/// Runs on if the comparison holds, else skips `rest` instructions more.
fn one(arch: Arch, compare: Compare, rest: u8) -> Vec<SockFilter> {
    let Compare { index, op, value } = compare;
    let offset = OFFSET_ARGS + 8 * u32::from(index);
    let (high, low) = if arch.is_little_endian() { (offset + 4, offset) } else { (offset, offset + 4) };
    let (high_value, low_value) = ((value >> 32) as u32, value as u32);
    let load = |offset| SockFilter::new(LD_ABS, 0, 0, offset);
    let test = |operation, k, jt, jf| SockFilter::new(jump(operation), jt, jf, k);
    // The last instruction: where the high words are equal, or there is none, the low words decide.
    let last = match op {
        Op::Eq | Op::MaskedEq(_) => test(JEQ, low_value, 0, rest),
        Op::Ne => test(JEQ, low_value, rest, 0),
        Op::Ge => test(JGE, low_value, 0, rest),
        Op::Gt => test(JGT, low_value, 0, rest),
        Op::Lt => test(JGE, low_value, rest, 0),
        Op::Le => test(JGT, low_value, rest, 0),
    };
    if let Op::MaskedEq(mask) = op {
        return masked([(high, high_value, (mask >> 32) as u32), (low, low_value, mask as u32)], arch, rest);
    }
    if arch.is_32bit() {
        return vec![load(low), last];
    }
    let mut code = vec![load(high)];
    match op {
        Op::Eq | Op::MaskedEq(_) => code.push(test(JEQ, high_value, 0, 2 + rest)),
        Op::Ne => code.push(test(JEQ, high_value, 0, 2)),
        Op::Ge | Op::Gt => code.extend([test(JGT, high_value, 3, 0), test(JEQ, high_value, 0, 2 + rest)]),
        Op::Lt | Op::Le => code.extend([test(JGT, high_value, 3 + rest, 0), test(JEQ, high_value, 0, 2)]),
    }
    code.extend([load(low), last]);
    code
}

/// Words are offset, value and mask. A word of which no bit counts is not looked at.
fn masked(words: [(u32, u32, u32); 2], arch: Arch, rest: u8) -> Vec<SockFilter> {
    let [high, low] = words;
    let mut code = Vec::new();
    for (offset, value, mask) in [low, high] {
        let skipped = arch.is_32bit() && offset == high.0;
        if mask == 0 || skipped {
            continue;
        }
        let after = code.len() as u8;
        let mut word = vec![
            SockFilter::new(LD_ABS, 0, 0, offset),
            SockFilter::new(alu(AND), 0, 0, mask),
            SockFilter::new(jump(JEQ), 0, after + rest, value & mask),
        ];
        word.append(&mut code);
        code = word;
    }
    code
}

/// Returns an action.
pub fn ret(action: Action) -> SockFilter {
    SockFilter::new(RET_K, 0, 0, action.to_raw())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Program, SeccompData};

    fn program(arch: Arch, compare: Compare) -> Program {
        let mut code = arm(arch, &[compare], vec![ret(Action::Allow)]);
        code.push(ret(Action::Trap));
        Program::new(code).unwrap()
    }

    #[test]
    fn every_operator_at_every_boundary() {
        let words = [0, 1, 2, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff];
        let values: Vec<u64> = words.iter().flat_map(|high| words.map(|low| (*high << 32) | low)).collect();
        let masks = [0, 1, u64::MAX, 0xffff_ffff, 0xffff_ffff_0000_0000, 0x1_0000_0001];
        let plain = [Op::Ne, Op::Lt, Op::Le, Op::Eq, Op::Ge, Op::Gt];
        let ops: Vec<Op> = plain.into_iter().chain(masks.map(Op::MaskedEq)).collect();
        for arch in [Arch::X86_64, Arch::X86, Arch::S390x, Arch::Ppc] {
            for op in &ops {
                for value in &values {
                    let compare = Compare { index: 5, op: *op, value: *value };
                    let program = program(arch, compare);
                    for arg in &values {
                        // What the kernel shows of a 32-bit caller's registers has no upper half.
                        let arg = if arch.is_32bit() { *arg & 0xffff_ffff } else { *arg };
                        let args = [0, 0, 0, 0, 0, arg];
                        let expected = if compare.holds(arch, &args) { Action::Allow } else { Action::Trap };
                        assert_eq!(
                            program.eval(&SeccompData::new(arch, 0, args)),
                            expected,
                            "{arch} {compare:x?} {arg:#x}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_long_body_is_jumped_over() {
        for length in [1, 199, 200, 254, 255, 256, 1000] {
            let mut body = vec![SockFilter::new(LD_IMM, 0, 0, 0); length - 1];
            body.push(ret(Action::Allow));
            for op in [Op::Eq, Op::Ne, Op::Ge, Op::Lt, Op::MaskedEq(0)] {
                let compare = Compare { index: 0, op, value: 7 };
                let mut code = arm(Arch::X86_64, &[compare, compare], body.clone());
                code.push(ret(Action::Trap));
                let program = Program::new(code).unwrap();
                for arg in [6, 7, 8, 7 << 32] {
                    let args = [arg, 0, 0, 0, 0, 0];
                    let expected = if compare.holds(Arch::X86_64, &args) { Action::Allow } else { Action::Trap };
                    assert_eq!(
                        program.eval(&SeccompData::new(Arch::X86_64, 0, args)),
                        expected,
                        "{length} {op:?} {arg}"
                    );
                }
            }
        }
    }

    #[test]
    fn comparisons_are_all_needed() {
        let compares: Vec<Compare> =
            (0..6).map(|index| Compare { index, op: Op::MaskedEq(u64::MAX), value: 7 }).collect();
        let mut code = arm(Arch::X86_64, &compares, vec![ret(Action::Allow)]);
        code.push(ret(Action::Trap));
        let program = Program::new(code).unwrap();
        let answer = |args| program.eval(&SeccompData::new(Arch::X86_64, 0, args));
        assert_eq!(answer([7; 6]), Action::Allow);
        for index in 0..6 {
            let mut args = [7; 6];
            args[index] = 7 | 1 << 40;
            assert_eq!(answer(args), Action::Trap);
        }
    }
}
