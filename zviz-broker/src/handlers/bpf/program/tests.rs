//! What is refused, each with its reason; and that what is accepted does what the checks are there for, by running it.

use super::*;
use proptest::prelude::*;

fn insn(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Insn {
    Insn { code, registers: to | from << 4, offset, immediate }
}

const EXIT_INSN: Insn = Insn { code: 0x95, registers: 0, offset: 0, immediate: 0 };

fn set(to: u8, immediate: i32) -> Insn {
    insn(0xb7, to, 0, 0, immediate)
}

/// As systemd and crun begin, and one rule of theirs: character devices 1:3 may be read.
fn like_systemd() -> Vec<Insn> {
    vec![
        insn(0x61, 2, 1, 0, 0),
        insn(0x54, 2, 0, 0, 0xffff),
        insn(0x61, 3, 1, 0, 0),
        insn(0x74, 3, 0, 0, 16),
        insn(0x61, 4, 1, 4, 0),
        insn(0x61, 5, 1, 8, 0),
        insn(0xbc, 1, 3, 0, 0),
        insn(0x54, 1, 0, 0, 2),
        insn(0x5d, 1, 3, 4, 0),
        insn(0x55, 2, 0, 3, 2),
        insn(0x55, 4, 0, 2, 1),
        insn(0x55, 5, 0, 1, 3),
        insn(0x05, 0, 0, 2, 0),
        set(0, 0),
        insn(0x05, 0, 0, 1, 0),
        set(0, 1),
        EXIT_INSN,
    ]
}

#[track_caller]
fn refused(program: &[Insn], at: usize, why: &str) {
    let flaw = check(program).unwrap_err();
    assert!(flaw.at == at && flaw.why.contains(why), "{flaw:?}, not {why} at {at}");
}

#[test]
fn what_container_tools_load_is_accepted() {
    assert_eq!(check(&like_systemd()), Ok(()));
    // runc reads the first word in halves; a copy of the context is one.
    let halves = [insn(0xbf, 6, 1, 0, 0), insn(0x69, 2, 6, 0, 0), insn(0x69, 0, 6, 2, 0), EXIT_INSN];
    assert_eq!(check(&halves), Ok(()));
    assert_eq!(check(&[set(0, 1), EXIT_INSN]), Ok(()));
    let long: Vec<Insn> = std::iter::repeat_n(set(0, 1), MOST - 1).chain([EXIT_INSN]).collect();
    assert_eq!(check(&long), Ok(()));
}

#[test]
fn whatever_reaches_out_is_refused() {
    let with = |one: Insn| [set(0, 0), one, set(2, 0), EXIT_INSN];
    let (known, map) = ("not known", "no read of the device");
    for (one, why) in [
        (insn(0x85, 0, 0, 0, 5), "calls"),
        (insn(0x85, 0, 1, 0, 1), "calls"),
        (insn(0x85, 0, 2, 0, 1), "calls"),
        (insn(0x8d, 0, 0, 0, 0), "calls"),
        // lddw of a map, of a constant; packet loads.
        (insn(0x18, 1, 1, 0, 3), map),
        (insn(0x18, 2, 0, 0, 0), map),
        (insn(0x30, 0, 0, 0, 0), map),
        // Writes: to the context, the stack, atomically.
        (insn(0x62, 1, 0, 0, 1), map),
        (insn(0x63, 1, 0, 0, 0), map),
        (insn(0x7b, 10, 0, -8, 0), map),
        (insn(0xdb, 1, 0, 0, 0), map),
        // Reads of more than there is, of the stack, sign-extended.
        (insn(0x79, 2, 1, 0, 0), map),
        (insn(0x81, 2, 1, 0, 0), map),
        (insn(0x61, 2, 1, 12, 0), "something else"),
        (insn(0x61, 2, 1, -4, 0), "something else"),
        (insn(0x61, 2, 1, 2, 0), "something else"),
        (insn(0x69, 2, 1, 4, 0), "something else"),
        (insn(0x71, 2, 1, 4, 0), "something else"),
        (insn(0x61, 2, 0, 0, 0), "something else"),
        (insn(0x61, 2, 3, 0, 0), "something else"),
        (insn(0x61, 2, 1, 0, 1), "something else"),
        (insn(0x61, 2, 10, 0, 0), "the stack"),
        (insn(0xbf, 2, 10, 0, 0), "the stack"),
        (insn(0xb7, 11, 0, 0, 0), "the stack"),
        // Addresses.
        (insn(0x07, 1, 0, 0, 4), "an address"),
        (insn(0x0f, 0, 1, 0, 0), "an address"),
        (insn(0xbc, 0, 1, 0, 0), "an address"),
        (insn(0x87, 1, 0, 0, 0), "an address"),
        (insn(0x15, 1, 0, 0, 0), "an address"),
        (insn(0x1d, 0, 1, 0, 0), "an address"),
        (insn(0xbf, 0, 1, 0, 0), ""),
        // What holds nothing.
        (insn(0x0f, 0, 3, 0, 0), "holds nothing"),
        (insn(0xbf, 0, 3, 0, 0), "holds nothing"),
        (insn(0x55, 3, 0, 0, 0), "holds nothing"),
        // Loops, and other ways out.
        (insn(0x05, 0, 0, -1, 0), "back"),
        (insn(0x55, 0, 0, -2, 0), "back"),
        (insn(0x05, 0, 0, 2, 0), "out of the program"),
        (insn(0x05, 0, 0, i16::MAX, 0), "out of the program"),
        (insn(0x06, 0, 0, 0, 0), known),
        (insn(0x06, 0, 0, 0, 1), known),
        (insn(0xe5, 0, 0, 0, 0), known),
        (insn(0x96, 0, 0, 0, 0), known),
        (insn(0xf5, 0, 0, 0, 0), known),
        // Byte swaps, moves with sign, signed division.
        (insn(0xd4, 0, 0, 0, 16), known),
        (insn(0xbf, 0, 0, 8, 0), known),
        (insn(0x37, 0, 0, 1, 3), known),
        (insn(0xe7, 0, 0, 0, 0), known),
        (insn(0xb7, 0, 1, 0, 0), "two operands"),
        (insn(0x0f, 0, 0, 0, 1), "two operands"),
    ] {
        let program = with(one);
        match why {
            // The address is found out when it is answered.
            "" => refused(&program, 3, "an address"),
            _ => refused(&program, 1, why),
        }
    }
}

#[test]
fn every_way_must_end_with_a_number() {
    refused(&[], 0, "1 to 4096");
    refused(&vec![EXIT_INSN; MOST + 1], 0, "1 to 4096");
    refused(&[EXIT_INSN], 0, "holds nothing");
    refused(&[set(0, 1)], 0, "out of the program");
    refused(&[set(0, 1), EXIT_INSN, EXIT_INSN], 2, "never reached");
    // A number on one way, nothing on the other; the context on one and a number on the other.
    let one_way = [insn(0x61, 2, 1, 0, 0), insn(0x55, 2, 0, 1, 1), set(0, 1), EXIT_INSN];
    refused(&one_way, 3, "holds nothing");
    let either = [insn(0x61, 0, 1, 0, 0), insn(0x55, 0, 0, 1, 1), set(1, 1), insn(0x61, 2, 1, 0, 0), EXIT_INSN];
    refused(&either, 3, "something else");
}

/// Runs a program as the machine is specified to. None if it reads anything but three words, or does not end.
fn run(program: &[Insn], context: [u32; 3]) -> Option<u64> {
    // No number that a program has at hand is this one.
    const ADDRESS: u64 = 0xdead_beef_0bad_cafe;
    let bytes: Vec<u8> = context.iter().flat_map(|word| word.to_le_bytes()).collect();
    let mut registers = [0u64; 11];
    registers[1] = ADDRESS;
    let mut at = 0usize;
    for _ in 0..=program.len() {
        let insn = program.get(at)?;
        at += 1;
        let (to, from) = (usize::from(insn.registers & 15), usize::from(insn.registers >> 4));
        let constant = i64::from(insn.immediate).cast_unsigned();
        let (left, right) = (registers[to], if insn.code & 8 == 0 { constant } else { registers[from] });
        let low = |number: u64| number & 0xffff_ffff;
        match insn.code & 7 {
            1 => {
                let width = match insn.code & 0x18 {
                    0x00 => 4,
                    0x08 => 2,
                    0x10 => 1,
                    _ => 8,
                };
                let offset = usize::try_from(insn.offset).ok().filter(|_| registers[from] == ADDRESS)?;
                let read = bytes.get(offset..offset + width)?;
                registers[to] = read.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
            }
            4 | 7 => {
                let wide = insn.code & 7 == 7;
                let (left, right) = if wide { (left, right) } else { (low(left), low(right)) };
                let bits = if wide { 63 } else { 31 };
                let signed = if wide { left.cast_signed() } else { i64::from((left as u32).cast_signed()) };
                let result = match insn.code & 0xf0 {
                    0x00 => left.wrapping_add(right),
                    0x10 => left.wrapping_sub(right),
                    0x20 => left.wrapping_mul(right),
                    0x30 => left.checked_div(right).unwrap_or(0),
                    0x40 => left | right,
                    0x50 => left & right,
                    0x60 => left << (right & bits),
                    0x70 => left >> (right & bits),
                    0x80 => left.wrapping_neg(),
                    0x90 => left.checked_rem(right).unwrap_or(left),
                    0xa0 => left ^ right,
                    0xb0 => right,
                    0xc0 => (signed >> (right & bits)).cast_unsigned(),
                    _ => return None,
                };
                registers[to] = if wide { result } else { low(result) };
            }
            5 | 6 if insn.code & 0xf0 == 0x90 => return Some(registers[0]).filter(|answer| *answer != ADDRESS),
            5 | 6 => {
                // Which way is taken tells nothing about what may be on it: each is by a bit of what was read.
                let jumps = insn.code & 0xf0 == 0 || (left ^ right).count_ones() % 2 == 1;
                at += if jumps { usize::try_from(insn.offset).ok()? } else { 0 };
            }
            _ => return None,
        }
    }
    None
}

#[test]
fn the_machine_here_runs_what_it_should() {
    assert_eq!(run(&[insn(0x61, 0, 1, 4, 0), EXIT_INSN], [1, 2, 3]), Some(2));
    assert_eq!(run(&[insn(0x61, 0, 1, 12, 0), EXIT_INSN], [1, 2, 3]), None);
    assert_eq!(run(&[insn(0xbf, 0, 1, 0, 0), EXIT_INSN], [1, 2, 3]), None);
    assert_eq!(run(&[insn(0x05, 0, 0, -1, 0), EXIT_INSN], [1, 2, 3]), None);
}

/// Instructions that are nearly right.
fn nearly() -> impl Strategy<Value = Insn> {
    let codes = prop::sample::select(vec![
        0x61, 0x69, 0x71, 0x79, 0x62, 0x63, 0x18, 0x85, 0x95, 0x05, 0x15, 0x1d, 0x2d, 0x55, 0x5d, 0xa5, 0x16, 0x5e,
        0x06, 0x07, 0x0f, 0x04, 0x0c, 0x54, 0x57, 0x74, 0x87, 0xb7, 0xb7, 0xb7, 0xbf, 0xbf, 0xbc, 0xc7, 0x37, 0x9f,
        0xd4,
    ]);
    let register = || prop_oneof![8 => 0u8..3, 1 => 0u8..16];
    let offset = prop_oneof![4 => Just(0i16), 2 => 0i16..9, 1 => any::<i16>()];
    let immediate = prop_oneof![3 => Just(0i32), 1 => any::<i32>()];
    (codes, register(), register(), offset, immediate).prop_map(|(code, to, from, offset, immediate)| {
        // Mostly only one of the two operands, as the encoding wants it.
        let by_register = code & 8 != 0 || code & 7 == 1;
        insn(code, to, if by_register { from } else { 0 }, offset, if by_register { 0 } else { immediate })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn what_is_accepted_ends_and_reads_nothing_else(
        body in prop::collection::vec(nearly(), 0..12),
        context: [u32; 3],
    ) {
        let program: Vec<Insn> = [set(0, 0), set(2, 7)].into_iter().chain(body).chain([EXIT_INSN]).collect();
        if check(&program).is_ok() {
            prop_assert!(run(&program, context).is_some(), "{program:?}");
        }
    }

    #[test]
    fn nothing_is_too_strange_to_be_refused(words: Vec<[u8; 8]>) {
        let program: Vec<Insn> = words.into_iter().map(Insn::from_bytes).collect();
        let _ = check(&program);
    }
}
