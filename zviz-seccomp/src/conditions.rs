//! Comparisons of arguments in BPF, which has 32-bit words: an argument is compared high word first.

use crate::bpf::*;
use crate::decision::Decision;
use crate::writer::{Place, Writer};
use crate::{Arch, Compare, Op};

/// What A holds when an argument's word is compared.
#[derive(Clone, Copy, PartialEq)]
struct Word {
    offset: u32,
    mask: u32,
}

/// Where a decision's code is entered. A list of values to compare with, such as ioctl's requests, loads their word
/// once: the load is written when somebody comes who does not hold it.
struct Entry {
    /// What A holds at `decided`, if that matters there.
    word: Option<Word>,
    decided: Place,
    loaded: Option<Place>,
}

impl Entry {
    fn at(word: Option<Word>, decided: Place) -> Entry {
        Entry { word, decided, loaded: None }
    }

    /// For one who holds nothing.
    fn place(&mut self, code: &mut Writer) -> Place {
        let Some(word) = self.word else { return self.decided };
        if let Some(place) = self.loaded {
            return place;
        }
        code.next(self.decided);
        if word.mask != u32::MAX {
            code.push(alu(AND), word.mask);
        }
        let place = code.push(LD_ABS, word.offset);
        self.loaded = Some(place);
        place
    }

    /// For one who holds a word.
    fn holding(&mut self, word: Word, code: &mut Writer) -> Place {
        if self.word == Some(word) { self.decided } else { self.place(code) }
    }
}

/// Writes what answers a call of an architecture.
pub fn decide(code: &mut Writer, arch: Arch, decision: &Decision) -> Place {
    entry(code, arch, decision).place(code)
}

fn entry(code: &mut Writer, arch: Arch, decision: &Decision) -> Entry {
    match decision {
        Decision::Answer(action) => Entry::at(None, code.answer(*action)),
        Decision::Arms(arms, otherwise) => {
            let mut next = entry(code, arch, otherwise);
            for (compares, then) in arms.iter().rev() {
                let mut arm = entry(code, arch, then);
                for compare in compares.iter().rev() {
                    let then = arm.place(code);
                    arm = one(code, arch, *compare, then, &mut next);
                }
                next = arm;
            }
            next
        }
    }
}

fn one(code: &mut Writer, arch: Arch, compare: Compare, then: Place, otherwise: &mut Entry) -> Entry {
    let Compare { index, op, value } = compare;
    let offset = OFFSET_ARGS + 8 * u32::from(index);
    let (high, low) = if arch.is_little_endian() { (offset + 4, offset) } else { (offset, offset + 4) };
    let mask = if let Op::MaskedEq(mask) = op { mask } else { u64::MAX };
    let high = Word { offset: high, mask: (mask >> 32) as u32 };
    let low = Word { offset: low, mask: mask as u32 };
    let (high_value, low_value) = ((value >> 32) as u32, value as u32);
    if let Op::MaskedEq(_) = op {
        return masked(code, arch, [(low, low_value), (high, high_value)], then, otherwise);
    }
    // Where the high words are equal, or there is none, the low words decide.
    let other = otherwise.holding(low, code);
    let decided = match op {
        Op::Eq | Op::MaskedEq(_) => code.test(JEQ, low_value, then, other),
        Op::Ne => code.test(JEQ, low_value, other, then),
        Op::Ge => code.test(JGE, low_value, then, other),
        Op::Gt => code.test(JGT, low_value, then, other),
        Op::Lt => code.test(JGE, low_value, other, then),
        Op::Le => code.test(JGT, low_value, other, then),
    };
    let mut equal = Entry::at(Some(low), decided);
    if arch.is_32bit() {
        return equal;
    }
    let equal = equal.place(code);
    let other = otherwise.holding(high, code);
    let unequal = if matches!(op, Op::Ne | Op::Lt | Op::Le) { then } else { other };
    let decided = code.test(JEQ, high_value, equal, unequal);
    let decided = match op {
        Op::Ge | Op::Gt => code.test(JGT, high_value, then, decided),
        Op::Lt | Op::Le => code.test(JGT, high_value, other, decided),
        Op::Eq | Op::Ne | Op::MaskedEq(_) => decided,
    };
    Entry::at(Some(high), decided)
}

/// A word of which no bit counts is not looked at.
fn masked(code: &mut Writer, arch: Arch, words: [(Word, u32); 2], then: Place, otherwise: &mut Entry) -> Entry {
    let counted = words.into_iter().take(if arch.is_32bit() { 1 } else { 2 }).filter(|(word, _)| word.mask != 0);
    let mut entry = Entry::at(None, then);
    for (word, value) in counted {
        let (then, otherwise) = (entry.place(code), otherwise.holding(word, code));
        entry = Entry::at(Some(word), code.test(JEQ, value & word.mask, then, otherwise));
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, Program, SeccompData};

    fn program(arch: Arch, compare: Compare) -> Program {
        all_of(arch, &[compare], Decision::Answer(Action::Allow))
    }

    fn all_of(arch: Arch, compares: &[Compare], then: Decision) -> Program {
        let mut code = Writer::default();
        let decision = Decision::Arms(vec![(compares.to_vec(), then)], Box::new(Decision::Answer(Action::Trap)));
        let place = decide(&mut code, arch, &decision);
        code.next(place);
        Program::new(code.finish()).unwrap()
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
    fn what_is_far_is_reached() {
        for length in [1, 50, 80, 120, 500] {
            // Each value is answered differently, so that nothing is shared.
            let one = |value| Compare { index: 1, op: Op::Eq, value };
            let answer = |value| Decision::Answer(Action::Errno(value));
            let arms = (0..length).map(|value| (vec![one(u64::from(value))], answer(value))).collect();
            let long = Decision::Arms(arms, Box::new(answer(length)));
            for op in [Op::Eq, Op::Ne, Op::Ge, Op::Lt, Op::MaskedEq(0)] {
                let compare = Compare { index: 0, op, value: 7 };
                let program = all_of(Arch::X86_64, &[compare, compare], long.clone());
                for (arg, value) in [6, 7, 8, 7 << 32].into_iter().flat_map(|arg| (0..=length).map(move |v| (arg, v))) {
                    let args = [arg, u64::from(value), 0, 0, 0, 0];
                    let holds = compare.holds(Arch::X86_64, &args);
                    let expected = if holds { Action::Errno(value) } else { Action::Trap };
                    let answer = program.eval(&SeccompData::new(Arch::X86_64, 0, args));
                    assert_eq!(answer, expected, "{length} {op:?} {arg} {value}");
                }
            }
        }
    }

    #[test]
    fn a_list_of_values_loads_the_word_once() {
        let one = |value| {
            (vec![Compare { index: 1, op: Op::MaskedEq(0xffff_ffff), value }], Decision::Answer(Action::Errno(1)))
        };
        let list = Decision::Arms((0..40).map(one).collect(), Box::new(Decision::Answer(Action::Allow)));
        let mut code = Writer::default();
        decide(&mut code, Arch::X86_64, &list);
        // One load, a comparison for each, two answers.
        assert_eq!(code.finish().len(), 43);
    }

    #[test]
    fn comparisons_are_all_needed() {
        let compares: Vec<Compare> =
            (0..6).map(|index| Compare { index, op: Op::MaskedEq(u64::MAX), value: 7 }).collect();
        let program = all_of(Arch::X86_64, &compares, Decision::Answer(Action::Allow));
        let answer = |args| program.eval(&SeccompData::new(Arch::X86_64, 0, args));
        assert_eq!(answer([7; 6]), Action::Allow);
        for index in 0..6 {
            let mut args = [7; 6];
            args[index] = 7 | 1 << 40;
            assert_eq!(answer(args), Action::Trap);
        }
    }
}
