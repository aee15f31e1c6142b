//! Which programs may be loaded: those that can do nothing but look at what a device is, and say yes or no.
//!
//! The kernel's verifier judges them too, but it judges a language in which programs call into the kernel, write memory
//! and compute with addresses, and that it was wrong about such a program has made root out of users before (CVE-2020-8835,
//! CVE-2021-3490, CVE-2022-23222). Here there is nothing to be wrong about: numbers, jumps forward, and reads of three
//! words whose address is never computed with. linux/bpf.h; Documentation/bpf/standardization/instruction-set.rst.

use zviz_sys::bpf::Insn;

/// The most instructions: what the kernel takes of who has no right to more (`BPF_MAXINSNS`).
pub const MOST: usize = 4096;

/// Why a program is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flaw {
    /// Which instruction, from 0.
    pub at: usize,
    /// What is wrong with it.
    pub why: &'static str,
}

/// What a register holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// Nothing that may be read.
    Nothing,
    Number,
    /// The address of `struct bpf_cgroup_dev_ctx`.
    Context,
}

/// Registers 0 to 9. The tenth is the address of the stack, which nobody needs.
type Registers = [Holds; 10];

/// What comes after an instruction.
enum Then {
    Next,
    Jump(usize),
    /// Either.
    Branch(usize),
    End,
}

const ALU: u8 = 4;
const JMP: u8 = 5;
const JMP32: u8 = 6;
const ALU64: u8 = 7;
/// The operand is a register, not the constant.
const BY_REGISTER: u8 = 0x08;
const MOV: u8 = 0xb0;
const NEG: u8 = 0x80;
/// Add, sub, mul, div, or, and, lsh, rsh, mod, xor, arsh.
const BINARY: &[u8] = &[0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x90, 0xa0, 0xc0];
const ALWAYS: u8 = 0x00;
const CALL: u8 = 0x80;
const EXIT: u8 = 0x90;
/// jeq, jgt, jge, jset, jne, jsgt, jsge, jlt, jle, jslt, jsle.
const IF: &[u8] = &[0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0];
/// `BPF_LDX | BPF_MEM` of 4, 2 and 1 bytes: where in the context. Only its first word can be read in parts.
const LOADS: &[(u8, &[i16])] = &[(0x61, &[0, 4, 8]), (0x69, &[0, 2]), (0x71, &[0, 1, 2, 3])];

/// Whether a program can only read its context, compute and answer.
///
/// # Errors
/// The first flaw.
pub fn check(program: &[Insn]) -> Result<(), Flaw> {
    if program.is_empty() || program.len() > MOST {
        return Err(Flaw { at: 0, why: "must have 1 to 4096 instructions" });
    }
    // Jumps go forward, so that whatever leads to an instruction has been seen before it is.
    let mut before: Vec<Option<Registers>> = vec![None; program.len()];
    let mut first = [Holds::Nothing; 10];
    first[1] = Holds::Context;
    before[0] = Some(first);
    for (at, insn) in program.iter().enumerate() {
        let flaw = |why| Flaw { at, why };
        let mut registers = before.get(at).copied().flatten().ok_or(flaw("is never reached"))?;
        let then = step(insn, &mut registers).map_err(flaw)?;
        let after = |distance: usize| at + 1 + distance;
        let targets = match then {
            Then::End => [None, None],
            Then::Next => [Some(after(0)), None],
            Then::Jump(distance) => [Some(after(distance)), None],
            Then::Branch(distance) => [Some(after(0)), Some(after(distance))],
        };
        for target in targets.into_iter().flatten() {
            let place = before.get_mut(target).ok_or(flaw("leads out of the program"))?;
            *place = Some(place.map_or(registers, |there| both(there, registers)));
        }
    }
    Ok(())
}

/// What is sure where two ways meet.
fn both(one: Registers, other: Registers) -> Registers {
    let mut both = one;
    for (holds, too) in both.iter_mut().zip(other) {
        if *holds != too {
            *holds = Holds::Nothing;
        }
    }
    both
}

/// One instruction: what it does to the registers, and what comes after it.
fn step(insn: &Insn, registers: &mut Registers) -> Result<Then, &'static str> {
    match insn.code & 7 {
        ALU | ALU64 => compute(insn, registers).map(|()| Then::Next),
        JMP | JMP32 => jump(insn, registers),
        _ => load(insn, registers).map(|()| Then::Next),
    }
}

fn compute(insn: &Insn, registers: &mut Registers) -> Result<(), &'static str> {
    let (to, from) = named(insn)?;
    if insn.offset != 0 {
        return Err("is an operation that is not known");
    }
    let operation = insn.code & 0xf0;
    let operand = operand(insn, from, registers)?;
    let result = if operation == MOV {
        match operand {
            Holds::Context if insn.code & 7 == ALU => return Err("computes with an address"),
            Holds::Nothing => return Err("reads a register that holds nothing"),
            holds => holds,
        }
    } else if operation == NEG && insn.code & BY_REGISTER == 0 && insn.immediate == 0 {
        number(registers, to)?
    } else if BINARY.contains(&operation) {
        is_number(operand)?;
        number(registers, to)?
    } else {
        return Err("is an operation that is not known");
    };
    *registers.get_mut(to).ok_or("names a register that is not there")? = result;
    Ok(())
}

fn jump(insn: &Insn, registers: &Registers) -> Result<Then, &'static str> {
    let (to, from) = named(insn)?;
    let operation = insn.code & 0xf0;
    let wide = insn.code & 7 == JMP;
    let plain = insn.code & BY_REGISTER == 0 && (to, from, insn.immediate) == (0, 0, 0);
    if operation == CALL {
        return Err("calls something");
    }
    if operation == EXIT {
        if !wide || !plain || insn.offset != 0 {
            return Err("is a jump that is not known");
        }
        return number(registers, 0).map(|_| Then::End);
    }
    let distance = usize::try_from(insn.offset).map_err(|_| "jumps back")?;
    if operation == ALWAYS && wide && plain {
        return Ok(Then::Jump(distance));
    }
    if !IF.contains(&operation) {
        return Err("is a jump that is not known");
    }
    is_number(operand(insn, from, registers)?)?;
    number(registers, to)?;
    Ok(Then::Branch(distance))
}

fn load(insn: &Insn, registers: &mut Registers) -> Result<(), &'static str> {
    let Some((_, offsets)) = LOADS.iter().find(|(code, _)| *code == insn.code) else {
        return Err("is no read of the device: a map, a constant of 64 bits, or a write");
    };
    let (to, from) = named(insn)?;
    if registers.get(from) != Some(&Holds::Context) || insn.immediate != 0 || !offsets.contains(&insn.offset) {
        return Err("reads something else than the device");
    }
    *registers.get_mut(to).ok_or("names a register that is not there")? = Holds::Number;
    Ok(())
}

/// The registers of an instruction, of those that may be used: the destination and the source.
fn named(insn: &Insn) -> Result<(usize, usize), &'static str> {
    // The kernel's bit fields: the order of a little-endian machine, on which alone zviz runs.
    let (to, from) = (usize::from(insn.registers & 0xf), usize::from(insn.registers >> 4));
    if to < 10 && from < 10 { Ok((to, from)) } else { Err("uses the stack, or a register that is not there") }
}

/// What the second operand holds: a register or the constant, and then the other of them must be 0.
fn operand(insn: &Insn, from: usize, registers: &Registers) -> Result<Holds, &'static str> {
    match (insn.code & BY_REGISTER != 0, from, insn.immediate) {
        (true, from, 0) => registers.get(from).copied().ok_or("names a register that is not there"),
        (false, 0, _) => Ok(Holds::Number),
        _ => Err("has two operands where there is one"),
    }
}

fn number(registers: &Registers, at: usize) -> Result<Holds, &'static str> {
    registers.get(at).copied().ok_or("names a register that is not there").and_then(is_number)
}

fn is_number(holds: Holds) -> Result<Holds, &'static str> {
    match holds {
        Holds::Number => Ok(Holds::Number),
        Holds::Nothing => Err("reads a register that holds nothing"),
        Holds::Context => Err("computes with an address"),
    }
}

#[cfg(test)]
mod tests;
